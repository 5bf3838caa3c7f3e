#include "front/stream.h"

#include "base/buf.h"
#include "front/access.h"
#include "front/gate.h"
#include "front/ws_client.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REST_MAX (64u << 20) /* of one write; fan-outs and queues write less */

struct zg_stream {
	zg_link_t due;   /* front->due: it has to be looked at */
	zg_streams_t *front;
	zg_ws_client_t *c;
	int fd;
	bool over;       /* the connection broke, or was given up */
	zg_buf_t rest;   /* what the socket has not taken yet, from `sent` on */
	size_t sent;
};

struct zg_streams {
	zg_worker_t *w;
	int epoll;       /* of the clients' descriptors, edge-triggered */
	zg_io_t *io;
	zg_link_t due;
	zg_defer_t visit;
	zg_linger_t *linger;
};

static void look_soon(struct zg_stream *s)
{
	zg_list_remove(&s->due);
	zg_list_append(&s->front->due, &s->due);
	zg_defer(s->front->w->loop, &s->front->visit);
}

/* ---- what carries ---- */

static bool blocked(const zg_ws_client_t *c)
{
	return c->stream->rest.len > 0;
}

/* How many of the bytes the socket took; -1: it is broken. */
static ssize_t push(struct zg_stream *s, const void *bytes, size_t n)
{
	ssize_t sent = send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static void write_bytes(zg_ws_client_t *c, const unsigned char *bytes, size_t n)
{
	struct zg_stream *s = c->stream;
	ssize_t sent = s->over ? -1 : push(s, bytes, n);

	if (sent < 0 || ((size_t)sent < n &&
	                 zg_buf_add(&s->rest, bytes + sent, n - (size_t)sent) != 0))
		zg_ws_client_kill(c);
	s->sent = 0;
}

static void want_writable(zg_ws_client_t *c)
{
	if (!blocked(c))
		look_soon(c->stream);
	/* else an edge will come */
}

static void read_it(zg_ws_client_t *c, bool on)
{
	/* it has nothing to say */
	(void)c;
	(void)on;
}

/* A comment keeps proxies from closing the connection, and shows whether there
 * still is one. */
static void ping(zg_ws_client_t *c)
{
	if (!c->closing && !c->dead && !blocked(c))
		write_bytes(c, (const unsigned char *)":\n\n", 3);
}

static void kill_it(zg_ws_client_t *c)
{
	c->stream->over = true;
	look_soon(c->stream);
}

static void detach(zg_ws_client_t *c)
{
	struct zg_stream *s = c->stream;

	zg_list_remove(&s->due);
	if (s->fd >= 0) {
		epoll_ctl(s->front->epoll, EPOLL_CTL_DEL, s->fd, NULL);
		close(s->fd);
	}
	zg_gate_closed(s->front->w);
	zg_buf_free(&s->rest);
	free(s);
	c->stream = NULL;
}

static const zg_carrier_t carrier = {
	.blocked = blocked, .write = write_bytes, .want_writable = want_writable, .read = read_it,
	.ping = ping, .kill = kill_it, .detach = detach,
};

/* ---- events ---- */

/* Says why, as a WebSocket's close frame does, and ends. */
static void farewell(struct zg_stream *s)
{
	zg_ws_client_t *c = s->c;
	char text[256];
	int n = snprintf(text, sizeof text, "event: close\ndata: {\"code\":%u,\"reason\":\"%s\"}\n\n",
	                 c->close_code, c->close_reason ? c->close_reason : "");

	write_bytes(c, (const unsigned char *)text, (size_t)n);
	epoll_ctl(s->front->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	zg_linger_close(s->front->linger, s->fd);
	s->fd = -1;
	zg_ws_client_closed(c);
}

static void look(struct zg_stream *s)
{
	ssize_t sent;

	zg_list_remove(&s->due);
	if (!s->over && s->rest.len > 0) {
		sent = push(s, s->rest.data + s->sent, s->rest.len - s->sent);
		if (sent < 0)
			s->over = true;
		else
			s->sent += (size_t)sent;
		if (s->sent == s->rest.len)
			zg_buf_free(&s->rest);
	}
	if (s->over)
		zg_ws_client_closed(s->c);
	else if (s->rest.len == 0 && zg_ws_client_writable(s->c))
		farewell(s);
}

static void visit(void *ctx)
{
	zg_streams_t *f = ctx;
	zg_link_t now;

	zg_list_move(&now, &f->due);
	while (!zg_list_empty(&now))
		look(ZG_CONTAINER(now.next, struct zg_stream, due));
}

static void on_epoll(void *ctx, unsigned events)
{
	zg_streams_t *f = ctx;
	struct epoll_event e[64];
	int n = epoll_wait(f->epoll, e, ZG_COUNT_OF(e), 0);

	(void)events;
	/* a look may end others: mark them all first */
	for (int i = 0; i < n; i++) {
		struct zg_stream *s = e[i].data.ptr;

		s->over |= (e[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
		look_soon(s);
	}
	zg_defer_cancel(&f->visit);
	visit(f);
}

/* ---- making and ending ---- */

int zg_stream_open(zg_streams_t *f, const zg_request_t *req, int fd, zg_str_t head)
{
	struct zg_stream *s = calloc(1, sizeof *s);
	zg_ws_client_t *c = s ? zg_ws_client_new(f->w->ws, &carrier, req) : NULL;
	struct epoll_event e = { .events = EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };

	if (!c || epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
		free(c);
		free(s);
		return -1;
	}
	zg_list_init(&s->due);
	s->front = f;
	s->c = c;
	s->fd = fd;
	s->rest = ZG_BUF(REST_MAX);
	c->stream = s;
	c->session = zg_access_stream(req);
	f->w->counts.connections_open++;
	f->w->common->connections++;
	write_bytes(c, (const unsigned char *)head.p, head.n);
	zg_ws_client_opened(c, req);
	return 0;
}

zg_streams_t *zg_streams_new(zg_worker_t *w, zg_err_t *err)
{
	zg_streams_t *f = calloc(1, sizeof *f);

	if (!f) {
		zg_err(err, "out of memory");
		return NULL;
	}
	f->w = w;
	zg_list_init(&f->due);
	zg_defer_init(&f->visit, visit, f);
	if ((f->epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0 && (f->linger = zg_linger_new(w->loop)) &&
	    (f->io = zg_io_add(w->loop, f->epoll, ZG_IO_READ, on_epoll, f)))
		return f;
	zg_err(err, "cannot watch streams: %s", strerror(errno));
	zg_streams_free(&f);
	return NULL;
}

void zg_streams_free(zg_streams_t **handle)
{
	zg_streams_t *f = *handle;

	if (!f)
		return;
	*handle = NULL;
	zg_defer_cancel(&f->visit);
	zg_io_remove(&f->io);
	zg_linger_free(&f->linger);
	if (f->epoll >= 0)
		close(f->epoll);
	free(f);
}
