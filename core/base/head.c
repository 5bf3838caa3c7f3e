#include "base/head.h"
#include "base/target.h"
#include <arpa/inet.h>

#define METHOD_MAX 32
#define LENGTH_MAX 18 /* digits that cannot overflow 64 bits */

enum {
	CONTROL = 1, /* all control bytes but HTAB */
	TOKEN = 2,   /* tchar, RFC 9110, 5.6.2 */
	NAME = 4,    /* unreserved and sub-delims of a reg-name, RFC 3986, 3.2.2 */
	ID = 8,      /* of an X-Request-ID */
	TARGET = 16, /* printable, but '#', which only ever begins a fragment */
};

#define WORD   (TOKEN | NAME | ID | TARGET)
#define MARK   (TOKEN | NAME | TARGET)
#define DELIM  (NAME | TARGET)
#define SYMBOL (TOKEN | TARGET)

static const unsigned char kinds[256] = {
	[0 ... 8] = CONTROL, [10 ... 31] = CONTROL, [127] = CONTROL,
	['0' ... '9'] = WORD, ['A' ... 'Z'] = WORD, ['a' ... 'z'] = WORD,
	['-'] = WORD, ['.'] = WORD, ['_'] = WORD,
	['!'] = MARK, ['$'] = MARK, ['&'] = MARK, ['\''] = MARK, ['*'] = MARK,
	['+'] = MARK, ['~'] = MARK,
	['('] = DELIM, [')'] = DELIM, [','] = DELIM, [';'] = DELIM, ['='] = DELIM,
	['%'] = SYMBOL, ['^'] = SYMBOL, ['`'] = SYMBOL, ['|'] = SYMBOL,
	['#'] = TOKEN,
	['"'] = TARGET, ['/'] = TARGET, [':'] = TARGET, ['<'] = TARGET, ['>'] = TARGET,
	['?'] = TARGET, ['@'] = TARGET, ['['] = TARGET, ['\\'] = TARGET, [']'] = TARGET,
	['{'] = TARGET, ['}'] = TARGET,
};

static bool is(char c, unsigned kind)
{
	return kinds[(unsigned char)c] & kind;
}

static bool all(zg_str_t s, unsigned kind)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is(s.p[i], kind))
			return false;
	return true;
}

static bool none(zg_str_t s, unsigned kind)
{
	for (size_t i = 0; i < s.n; i++)
		if (is(s.p[i], kind))
			return false;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static zg_head_verdict_t refuse(zg_head_t *h, unsigned status, const char *reason)
{
	h->status = status;
	h->reason = reason;
	return ZG_HEAD_REFUSE;
}

/* [":" port] of an authority; "host:" alone is refused although RFC 3986
 * allows it, since nobody sends it and peers differ in what they make of it. */
static bool port_ok(zg_str_t s)
{
	unsigned port = 0;

	if (!s.n)
		return true;
	if (s.p[0] != ':' || s.n < 2 || s.n > 6)
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!is_digit(s.p[i]))
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
	}
	return port <= 65535;
}

static bool ipv6_ok(zg_str_t s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* uri-host [ ":" port ], RFC 9110, 7.2; the host not empty, no userinfo. */
static bool host_ok(zg_str_t s)
{
	size_t i = 0;

	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end)
			return false;
		i = (size_t)(end - s.p) + 1;
		return ipv6_ok(zg_str_n(s.p + 1, i - 2)) && port_ok(zg_str_n(end + 1, s.n - i));
	}
	while (i < s.n && s.p[i] != ':') {
		bool escape = s.p[i] == '%';

		if (escape && (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
			return false;
		if (!escape && !is(s.p[i], NAME))
			return false;
		i += escape ? 3 : 1;
	}
	return i > 0 && port_ok(zg_str_n(s.p + i, s.n - i));
}

static zg_head_verdict_t judge_host(zg_head_t *h, zg_str_t value)
{
	if (!host_ok(value))
		return refuse(h, 400, "the Host is not a valid host and port");
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_connection(zg_head_t *h, zg_str_t value)
{
	h->says_close |= zg_str_has_token(value, ZG_STR("close"));
	h->says_keep_alive |= zg_str_has_token(value, ZG_STR("keep-alive"));
	h->says_upgrade |= zg_str_has_token(value, ZG_STR("upgrade"));
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_upgrade(zg_head_t *h, zg_str_t value)
{
	h->wants_websocket |= zg_str_has_token(value, ZG_STR("websocket"));
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_expect(zg_head_t *h, zg_str_t value)
{
	if (!zg_str_ieq(value, ZG_STR("100-continue")))
		return refuse(h, 417, "the only Expect served is 100-continue");
	/* RFC 9110, 10.1.1: to be ignored in HTTP/1.0 */
	if (h->minor == 0)
		h->expect = ZG_STR_NONE;
	return ZG_HEAD_OK;
}

/* RFC 9112, 6.1 and 6.3: two ways to say where the body ends are what request
 * smuggling is made of. */
static zg_head_verdict_t judge_length(zg_head_t *h, zg_str_t value)
{
	if (h->has_length)
		return refuse(h, 400, "Content-Length is there twice");
	if (h->chunked)
		return refuse(h, 400, "Content-Length beside Transfer-Encoding");
	if (!value.n || value.n > LENGTH_MAX)
		return refuse(h, 400, "Content-Length is not 1 to 18 digits");
	for (size_t i = 0; i < value.n; i++) {
		if (!is_digit(value.p[i]))
			return refuse(h, 400, "Content-Length is not 1 to 18 digits");
		h->content_length = h->content_length * 10 + (uint64_t)(value.p[i] - '0');
	}
	h->has_length = true;
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_coding(zg_head_t *h, zg_str_t value)
{
	if (h->minor == 0)
		return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
	if (h->has_length)
		return refuse(h, 400, "Transfer-Encoding beside Content-Length");
	if (h->chunked || !zg_str_ieq(value, ZG_STR("chunked")))
		return refuse(h, 501, "the only transfer coding served is one chunked");
	h->chunked = true;
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_protocol(zg_head_t *h, zg_str_t value)
{
	(void)value;
	h->ws_protocols++;
	return ZG_HEAD_OK;
}

struct rule {
	const char *name;
	size_t slot;       /* offset of the zg_str_t that keeps the first line, 0: none */
	const char *twice; /* why a second line is refused, NULL: it is not */
	zg_head_verdict_t (*judge)(zg_head_t *h, zg_str_t value);
};

#define SLOT(member) offsetof(zg_head_t, member)

static const struct rule rules[] = {
	{ "host", SLOT(host), "Host is there twice", judge_host },
	{ "connection", SLOT(connection), NULL, judge_connection },
	{ "upgrade", SLOT(upgrade), NULL, judge_upgrade },
	{ "expect", SLOT(expect), NULL, judge_expect },
	{ "origin", SLOT(origin), "Origin is there twice", NULL },
	{ "x-request-id", SLOT(request_id), NULL, NULL },
	{ "content-type", SLOT(content_type), "Content-Type is there twice", NULL },
	{ "content-length", 0, NULL, judge_length },
	{ "transfer-encoding", 0, NULL, judge_coding },
	{ "sec-websocket-key", SLOT(ws_key), "Sec-WebSocket-Key is there twice", NULL },
	{ "sec-websocket-version", SLOT(ws_version), "Sec-WebSocket-Version is there twice", NULL },
	{ "sec-websocket-protocol", SLOT(ws_protocol), NULL, judge_protocol },
};

static zg_head_verdict_t apply(zg_head_t *h, const struct rule *rule, zg_str_t value)
{
	if (rule->slot) {
		zg_str_t *slot = (zg_str_t *)((char *)h + rule->slot);

		if (slot->p && rule->twice)
			return refuse(h, 400, rule->twice);
		if (!slot->p) /* p tells an empty line from none */
			*slot = value.p ? value : ZG_STR("");
	}
	return rule->judge ? rule->judge(h, value) : ZG_HEAD_OK;
}

zg_head_verdict_t zg_head_field(zg_head_t *h, zg_str_t name, zg_str_t value)
{
	if (h->status)
		return ZG_HEAD_REFUSE;
	if (++h->fields > ZG_HEAD_FIELDS_MAX)
		return refuse(h, 431, "too many header lines");
	if (!name.n || !all(name, TOKEN))
		return refuse(h, 400, "a header name is empty or holds a forbidden byte");
	if (!none(value, CONTROL))
		return refuse(h, 400, "a header value holds a control byte");
	value = zg_str_trim(value);
	for (size_t i = 0; i < ZG_COUNT_OF(rules); i++)
		if (zg_str_ieq(name, zg_str(rules[i].name)))
			return apply(h, &rules[i], value);
	return ZG_HEAD_OK;
}

static zg_head_verdict_t judge_version(zg_head_t *h, zg_str_t v)
{
	if (v.n != 8 || !zg_str_starts(v, ZG_STR("HTTP/")) || !is_digit(v.p[5]) ||
	    v.p[6] != '.' || !is_digit(v.p[7]))
		return refuse(h, 400, "the request line does not end in an HTTP version");
	if (v.p[5] != '1' || v.p[7] > '1')
		return refuse(h, 505, "the versions served are HTTP/1.0 and HTTP/1.1");
	h->minor = (unsigned)(v.p[7] - '0');
	return ZG_HEAD_OK;
}

/* RFC 9112, 3.2 */
static zg_head_verdict_t judge_target(zg_head_t *h, zg_str_t target)
{
	zg_str_t authority, rest;

	if (!target.n || !all(target, TARGET))
		return refuse(h, 400, "the request target is empty or holds a forbidden byte");
	if (target.p[0] == '/')
		return ZG_HEAD_OK;
	if (zg_str_eq(target, ZG_STR("*")) && zg_str_eq(h->method, ZG_STR("OPTIONS")))
		return ZG_HEAD_OK;
	if (!zg_target_absolute(target, &authority, &rest) || !host_ok(authority))
		return refuse(h, 400, "the request target is neither a path nor a valid URL");
	return ZG_HEAD_OK;
}

zg_head_verdict_t zg_head_begin(zg_head_t *h, zg_str_t method, zg_str_t target, zg_str_t version)
{
	*h = (zg_head_t){ .method = method, .target = target };
	if (!method.n || !all(method, TOKEN))
		return refuse(h, 400, "the method is empty or holds a forbidden byte");
	/* before the target: "PRI * HTTP/2.0" is to hear about the version */
	if (judge_version(h, version) != ZG_HEAD_OK)
		return ZG_HEAD_REFUSE;
	if (method.n > METHOD_MAX)
		return refuse(h, 501, "the method is not known");
	if (zg_str_eq(method, ZG_STR("CONNECT")))
		return refuse(h, 501, "CONNECT is not served");
	return judge_target(h, target);
}

zg_head_verdict_t zg_head_end(zg_head_t *h)
{
	zg_str_t rest;

	if (h->status)
		return ZG_HEAD_REFUSE;
	if (!h->host.p && h->minor == 1)
		return refuse(h, 400, "HTTP/1.1 without a Host");
	/* RFC 9112, 3.2.2: the target's host goes before the field's */
	zg_target_absolute(h->target, &h->host, &rest);
	/* RFC 9112, 9.3 */
	h->keep_alive = !h->says_close && (h->minor == 1 || h->says_keep_alive);
	return ZG_HEAD_OK;
}

/* Takes the line at *at, without its CR LF. Of a line that is not whole the
 * bytes at hand are judged nonetheless: what cannot become HTTP is not worth
 * waiting for. */
static zg_head_verdict_t cut_line(zg_head_t *h, zg_str_t bytes, size_t *at, zg_str_t *line)
{
	size_t i = *at;

	while (i < bytes.n && !is(bytes.p[i], CONTROL))
		i++;
	if (i == bytes.n || (bytes.p[i] == '\r' && i + 1 == bytes.n))
		return ZG_HEAD_MORE;
	if (bytes.p[i] == '\n')
		return refuse(h, 400, "a line ends in a bare LF");
	if (bytes.p[i] != '\r')
		return refuse(h, 400, "the head holds a control byte");
	if (bytes.p[i + 1] != '\n')
		return refuse(h, 400, "the head holds a bare CR");
	*line = zg_str_n(bytes.p + *at, i - *at);
	*at = i + 2;
	return ZG_HEAD_OK;
}

/* method SP request-target SP HTTP-version, RFC 9112, 3 */
static zg_head_verdict_t request_line(zg_head_t *h, zg_str_t line)
{
	zg_str_t method, target;

	if (!zg_str_cut(&line, ' ', &method) || !zg_str_cut(&line, ' ', &target))
		return refuse(h, 400, "the request line is not METHOD TARGET VERSION");
	return zg_head_begin(h, method, target, line);
}

static zg_head_verdict_t field_line(zg_head_t *h, zg_str_t line)
{
	const char *colon = memchr(line.p, ':', line.n);
	size_t n = colon ? (size_t)(colon - line.p) : 0;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return refuse(h, 400, "a header line begins with a blank");
	if (!colon)
		return refuse(h, 400, "a header line without a colon");
	return zg_head_field(h, zg_str_n(line.p, n), zg_str_n(colon + 1, line.n - n - 1));
}

zg_head_verdict_t zg_head_parse(zg_head_t *h, const char *bytes, size_t n, size_t max)
{
	zg_str_t line, head = zg_str_n(bytes, n < max ? n : max);
	zg_head_verdict_t verdict;
	size_t at = 0;

	*h = (zg_head_t){ 0 };
	if (head.n && head.p[0] == 0x16) /* handshake record, RFC 8446, 5.1 */
		return refuse(h, 400, "this port speaks plain HTTP, not TLS");
	if (head.n && head.p[0] != '\r' && !is(head.p[0], TOKEN))
		return refuse(h, 400, "this is not HTTP"); /* no need to wait for a line's end */
	verdict = cut_line(h, head, &at, &line);
	if (verdict == ZG_HEAD_OK && !line.n)
		verdict = cut_line(h, head, &at, &line);
	if (verdict == ZG_HEAD_MORE && n >= max)
		return refuse(h, 414, "the request line is too long");
	if (verdict == ZG_HEAD_OK)
		verdict = request_line(h, line);
	while (verdict == ZG_HEAD_OK) {
		verdict = cut_line(h, head, &at, &line);
		if (verdict == ZG_HEAD_OK && !line.n) {
			verdict = zg_head_end(h);
			h->size = verdict == ZG_HEAD_OK ? at : 0;
			return verdict;
		}
		if (verdict == ZG_HEAD_OK)
			verdict = field_line(h, line);
	}
	if (verdict == ZG_HEAD_MORE && n >= max)
		return refuse(h, 431, "the head is too long");
	return verdict;
}

/* 16 bytes are 22 characters of base64 and two of padding. */
static bool key_ok(zg_str_t key)
{
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i], small = c | 0x20;
		bool value = is_digit(c) || (small >= 'a' && small <= 'z') || c == '+' || c == '/';

		if (i < 22 ? !value : c != '=')
			return false;
	}
	return key.n == 24;
}

zg_head_verdict_t zg_head_websocket(zg_head_t *h)
{
	if (h->status)
		return ZG_HEAD_REFUSE;
	if (!zg_str_eq(h->method, ZG_STR("GET")) || h->minor != 1)
		return refuse(h, 400, "a WebSocket handshake is a GET in HTTP/1.1");
	if (!h->wants_websocket || !h->says_upgrade)
		return refuse(h, 400, "the WebSocket handshake lacks Upgrade: websocket or "
		              "Connection: Upgrade");
	if (h->chunked || h->content_length)
		return refuse(h, 400, "a WebSocket handshake has no body");
	if (!key_ok(h->ws_key))
		return refuse(h, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
	if (!h->ws_version.n)
		return refuse(h, 400, "a WebSocket handshake without Sec-WebSocket-Version");
	if (!zg_str_eq(h->ws_version, ZG_STR("13")))
		return refuse(h, 426, "the only Sec-WebSocket-Version served is 13");
	return ZG_HEAD_OK;
}

bool zg_head_request_id_ok(zg_str_t id)
{
	return id.n >= 1 && id.n <= 64 && all(id, ID);
}
