#include "front/http.h"

#include "base/clock.h"
#include "engine/log.h"
#include "front/answer.h"
#include "front/gate.h"
#include "front/http_request.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define POOL_EXTRA     8192        /* of a connection's memory, beside the head */
#define BODY_KEEP      4096        /* a body buffer up to this is kept for the next request */
#define FREE_MAX       256         /* request structs kept */
#define DOOMED_MS      2000        /* for a cut-off client to read its answer */
#define STOP_ROUNDS    20
#define CONNECTIONS_MAX 2000000u

/* ---- running libmicrohttpd ---- */

static void run(void *ctx)
{
	zg_http_t *h = ctx;
	unsigned long long ms;

	h->progress = false;
	MHD_run(h->daemon);
	if (h->retired && h->connections == 0)
		zg_defer(h->w->loop, &h->reap);
	/* without timeouts of its own it says 0 (more to do now) or nothing; what
	 * is parked makes it say 0 always */
	if (MHD_get_timeout(h->daemon, &ms) != MHD_YES || ms != 0)
		return;
	if (h->progress || h->parked == 0)
		zg_defer(h->w->loop, &h->run);
	else
		zg_timer_set(h->patience, h->leaving ? ZG_HTTP_LEAVING_MS : ZG_HTTP_PATIENCE_MS);
}

static void on_epoll(void *ctx, unsigned events)
{
	(void)events;
	run(ctx);
}

/* ---- deadlines ---- */

void zg_http_arm(zg_http_t *h, zg_timeq_t *q, zg_conn_t *c)
{
	uint64_t now = zg_loop_now(h->w->loop);

	if (c->half_closed)
		q = &h->doomed;
	zg_timeq_arm(q, &c->deadline, now);
	if (c->deadline.due < h->timer_due) {
		h->timer_due = c->deadline.due;
		zg_timer_set(h->timer, h->timer_due - now);
	}
}

void zg_http_fill_id(zg_http_request_t *r, zg_str_t given)
{
	if (zg_head_request_id_ok(given)) {
		memcpy(r->id, given.p, given.n);
		r->id[given.n] = '\0';
	} else {
		zg_answer_request_id(r->id);
	}
	r->pub.id = zg_str(r->id);
}

void zg_http_doom(zg_http_t *h, zg_conn_t *c, const zg_refusal_t *no)
{
	zg_http_request_t *r = c->req;
	int twin;

	if (!r->pub.id.n)
		zg_http_fill_id(r, ZG_STR_NONE);
	zg_http_settle(r, ZG_REFUSED, no->status, zg_answer_send(c->fd, no, r->pub.id));
	/* libmicrohttpd closes its descriptor with bytes unread: the answer lives on
	 * through another one */
	if ((twin = fcntl(c->fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		zg_linger_close(zg_gate_linger(c->gate), twin);
	r->state = ZG_HTTP_DOOMED;
	zg_http_arm(h, &h->doomed, c);
}

/* A number that changes while an answer leaves: bytes acknowledged, or, on a
 * unix socket, waiting. */
static uint64_t moved(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof info;
	int waiting = 0;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0)
		return info.tcpi_bytes_acked;
	ioctl(fd, SIOCOUTQ, &waiting);
	return (uint64_t)waiting;
}

/* libmicrohttpd waits for ever for a client that does not read, and for a file
 * that has become shorter: whatever the reason, an answer has to move. */
static void watch_answer(zg_http_t *h, zg_conn_t *c)
{
	uint64_t now = moved(c->fd);

	if (now == c->acked) {
		h->w->counts.timeouts_idle++;
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	c->acked = now;
	zg_http_arm(h, &h->idle, c);
}

static void on_late(zg_http_t *h, zg_timeq_t *q, zg_conn_t *c)
{
	zg_refusal_t no;

	if (q == &h->body && c->req) {
		h->w->counts.timeouts_body++;
		zg_refuse(&no, 408, "nothing more of the request body came within body_timeout");
		zg_http_doom(h, c, &no);
		return;
	}
	if (c->req && c->req->state == ZG_HTTP_QUEUED) {
		watch_answer(h, c);
		return;
	}
	if (c->req && c->req->state == ZG_HTTP_WAITING) {
		zg_http_broken(h, c);
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

static void cancel(zg_http_request_t *r)
{
	zg_http_settle(r, ZG_CANCELLED, 0, 0);
	if (r->away)
		zg_forward_cancel(r);
	else if (r->to->module->cancel)
		r->to->module->cancel(r->to, &r->pub);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
	zg_http_t *h = cls;
	zg_http_request_t *r = *con_cls;

	(void)mhd;
	if (!r)
		return;
	if (r->state == ZG_HTTP_WAITING)
		cancel(r);
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

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
	zg_http_t *h = cls;

	(void)mhd;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = h->adopting;
		h->adopting = NULL;
		h->connections++;
	} else if (*socket_context) {
		zg_gate_forget(*socket_context);
		h->connections--;
	}
}

/* ---- answering ---- */

void zg_http_wake(zg_http_request_t *r)
{
	if (r->parked)
		r->http->parked--;
	if (r->suspended)
		MHD_resume_connection(r->mhd);
	r->parked = r->suspended = false;
}

void zg_http_replied(zg_http_request_t *r)
{
	zg_http_t *h = r->http;

	r->state = ZG_HTTP_REPLIED;
	if (r->in_handler)
		return; /* on_request queues it */
	zg_http_wake(r);
	zg_defer(h->w->loop, &h->run);
}

/* ---- connections ---- */

void zg_http_adopt(zg_http_t *h, zg_conn_t *c)
{
	const struct sockaddr *from = &c->from.any;
	socklen_t len = from->sa_family == AF_INET6 ? sizeof c->from.in6 : sizeof c->from.in;

	zg_http_arm(h, &h->idle, c);
	c->http = h;
	h->adopting = c;
	if (MHD_add_connection(h->daemon, c->fd, from, len) != MHD_YES) {
		/* libmicrohttpd has closed the descriptor, and said so if it had begun */
		zg_warn("out of memory: a connection was closed");
		if (h->adopting)
			zg_gate_forget(c);
		h->adopting = NULL;
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
	zg_http_wake(r);
	zg_defer(h->w->loop, &h->run);
}

void zg_http_half_closed(zg_http_t *h, zg_conn_t *c)
{
	/* libmicrohttpd 0.9.75 does not act on the end in the middle of a body, nor
	 * while it is suspended. A closed socket and a half-closed one look alike:
	 * a client that has not got its answer in a moment is taken to be gone */
	c->half_closed = true;
	if (c->req || zg_timeq_armed(&c->deadline))
		zg_http_arm(h, &h->doomed, c);
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
	return MHD_start_daemon(
		/* TURBO: no shutdown before a close, so that a duplicate of a descriptor
		 * can live on */
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_ERROR_LOG | MHD_USE_TURBO,
		0, NULL, NULL, zg_receive, h,
		MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
		/* the gate counts connections; the default here is FD_SETSIZE */
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		/* cleared for every request: no larger than a head needs */
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)h->max_header + POOL_EXTRA,
		MHD_OPTION_CONNECTION_TIMEOUT, 0u,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, /* or it would not use sendfile */
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_END);
}

/* A front that serves nobody any more. */
static void reap(void *ctx)
{
	zg_http_t *h = ctx, **at = &h->w->http;

	if (h->connections > 0 || h->away > 0)
		return;
	while (*at != h)
		at = &(*at)->older;
	*at = h->older;
	h->older = NULL;
	zg_http_close(h);
	zg_http_free(&h);
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
	h->max_header = w->conf->gateway.max_header;
	zg_list_init(&h->orphans);
	zg_defer_init(&h->reap, reap, h);
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
	    !(h->patience = zg_timer_add(w->loop, run, h)) ||
	    !(h->io = zg_io_add(w->loop, info->epoll_fd, ZG_IO_READ, on_epoll, h))) {
		zg_err(err, "cannot start the HTTP front: %s", strerror(errno));
		zg_http_free(&h);
		return NULL;
	}
	return h;
}

/* libmicrohttpd's memory for a head is fixed: for another max_header there is a
 * new front, and the older one serves on who is there. */
static void replace(zg_worker_t *w)
{
	zg_err_t err;
	zg_http_t *h = zg_http_new(w, &err);

	if (!h) {
		zg_error("max_header stays as it was: %s", err.text);
		return;
	}
	h->older = w->http;
	h->older->retired = true;
	w->http = h;
	zg_defer(w->loop, &h->older->run);
}

void zg_http_reload(zg_worker_t *w)
{
	const zg_gateway_t *g = &w->conf->gateway;
	uint64_t now = zg_loop_now(w->loop);

	if (w->http->max_header != g->max_header)
		replace(w);
	for (zg_http_t *h = w->http; h; h = h->older) {
		zg_timeq_set_span(&h->idle, g->idle_timeout, now);
		zg_timeq_set_span(&h->head, g->header_timeout, now);
		zg_timeq_set_span(&h->body, g->body_timeout, now);
		h->timer_due = now;
		zg_timer_set(h->timer, 0);
	}
}

/* The module has it, and is to have it no longer. */
static void answer_503(zg_http_request_t *r, const char *why)
{
	zg_refusal_t no;

	if (!r->away) {
		if (r->to->module->cancel)
			r->to->module->cancel(r->to, &r->pub);
		zg_request_problem(&r->pub, 503, "%s", why);
		return;
	}
	/* the home may be writing an answer into it: ours goes past it */
	zg_forward_cancel(r);
	zg_refuse(&no, 503, "%s", why);
	zg_http_doom(r->http, r->conn, &no);
	zg_http_wake(r);
	zg_defer(r->http->w->loop, &r->http->run);
}

static void give_up(zg_http_t *h, zg_http_request_t *r, const char *why)
{
	zg_refusal_t no = { 0 };

	if (r->state == ZG_HTTP_WAITING) {
		answer_503(r, why);
	} else if (r->state == ZG_HTTP_BODY || r->state == ZG_HTTP_SWALLOW) {
		zg_refuse(&no, 503, "%s", why);
		zg_http_doom(h, r->conn, &no);
	}
}

void zg_http_give_up(zg_http_t *h, zg_instance_t *in, const char *why)
{
	for (; h; h = h->older)
		ZG_LIST_EACH(l, &h->open) {
			zg_http_request_t *r = ZG_CONTAINER(l, zg_http_request_t, link);

			if (r->to == in)
				give_up(h, r, why);
		}
}

static unsigned unread(const zg_timeq_t *q)
{
	unsigned n = 0;
	int bytes;

	ZG_LIST_EACH(l, &q->list) {
		const zg_conn_t *c = ZG_CONTAINER(l, zg_conn_t, deadline.link);

		n += !c->req && ioctl(c->fd, FIONREAD, &bytes) == 0 && bytes > 0;
	}
	return n;
}

unsigned zg_http_busy(const zg_http_t *h)
{
	unsigned n = 0;

	for (; h; h = h->older) {
		ZG_LIST_EACH(l, &h->open)
			n += ZG_CONTAINER(l, zg_http_request_t, link)->state != ZG_HTTP_DOOMED;
		/* requests that have come and have not been looked at */
		n += unread(&h->idle);
	}
	return n;
}

bool zg_http_connected(const zg_http_t *h)
{
	for (; h; h = h->older)
		if (h->connections > 0)
			return true;
	return false;
}

void zg_http_close(zg_http_t *h)
{
	for (; h; h = h->older) {
		h->stopping = true;
		ZG_LIST_EACH(l, &h->open) {
			zg_http_request_t *r = ZG_CONTAINER(l, zg_http_request_t, link);

			give_up(h, r, "the gateway is stopping");
		}
		for (int i = 0; h->daemon && i < STOP_ROUNDS; i++)
			MHD_run(h->daemon);
		zg_io_remove(&h->io);
		if (h->daemon)
			MHD_stop_daemon(h->daemon);
		h->daemon = NULL;
		zg_defer_cancel(&h->run);
		zg_defer_cancel(&h->reap);
		zg_timer_remove(&h->timer);
		zg_timer_remove(&h->patience);
	}
}

unsigned zg_http_away(const zg_http_t *h)
{
	unsigned n = 0;

	for (; h; h = h->older)
		n += h->away;
	return n;
}

void zg_http_free(zg_http_t **handle)
{
	for (zg_http_t *h = *handle, *older; h; h = older) {
		older = h->older;
		h->older = NULL;
		zg_http_close(h);
		ZG_LIST_EACH(f, &h->free_list) {
			zg_http_request_t *r = ZG_CONTAINER(f, zg_http_request_t, link);

			zg_buf_free(&r->body);
			free(r);
		}
		free(h);
	}
	*handle = NULL;
}
