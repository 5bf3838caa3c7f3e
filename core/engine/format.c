#include "engine/format.h"

#include "base/utf8.h"
#include <stdio.h>

#define RESERVE 4096 /* of a line: for all that is not a client's */

const zg_access_t zg_access_none = {
	.remote_port = -1, .status = -1, .bytes = -1, .request_length = -1, .worker = -1, .pid = -1,
	.request_time = -1, .waiting_time = -1, .worker_time = -1,
	.ws_received = -1, .ws_sent = -1, .ws_dropped = -1, .ws_close_code = -1,
};

/* ---- the variables ---- */

static zg_str_t path(const zg_access_t *a, char room[64])
{
	const char *mark = a->uri.n ? memchr(a->uri.p, '?', a->uri.n) : NULL;

	(void)room;
	return mark ? zg_str_n(a->uri.p, (size_t)(mark - a->uri.p)) : a->uri;
}

static zg_str_t query(const zg_access_t *a, char room[64])
{
	size_t n = path(a, room).n;

	return n < a->uri.n ? zg_str_n(a->uri.p + n + 1, a->uri.n - n - 1) : ZG_STR_NONE;
}

/* Times are made once a second and thread. */
static zg_str_t time_local(const zg_access_t *a, char room[64])
{
	static _Thread_local time_t made = -1;
	static _Thread_local char text[40];
	struct tm tm;

	(void)room;
	if (made != a->at.tv_sec) {
		made = a->at.tv_sec;
		strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S %z", localtime_r(&made, &tm));
	}
	return zg_str(text);
}

/* ".123" */
static void milliseconds(const zg_access_t *a, char out[4])
{
	unsigned ms = (unsigned)(a->at.tv_nsec / 1000000);

	out[0] = '.';
	out[1] = (char)('0' + ms / 100 % 10);
	out[2] = (char)('0' + ms / 10 % 10);
	out[3] = (char)('0' + ms % 10);
}

static zg_str_t time_iso8601(const zg_access_t *a, char room[64])
{
	static _Thread_local time_t made = -1;
	static _Thread_local char text[24];
	struct tm tm;

	if (made != a->at.tv_sec) {
		made = a->at.tv_sec;
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&made, &tm));
	}
	memcpy(room, text, 19);
	milliseconds(a, room + 19);
	room[23] = 'Z';
	return zg_str_n(room, 24);
}

static zg_str_t msec(const zg_access_t *a, char room[64])
{
	int n = snprintf(room, 32, "%lld", (long long)a->at.tv_sec);

	milliseconds(a, room + n);
	return zg_str_n(room, (size_t)n + 4);
}

/* The request line. */
static zg_str_t request(const zg_access_t *a, char room[64]);

#define AT(f, type) (offsetof(zg_access_t, f) + 0 * sizeof(&((zg_access_t *)0)->f == (type *)0))
#define TEXT(f, text)    { #f, text, ZG_VAR_TEXT, AT(f, zg_str_t), NULL }
#define NUMBER(f, text)  { #f, text, ZG_VAR_NUMBER, AT(f, int64_t), NULL }
#define SECONDS(f, text) { #f, text, ZG_VAR_SECONDS, AT(f, int64_t), NULL }
#define MADE(f, text)    { #f, text, ZG_VAR_MADE, 0, f }

const zg_format_var_t zg_format_vars[] = {
	TEXT(remote_addr, "The client's address; unix: at a unix socket."),
	NUMBER(remote_port, "The client's port."),
	TEXT(request_id, "The X-Request-ID, taken over or made."),
	TEXT(location, "The location as the configuration has it."),
	TEXT(bridge, "The module that serves it."),
	NUMBER(status, "Status of the answer; 499: the client left before it, 101: a WebSocket."),
	TEXT(outcome, "What became of it: answered, refused, failed, timed_out or cancelled."),
	NUMBER(bytes, "Bytes of the answer's body."),
	NUMBER(request_length, "Bytes of the request's body."),
	SECONDS(request_time, "Seconds from the request's head to its answer, or that a WebSocket or "
	                      "stream was open."),
	SECONDS(waiting_time, "Seconds of it until a worker was given the request."),
	SECONDS(worker_time, "Seconds from then until the worker's reply."),
	MADE(request, "Method, target and protocol, separated by blanks."),
	TEXT(method, "The method."),
	TEXT(uri, "The target as it was sent."),
	MADE(path, "The target up to its \"?\"."),
	MADE(query, "What follows the \"?\"."),
	TEXT(protocol, "HTTP/1.0 or HTTP/1.1."),
	TEXT(host, "The Host field."),
	TEXT(referer, "The Referer field."),
	TEXT(user_agent, "The User-Agent field."),
	MADE(time_local, "When it ended, in local time, as 01/Feb/2030:12:00:00 +0100."),
	MADE(time_iso8601, "When it ended, as 2030-02-01T11:00:00.123Z."),
	MADE(msec, "When it ended, in seconds since 1970 with milliseconds."),
	NUMBER(worker, "Number of the worker that had the connection."),
	NUMBER(pid, "The process's id."),
	TEXT(ws_protocol, "A WebSocket's subprotocol, or what a stream speaks."),
	NUMBER(ws_received, "Messages received from a WebSocket's client."),
	NUMBER(ws_sent, "Messages handed to the connection of a WebSocket or stream."),
	NUMBER(ws_dropped, "Messages dropped because its client was too slow."),
	NUMBER(ws_close_code, "Code of the close frame that was sent or received first; 1005: without "
	                      "one, 1006: no close frame."),
	{ .name = NULL },
};

/* ---- formats with names ---- */

static const char combined[] =
	"$remote_addr - - [$time_local] \"$request\" $status $bytes \"$referer\" \"$user_agent\"";
static const char *const json[] = {
	"time_iso8601", "remote_addr", "remote_port", "request_id", "location", "bridge", "method",
	"uri", "protocol", "host", "referer", "user_agent", "status", "outcome", "bytes",
	"request_length", "request_time", "waiting_time", "worker_time", "worker", "ws_protocol",
	"ws_received", "ws_sent", "ws_dropped", "ws_close_code",
};
const char *const zg_format_names[] = { "combined", "json", NULL };

/* ---- compiling ---- */

struct piece {
	zg_str_t text; /* copied as it is, then */
	const zg_format_var_t *var; /* NULL: nothing */
};

struct zg_format {
	bool json, fields;
	size_t pieces;
	struct piece piece[];
};

static const zg_format_var_t *find(zg_str_t name)
{
	for (const zg_format_var_t *v = zg_format_vars; v->name; v++)
		if (zg_str_eq(name, zg_str(v->name)))
			return v;
	return NULL;
}

static zg_format_t *format_new(size_t pieces, zg_pool_t *pool, zg_err_t *err)
{
	zg_format_t *f = zg_pool_alloc(pool, sizeof *f + pieces * sizeof f->piece[0]);

	if (!f)
		zg_err(err, "out of memory");
	return f;
}

static void add_piece(zg_format_t *f, zg_str_t text, const zg_format_var_t *var)
{
	f->piece[f->pieces++] = (struct piece){ text, var };
	f->fields |= var && (!strcmp(var->name, "host") || !strcmp(var->name, "referer") ||
	                     !strcmp(var->name, "user_agent"));
}

static const zg_format_t *compile_json(zg_pool_t *pool, zg_err_t *err)
{
	zg_format_t *f = format_new(ZG_COUNT_OF(json) + 1, pool, err);
	char between[64];

	for (size_t i = 0; f && i < ZG_COUNT_OF(json); i++) {
		const char *text;

		snprintf(between, sizeof between, "%s\"%s\":", i ? "," : "{", json[i]);
		if (!(text = zg_pool_strdup(pool, zg_str(between)))) {
			zg_err(err, "out of memory");
			return NULL;
		}
		add_piece(f, zg_str(text), find(zg_str(json[i])));
	}
	if (!f)
		return NULL;
	f->json = true;
	add_piece(f, ZG_STR("}"), NULL);
	return f;
}

/* "$name" or "${name}" at the beginning of *rest, which then follows it. */
static const zg_format_var_t *take_var(zg_str_t *rest, zg_err_t *err, zg_str_t *unknown)
{
	bool braces = rest->n > 1 && rest->p[1] == '{';
	zg_str_t name = { rest->p + 1 + braces, 0 };
	const zg_format_var_t *var;
	size_t used;

	while (name.p + name.n < rest->p + rest->n &&
	       ((name.p[name.n] >= 'a' && name.p[name.n] <= 'z') ||
	        (name.p[name.n] >= '0' && name.p[name.n] <= '9') || name.p[name.n] == '_'))
		name.n++;
	used = 1 + braces + name.n + braces;
	if (!name.n || used > rest->n || (braces && rest->p[used - 1] != '}')) {
		zg_err(err, "has a \"$\" without a name; write e.g. $status");
		return NULL;
	}
	if (!(var = find(name))) {
		zg_err(err, "there is no variable $%.*s", ZG_STR_ARG(name));
		*unknown = name;
	}
	*rest = zg_str_n(rest->p + used, rest->n - used);
	return var;
}

static const zg_format_t *compile_text(zg_str_t text, zg_pool_t *pool, zg_err_t *err,
                                       zg_str_t *unknown)
{
	size_t dollars = 0;
	zg_format_t *f;

	for (size_t i = 0; i < text.n; i++)
		dollars += text.p[i] == '$';
	if (!(f = format_new(dollars + 1, pool, err)))
		return NULL;
	while (text.n > 0) {
		const char *dollar = memchr(text.p, '$', text.n);
		zg_str_t before = zg_str_n(text.p, dollar ? (size_t)(dollar - text.p) : text.n);
		const zg_format_var_t *var = NULL;

		text = zg_str_n(text.p + before.n, text.n - before.n);
		if (dollar && !(var = take_var(&text, err, unknown)))
			return NULL;
		add_piece(f, before, var);
	}
	return f;
}

const zg_format_t *zg_format_compile(zg_str_t text, zg_pool_t *pool, zg_err_t *err,
                                     zg_str_t *unknown)
{
	const char *copy;

	*unknown = ZG_STR_NONE;
	if (zg_str_eq(text, ZG_STR("combined")))
		return compile_text(ZG_STR(combined), pool, err, unknown);
	if (zg_str_eq(text, ZG_STR("json")))
		return compile_json(pool, err);
	if (!memchr(text.p, '$', text.n)) {
		zg_err(err, "\"%.*s\" is no format", ZG_STR_ARG(text));
		*unknown = text;
		return NULL;
	}
	if (!(copy = zg_pool_strdup(pool, text))) {
		zg_err(err, "out of memory");
		return NULL;
	}
	return compile_text(zg_str_n(copy, text.n), pool, err, unknown);
}

bool zg_format_has_fields(const zg_format_t *f)
{
	return f->fields;
}

/* ---- writing ---- */

struct out {
	char *p, *end; /* what is short may be written up to end */
	bool json;
};

static void put(struct out *o, zg_str_t s)
{
	size_t room = (size_t)(o->end - o->p), n = s.n < room ? s.n : room;

	if (n)
		memcpy(o->p, s.p, n);
	o->p += n;
}

static const char upper[] = "0123456789ABCDEF";

/* A byte that stands for itself everywhere. */
static bool stands(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The bytes at s as they stand in a text: up to 4, into out. */
static size_t plain(char *out, zg_str_t s, size_t *took)
{
	unsigned char c = (unsigned char)s.p[0];

	*took = 1;
	out[0] = '\\';
	out[1] = 'x';
	out[2] = upper[c >> 4];
	out[3] = upper[c & 15];
	return 4;
}

/* A character in JSON: up to 6 bytes. */
static size_t quoted(char *out, zg_str_t s, size_t *took)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = zg_utf8_sequence(s);

	*took = n ? n : 1;
	if (n == 0) {
		memcpy(out, "\xef\xbf\xbd", 3);
		return 3;
	}
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c < 0x20 || c == 0x7f) {
		memcpy(out, "\\u00", 4);
		out[4] = upper[c >> 4];
		out[5] = upper[c & 15];
		return 6;
	}
	memcpy(out, s.p, n);
	return n;
}

/* Escapes s, cut at ZG_FORMAT_TEXT and at what the line has for such. */
static void put_text(struct out *o, zg_str_t s)
{
	char *end = o->p + ZG_FORMAT_TEXT, piece[8];

	if (end > o->end - RESERVE)
		end = o->end - RESERVE;
	for (;;) {
		size_t took, n;

		for (; s.n > 0 && o->p < end && stands(*s.p); s.p++, s.n--)
			*o->p++ = *s.p;
		if (s.n == 0)
			return;
		n = o->json ? quoted(piece, s, &took) : plain(piece, s, &took);

		if (o->p + n > end) {
			put(o, ZG_STR("..."));
			return;
		}
		memcpy(o->p, piece, n);
		o->p += n;
		s = zg_str_n(s.p + took, s.n - took);
	}
}

static zg_str_t digits(int64_t value, char room[64])
{
	char *p = room + 64;

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	return zg_str_n(p, (size_t)(room + 64 - p));
}

static void put_seconds(struct out *o, int64_t us)
{
	char room[64], fraction[7] = ".";

	for (int i = 6, n = (int)(us % 1000000); i > 0; i--, n /= 10)
		fraction[i] = (char)('0' + n % 10);
	put(o, digits(us / 1000000, room));
	put(o, zg_str_n(fraction, 7));
}

static zg_str_t request(const zg_access_t *a, char room[64])
{
	(void)room;
	return a->method; /* the rest is put_request's */
}

static void put_request(struct out *o, const zg_access_t *a)
{
	put_text(o, a->method);
	put(o, ZG_STR(" "));
	put_text(o, a->uri);
	put(o, ZG_STR(" "));
	put_text(o, a->protocol);
}

static void put_absent(struct out *o)
{
	put(o, o->json ? ZG_STR("null") : ZG_STR("-"));
}

static void put_number(struct out *o, const zg_format_var_t *v, int64_t value)
{
	char room[64];

	if (value < 0)
		put_absent(o);
	else if (v->kind == ZG_VAR_SECONDS)
		put_seconds(o, value);
	else
		put(o, digits(value, room));
}

static void put_var(struct out *o, const zg_format_var_t *v, const zg_access_t *a)
{
	const void *at = (const char *)a + v->offset;
	char room[64];
	zg_str_t text;

	if (v->kind == ZG_VAR_NUMBER || v->kind == ZG_VAR_SECONDS) {
		put_number(o, v, *(const int64_t *)at);
		return;
	}
	text = v->kind == ZG_VAR_TEXT ? *(const zg_str_t *)at : v->make(a, room);
	if (text.n == 0) {
		put_absent(o);
		return;
	}
	if (o->json)
		put(o, ZG_STR("\""));
	if (v->make == request)
		put_request(o, a);
	else
		put_text(o, text);
	if (o->json)
		put(o, ZG_STR("\""));
}

size_t zg_format_write(const zg_format_t *f, const zg_access_t *a, char out[ZG_FORMAT_LINE])
{
	struct out o = { out, out + ZG_FORMAT_LINE - 1, f->json };

	for (size_t i = 0; i < f->pieces; i++) {
		put(&o, f->piece[i].text);
		if (f->piece[i].var)
			put_var(&o, f->piece[i].var, a);
	}
	*o.p++ = '\n';
	return (size_t)(o.p - out);
}
