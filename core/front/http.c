#include "front/http.h"

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
	zg_http_cancel(r);
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
		MHD_OPTION_URI_LOG_CALLBACK, zg_http_begin, h,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, zg_http_completed, h,
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
