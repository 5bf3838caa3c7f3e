#include "zmq/socket.h"

#include "engine/log.h"
#include "engine/worker.h"
#include "zmq/claim.h"
#include "zmq/context.h"
#include "zmq/monitor.h"
#include "zmq/state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define FRAMES_MAX 64  /* a message of more is discarded and counted */
#define BURST      256 /* messages read before other sockets get their turn */
#define RETRY_MS   1000
#define SETTLE_MS  1000 /* for peers to come to what a reload has opened */
#define LINGER_MIN 50   /* ms; also when time is up, what can leave at once does */

static const struct kind {
	int zmq;
	const char *name, *wants; /* wants: the peer types that fit */
	bool immediate;           /* messages must not wait for a connection that is not up */
	bool mute;                /* receives nothing */
} kinds[] = {
	[ZG_SOCKET_DEALER] = { .zmq = ZMQ_DEALER, .name = "DEALER", .wants = "REP, ROUTER or DEALER" },
	[ZG_SOCKET_ROUTER] = { .zmq = ZMQ_ROUTER, .name = "ROUTER", .wants = "REQ, DEALER or ROUTER",
	                       .immediate = true },
	[ZG_SOCKET_REP] = { .zmq = ZMQ_REP, .name = "REP", .wants = "REQ or DEALER" },
	[ZG_SOCKET_PUB] = { .zmq = ZMQ_PUB, .name = "PUB", .wants = "SUB or XSUB", .mute = true },
	/* its messages are the subscriptions of its peers */
	[ZG_SOCKET_XPUB] = { .zmq = ZMQ_XPUB, .name = "XPUB", .wants = "SUB or XSUB" },
	[ZG_SOCKET_SUB] = { .zmq = ZMQ_SUB, .name = "SUB", .wants = "PUB or XPUB" },
	[ZG_SOCKET_PUSH] = { .zmq = ZMQ_PUSH, .name = "PUSH", .wants = "PULL", .immediate = true,
	                     .mute = true },
	[ZG_SOCKET_PULL] = { .zmq = ZMQ_PULL, .name = "PULL", .wants = "PUSH" },
	/* immediate would drop what a peer had sent and was not read when it leaves */
	[ZG_SOCKET_PAIR] = { .zmq = ZMQ_PAIR, .name = "PAIR", .wants = "PAIR" },
};

/* What was last said of the connections, so that it is said once. */
enum condition { NEW, RETRYING, JOINED, LEFT, REFUSED };

/* Of one endpoint. */
struct place {
	zg_state_t state;
	bool stale;        /* to be connected anew */
	char real[256];    /* its address as opened */
};

struct zg_socket {
	zg_link_t link; /* in->sockets */
	zg_instance_t *in;
	zg_socket_options_t opt;
	const struct kind *kind;
	void *zmq;
	zg_io_t *io;
	zg_defer_t serve;
	zg_monitor_t *monitor;
	unsigned peers;
	zg_timer_t *retry; /* made when first needed */
	struct place *place; /* parallel to opt.endpoint */
	zg_claim_t *claim; /* of addresses to be bound when another instance is stopped */
	uint64_t settled;  /* ms: peers have had their time; 0: they need none */
	bool paused, wants_write;
	enum condition condition;
	const char *peer_type; /* during the message callback */
	uint64_t sent, received, discarded, disconnects, handshakes_failed;
	char endpoints[512];
};

/* ---- receiving ---- */

/* Reads one message and hands it on. false: there is none. */
static bool receive(zg_socket_t *s)
{
	zmq_msg_t part[FRAMES_MAX];
	zg_str_t frame[FRAMES_MAX];
	size_t n = 0, surplus = 0;
	int more = 1;

	while (more) {
		zmq_msg_t *m = &part[n < FRAMES_MAX ? n : FRAMES_MAX - 1];

		if (n == FRAMES_MAX) {
			zmq_msg_close(m);
			surplus++;
			n--;
		}
		zmq_msg_init(m);
		if (zmq_msg_recv(m, s->zmq, ZMQ_DONTWAIT) < 0) {
			/* only before the first frame: a message arrives whole */
			zmq_msg_close(m);
			return false;
		}
		frame[n++] = zg_str_n(zmq_msg_data(m), zmq_msg_size(m));
		more = zmq_msg_more(m);
	}
	if (surplus) {
		if (s->discarded++ == 0)
			zg_warn("%s: %s: a message of %zu frames was discarded; the limit is %d. More of "
			        "them are only counted (discarded)",
			        s->in->name, s->opt.name, n + surplus, FRAMES_MAX);
	} else {
		s->received++;
		s->peer_type = zmq_msg_gets(&part[n - 1], "Socket-Type");
		if (s->opt.message)
			s->opt.message(s->opt.ctx, s, frame, n);
		s->peer_type = NULL;
	}
	while (n > 0)
		zmq_msg_close(&part[--n]);
	return true;
}

static unsigned ready_events(zg_socket_t *s)
{
	int events = 0;
	size_t size = sizeof events;

	zmq_getsockopt(s->zmq, ZMQ_EVENTS, &events, &size);
	return (unsigned)events;
}

/* The receive that found nothing may have used up the news that sending works
 * again. */
static void look_again(zg_socket_t *s)
{
	unsigned events = s->wants_write ? ready_events(s) : 0;

	if (events & (s->paused ? ZMQ_POLLOUT : ZMQ_POLLOUT | ZMQ_POLLIN))
		zg_defer(s->in->loop, &s->serve);
}

/* ZMQ_FD only tells that something may have changed, and sending may use that
 * signal up: so this runs after every signal and, deferred, after every send. */
static void serve(void *ctx)
{
	zg_socket_t *s = ctx;

	/* a receive that finds nothing resets the signal too, and more cheaply */
	if ((s->wants_write || s->kind->mute || s->paused) && (ready_events(s) & ZMQ_POLLOUT) &&
	    s->wants_write) {
		s->wants_write = false;
		if (s->opt.writable)
			s->opt.writable(s->opt.ctx, s);
	}
	if (s->kind->mute)
		return;
	for (int i = 0; i < BURST; i++)
		if (s->paused || !receive(s)) {
			look_again(s);
			return;
		}
	zg_defer(s->in->loop, &s->serve);
}

static void on_fd(void *ctx, unsigned events)
{
	(void)events;
	serve(ctx);
}

/* ---- peers ---- */

/* Logs a condition when it is news; what repeats every second is said once. */
static void tell(zg_socket_t *s, enum condition c, const char *address)
{
	bool news = s->condition != c;

	s->condition = c;
	if (c == JOINED)
		zg_info("%s: %s: peer connected at %s (%u now)", s->in->name, s->opt.name, address,
		        s->peers);
	else if (c == LEFT)
		zg_info("%s: %s: peer at %s disconnected (%u left)", s->in->name, s->opt.name,
		        address, s->peers);
	else if (news && c == RETRYING)
		zg_info("%s: %s: nobody answers at %s yet; trying on", s->in->name, s->opt.name,
		        address);
	else if (news && c == REFUSED)
		zg_warn("%s: %s: a peer at %s was refused: it is of the wrong type (a %s socket needs "
		        "%s) or no ZeroMQ program",
		        s->in->name, s->opt.name, address, s->kind->name, s->kind->wants);
}

/* Two reasons to connect anew where libzmq would not, or not like this. After a
 * handshake that failed it gives the endpoint up for good; but the right peer
 * may come there later. And requests that a lost worker has not taken would
 * wait for its successor, although they are answered 502; IMMEDIATE prevents
 * that too, but loses replies that were not read yet. */
static void on_retry(void *ctx)
{
	zg_socket_t *s = ctx;

	/* libzmq may have connected anew itself, a moment ago */
	zg_monitor_read(s->monitor);
	for (size_t i = 0; i < s->opt.endpoints; i++) {
		const char *address = s->opt.endpoint[i].address;

		if (!s->place[i].stale)
			continue;
		zmq_disconnect(s->zmq, address);
		zg_monitor_forget(s->monitor, address);
		s->place[i].stale = false;
		zmq_connect(s->zmq, address);
	}
	zg_defer(s->in->loop, &s->serve);
}

static bool concerns(const zg_socket_t *s, size_t i, const char *address)
{
	return !s->opt.endpoint[i].bind &&
	       (s->opt.endpoints == 1 || strcmp(s->opt.endpoint[i].address, address) == 0);
}

static void connect_anew(zg_socket_t *s, const char *address, uint64_t ms)
{
	for (size_t i = 0; i < s->opt.endpoints; i++)
		if (concerns(s, i, address))
			s->place[i].stale = true;
	if (!s->retry)
		s->retry = zg_timer_add(s->in->loop, on_retry, s);
	if (s->retry)
		zg_timer_set(s->retry, ms);
}

/* The endpoint that libzmq speaks of; an accepted connection's has the address
 * it came to instead of a wildcard, so that only the port is the same. NULL: of
 * none. */
static struct place *find_place(zg_socket_t *s, const char *address)
{
	const char *port = strrchr(address, ':');

	for (size_t i = 0; i < s->opt.endpoints; i++)
		if (strcmp(s->place[i].real, address) == 0)
			return &s->place[i];
	for (size_t i = 0; port && i < s->opt.endpoints; i++) {
		const char *at = strrchr(s->place[i].real, ':');

		if (s->opt.endpoint[i].bind && at && strcmp(at, port) == 0)
			return &s->place[i];
	}
	return NULL;
}

static void on_monitor(void *ctx, zg_monitor_event_t event, const char *address)
{
	zg_socket_t *s = ctx;
	struct place *at = find_place(s, address);

	if (at)
		zg_state_note(&at->state, event, zg_loop_now(s->in->loop));
	switch (event) {
	case ZG_MONITOR_TRYING:
	case ZG_MONITOR_CLOSED:
	case ZG_MONITOR_OPENED:
		return;
	case ZG_MONITOR_JOINED:
		s->peers++;
		for (size_t i = 0; i < s->opt.endpoints; i++)
			if (concerns(s, i, address))
				s->place[i].stale = false; /* libzmq has connected anew itself */
		tell(s, JOINED, address);
		if (s->opt.peers)
			s->opt.peers(s->opt.ctx, s, 1);
		break;
	case ZG_MONITOR_LEFT:
		/* its last messages are in the pipe already: deliver them first */
		while (!s->paused && receive(s))
			;
		if (s->peers > 0)
			s->peers--;
		s->disconnects++;
		if (s->kind->zmq == ZMQ_DEALER)
			connect_anew(s, address, 0);
		tell(s, LEFT, address);
		if (s->opt.peers)
			s->opt.peers(s->opt.ctx, s, -1);
		break;
	case ZG_MONITOR_RETRYING:
		/* after a refused peer the reason is worth more than the retry */
		if (s->condition != REFUSED)
			tell(s, RETRYING, address);
		break;
	case ZG_MONITOR_WRONG_TYPE:
	case ZG_MONITOR_FAILED:
		s->handshakes_failed++;
		tell(s, REFUSED, address);
		connect_anew(s, address, RETRY_MS);
		break;
	}
	zg_defer(s->in->loop, &s->serve);
}

/* ---- opening and closing ---- */

static int set_int(zg_socket_t *s, int option, int value)
{
	return zmq_setsockopt(s->zmq, option, &value, sizeof value);
}

static int set_options(zg_socket_t *s)
{
	int64_t max = s->opt.max_message ? (int64_t)s->opt.max_message : 1 << 20;
	int rc = 0;

	rc |= set_int(s, ZMQ_LINGER, 0);
	/* what a SUB sends are subscriptions, and libzmq drops those over the mark
	 * without a word; how many there are is for its owner to bound */
	if (s->kind->zmq == ZMQ_SUB)
		rc |= set_int(s, ZMQ_SNDHWM, 0);
	else
		rc |= set_int(s, ZMQ_SNDHWM, s->opt.send_hwm ? s->opt.send_hwm : 1000);
	rc |= set_int(s, ZMQ_RCVHWM, s->opt.receive_hwm ? s->opt.receive_hwm : 1000);
	rc |= set_int(s, ZMQ_IMMEDIATE, s->kind->immediate);
	rc |= set_int(s, ZMQ_RECONNECT_IVL, 100);
	rc |= set_int(s, ZMQ_RECONNECT_IVL_MAX, 1000);
	/* a host that vanished without a FIN is found out within about two minutes */
	rc |= set_int(s, ZMQ_TCP_KEEPALIVE, 1);
	rc |= set_int(s, ZMQ_TCP_KEEPALIVE_IDLE, 60);
	rc |= set_int(s, ZMQ_TCP_KEEPALIVE_INTVL, 15);
	rc |= set_int(s, ZMQ_TCP_KEEPALIVE_CNT, 4);
	rc |= zmq_setsockopt(s->zmq, ZMQ_MAXMSGSIZE, &max, sizeof max);
	return rc;
}

static void settle(zg_socket_t *s)
{
	s->settled = zg_loop_now(s->in->loop) + SETTLE_MS;
}

static void on_claimed(void *ctx, const char *address)
{
	zg_socket_t *s = ctx;

	zg_info("%s: %s: %s is free now and bound", s->in->name, s->opt.name, address);
	settle(s);
	zg_defer(s->in->loop, &s->serve);
}

static int bind_endpoint(zg_socket_t *s, const char *address)
{
	if (!zg_claim_concerns(s->in->worker->freed, address))
		return zmq_bind(s->zmq, address);
	if (!s->claim && !(s->claim = zg_claim_new(s->in->loop, s->zmq, on_claimed, s)))
		return -1;
	return zg_claim_bind(s->claim, address);
}

static int open_endpoint(zg_socket_t *s, const zg_endpoint_t *e, struct place *at, zg_err_t *err)
{
	char *real = at->real;
	size_t size = sizeof at->real, used = strlen(s->endpoints);

	zg_state_init(&at->state, e->bind, zg_loop_now(s->in->loop));

	if (strchr(e->address, '['))
		set_int(s, ZMQ_IPV6, 1);
	if ((e->bind ? bind_endpoint(s, e->address) : zmq_connect(s->zmq, e->address)) != 0)
		return zg_err(err, "%s: cannot %s %s: %s", s->opt.name, e->bind ? "bind" : "connect",
		              e->address, zmq_strerror(zmq_errno()));
	if (!e->bind || zg_claim_waits(s->claim, e->address) ||
	    zmq_getsockopt(s->zmq, ZMQ_LAST_ENDPOINT, real, &size) != 0)
		snprintf(real, sizeof at->real, "%s", e->address);
	snprintf(s->endpoints + used, sizeof s->endpoints - used, "%s%s %s", used ? ", " : "",
	         e->bind ? "bind" : "connect", real);
	return 0;
}

zg_socket_t *zg_socket_open(zg_instance_t *in, const zg_socket_options_t *options, zg_err_t *err)
{
	zg_socket_t *s = calloc(1, sizeof *s);
	size_t size = sizeof(int);
	int fd;

	if (!s || !(s->place = calloc(options->endpoints + 1, sizeof *s->place))) {
		zg_err(err, "out of memory");
		free(s);
		return NULL;
	}
	s->in = in;
	s->opt = *options;
	s->kind = &kinds[options->type];
	zg_defer_init(&s->serve, serve, s);
	zg_list_init(&s->link);
	s->zmq = zmq_socket(in->worker->zmq, s->kind->zmq);
	if (!s->zmq || set_options(s) != 0 || zmq_getsockopt(s->zmq, ZMQ_FD, &fd, &size) != 0) {
		zg_err(err, "%s: cannot make a %s socket: %s", options->name, s->kind->name,
		       zmq_strerror(zmq_errno()));
		goto fail;
	}
	if (!(s->monitor = zg_monitor_new(in->loop, in->worker->zmq, s->zmq, on_monitor, s, err)))
		goto fail;
	for (size_t i = 0; i < options->endpoints; i++)
		if (open_endpoint(s, &options->endpoint[i], &s->place[i], err) != 0)
			goto fail;
	if (!(s->io = zg_io_add(in->loop, fd, ZG_IO_READ, on_fd, s))) {
		zg_err(err, "%s: out of memory", options->name);
		goto fail;
	}
	zg_list_append(&in->sockets, &s->link);
	if (in->worker->location) /* a reload */
		settle(s);
	zg_defer(in->loop, &s->serve);
	return s;
fail:
	zg_socket_close(&s, 0);
	return NULL;
}

void zg_socket_close(zg_socket_t **handle, int linger_ms)
{
	zg_socket_t *s = *handle;

	if (!s)
		return;
	*handle = NULL;
	zg_list_remove(&s->link);
	zg_defer_cancel(&s->serve);
	zg_io_remove(&s->io);
	zg_timer_remove(&s->retry);
	zg_claim_free(&s->claim);
	zg_monitor_free(&s->monitor);
	if (s->zmq) {
		set_int(s, ZMQ_LINGER, linger_ms);
		zmq_close(s->zmq);
		if (linger_ms > 0 && s->in->worker->end_at)
			zg_context_expect(linger_ms);
	}
	free(s->place);
	free(s);
}

int zg_socket_linger(const zg_instance_t *in)
{
	uint64_t now = zg_loop_now(in->loop);
	uint64_t until = in->worker->end_at ? in->worker->end_at : in->dropped_until;

	return until > now + LINGER_MIN ? (int)(until - now) : LINGER_MIN;
}

/* ---- sending ---- */

int zg_socket_send(zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	zg_defer(s->in->loop, &s->serve);
	for (size_t i = 0; i < frames; i++) {
		int more = i + 1 < frames ? ZMQ_SNDMORE : 0;

		if (zmq_send(s->zmq, frame[i].p, frame[i].n, ZMQ_DONTWAIT | more) < 0) {
			/* libzmq takes the frames after the first or loses the connection:
			 * a message is refused at its first frame only */
			s->wants_write = true;
			errno = zmq_errno() == ENOMEM ? ENOMEM : EAGAIN;
			return -1;
		}
	}
	s->sent++;
	return 0;
}

int zg_socket_subscribe(zg_socket_t *s, zg_str_t prefix)
{
	zg_defer(s->in->loop, &s->serve);
	return zmq_setsockopt(s->zmq, ZMQ_SUBSCRIBE, prefix.p, prefix.n);
}

int zg_socket_unsubscribe(zg_socket_t *s, zg_str_t prefix)
{
	zg_defer(s->in->loop, &s->serve);
	return zmq_setsockopt(s->zmq, ZMQ_UNSUBSCRIBE, prefix.p, prefix.n);
}

void zg_socket_pause(zg_socket_t *s)
{
	s->paused = true;
}

void zg_socket_resume(zg_socket_t *s)
{
	s->paused = false;
	zg_defer(s->in->loop, &s->serve);
}

/* ---- telling ---- */

bool zg_socket_settling(const zg_socket_t *s)
{
	return s->peers == 0 &&
	       (zg_claim_waits(s->claim, NULL) || zg_loop_now(s->in->loop) < s->settled);
}

unsigned zg_socket_peers(const zg_socket_t *s)
{
	return s->peers;
}

const char *zg_socket_peer_type(const zg_socket_t *s)
{
	return s->peer_type ? s->peer_type : "";
}

void zg_socket_say_peers(zg_socket_info_t *info)
{
	snprintf(info->state, sizeof info->state, "%u peer%s connected%s%s", info->peers,
	         info->peers == 1 ? "" : "s", *info->trouble ? "; " : "", info->trouble);
}

static void describe_state(const zg_socket_t *s, zg_socket_info_t *info)
{
	if (s->condition == REFUSED)
		snprintf(info->trouble, sizeof info->trouble, "one was refused: wrong type (%s needs %s) or "
		         "no ZeroMQ", s->kind->name, s->kind->wants);
	if (s->peers == 0 && s->opt.endpoints == 1)
		zg_state_say(&s->place[0].state, s->kind->name, s->kind->wants, info->state,
		             sizeof info->state);
	else if (s->peers > 0 || s->condition == REFUSED)
		zg_socket_say_peers(info);
	else
		snprintf(info->state, sizeof info->state, "%s",
		         info->bound ? "bound, no peer connected" : "connecting, nobody answers yet");
}

void zg_socket_describe(const zg_socket_t *s, zg_socket_info_t *info)
{
	*info = (zg_socket_info_t){
		.name = s->opt.name, .type = s->kind->name, .peers = s->peers, .sent = s->sent,
		.received = s->received, .discarded = s->discarded,
		.disconnects = s->disconnects, .handshakes_failed = s->handshakes_failed,
	};
	for (size_t i = 0; i < s->opt.endpoints; i++)
		info->bound |= s->opt.endpoint[i].bind;
	memcpy(info->endpoints, s->endpoints, sizeof info->endpoints);
	describe_state(s, info);
}

size_t zg_socket_endpoints(const zg_socket_t *s)
{
	return s->opt.endpoints;
}

void zg_socket_describe_endpoint(const zg_socket_t *s, size_t i, zg_endpoint_info_t *info)
{
	const struct place *p = &s->place[i];

	*info = (zg_endpoint_info_t){
		.bound = p->state.bound, .state = p->state.state, .since = p->state.since,
		.peers = p->state.peers, .attempts = p->state.attempts,
		.disconnects = p->state.disconnects, .handshakes_failed = p->state.handshakes_failed,
	};
	memcpy(info->address, p->real, sizeof info->address);
	zg_state_say(&p->state, s->kind->name, s->kind->wants, info->text, sizeof info->text);
}

const char *zg_socket_nobody(const zg_socket_t *s, char *out, size_t size)
{
	char text[160];
	size_t used = 0;

	if (size)
		out[0] = '\0';
	for (size_t i = 0; i < s->opt.endpoints && used < size; i++) {
		zg_state_say(&s->place[i].state, s->kind->name, s->kind->wants, text, sizeof text);
		used += (size_t)snprintf(out + used, size - used, "%s%s: %s", i ? "; " : "",
		                         s->place[i].real, text);
	}
	return out;
}

zg_socket_t *zg_socket_next(const zg_instance_t *in, zg_socket_t *at)
{
	zg_link_t *next = at ? at->link.next : in->sockets.next;

	return next == &in->sockets ? NULL : ZG_CONTAINER(next, zg_socket_t, link);
}
