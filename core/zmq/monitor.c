#include "zmq/monitor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define EVENTS (ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |     \
                ZMQ_EVENT_CONNECTED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |          \
                ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |         \
                ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* A peer of the wrong type is refused within a round trip; what lasted longer
 * had joined. */
#define REFUSAL_MS 1000

/* One TCP or IPC connection, from its monitor events. */
struct link {
	int fd;
	uint64_t at;    /* a hash of its endpoint's address: doubts are among those of one */
	uint64_t since; /* ms */
	bool joined, doubtful; /* doubtful: another may be the one that joined */
};

struct zg_monitor {
	zg_loop_t *loop;
	void *watched, *pair;
	zg_io_t *io;
	zg_defer_t again;
	void (*fn)(void *ctx, zg_monitor_event_t event, const char *address);
	void *ctx;
	struct link *link;
	size_t links, room;
	bool failed; /* a handshake failed: the next disconnection is that connection's */
};

/* FNV-1a */
static uint64_t hash(const char *address)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *address; address++)
		h = (h ^ (unsigned char)*address) * 0x100000001b3u;
	return h;
}

static void link_add(zg_monitor_t *m, int fd, const char *address)
{
	if (m->links == m->room) {
		size_t room = m->room ? m->room * 2 : 4;
		struct link *l = realloc(m->link, room * sizeof *l);

		if (!l)
			return; /* this connection will not be told of */
		m->link = l;
		m->room = room;
	}
	m->link[m->links++] = (struct link){
		.fd = fd, .at = hash(address), .since = zg_loop_now(m->loop) };
}

static struct link *link_find(zg_monitor_t *m, int fd)
{
	for (size_t i = 0; i < m->links; i++)
		if (m->link[i].fd == fd)
			return &m->link[i];
	return NULL;
}

static void link_drop(zg_monitor_t *m, struct link *l)
{
	size_t i = (size_t)(l - m->link);

	memmove(l, l + 1, (m->links - i - 1) * sizeof *l);
	m->links--;
}

static struct link *link_oldest_waiting(zg_monitor_t *m, uint64_t at)
{
	for (size_t i = 0; i < m->links; i++)
		if (m->link[i].at == at && !m->link[i].joined)
			return &m->link[i];
	return NULL;
}

/* libzmq 4.3.4 does not say which connection's handshake succeeded: the oldest
 * unfinished one is taken, with doubt if there are others. */
static void on_succeeded(zg_monitor_t *m, const char *address)
{
	struct link *l = link_oldest_waiting(m, hash(address));

	if (!l)
		return;
	l->joined = true;
	l->doubtful = link_oldest_waiting(m, l->at) != NULL;
	m->fn(m->ctx, ZG_MONITOR_JOINED, address);
}

static struct link *link_doubtful(zg_monitor_t *m, uint64_t at)
{
	for (size_t i = 0; i < m->links; i++)
		if (m->link[i].at == at && m->link[i].doubtful)
			return &m->link[i];
	return NULL;
}

/* A connection ended, its handshake having failed or not: settles doubts so
 * that the number of joined links stays true. */
static void on_disconnected(zg_monitor_t *m, int fd, const char *address)
{
	struct link *l = link_find(m, fd), *other;
	bool failed = m->failed, left;

	m->failed = false;
	if (!l)
		return;
	left = l->joined;
	if (left && (failed || l->doubtful) && (other = link_oldest_waiting(m, l->at))) {
		other->joined = true; /* that one had joined, not this */
		other->doubtful = false;
		left = false;
	} else if (!left && !failed && (other = link_doubtful(m, l->at)) &&
	           zg_loop_now(m->loop) - l->since >= REFUSAL_MS) {
		other->joined = other->doubtful = false; /* this one had */
		left = true;
	} else if (!left && !failed) {
		/* libzmq reports nothing else when the peer's socket type does not fit */
		m->fn(m->ctx, ZG_MONITOR_WRONG_TYPE, address);
	}
	link_drop(m, l);
	if (left)
		m->fn(m->ctx, ZG_MONITOR_LEFT, address);
}

static void on_event(zg_monitor_t *m, unsigned event, unsigned value, const char *address)
{
	switch (event) {
	case ZMQ_EVENT_CONNECT_DELAYED:
		m->fn(m->ctx, ZG_MONITOR_TRYING, address);
		break;
	case ZMQ_EVENT_CLOSED:
		m->fn(m->ctx, ZG_MONITOR_CLOSED, address);
		break;
	case ZMQ_EVENT_CONNECTED:
	case ZMQ_EVENT_ACCEPTED:
		if (!link_find(m, (int)value))
			link_add(m, (int)value, address);
		if (event == ZMQ_EVENT_CONNECTED)
			m->fn(m->ctx, ZG_MONITOR_OPENED, address);
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		on_succeeded(m, address);
		break;
	case ZMQ_EVENT_CONNECT_RETRIED:
		m->fn(m->ctx, ZG_MONITOR_RETRYING, address);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		m->failed = true;
		m->fn(m->ctx, ZG_MONITOR_FAILED, address);
		break;
	case ZMQ_EVENT_DISCONNECTED:
		on_disconnected(m, (int)value, address);
		break;
	default:
		break;
	}
}

/* One event: a frame of event (16 bits) and value (32 bits), and the address. */
static bool read_event(zg_monitor_t *m)
{
	unsigned char head[6];
	char address[256];
	uint16_t event;
	uint32_t value;
	int n = zmq_recv(m->pair, head, sizeof head, ZMQ_DONTWAIT);

	if (n < 0)
		return false;
	n = zmq_recv(m->pair, address, sizeof address - 1, ZMQ_DONTWAIT);
	address[n < 0 ? 0 : n < (int)sizeof address ? n : (int)sizeof address - 1] = '\0';
	memcpy(&event, head, sizeof event);
	memcpy(&value, head + 2, sizeof value);
	on_event(m, event, value, address);
	return true;
}

static void on_again(void *ctx)
{
	zg_monitor_t *m = ctx;

	for (int budget = 64; budget > 0; budget--)
		if (!read_event(m))
			return;
	zg_defer(m->loop, &m->again);
}

static void on_readable(void *ctx, unsigned events)
{
	(void)events;
	on_again(ctx);
}

zg_monitor_t *zg_monitor_new(zg_loop_t *loop, void *zmq, void *watched,
                             void (*fn)(void *ctx, zg_monitor_event_t event, const char *address),
                             void *ctx, zg_err_t *err)
{
	static atomic_uint serial; /* names of inproc endpoints are the process's */
	zg_monitor_t *m = calloc(1, sizeof *m);
	char name[48];
	size_t size = sizeof(int);
	int fd;

	if (!m) {
		zg_err(err, "out of memory");
		return NULL;
	}
	m->loop = loop;
	m->fn = fn;
	m->ctx = ctx;
	m->watched = watched;
	zg_defer_init(&m->again, on_again, m);
	snprintf(name, sizeof name, "inproc://zg-monitor-%u", atomic_fetch_add(&serial, 1));
	if (zmq_socket_monitor(watched, name, EVENTS) != 0 ||
	    !(m->pair = zmq_socket(zmq, ZMQ_PAIR)) || zmq_connect(m->pair, name) != 0 ||
	    zmq_getsockopt(m->pair, ZMQ_FD, &fd, &size) != 0 ||
	    !(m->io = zg_io_add(loop, fd, ZG_IO_READ, on_readable, m))) {
		zg_err(err, "cannot monitor the socket: %s", zmq_strerror(zmq_errno()));
		zg_monitor_free(&m);
		return NULL;
	}
	/* inproc: events that came before the first wait on the descriptor */
	zg_defer(loop, &m->again);
	return m;
}

void zg_monitor_read(zg_monitor_t *m)
{
	while (read_event(m))
		;
}

void zg_monitor_forget(zg_monitor_t *m, const char *address)
{
	uint64_t at = hash(address);

	for (size_t i = 0; i < m->links;) {
		bool joined = m->link[i].joined;

		if (m->link[i].at != at) {
			i++;
			continue;
		}
		link_drop(m, &m->link[i]);
		if (joined)
			m->fn(m->ctx, ZG_MONITOR_LEFT, address);
	}
}

void zg_monitor_free(zg_monitor_t **handle)
{
	zg_monitor_t *m = *handle;

	if (!m)
		return;
	*handle = NULL;
	zg_defer_cancel(&m->again);
	zg_io_remove(&m->io);
	zmq_socket_monitor(m->watched, NULL, 0);
	if (m->pair)
		zmq_close(m->pair);
	free(m->link);
	free(m);
}
