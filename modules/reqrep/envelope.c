#include "reqrep.h"
#include <inttypes.h>

#define FIELDS_MAX 128 /* the front refuses more header fields than 100 */
#define KEEP       65536 /* bytes of scratch memory kept between requests */

/* ---- to the worker ---- */

struct field {
	zg_str_t name, value;
	bool done;
};

struct fields {
	struct field field[FIELDS_MAX];
	size_t n;
};

static void collect(void *ctx, zg_str_t name, zg_str_t value)
{
	struct fields *f = ctx;

	if (f->n < FIELDS_MAX)
		f->field[f->n++] = (struct field){ name, value, false };
}

static int add_name(zg_buf_t *b, zg_str_t name)
{
	if (zg_utf8_add_json(b, name) != 0)
		return -1;
	for (size_t i = b->len - name.n - 2; i < b->len; i++)
		if (b->data[i] >= 'A' && b->data[i] <= 'Z')
			b->data[i] += 'a' - 'A';
	return zg_buf_add(b, ":", 1);
}

/* One member of "headers": the field at i and those of the same name after it. */
static int add_field(zg_buf_t *b, struct fields *f, size_t i)
{
	zg_buf_t joined = ZG_BUF(b->cap);
	zg_str_t value = f->field[i].value;
	int rc = 0;

	for (size_t k = i + 1; k < f->n && rc == 0; k++) {
		if (f->field[k].done || !zg_str_ieq(f->field[k].name, f->field[i].name))
			continue;
		f->field[k].done = true;
		if (joined.len == 0)
			rc = zg_buf_add_str(&joined, f->field[i].value);
		if (rc == 0 && (rc = zg_buf_add(&joined, ", ", 2)) == 0)
			rc = zg_buf_add_str(&joined, f->field[k].value);
		value = zg_buf_str(&joined);
	}
	if (rc == 0)
		rc = add_name(b, f->field[i].name);
	if (rc == 0)
		rc = zg_utf8_add_json(b, value);
	zg_buf_free(&joined);
	return rc;
}

static int add_headers(zg_buf_t *b, const zg_request_t *req)
{
	struct fields f = { .n = 0 };
	bool first = true;

	zg_request_headers(req, collect, &f);
	for (size_t i = 0; i < f.n; i++) {
		if (f.field[i].done)
			continue;
		if ((!first && zg_buf_add(b, ",", 1) != 0) || add_field(b, &f, i) != 0)
			return -1;
		first = false;
	}
	return 0;
}

/* {"id","method","path","query","headers","remote"} */
static int add_head(zg_buf_t *b, const zg_request_t *req)
{
	const struct {
		zg_str_t before, value;
	} member[] = {
		{ ZG_STR("{\"id\":"), req->id },
		{ ZG_STR(",\"method\":"), req->method_name },
		{ ZG_STR(",\"path\":"), req->path },
		{ ZG_STR(",\"query\":"), req->query },
		{ ZG_STR(",\"remote\":"), req->remote },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(member); i++)
		if (zg_buf_add_str(b, member[i].before) != 0 || zg_utf8_add_json(b, member[i].value) != 0)
			return -1;
	if (zg_buf_add_str(b, ZG_STR(",\"headers\":{")) != 0 || add_headers(b, req) != 0)
		return -1;
	return zg_buf_add_str(b, ZG_STR("}}"));
}

int reqrep_envelope_request(struct reqrep *r, const zg_request_t *req, zg_str_t *frame)
{
	if (r->conf->envelope == REQREP_ENVELOPE_NONE) {
		/* what has no body asks with its query */
		frame[0] = req->method & (ZG_GET | ZG_HEAD) ? req->query : req->body;
		return 1;
	}
	if (r->scratch.room > KEEP)
		zg_buf_free(&r->scratch);
	zg_buf_clear(&r->scratch);
	if (add_head(&r->scratch, req) != 0)
		return -1;
	frame[0] = zg_buf_str(&r->scratch);
	frame[1] = req->body;
	return 2;
}

/* ---- from the worker ---- */

void reqrep_envelope_bad(struct reqrep *r, zg_request_t *req, const char *why)
{
	r->counts->bad_replies++;
	zg_request_problem(req, 502, "The worker's reply cannot be used: %s.", why);
}

static const char *type_of(const struct reqrep *r, zg_str_t body)
{
	if (r->conf->content_type)
		return r->conf->content_type;
	return zg_utf8_valid(body) ? "text/plain; charset=utf-8" : "application/octet-stream";
}

/* frames are the body's, concatenated. type NULL: by configuration or content */
static void answer(struct reqrep *r, zg_request_t *req, unsigned status, const char *type,
                   const zg_str_t *frame, size_t frames)
{
	zg_buf_t whole = ZG_BUF(r->conf->max_reply);

	if (frames <= 1) {
		zg_str_t body = frames ? frame[0] : ZG_STR_NONE;

		zg_request_reply(req, status, type ? type : type_of(r, body), body.p, body.n);
		return;
	}
	for (size_t i = 0; i < frames; i++) {
		if (zg_buf_add_str(&whole, frame[i]) != 0) {
			zg_buf_free(&whole);
			reqrep_envelope_bad(r, req, "its frames together exceed max_reply");
			return;
		}
	}
	zg_request_reply_buf(req, status, type ? type : type_of(r, zg_buf_str(&whole)), &whole);
	zg_buf_free(&whole);
}

/* RFC 9110, 15.3.5, 15.3.6 and 15.4.5: these answers have no content. */
static bool forbids_body(unsigned status)
{
	return status == 204 || status == 205 || status == 304;
}

static bool has_bytes(const zg_str_t *frame, size_t frames)
{
	for (size_t i = 0; i < frames; i++)
		if (frame[i].n > 0)
			return true;
	return false;
}

void reqrep_envelope_reply(struct reqrep *r, zg_request_t *req, const zg_str_t *frame,
                           size_t frames)
{
	reqrep_head_t head;
	zg_err_t err;

	if (r->conf->envelope == REQREP_ENVELOPE_NONE || frames == 1) {
		answer(r, req, 200, NULL, frame, frames);
		return;
	}
	if (reqrep_head_apply(&head, frame[0], req, &err) != 0)
		reqrep_envelope_bad(r, req, err.text);
	else if (forbids_body(head.status) && has_bytes(frame + 1, frames - 1))
		reqrep_envelope_bad(r, req, "its status allows no body, but it has one");
	else
		answer(r, req, head.status, head.content_type, frame + 1, frames - 1);
	reqrep_head_free(&head);
}
