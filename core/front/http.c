#include "front/http.h"

#include "base/net.h"
#include "engine/log.h"
#include "front/answer.h"
#include "front/gate.h"
#include "front/http_request.h"
#include "front/route.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POOL_EXTRA     8192        /* of a connection's memory, beside the head */
#define BODY_RATE      1024        /* least bytes a second of a body, on average */
#define BODY_KEEP      4096        /* a body buffer up to this is kept for the next request */
#define FREE_MAX       256         /* request structs kept */
#define SWALLOW_MAX    (64u << 10) /* of an unwanted body, to keep the connection */
#define DOOMED_MS      2000        /* for a cut-off client to read its answer */
#define STOP_ROUNDS    20

struct zg_http {
	zg_worker_t *w;
	struct MHD_Daemon *daemon;
	zg_io_t *io;
	zg_defer_t run;
	zg_timer_t *timer;
	uint64_t timer_due;
	zg_timeq_t idle, head, body, doomed;
	zg_link_t open, free_list;
	unsigned free_count, in_flight;
	zg_conn_t *adopting; /* during MHD_add_connection, for on_connection */
};

/* ---- running libmicrohttpd ---- */

static void run(void *ctx)
{
	zg_http_t *h = ctx;
	unsigned long long ms;

	MHD_run(h->daemon);
	/* without timeouts of its own it says 0 (more to do now) or nothing */
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms == 0)
		zg_defer(h->w->loop, &h->run);
}

static void on_epoll(void *ctx, unsigned events)
{
	(void)events;
	run(ctx);
}

/* ---- deadlines ---- */

static void arm(zg_http_t *h, zg_timeq_t *q, zg_conn_t *c)
{
	uint64_t now = zg_loop_now(h->w->loop);

	zg_timeq_arm(q, &c->deadline, now);
	if (c->deadline.due < h->timer_due) {
		h->timer_due = c->deadline.due;
		zg_timer_set(h->timer, h->timer_due - now);
	}
}

static void fill_id(zg_http_request_t *r, zg_str_t given)
{
	if (zg_head_request_id_ok(given)) {
		memcpy(r->id, given.p, given.n);
		r->id[given.n] = '\0';
	} else {
		zg_answer_request_id(r->id);
	}
	r->pub.id = zg_str(r->id);
}

/* Answers past libmicrohttpd, which cannot answer in the middle of a body, and
 * has the connection cut off soon. */
static void doom(zg_http_t *h, zg_conn_t *c, const zg_refusal_t *no)
{
	zg_http_request_t *r = c->req;

	if (r->pub.to && r->state != ZG_HTTP_SWALLOW)
		r->pub.to->common->refused++;
	if (!r->pub.id.n)
		fill_id(r, ZG_STR_NONE);
	zg_answer_send(c->fd, no, r->pub.id);
	shutdown(c->fd, SHUT_WR);
	r->state = ZG_HTTP_DOOMED;
	arm(h, &h->doomed, c);
}

static void on_late(zg_http_t *h, zg_timeq_t *q, zg_conn_t *c)
{
	zg_refusal_t no;

	if (q == &h->body && c->req) {
		h->w->counts.timeouts_body++;
		zg_refuse(&no, 408, "nothing more of the request body came within body_timeout");
		doom(h, c, &no);
		return;
	}
	if (q == &h->idle)
		h->w->counts.timeouts_idle++;
	else if (q == &h->head)
		h->w->counts.timeouts_head++;
	shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees the end and closes */
}

static void on_timer(void *ctx)
{
	zg_http_t *h = ctx;
	zg_timeq_t *const all[] = { &h->idle, &h->head, &h->body, &h->doomed };
	uint64_t now = zg_loop_now(h->w->loop);
	zg_timeq_entry_t *e;

	h->timer_due = UINT64_MAX;
	for (size_t i = 0; i < ZG_COUNT_OF(all); i++)
		while ((e = zg_timeq_pop(all[i], now)))
			on_late(h, all[i], ZG_CONTAINER(e, zg_conn_t, deadline));
	for (size_t i = 0; i < ZG_COUNT_OF(all); i++)
		if ((e = zg_timeq_first(all[i])) && e->due < h->timer_due)
			h->timer_due = e->due;
	if (h->timer_due != UINT64_MAX)
		zg_timer_set(h->timer, h->timer_due - now);
}

/* ---- the life of a request ---- */

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
		r->body = ZG_BUF(0);
		zg_list_init(&r->link);
	}
	r->pub = (zg_request_t){ .each_header = each_header };
	r->state = ZG_HTTP_HEAD;
	r->suspended = r->in_handler = false;
	r->body.cap = 0;
	r->swallowed = 0;
	r->response = NULL;
	r->extras = 0;
	r->origin = ZG_STR_NONE;
	r->http = h;
	r->id[0] = '\0';
	zg_list_append(&h->open, &r->link);
	return r;
}

static void request_free(zg_http_request_t *r)
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

/* libmicrohttpd has the request line: a request begins. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
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
	arm(h, &h->head, c);
	return r;
}

static void cancel(zg_http_request_t *r)
{
	r->http->in_flight--;
	r->pub.to->common->in_flight--;
	r->pub.to->common->client_gone++;
	if (r->pub.to->module->cancel)
		r->pub.to->module->cancel(r->pub.to, &r->pub);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
	zg_http_t *h = cls;
	zg_http_request_t *r = *con_cls;

	(void)mhd;
	(void)code;
	if (!r)
		return;
	if (r->state == ZG_HTTP_WAITING)
		cancel(r);
	r->conn->req = NULL;
	arm(h, &h->idle, r->conn);
	request_free(r);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
	zg_http_t *h = cls;

	(void)mhd;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = h->adopting;
		h->adopting = NULL;
	} else if (*socket_context) {
		zg_gate_forget(*socket_context);
	}
}

/* ---- receiving ---- */

struct judging {
	zg_head_t *head;
};

static void judge_field(void *ctx, zg_str_t name, zg_str_t value)
{
	struct judging *j = ctx;

	zg_head_field(j->head, name, value);
}

/* The head of a request that came after the connection's first has only been
 * read by libmicrohttpd: hold it to the same rules. Returns whether it may pass;
 * if not, the connection cannot go on, as its framing is in doubt. */
static bool judge(zg_http_request_t *r, const char *method, const char *version, zg_head_t *head)
{
	struct judging j = { head };
	zg_head_verdict_t v = zg_head_begin(head, zg_str(method), zg_str(r->target), zg_str(version));

	if (v == ZG_HEAD_OK) {
		each_header(&r->pub, judge_field, &j);
		v = zg_head_end(head);
	}
	if (v == ZG_HEAD_OK && !head->wants_websocket)
		return true;
	if (v == ZG_HEAD_OK)
		zg_refuse(&r->no, 400, "a WebSocket handshake must be the first request on its connection");
	else
		zg_refuse(&r->no, head->status, "%s", head->reason);
	return false;
}

static bool has_body(const zg_head_t *head)
{
	return head->chunked || (head->has_length && head->content_length > 0);
}

/* Decides about the request from its head. MHD_NO: cut off. */
static enum MHD_Result on_head(zg_http_t *h, zg_http_request_t *r, const char *method,
                               const char *version)
{
	zg_head_t head;
	uint64_t max;
	bool refused;

	if (!judge(r, method, version, &head)) {
		h->w->counts.heads_refused++;
		fill_id(r, head.request_id);
		doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	fill_id(r, head.request_id);
	r->pub.remote = zg_str(zg_net_host(&r->conn->from.any, r->remote));
	r->origin = head.origin;
	refused = zg_route(h->w, &head, &r->conn->from.any, r->path, &r->pub, &r->no) != 0;
	max = r->pub.to ? r->pub.to->location->max_body : 0;
	if (r->pub.to)
		r->pub.to->common->requests++;
	if (!refused && head.has_length && head.content_length > max)
		refused = zg_refuse(&r->no, 413, "the body has %llu bytes; %s takes %llu",
		                    (unsigned long long)head.content_length, r->pub.to->name,
		                    (unsigned long long)max) != 0;
	if (refused && has_body(&head) &&
	    (head.expect.p || (head.has_length && head.content_length > SWALLOW_MAX))) {
		doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	r->state = refused ? ZG_HTTP_SWALLOW : ZG_HTTP_BODY;
	r->body_started = zg_loop_now(h->w->loop);
	if (!has_body(&head))
		return MHD_YES;
	r->body.cap = max + 1; /* and a NUL */
	if (!refused && head.has_length)
		zg_buf_reserve(&r->body, head.content_length + 1); /* or as it comes */
	arm(h, &h->body, r->conn);
	return MHD_YES;
}

static enum MHD_Result on_body(zg_http_t *h, zg_http_request_t *r, const char *data, size_t n)
{
	uint64_t elapsed = zg_loop_now(h->w->loop) - r->body_started;
	uint64_t allowed = h->w->conf->gateway.body_timeout;
	size_t got;

	if (r->state == ZG_HTTP_SWALLOW) {
		got = r->swallowed += n;
		if (r->swallowed > SWALLOW_MAX) {
			doom(h, r->conn, &r->no);
			return MHD_NO;
		}
	} else if (r->body.len + n > r->body.cap - 1) {
		zg_refuse(&r->no, 413, "the body is larger than the %zu bytes that %s takes",
		          r->body.cap - 1, r->pub.to->name);
		doom(h, r->conn, &r->no);
		return MHD_NO;
	} else if (zg_buf_add(&r->body, data, n) != 0) {
		zg_refuse(&r->no, 503, "out of memory");
		doom(h, r->conn, &r->no);
		return MHD_NO;
	} else {
		got = r->body.len;
	}
	if (elapsed > allowed && got < (elapsed - allowed) * BODY_RATE / 1000) {
		h->w->counts.timeouts_body++;
		zg_refuse(&r->no, 408, "the request body came at less than %d bytes a second", BODY_RATE);
		doom(h, r->conn, &r->no);
		return MHD_NO;
	}
	arm(h, &h->body, r->conn);
	return MHD_YES;
}

/* HEAD and OPTIONS where the module does not serve them. */
static bool answer_for_module(zg_http_request_t *r)
{
	const zg_location_t *loc = r->pub.to->location;
	char allow[64];

	if (r->pub.method == ZG_OPTIONS && !(loc->method_bits & ZG_OPTIONS)) {
		zg_method_list(loc->method_bits | ZG_HEAD | ZG_OPTIONS, allow);
		zg_request_add_header(&r->pub, "Allow", allow);
		if (zg_route_origin_listed(loc, r->origin)) {
			zg_request_add_header(&r->pub, "Access-Control-Allow-Methods", allow);
			zg_request_add_header(&r->pub, "Access-Control-Allow-Headers",
			                      "Content-Type, X-Request-ID");
			zg_request_add_header(&r->pub, "Access-Control-Max-Age", "600");
		}
		zg_request_reply(&r->pub, 204, NULL, NULL, 0);
		return true;
	}
	if (r->pub.method == ZG_HEAD && !(loc->method_bits & (ZG_GET | ZG_HEAD))) {
		zg_method_list(loc->method_bits | ZG_HEAD | ZG_OPTIONS, allow);
		zg_request_add_header(&r->pub, "Allow", allow);
		zg_request_reply(&r->pub, 200, NULL, NULL, 0);
		return true;
	}
	return false;
}

static void dispatch(zg_http_t *h, zg_http_request_t *r)
{
	zg_instance_t *in = r->pub.to;
	bool refused = r->state == ZG_HTTP_SWALLOW;

	zg_timeq_disarm(&r->conn->deadline);
	r->state = ZG_HTTP_WAITING;
	h->in_flight++;
	if (in)
		in->common->in_flight++;
	if (refused) {
		if (in)
			in->common->refused++;
		if (r->no.header)
			zg_request_add_header(&r->pub, r->no.header, r->no.value);
		zg_request_problem(&r->pub, r->no.status, "%s", r->no.detail);
		return;
	}
	in->common->bytes_in += r->body.len;
	if (r->body.len)
		r->body.data[r->body.len] = '\0';
	r->pub.body = zg_buf_str(&r->body);
	if (answer_for_module(r))
		return;
	in->module->request(in, &r->pub);
}

static enum MHD_Result queue(zg_http_request_t *r)
{
	enum MHD_Result rc = MHD_queue_response(r->mhd, r->status, r->response);

	MHD_destroy_response(r->response);
	r->response = NULL;
	r->state = ZG_HTTP_QUEUED;
	return rc;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_n, void **con_cls)
{
	zg_http_t *h = cls;
	zg_http_request_t *r = *con_cls;
	size_t n = *data_n;

	(void)url;
	if (!r || r->state == ZG_HTTP_DOOMED)
		return MHD_NO;
	r->suspended = false;
	*data_n = 0;
	switch (r->state) {
	case ZG_HTTP_HEAD:
		return on_head(h, r, method, version);
	case ZG_HTTP_BODY:
	case ZG_HTTP_SWALLOW:
		if (n > 0)
			return on_body(h, r, data, n);
		r->in_handler = true;
		dispatch(h, r);
		r->in_handler = false;
		break;
	default:
		break;
	}
	if (r->state == ZG_HTTP_REPLIED)
		return queue(r);
	if (r->state != ZG_HTTP_WAITING)
		return MHD_NO;
	r->suspended = true;
	MHD_suspend_connection(mhd);
	return MHD_YES;
}

void zg_http_replied(zg_http_request_t *r)
{
	zg_http_t *h = r->http;

	h->in_flight--;
	r->state = ZG_HTTP_REPLIED;
	if (r->in_handler)
		return; /* on_request queues it */
	if (r->suspended) {
		r->suspended = false;
		MHD_resume_connection(r->mhd);
	}
	zg_defer(h->w->loop, &h->run);
}

/* ---- connections ---- */

void zg_http_adopt(zg_http_t *h, zg_conn_t *c)
{
	const struct sockaddr *from = &c->from.any;
	socklen_t len = from->sa_family == AF_INET6 ? sizeof c->from.in6 : sizeof c->from.in;

	arm(h, &h->idle, c);
	h->adopting = c;
	if (MHD_add_connection(h->daemon, c->fd, from, len) != MHD_YES) {
		/* libmicrohttpd has closed the descriptor */
		zg_warn("out of memory: a connection was closed");
		h->adopting = NULL;
		zg_gate_forget(c);
		return;
	}
	zg_defer(h->w->loop, &h->run);
}

void zg_http_broken(zg_http_t *h, zg_conn_t *c)
{
	zg_http_request_t *r = c->req;

	if (!r || r->state != ZG_HTTP_WAITING)
		return; /* libmicrohttpd watches it and sees the same */
	cancel(r);
	r->state = ZG_HTTP_DOOMED;
	if (r->suspended) {
		r->suspended = false;
		MHD_resume_connection(r->mhd);
	}
	zg_defer(h->w->loop, &h->run);
}

unsigned zg_http_in_flight(const zg_http_t *h)
{
	return h->in_flight;
}

/* ---- making and ending ---- */

static void on_mhd_log(void *cls, const char *format, va_list ap)
{
	char line[512];

	(void)cls;
	vsnprintf(line, sizeof line, format, ap);
	line[strcspn(line, "\n")] = '\0';
	zg_debug("libmicrohttpd: %s", line);
}

/* Percent escapes stay: the router decodes the target as it was sent. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *s)
{
	(void)cls;
	(void)c;
	return strlen(s);
}

static struct MHD_Daemon *start_daemon(zg_http_t *h)
{
	const zg_gateway_t *g = &h->w->conf->gateway;

	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, h,
		MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
		/* the gate counts connections; the default here is FD_SETSIZE */
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)g->max_connections + 64,
		/* cleared for every request: no larger than a head needs */
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)g->max_header + POOL_EXTRA,
		MHD_OPTION_CONNECTION_TIMEOUT, 0u,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, /* or it would not use sendfile */
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_END);
}

zg_http_t *zg_http_new(zg_worker_t *w, zg_err_t *err)
{
	zg_http_t *h = calloc(1, sizeof *h);
	const union MHD_DaemonInfo *info;

	if (!h) {
		zg_err(err, "out of memory");
		return NULL;
	}
	h->w = w;
	h->timer_due = UINT64_MAX;
	zg_list_init(&h->open);
	zg_list_init(&h->free_list);
	zg_timeq_init(&h->idle, w->conf->gateway.idle_timeout);
	zg_timeq_init(&h->head, w->conf->gateway.header_timeout);
	zg_timeq_init(&h->body, w->conf->gateway.body_timeout);
	zg_timeq_init(&h->doomed, DOOMED_MS);
	zg_defer_init(&h->run, run, h);
	if (!(h->daemon = start_daemon(h)) ||
	    !(info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)) ||
	    !(h->timer = zg_timer_add(w->loop, on_timer, h)) ||
	    !(h->io = zg_io_add(w->loop, info->epoll_fd, ZG_IO_READ, on_epoll, h))) {
		zg_err(err, "cannot start the HTTP front: %s", strerror(errno));
		zg_http_free(&h);
		return NULL;
	}
	return h;
}

void zg_http_free(zg_http_t **handle)
{
	zg_http_t *h = *handle;

	if (!h)
		return;
	*handle = NULL;
	ZG_LIST_EACH(l, &h->open) {
		zg_http_request_t *r = ZG_CONTAINER(l, zg_http_request_t, link);

		if (r->state == ZG_HTTP_WAITING) {
			if (r->pub.to->module->cancel)
				r->pub.to->module->cancel(r->pub.to, &r->pub);
			zg_request_problem(&r->pub, 503, "the gateway is stopping");
		}
	}
	for (int i = 0; h->daemon && i < STOP_ROUNDS; i++)
		MHD_run(h->daemon);
	zg_io_remove(&h->io);
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	zg_defer_cancel(&h->run);
	zg_timer_remove(&h->timer);
	ZG_LIST_EACH(f, &h->free_list) {
		zg_http_request_t *r = ZG_CONTAINER(f, zg_http_request_t, link);

		zg_buf_free(&r->body);
		free(r);
	}
	free(h);
}
