#include "base/target.h"
#include "front/answer.h"
#include "front/http_request.h"
#include "front/route.h"
#include "engine/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- reading ---- */

struct lookup {
	zg_str_t name, value;
};

static void match_header(void *ctx, zg_str_t name, zg_str_t value)
{
	struct lookup *l = ctx;

	if (!l->value.p && zg_str_ieq(name, l->name))
		l->value = value;
}

zg_str_t zg_request_header(const zg_request_t *req, const char *name)
{
	struct lookup l = { .name = zg_str(name) };

	req->each_header(req, match_header, &l);
	return l.value;
}

void zg_request_headers(const zg_request_t *req,
                        void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx)
{
	req->each_header(req, fn, ctx);
}

long zg_request_param(const zg_request_t *req, const char *name, unsigned nth, char *out,
                      size_t size)
{
	zg_str_t rest = req->query, key, value, want = zg_str(name);

	while (zg_target_param(&rest, &key, &value)) {
		if (!zg_str_eq(key, want) || nth-- > 0)
			continue;
		if (value.n + 1 <= size)
			return zg_target_decode(value, out);
		/* escapes shrink: only the decoded length counts */
		char *room = malloc(value.n + 1);
		long n = room ? zg_target_decode(value, room) : -2;

		if (n >= 0 && (size_t)n < size)
			memcpy(out, room, (size_t)n + 1);
		else if (n >= 0)
			n = -2;
		free(room);
		return n;
	}
	return -1;
}

unsigned zg_request_params(const zg_request_t *req, const char *name)
{
	zg_str_t rest = req->query, key, value, want = zg_str(name);
	unsigned n = 0;

	while (zg_target_param(&rest, &key, &value))
		n += zg_str_eq(key, want);
	return n;
}

/* ---- answering ---- */

static zg_http_request_t *of(zg_request_t *req)
{
	return ZG_CONTAINER(req, zg_http_request_t, pub);
}

int zg_request_add_header(zg_request_t *req, const char *name, const char *value)
{
	zg_http_request_t *r = of(req);

	for (const char *c = value; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return -1;
	if (r->extras == ZG_COUNT_OF(r->extra))
		return -1;
	r->extra[r->extras].name = strdup(name);
	r->extra[r->extras].value = strdup(value);
	r->extras++;
	return 0;
}

static void add(struct MHD_Response *resp, const char *name, const char *value)
{
	if (name && value && MHD_add_response_header(resp, name, value) != MHD_YES)
		zg_warn("the response header %s was refused by libmicrohttpd", name);
}

/* What only the request's own worker knows, and the end of it. */
void zg_request_complete(zg_http_request_t *r)
{
	struct MHD_Response *resp = r->response;
	char origin[256];

	zg_http_settle(r, r->outcome, r->status, r->bytes);
	if (!resp) {
		zg_error("out of memory: a request was cut off");
		r->status = 503;
		/* an empty answer needs almost nothing; without even that: cut off */
		r->response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
		zg_http_replied(r);
		return;
	}
	if (r->pub.id.n)
		add(resp, "X-Request-ID", r->pub.id.p);
	if (zg_answer_retry_after(r->status))
		add(resp, "Retry-After", "1");
	if (r->http->w->draining || r->http->retired)
		add(resp, "Connection", "close");
	if (r->origin.p && r->to && r->origin.n < sizeof origin &&
	    zg_route_origin_listed(r->to->location, r->origin)) {
		memcpy(origin, r->origin.p, r->origin.n);
		origin[r->origin.n] = '\0';
		add(resp, "Access-Control-Allow-Origin", origin);
		add(resp, "Access-Control-Expose-Headers", "Cursor, Location, Retry-After, X-Request-ID");
		add(resp, "Vary", "Origin");
	}
	zg_http_replied(r);
}

/* resp NULL: there was no memory for one. */
static void finish(zg_http_request_t *r, zg_outcome_t outcome, unsigned status, const char *type,
                   struct MHD_Response *resp, uint64_t bytes)
{
	r->outcome = outcome;
	r->status = status;
	r->response = resp;
	r->bytes = bytes;
	if (resp && type)
		add(resp, "Content-Type", type);
	for (unsigned i = 0; resp && i < r->extras; i++)
		add(resp, r->extra[i].name, r->extra[i].value);
	if (r->away)
		zg_forward_back(r);
	else
		zg_request_complete(r);
}

void zg_request_reply(zg_request_t *req, unsigned status, const char *type, const void *body,
                      size_t n)
{
	finish(of(req), ZG_ANSWERED, status, type,
	       MHD_create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY), n);
}

static void finish_buf(zg_http_request_t *r, zg_outcome_t outcome, unsigned status,
                       const char *type, zg_buf_t *b)
{
	size_t n = b->len;
	struct MHD_Response *resp = MHD_create_response_from_buffer(
		n, b->data, b->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

	if (resp)
		*b = ZG_BUF(b->cap);
	else
		zg_buf_free(b);
	finish(r, outcome, status, type, resp, n);
}

void zg_request_reply_buf(zg_request_t *req, unsigned status, const char *type, zg_buf_t *b)
{
	finish_buf(of(req), ZG_ANSWERED, status, type, b);
}

void zg_request_reply_file(zg_request_t *req, unsigned status, const char *type, int fd,
                           uint64_t offset, uint64_t size)
{
	struct MHD_Response *resp = MHD_create_response_from_fd_at_offset64(size, fd, offset);

	if (!resp)
		close(fd);
	finish(of(req), ZG_ANSWERED, status, type, resp, size);
}

void zg_request_problem(zg_request_t *req, unsigned status, const char *format, ...)
{
	zg_buf_t b = ZG_BUF(ZG_ANSWER_MAX);
	char detail[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(detail, sizeof detail, format, ap);
	va_end(ap);
	zg_answer_problem(&b, status, detail, req->id);
	finish_buf(of(req), ZG_REFUSED, status, "application/problem+json", &b);
}
