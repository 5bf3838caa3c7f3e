#include "front/gate.h"

#include "base/head.h"
#include "base/net.h"
#include "engine/log.h"
#include "front/access.h"
#include "front/answer.h"
#include "front/http.h"
#include "front/route.h"
#include "front/wsfront.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPT_BURST 64
#define RETRY_MS     100 /* after running out of descriptors */
#define RESERVE_FDS  64  /* kept for ZeroMQ's connections, files and logs */
#define LAST_BURSTS  128 /* twice the backlog, before a listening socket is closed */

/* One listening socket. */
struct ear {
	zg_link_t link;
	zg_io_t *io;
	zg_gate_t *gate;
	int fd;
	bool wanted;        /* during a reload: still among the listeners */
};

struct zg_gate {
	zg_worker_t *w;
	zg_linger_t *linger;
	zg_link_t ears;
	bool paused;        /* no descriptor left */
	zg_timer_t *retry;
	int epoll;
	zg_io_t *epoll_io;
	zg_timeq_t heads;
	zg_timer_t *heads_timer;
	int fd_limit;       /* a client's descriptor stays under it */
	char *peek;         /* of peek_max + 1 bytes */
	size_t peek_max;    /* max_header */
};

/* ---- the life of a connection ---- */

static void conn_free(zg_conn_t *c)
{
	zg_timeq_disarm(&c->deadline);
	zg_gate_closed(c->gate->w);
	free(c);
}

void zg_gate_forget(zg_conn_t *c)
{
	/* closing the descriptor takes it out of the epoll set, but it may have
	 * been duplicated: be explicit */
	epoll_ctl(c->gate->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	conn_free(c);
}

zg_linger_t *zg_gate_linger(zg_gate_t *g)
{
	return g->linger;
}

static void close_conn(zg_conn_t *c)
{
	close(c->fd);
	conn_free(c);
}

/* head: as for zg_access_refused; its bytes are still in the peek buffer. */
static void refuse(zg_conn_t *c, const zg_refusal_t *no, const zg_head_t *head,
                   const zg_instance_t *in)
{
	zg_str_t id = head ? head->request_id : ZG_STR_NONE;
	zg_gate_t *g = c->gate;
	char made[25];
	size_t body;

	if (!zg_head_request_id_ok(id)) {
		zg_answer_request_id(made);
		id = zg_str(made);
	}
	body = zg_answer_send(c->fd, no, id);
	zg_access_refused(g->w, c, head, g->peek, in, id, no->status, body);
	/* it lives on, lingering */
	epoll_ctl(c->gate->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	zg_linger_close(c->gate->linger, c->fd);
	conn_free(c);
}

static void arm_head(zg_gate_t *g, zg_conn_t *c)
{
	if (!zg_timeq_first(&g->heads))
		zg_timer_set(g->heads_timer, g->heads.span);
	zg_timeq_arm(&g->heads, &c->deadline, zg_loop_now(g->w->loop));
}

/* ---- a whole head ---- */

/* Its head is whole and has not been taken off the socket: the other gate looks
 * at it anew. */
static void take_over(void *ctx)
{
	zg_conn_t *c = ctx;
	zg_gate_t *g = c->to->gate;
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };

	if (!g || epoll_ctl(g->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
		close(c->fd);
		c->to->common->connections--;
		free(c);
		return;
	}
	c->gate = g;
	g->w->counts.connections_open++;
	arm_head(g, c);
}

static void move(zg_conn_t *c, unsigned to)
{
	zg_worker_t *w = c->gate->w;

	zg_timeq_disarm(&c->deadline);
	w->counts.connections_open--;
	c->moves++;
	c->to = w->mate[to];
	zg_loop_post(c->to->loop, &c->move, take_over, c);
}

static void give_websocket(zg_conn_t *c, zg_head_t *head)
{
	zg_gate_t *g = c->gate;
	zg_refusal_t no = { 0 };
	zg_instance_t *in = NULL;

	epoll_ctl(g->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	if (zg_head_websocket(head) == ZG_HEAD_REFUSE) {
		zg_refuse(&no, head->status, "%s", head->reason);
		if (head->status == 426) {
			no.header = "Sec-WebSocket-Version";
			no.value = "13";
		}
	} else {
		switch (zg_wsfront_adopt(g->w, c, head, g->peek, &in, &no)) {
		case ZG_WS_ADOPTED:
			/* the descriptor is the WebSocket front's now; it counts on as open */
			zg_timeq_disarm(&c->deadline);
			free(c);
			return;
		case ZG_WS_ELSEWHERE:
			move(c, in->family->home);
			return;
		case ZG_WS_REFUSED:
			break;
		}
	}
	g->w->counts.heads_refused++;
	if (in)
		in->common->ws_refused++;
	refuse(c, &no, head, in);
}

static void give_http(zg_conn_t *c)
{
	struct epoll_event e = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = c };

	zg_timeq_disarm(&c->deadline);
	/* only ends from here on */
	if (epoll_ctl(c->gate->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
		epoll_ctl(c->gate->epoll, EPOLL_CTL_ADD, c->fd, &e);
	c->with_http = true;
	zg_http_adopt(c->gate->w->http, c);
}

/* Looks at what has arrived. Frees or hands over c unless more must come; if
 * the client has finished sending (over), no more will. */
static void look(zg_conn_t *c, bool over)
{
	zg_gate_t *g = c->gate;
	size_t max = g->peek_max;
	zg_head_t head;
	zg_refusal_t no = { 0 };
	ssize_t n = recv(c->fd, g->peek, max + 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_conn(c);
		return;
	}
	switch (zg_head_parse(&head, g->peek, (size_t)n, max)) {
	case ZG_HEAD_MORE:
		if (over)
			close_conn(c);
		return;
	case ZG_HEAD_REFUSE:
		g->w->counts.heads_refused++;
		zg_refuse(&no, head.status, "%s", head.reason);
		refuse(c, &no, NULL, NULL);
		return;
	case ZG_HEAD_OK:
		if (head.wants_websocket)
			give_websocket(c, &head);
		else
			give_http(c);
		return;
	}
}

static void on_epoll(void *ctx, unsigned events)
{
	zg_gate_t *g = ctx;
	struct epoll_event e[64];
	int n = epoll_wait(g->epoll, e, ZG_COUNT_OF(e), 0);

	(void)events;
	for (int i = 0; i < n; i++) {
		zg_conn_t *c = e[i].data.ptr;

		bool over = e[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

		if (!c->with_http)
			look(c, over);
		else if (e[i].events & (EPOLLHUP | EPOLLERR))
			zg_http_broken(c->http, c);
		else if (over)
			zg_http_half_closed(c->http, c);
	}
}

static void set_heads_timer(zg_gate_t *g)
{
	zg_timeq_entry_t *e = zg_timeq_first(&g->heads);

	if (e)
		zg_timer_set(g->heads_timer, e->due - zg_loop_now(g->w->loop));
}

static void on_heads_timer(void *ctx)
{
	zg_gate_t *g = ctx;
	zg_timeq_entry_t *e;
	zg_refusal_t no;
	char byte;

	while ((e = zg_timeq_pop(&g->heads, zg_loop_now(g->w->loop)))) {
		zg_conn_t *c = ZG_CONTAINER(e, zg_conn_t, deadline);

		g->w->counts.timeouts_head++;
		if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1) {
			close_conn(c); /* it never said anything: nothing to answer */
			continue;
		}
		zg_refuse(&no, 408, "the request head did not arrive within header_timeout");
		refuse(c, &no, NULL, NULL);
	}
	set_heads_timer(g);
}

/* ---- accepting ---- */

static void listen_events(zg_gate_t *g, unsigned events)
{
	ZG_LIST_EACH(l, &g->ears)
		zg_io_set(ZG_CONTAINER(l, struct ear, link)->io, events);
}

static void pause_accepting(zg_gate_t *g, int error)
{
	if (!g->paused)
		zg_warn("accepting pauses: %s; %llu connections are open. Raise the limit (ulimit -n, "
		        "LimitNOFILE=) or lower max_connections",
		        strerror(error), (unsigned long long)g->w->common->connections);
	g->paused = true;
	g->w->counts.accept_paused++;
	listen_events(g, 0);
	zg_timer_set(g->retry, RETRY_MS);
}

/* Descriptors are given out lowest first: a new one tells how many are left. */
static bool descriptors_left(const zg_gate_t *g)
{
	int fd = fcntl(g->epoll, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 && fd < g->fd_limit;
}

static void on_retry(void *ctx)
{
	zg_gate_t *g = ctx;

	if (!descriptors_left(g)) {
		zg_timer_set(g->retry, RETRY_MS);
		return;
	}
	zg_info("accepting again");
	g->paused = false;
	listen_events(g, ZG_IO_READ);
}

void zg_gate_closed(zg_worker_t *w)
{
	w->counts.connections_open--;
	w->common->connections--;
}

static void set_socket_options(const zg_gate_t *g, int fd, int family)
{
	int one = 1;
	/* a client that stops reading is cut off by the kernel (also at a window of
	 * zero), as neither library's timers see that */
	unsigned stalled = (unsigned)g->w->conf->gateway.idle_timeout;

	if (family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stalled, sizeof stalled);
}

/* Whether there is room for one more client; if not, says why and closes. */
static bool has_room(zg_gate_t *g, zg_conn_t *c)
{
	zg_refusal_t no;

	if (g->w->common->connections <= (uint64_t)g->w->conf->gateway.max_connections)
		return true;
	g->w->counts.connections_refused++;
	zg_refuse(&no, 503, "the gateway has as many connections as it may have");
	refuse(c, &no, NULL, NULL);
	return false;
}

static void admit(zg_gate_t *g, int fd, const struct sockaddr_storage *from)
{
	zg_conn_t *c = calloc(1, sizeof *c);
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };

	if (!c) {
		close(fd);
		return;
	}
	c->gate = g;
	c->fd = fd;
	zg_timeq_entry_init(&c->deadline);
	memcpy(&c->from, from, sizeof c->from);
	g->w->counts.connections_accepted++;
	g->w->counts.connections_open++;
	g->w->common->connections++;
	set_socket_options(g, fd, from->ss_family);
	if (!has_room(g, c))
		return;
	if (epoll_ctl(g->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
		close_conn(c);
		return;
	}
	arm_head(g, c);
	/* what arrived before the epoll set knew it gives an edge at once */
}

/* Accepts at most `burst` clients; false: there is none left. */
static bool accept_some(struct ear *ear, int burst)
{
	zg_gate_t *g = ear->gate;

	for (int i = 0; i < burst && !g->paused; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof from;
		int fd = accept4(ear->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			admit(g, fd, &from);
		if (fd >= g->fd_limit)
			pause_accepting(g, EMFILE);
		if (fd >= 0)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(g, errno);
		else if (errno == EAGAIN)
			return false;
		/* else that client has gone again: the next */
	}
	return true;
}

static void on_listener(void *ctx, unsigned events)
{
	(void)events;
	accept_some(ctx, ACCEPT_BURST);
}

/* Those who wait in the kernel's queue are let in first: closing the socket would
 * reset them. It is closed by the main thread. */
static void ear_close(struct ear *ear)
{
	zg_listen_hold(ear->fd);
	for (int i = 0; i < LAST_BURSTS && !ear->gate->paused; i++)
		if (!accept_some(ear, ACCEPT_BURST))
			break;
	zg_io_remove(&ear->io);
	zg_list_remove(&ear->link);
	free(ear);
}

static struct ear *ear_find(zg_gate_t *g, int fd)
{
	ZG_LIST_EACH(l, &g->ears)
		if (ZG_CONTAINER(l, struct ear, link)->fd == fd)
			return ZG_CONTAINER(l, struct ear, link);
	return NULL;
}

static int ear_open(zg_gate_t *g, int fd)
{
	struct ear *ear = calloc(1, sizeof *ear);

	if (!ear || !(ear->io = zg_io_add(g->w->loop, fd, g->paused ? 0 : ZG_IO_READ, on_listener,
	                                  ear))) {
		free(ear);
		return -1;
	}
	ear->gate = g;
	ear->fd = fd;
	ear->wanted = true;
	zg_listen_release(fd); /* a process before this one may have held it */
	zg_list_append(&g->ears, &ear->link);
	return 0;
}

static int listen_at(zg_gate_t *g, const zg_listener_t *l)
{
	int rc = 0;

	for (size_t k = 0; k < l->fds; k++) {
		struct ear *ear = ear_find(g, l->fd[k]);

		if (ear)
			ear->wanted = true;
		else if (zg_listener_is_for(l, k, g->w->index, g->w->mates) && ear_open(g, l->fd[k]) != 0)
			rc = -1;
	}
	return rc;
}

static int listen_on(zg_gate_t *g, const zg_listeners_t *listeners, zg_err_t *err)
{
	int rc = 0;

	ZG_LIST_EACH(l, &g->ears)
		ZG_CONTAINER(l, struct ear, link)->wanted = false;
	for (size_t i = 0; i < listeners->count; i++)
		if (listen_at(g, &listeners->item[i]) != 0)
			rc = zg_err(err, "cannot accept at %s: out of memory", listeners->item[i].text);
	ZG_LIST_EACH(l, &g->ears)
		if (!ZG_CONTAINER(l, struct ear, link)->wanted)
			ear_close(ZG_CONTAINER(l, struct ear, link));
	return rc;
}

/* ---- making and ending ---- */

static int client_fd_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur > 1u << 30)
		return 1 << 30;
	return r.rlim_cur > 2 * RESERVE_FDS ? (int)r.rlim_cur - RESERVE_FDS : (int)r.rlim_cur;
}

zg_gate_t *zg_gate_new(zg_worker_t *w, zg_err_t *err)
{
	zg_gate_t *g = calloc(1, sizeof *g);

	if (!g) {
		zg_err(err, "out of memory");
		return NULL;
	}
	g->w = w;
	zg_list_init(&g->ears);
	g->fd_limit = client_fd_limit();
	zg_timeq_init(&g->heads, w->conf->gateway.header_timeout);
	if ((g->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) {
		zg_err(err, "epoll_create1: %s", strerror(errno));
		zg_gate_free(&g);
		return NULL;
	}
	g->peek_max = w->conf->gateway.max_header;
	if ((g->peek = malloc(g->peek_max + 1)) && (g->linger = zg_linger_new(w->loop)) &&
	    (g->heads_timer = zg_timer_add(w->loop, on_heads_timer, g)) &&
	    (g->retry = zg_timer_add(w->loop, on_retry, g)) &&
	    (g->epoll_io = zg_io_add(w->loop, g->epoll, ZG_IO_READ, on_epoll, g)))
		return g;
	zg_err(err, "out of memory");
	zg_gate_free(&g);
	return NULL;
}

int zg_gate_reload(zg_gate_t *g, const zg_listeners_t *listeners, zg_err_t *err)
{
	const zg_gateway_t *conf = &g->w->conf->gateway;
	char *peek = conf->max_header > g->peek_max ? realloc(g->peek, conf->max_header + 1) : g->peek;

	if (peek)
		g->peek = peek;
	if (peek || conf->max_header < g->peek_max)
		g->peek_max = conf->max_header;
	g->fd_limit = client_fd_limit();
	zg_timeq_set_span(&g->heads, conf->header_timeout, zg_loop_now(g->w->loop));
	set_heads_timer(g);
	return listen_on(g, listeners, err);
}

void zg_gate_stop_accepting(zg_gate_t *g)
{
	ZG_LIST_EACH(l, &g->ears)
		ear_close(ZG_CONTAINER(l, struct ear, link));
	zg_timer_clear(g->retry);
}

unsigned zg_gate_busy(const zg_gate_t *g)
{
	unsigned n = zg_linger_count(g->linger);
	int bytes;

	ZG_LIST_EACH(l, &g->heads.list)
		if (ioctl(ZG_CONTAINER(l, zg_conn_t, deadline.link)->fd, FIONREAD, &bytes) == 0)
			n += bytes > 0;
	return n;
}

bool zg_gate_waits(const zg_gate_t *g)
{
	return zg_timeq_first(&g->heads) != NULL;
}

void zg_gate_free(zg_gate_t **handle)
{
	zg_gate_t *g = *handle;
	zg_timeq_entry_t *e;

	if (!g)
		return;
	*handle = NULL;
	g->paused = true; /* who waits in a listening socket's queue is not let in now */
	zg_gate_stop_accepting(g);
	while ((e = zg_timeq_first(&g->heads)))
		close_conn(ZG_CONTAINER(e, zg_conn_t, deadline));
	zg_linger_free(&g->linger);
	zg_timer_remove(&g->heads_timer);
	zg_timer_remove(&g->retry);
	zg_io_remove(&g->epoll_io);
	if (g->epoll >= 0)
		close(g->epoll);
	free(g->peek);
	free(g);
}
