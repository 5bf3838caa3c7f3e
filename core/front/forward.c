/* Requests whose location works at its home, on another worker. The request
 * stays where it came in, and is lent: from the letter out to the post back its
 * fields are the home's (http_request.h says which are not). If its client leaves
 * meanwhile, the home is told and always says so: until then it is not freed. */
#include "base/buf.h"
#include "front/http.h"
#include "front/http_request.h"
#include <stdio.h>

#define KEPT_MAX (256u << 10) /* a head has at most max_header bytes */

/* ---- what libmicrohttpd has of it, copied ---- */

static void keep_line(void *ctx, zg_str_t name, zg_str_t value)
{
	zg_buf_t *b = ctx;
	uint32_t n[2] = { (uint32_t)name.n, (uint32_t)value.n };

	if (zg_buf_add(b, n, sizeof n) != 0 || zg_buf_add_str(b, name) != 0 ||
	    zg_buf_add_str(b, value) != 0)
		b->cap = b->len; /* told by kept_all */
}

static void each_kept(const zg_request_t *req,
                      void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx)
{
	const zg_http_request_t *r = ZG_CONTAINER(req, zg_http_request_t, pub);
	uint32_t n[2];

	for (size_t at = 0; at + sizeof n <= r->kept.len;) {
		const char *p = r->kept.data + at + sizeof n;

		memcpy(n, r->kept.data + at, sizeof n);
		fn(ctx, zg_str_n(p, n[0]), zg_str_n(p + n[0], n[1]));
		at += sizeof n + n[0] + n[1];
	}
}

/* Strings of libmicrohttpd's end with the connection. */
static int keep(zg_http_request_t *r)
{
	r->kept = ZG_BUF(KEPT_MAX);
	zg_request_headers(&r->pub, keep_line, &r->kept);
	if (r->kept.cap != KEPT_MAX)
		return -1;
	snprintf(r->method, sizeof r->method, "%.*s", ZG_STR_ARG(r->pub.method_name));
	r->pub.method_name = zg_str(r->method);
	r->pub.each_header = each_kept;
	r->pub.content_type = zg_request_header(&r->pub, "Content-Type");
	return 0;
}

/* ---- at home ---- */

static void arrive(zg_instance_t *home, void *ctx)
{
	zg_http_request_t *r = ctx;

	if (!home) {
		zg_request_problem(&r->pub, 503, "this location was changed or removed");
		return;
	}
	r->pub.to = home;
	home->module->request(home, &r->pub);
}

static void return_home(void *ctx);

void zg_forward_back(zg_http_request_t *r)
{
	r->settled = true;
	zg_loop_post(r->http->w->loop, &r->back, return_home, r);
}

static void acknowledged(void *ctx);

static void cancel_there(zg_instance_t *home, void *ctx)
{
	zg_http_request_t *r = ctx;

	if (!r->settled && home && home->module->cancel)
		home->module->cancel(home, &r->pub);
	r->settled = true;
	zg_loop_post(r->http->w->loop, &r->ack, acknowledged, r);
}

/* ---- where it came in ---- */

void zg_forward(zg_http_request_t *r)
{
	if (keep(r) != 0) {
		zg_request_problem(&r->pub, 503, "The gateway is out of memory.");
		return;
	}
	r->away = true;
	r->http->away++;
	zg_instance_send(r->to, r->to->family->home, &r->out, arrive, r);
}

void zg_forward_cancel(zg_http_request_t *r)
{
	r->orphan = true;
	zg_instance_send(r->to, r->to->family->home, &r->cancel, cancel_there, r);
}

static void return_home(void *ctx)
{
	zg_http_request_t *r = ctx;

	if (r->orphan)
		return; /* the acknowledgement follows */
	r->away = false;
	r->http->away--;
	r->pub.to = r->to;
	zg_request_complete(r);
}

static void acknowledged(void *ctx)
{
	zg_http_request_t *r = ctx;
	zg_http_t *h = r->http;

	r->acked = true;
	h->away--;
	if (r->over)
		zg_http_request_free(r);
	if (h->retired && h->connections == 0)
		zg_defer(h->w->loop, &h->reap);
}
