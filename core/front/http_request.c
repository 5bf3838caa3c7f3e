#include "front/http_request.h"

#include "base/clock.h"
#include "front/http.h"
#include <stdlib.h>

#define BODY_KEEP 4096 /* a body buffer up to this is kept for the next request */
#define FREE_MAX  256  /* request structs kept */

static zg_str_t header_value(const char *p, size_t n)
{
	return p ? zg_str_n(p, n) : ZG_STR("");
}

struct walk {
	void (*fn)(void *ctx, zg_str_t name, zg_str_t value);
	void *ctx;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n,
                                 const char *value, size_t value_n)
{
	const struct walk *w = cls;

	(void)kind;
	w->fn(w->ctx, zg_str_n(key, key_n), header_value(value, value_n));
	return MHD_YES;
}

static void each_header(const zg_request_t *req,
                        void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx)
{
	const zg_http_request_t *r = ZG_CONTAINER(req, zg_http_request_t, pub);
	struct walk w = { fn, ctx };

	MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, on_header, &w);
}

/* target as sent: kept, as libmicrohttpd takes its own copy apart. */
static int keep_target(zg_http_request_t *r, const char *uri)
{
	size_t n = strlen(uri) + 1;

	r->target = r->inline_target;
	r->path = r->inline_path;
	r->target_room = ZG_HTTP_TARGET_INLINE;
	if (n > ZG_HTTP_TARGET_INLINE) {
		if (!(r->target = malloc(2 * n))) {
			r->target = r->inline_target;
			r->target[0] = '\0';
			return -1;
		}
		r->path = r->target + n;
		r->target_room = n;
	}
	memcpy(r->target, uri, n);
	return 0;
}

static zg_http_request_t *request_new(zg_http_t *h)
{
	zg_http_request_t *r;

	if (!zg_list_empty(&h->free_list)) {
		r = ZG_CONTAINER(h->free_list.next, zg_http_request_t, link);
		zg_list_remove(&r->link);
		h->free_count--;
	} else if (!(r = malloc(sizeof *r))) {
		return NULL;
	} else {
		r->body = r->kept = ZG_BUF(0);
		zg_list_init(&r->link);
	}
	r->pub = (zg_request_t){ .each_header = each_header };
	r->state = ZG_HTTP_HEAD;
	r->suspended = r->parked = r->in_handler = false;
	r->open = true;
	r->streams = false;
	r->away = r->orphan = r->acked = r->over = r->settled = false;
	r->to = NULL;
	r->version = NULL;
	r->body.cap = 0;
	r->swallowed = 0;
	r->response = NULL;
	r->extras = 0;
	r->origin = ZG_STR_NONE;
	r->arrived = zg_clock_us();
	r->handed = 0;
	r->http = h;
	r->id[0] = '\0';
	zg_list_append(&h->open, &r->link);
	return r;
}

void zg_http_request_free(zg_http_request_t *r)
{
	zg_http_t *h = r->http;

	zg_list_remove(&r->link);
	if (r->response)
		MHD_destroy_response(r->response);
	for (unsigned i = 0; i < r->extras; i++) {
		free(r->extra[i].name);
		free(r->extra[i].value);
	}
	if (r->target != r->inline_target)
		free(r->target);
	zg_buf_free(&r->kept);
	if (r->body.room > BODY_KEEP)
		zg_buf_free(&r->body);
	zg_buf_clear(&r->body);
	if (h->free_count == FREE_MAX) {
		zg_buf_free(&r->body);
		free(r);
		return;
	}
	zg_list_append(&h->free_list, &r->link);
	h->free_count++;
}

void *zg_http_begin(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	zg_http_t *h = cls;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	zg_conn_t *c = info->socket_context;
	zg_http_request_t *r = request_new(h);

	if (!r)
		return NULL;
	r->mhd = mhd;
	r->conn = c;
	c->req = r;
	if (keep_target(r, uri) != 0)
		r->state = ZG_HTTP_DOOMED;
	zg_http_arm(h, &h->head, c);
	return r;
}

void zg_request_handed(zg_request_t *req)
{
	ZG_CONTAINER(req, zg_http_request_t, pub)->handed = zg_clock_us();
}

static void count(const zg_http_request_t *r, zg_outcome_t outcome, unsigned status,
                  uint64_t bytes, uint64_t now)
{
	zg_location_counts_t *c = r->to->common;
	uint64_t *const ledger[] = {
		[ZG_ANSWERED] = &c->answered, [ZG_REFUSED] = &c->refused, [ZG_FAILED] = &c->failed,
		[ZG_TIMED_OUT] = &c->timed_out, [ZG_CANCELLED] = &c->cancelled,
	};

	c->in_flight--;
	c->bytes_out += bytes;
	++*ledger[outcome];
	if (outcome == ZG_CANCELLED)
		return;
	*(status < 300   ? &c->status_2xx
	  : status < 400 ? &c->status_3xx
	  : status < 500 ? &c->status_4xx
	                 : &c->status_5xx) += 1;
	zg_hist_add(&c->request_time, now - r->arrived);
	if (r->away || !r->handed) /* its home may be writing that now */
		return;
	zg_hist_add(&c->waiting_time, r->handed - r->arrived);
	if (outcome == ZG_ANSWERED)
		zg_hist_add(&c->worker_time, now - r->handed);
}

void zg_http_settle(zg_http_request_t *r, zg_outcome_t outcome, unsigned status, uint64_t bytes)
{
	uint64_t now = zg_clock_us();

	if (!r->open)
		return;
	r->open = false;
	if (outcome == ZG_REFUSED)
		outcome = zg_access_outcome(status);
	if (r->to)
		count(r, outcome, status, bytes, now);
	zg_access_request(r, outcome, status, bytes, now);
}

void zg_http_cancel(zg_http_request_t *r)
{
	zg_http_settle(r, ZG_CANCELLED, 0, 0);
	if (r->away)
		zg_forward_cancel(r);
	else if (r->to->module->cancel)
		r->to->module->cancel(r->to, &r->pub);
}

void zg_http_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                       enum MHD_RequestTerminationCode code)
{
	zg_http_t *h = cls;
	zg_http_request_t *r = *con_cls;

	(void)mhd;
	if (!r)
		return;
	if (r->state == ZG_HTTP_WAITING)
		zg_http_cancel(r);
	if (r->state == ZG_HTTP_QUEUED)
		h->leaving--;
	if (code == MHD_REQUEST_TERMINATED_WITH_ERROR && r->state < ZG_HTTP_WAITING && !h->stopping)
		zg_http_settle(r, ZG_REFUSED, 400, 0); /* libmicrohttpd has told the client */
	zg_http_settle(r, ZG_CANCELLED, 0, 0); /* it went before its body was whole */
	zg_http_wake(r);
	h->progress = true;
	r->conn->req = NULL;
	zg_http_arm(h, &h->idle, r->conn);
	if (!r->orphan || r->acked) {
		zg_http_request_free(r);
		return;
	}
	r->over = true; /* until its home has given it up */
	zg_list_remove(&r->link);
	zg_list_append(&h->orphans, &r->link);
}
