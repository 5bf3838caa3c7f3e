/* pair: one WebSocket to one PAIR peer, lossless both ways. Neither side is
 * read faster than the other takes: while the client is slow or nobody is
 * there the PAIR socket is paused, so ZeroMQ holds the peer back; a client
 * whose peer takes nothing is paused in the end, so TCP holds it back. All on the
 * worker's thread; nothing blocks. */
#include "zgate.h"
#include <stdlib.h>

#define HWM      1000 /* messages that ZeroMQ holds of the peer; that either box holds */
#define SEND_HWM 64   /* messages that ZeroMQ holds for the peer */

struct pair_conf {
	zg_endpoints_t pair;
};

struct pair_counts {
	uint64_t to_peer, from_peer, refused_busy, held, waiting, dropped;
};

struct pair {
	zg_instance_t *in;
	struct pair_counts *counts;
	zg_socket_t *peer;
	zg_ws_t *client;  /* NULL: nobody */
	zg_ring_t inbox;  /* encoded messages of the peer that no client has taken */
	zg_ring_t outbox; /* messages of clients that the peer has not taken */
	size_t max_message; /* of the peer; libzmq takes another only when it connects or binds */
	bool bound;
	bool emptying;    /* the peer has left: what it sent is taken into the inbox */
	bool full;        /* the inbox took nothing more; said once */
	bool held_back;   /* the client is not read: the outbox is full */
};

static const zg_directive_t pair_directives[] = {
	ZG_SOCKET(struct pair_conf, pair, .required = true,
	          .doc = "Where the PAIR peer is that one WebSocket at a time talks to."),
	ZG_DIRECTIVE_END
};

static const zg_counter_t pair_counters[] = {
	ZG_COUNTER(struct pair_counts, to_peer, "Messages handed over to ZeroMQ for the peer."),
	ZG_COUNTER(struct pair_counts, from_peer, "Messages of the peer given to a client."),
	ZG_COUNTER(struct pair_counts, refused_busy, "Clients refused because another one was there."),
	ZG_GAUGE(struct pair_counts, held, "Messages of a client that wait until the peer takes them."),
	ZG_GAUGE(struct pair_counts, waiting,
	         "Messages of a peer that left, which wait here for the next client."),
	ZG_COUNTER(struct pair_counts, dropped,
	           "Messages lost: no room left for them, no memory, or not taken before the stop."),
	ZG_COUNTER_END
};

/* ---- from the peer to the client ---- */

/* The frames as one WebSocket message, joined by a blank; NULL: no memory. */
static zg_msg_t *encode(const zg_str_t *frame, size_t frames)
{
	zg_str_t *part = reallocarray(NULL, frames, 2 * sizeof *part);
	zg_msg_t *m = NULL;
	size_t n = 0;

	for (size_t i = 0; part && i < frames; i++) {
		if (i > 0)
			part[n++] = ZG_STR(" ");
		part[n++] = frame[i];
	}
	if (part)
		m = zg_ws_encode(zg_ws_type_of(part, n), part, n);
	free(part);
	return m;
}

/* Whether the next message of the peer can go to the client at once: each goes
 * when the one before has left. */
static bool takes(const struct pair *p)
{
	return p->client && !p->inbox.count && zg_ws_idle(p->client);
}

static bool send_to_client(struct pair *p, zg_msg_t *m)
{
	if (!p->client || !zg_ws_idle(p->client) || zg_ws_send(p->client, m) < 0)
		return false;
	p->counts->from_peer++;
	return true;
}

/* Sends what is in the inbox, then lets more come if the client can take it. */
static void pump(struct pair *p)
{
	zg_msg_t *m;

	while ((m = zg_ring_peek(&p->inbox)) && send_to_client(p, m)) {
		m = zg_ring_pop(&p->inbox);
		zg_msg_unref(&m);
	}
	p->counts->waiting = p->inbox.count;
	if (p->emptying || takes(p))
		zg_socket_resume(p->peer);
	else
		zg_socket_pause(p->peer);
}

/* Puts aside what the client did not take. */
static void store(struct pair *p, zg_msg_t **m)
{
	if (*m && zg_ring_push(&p->inbox, *m, NULL) == 0) {
		p->counts->waiting = p->inbox.count;
		p->full = false;
		return;
	}
	p->counts->dropped++;
	if (!p->full)
		zg_warn("%s: messages of the peer are dropped: %s", p->in->name,
		        *m ? "it has left, and client_queue holds no more of them for the next client"
		           : "out of memory");
	p->full = true;
	zg_msg_unref(m);
}

static void on_message(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct pair *p = ctx;
	zg_msg_t *m = encode(frame, frames);

	if (m && !p->inbox.count && send_to_client(p, m))
		zg_msg_unref(&m);
	else
		store(p, &m);
	if (!p->emptying && !takes(p))
		zg_socket_pause(s);
}

static void pair_ws_writable(zg_instance_t *in, zg_ws_t *ws)
{
	(void)ws;
	pump(in->state);
}

/* ---- from the client to the peer ---- */

static int give(struct pair *p, zg_str_t data)
{
	if (zg_socket_send(p->peer, &data, 1) < 0)
		return -1;
	p->counts->to_peer++;
	return 0;
}

/* A client is read until the outbox is full, not only while it is empty: when
 * it leaves, that must be seen, or it would hold the PAIR. */
static bool outbox_full(const struct pair *p)
{
	return p->outbox.count >= HWM || p->outbox.bytes >= p->in->location->client_queue;
}

static void hold_back(struct pair *p)
{
	if (!p->client || p->held_back || !outbox_full(p))
		return;
	p->held_back = true;
	zg_ws_pause(p->client);
}

static void hold(struct pair *p, zg_str_t data)
{
	zg_msg_t *m = zg_msg_copy(data.p, data.n);

	if (m && zg_ring_push(&p->outbox, m, NULL) == 0) {
		p->counts->held = p->outbox.count;
		hold_back(p);
		return;
	}
	/* what comes after it must not arrive as if nothing were missing */
	zg_msg_unref(&m);
	p->counts->dropped++;
	zg_warn("%s: a message to the peer was dropped: out of memory", p->in->name);
	zg_ws_close(p->client, 1011, "out of memory");
}

static void pair_ws_message(zg_instance_t *in, zg_ws_t *ws, zg_str_t data, bool text)
{
	struct pair *p = in->state;

	(void)ws;
	(void)text; /* a frame has no type */
	if (p->outbox.count || give(p, data) < 0)
		hold(p, data);
}

static void flush(struct pair *p)
{
	zg_msg_t *m;

	while ((m = zg_ring_peek(&p->outbox)) && give(p, zg_msg_str(m)) == 0) {
		m = zg_ring_pop(&p->outbox);
		zg_msg_unref(&m);
	}
	p->counts->held = p->outbox.count;
	if (p->held_back && !p->outbox.count) {
		p->held_back = false;
		zg_ws_resume(p->client);
	}
}

static void on_writable(void *ctx, zg_socket_t *s)
{
	(void)s;
	flush(ctx);
}

/* libzmq's PAIR keeps a lost connection until all its messages are read, and
 * refuses the next one meanwhile for good: a peer that comes back would be
 * connected, but deaf and dumb. A connecting socket keeps its one pipe. */
static void on_peers(void *ctx, zg_socket_t *s, int change)
{
	struct pair *p = ctx;

	if (change > 0)
		flush(p);
	p->emptying = p->bound && zg_socket_peers(s) == 0;
	pump(p);
}

/* ---- clients ---- */

static void pair_request(zg_instance_t *in, zg_request_t *req)
{
	(void)in;
	zg_request_add_header(req, "Upgrade", "websocket");
	zg_request_problem(req, 426, "this location talks WebSocket only");
}

/* A client that is let in here opens before the next handshake is judged. */
static int pair_handshake(zg_instance_t *in, const zg_request_t *req, zg_refusal_t *no)
{
	struct pair *p = in->state;

	if (req->below.n)
		return zg_refuse(no, 404, "the PAIR is at %.*s", ZG_STR_ARG(in->location->path));
	if (req->protocol.n)
		return zg_refuse(no, 400, "this location has no subprotocols; offer none");
	if (!p->client)
		return 0;
	p->counts->refused_busy++;
	return zg_refuse(no, 409, "another client holds this PAIR");
}

static void pair_ws_open(zg_instance_t *in, zg_ws_t *ws, const zg_request_t *req)
{
	struct pair *p = in->state;

	(void)req;
	p->client = ws;
	hold_back(p);
	pump(p);
}

static void pair_ws_close(zg_instance_t *in, zg_ws_t *ws)
{
	struct pair *p = in->state;

	(void)ws;
	p->client = NULL;
	p->held_back = false;
	pump(p);
}

/* ---- from start to stop ---- */

static void pair_check(zg_check_t *check, void *conf)
{
	const zg_endpoints_t *pair = &((const struct pair_conf *)conf)->pair;

	for (size_t i = 0; i < pair->count; i++)
		if (pair->count > 1 && !pair->item[i].bind) {
			zg_check_error(check, "pair", "a PAIR has one peer: write one endpoint to connect to");
			return;
		}
}

static void set_limits(struct pair *p)
{
	const zg_location_t *l = p->in->location;

	p->inbox.max_bytes = l->client_queue;
	/* the message that makes it full still fits */
	p->outbox.max_bytes = l->client_queue + l->max_body;
}

static int pair_start(zg_instance_t *in, zg_err_t *err)
{
	const struct pair_conf *conf = in->conf;
	struct pair *p = calloc(1, sizeof *p);
	zg_socket_options_t options = {
		.name = "pair", .type = ZG_SOCKET_PAIR, .send_hwm = SEND_HWM, .receive_hwm = HWM,
		.max_message = in->location->client_queue,
		.endpoint = conf->pair.item, .endpoints = conf->pair.count,
		.message = on_message, .writable = on_writable, .peers = on_peers, .ctx = p,
	};

	if (!p)
		return zg_err(err, "out of memory");
	p->in = in;
	p->counts = in->counts;
	p->bound = conf->pair.item[0].bind;
	p->max_message = in->location->client_queue;
	zg_ring_init(&p->inbox, 0, HWM, ZG_RING_REFUSE);
	zg_ring_init(&p->outbox, 0, HWM, ZG_RING_REFUSE);
	set_limits(p);
	if (!(p->peer = zg_socket_open(in, &options, err))) {
		free(p);
		return -1;
	}
	zg_socket_pause(p->peer);
	in->state = p;
	return 0;
}

/* Messages of the peer wait for a client, who will not come. */
static uint64_t pair_pending(const zg_instance_t *in)
{
	return ((const struct pair *)in->state)->outbox.count;
}

static void pair_reload(zg_instance_t *in)
{
	struct pair *p = in->state;

	if (in->location->client_queue > p->max_message)
		zg_warn("%s: client_queue is larger now, but a message of the peer still has at most %zu "
		        "bytes until zgate is started again", in->name, p->max_message);
	set_limits(p);
	if (p->held_back && !outbox_full(p)) {
		p->held_back = false;
		zg_ws_resume(p->client);
	}
	hold_back(p);
}

static void pair_stop(zg_instance_t *in)
{
	struct pair *p = in->state;
	uint64_t lost;

	flush(p);
	lost = p->outbox.count + p->inbox.count;
	p->counts->dropped += lost;
	if (lost)
		zg_warn("%s: %llu messages that waited for the other side are discarded", in->name,
		        (unsigned long long)lost);
	zg_ring_clear(&p->outbox);
	zg_ring_clear(&p->inbox);
	zg_socket_close(&p->peer, zg_socket_linger(in));
	free(p);
	in->state = NULL;
}

const zg_module_t ZG_MODULE(pair) = {
	.abi = ZG_MODULE_ABI,
	.name = "pair",
	.doc = "One WebSocket at a time to a PAIR peer.",
	.directives = pair_directives,
	.conf_size = sizeof(struct pair_conf),
	.counters = pair_counters,
	.counts_size = sizeof(struct pair_counts),
	.methods = "GET",
	.placement = ZG_AT_HOME,
	.check = pair_check,
	.start = pair_start,
	.request = pair_request,
	.handshake = pair_handshake,
	.ws_open = pair_ws_open,
	.ws_message = pair_ws_message,
	.ws_writable = pair_ws_writable,
	.ws_close = pair_ws_close,
	.pending = pair_pending,
	.reload = pair_reload,
	.stop = pair_stop,
};
