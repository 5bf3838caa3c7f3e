/* ZWS2.0 (ZeroMQ RFC 45) without mechanism: every ZeroMQ frame is one binary
 * WebSocket message, a flags byte and the frame. README.md says how a client's
 * type is found out, which it does not announce. */
#include "pubsub.h"
#include <stdlib.h>

#define ROUTING_ID_MAX 255
#define ASK_MS         250 /* after a client's routing id; a SUB has subscribed by then */

enum { LAST, MORE, COMMAND }; /* the flags */
enum { CANCEL, SUBSCRIBE };   /* the first byte of a subscription */

enum type {
	UNKNOWN,
	SUBSCRIBES, /* SUB, XSUB */
	PUBLISHES,  /* PUB, XPUB: what it sends is no subscription, whatever it begins with */
};

struct pubsub_zws {
	struct pubsub_client *client;
	enum type type;
	bool introduced, asked;
	zg_timeq_entry_t ask;
	/* the frames that have come of a message */
	zg_buf_t bytes;
	size_t frames;
	size_t end[PUBSUB_FRAMES_MAX];
};

/* ---- to the client ---- */

size_t pubsub_zws_encode(const struct pubsub_message *m, zg_str_t part[2 * PUBSUB_FRAMES_MAX],
                         unsigned char head[PUBSUB_FRAMES_MAX][PUBSUB_ZWS_HEAD])
{
	for (size_t i = 0; i < m->frames; i++) {
		size_t n = zg_ws_head(head[i], ZG_WS_BINARY, 1 + m->frame[i].n);

		head[i][n++] = i + 1 < m->frames ? MORE : LAST;
		part[2 * i] = zg_str_n(head[i], n);
		part[2 * i + 1] = m->frame[i];
	}
	return 2 * m->frames;
}

static void refuse(struct pubsub *p, struct pubsub_client *c, unsigned code, const char *why)
{
	p->counts->errors++;
	zg_ws_close(c->ws, code, why);
}

/* ---- what kind of peer it is ---- */

/* A PUB sends only what it was asked for, so the gateway asks for everything. A
 * SUB has no use for that; one that has no subscriptions takes no notice, so
 * those get time to subscribe. */
static void ask(struct pubsub_zws *z)
{
	static const char all[] = { LAST, SUBSCRIBE };

	z->asked = true;
	zg_ws_send_bytes(z->client->ws, ZG_WS_BINARY, zg_str_n(all, sizeof all));
}

static void on_timer(void *ctx)
{
	struct pubsub *p = ctx;
	uint64_t now = zg_loop_now(p->in->loop);
	zg_timeq_entry_t *e;

	while ((e = zg_timeq_pop(&p->asks, now)))
		ask(ZG_CONTAINER(e, struct pubsub_zws, ask));
	if ((e = zg_timeq_first(&p->asks)))
		zg_timer_set(p->ask_timer, e->due - now);
}

static void introduced(struct pubsub *p, struct pubsub_zws *z)
{
	z->introduced = true;
	if (!p->publishes || z->type == SUBSCRIBES)
		return;
	if (!zg_timeq_first(&p->asks))
		zg_timer_set(p->ask_timer, ASK_MS);
	zg_timeq_arm(&p->asks, &z->ask, zg_loop_now(p->in->loop));
}

static void subscribes(struct pubsub_zws *z)
{
	z->type = SUBSCRIBES;
	zg_timeq_disarm(&z->ask);
}

/* ---- from the client ---- */

/* s without its first byte, which is in *first; -1: it has none. */
static zg_str_t behind(zg_str_t s, int *first)
{
	*first = s.n > 0 ? (unsigned char)s.p[0] : -1;
	return s.n > 0 ? zg_str_n(s.p + 1, s.n - 1) : ZG_STR_NONE;
}

static void on_subscribe(struct pubsub *p, struct pubsub_client *c, zg_str_t topic)
{
	struct pubsub_set topics = { 0 };

	subscribes(c->zws);
	if (topic.n > PUBSUB_TOPIC_MAX) {
		refuse(p, c, 1008, "a topic is longer than 512 bytes");
	} else if (!pubsub_allowed(p, topic)) {
		refuse(p, c, 1008, "this location does not offer that topic");
	} else if (pubsub_set_add(p, &topics, topic) != 0) {
		pubsub_set_free(p, &topics);
		refuse(p, c, 1013, "too many topics, or out of memory");
	} else {
		pubsub_join(p, c, topics, (struct pubsub_begin){ 0 });
	}
}

static void on_cancel(struct pubsub *p, struct pubsub_client *c, zg_str_t topic)
{
	if (!c->group)
		return;
	pubsub_want(p, c);
	pubsub_want_drop(p, topic);
	if (pubsub_settle(p, c) != 0)
		refuse(p, c, 1013, "out of memory");
}

static void on_data(struct pubsub *p, struct pubsub_client *c, const zg_str_t *frame,
                    size_t frames)
{
	if (!p->publishes) {
		refuse(p, c, 1008, "this location does not publish: no pub");
		return;
	}
	if (c->zws->type == UNKNOWN)
		c->zws->type = PUBLISHES;
	pubsub_publish_frames(p, c, frame, frames);
}

static void on_message(struct pubsub *p, struct pubsub_client *c, const zg_str_t *frame,
                       size_t frames)
{
	const struct pubsub_zws *z = c->zws;
	int first;
	zg_str_t topic = behind(frame[0], &first);

	if (z->type == PUBLISHES || frames > 1 || (first != SUBSCRIBE && first != CANCEL))
		on_data(p, c, frame, frames);
	else if (first == SUBSCRIBE)
		on_subscribe(p, c, topic);
	else if (z->type == UNKNOWN && z->asked) /* there is nothing that it could cancel */
		on_data(p, c, frame, frames);
	else
		on_cancel(p, c, topic);
}

/* A frame of a message of several. */
static void collect(struct pubsub *p, struct pubsub_client *c, zg_str_t frame, bool more)
{
	struct pubsub_zws *z = c->zws;
	zg_str_t whole[PUBSUB_FRAMES_MAX];
	size_t start = 0;

	if (z->frames == PUBSUB_FRAMES_MAX) {
		refuse(p, c, 1008, "a message has more than 64 frames");
		return;
	}
	if (z->bytes.len + frame.n > p->in->location->max_body) {
		refuse(p, c, 1009, "the message is larger than max_body");
		return;
	}
	if (zg_buf_add_str(&z->bytes, frame) != 0) {
		refuse(p, c, 1013, "out of memory");
		return;
	}
	z->end[z->frames++] = z->bytes.len;
	if (more)
		return;
	for (size_t i = 0; i < z->frames; i++) {
		whole[i] = zg_str_n(z->bytes.data + start, z->end[i] - start);
		start = z->end[i];
	}
	on_message(p, c, whole, z->frames);
	z->frames = 0;
	zg_buf_free(&z->bytes);
}

void pubsub_zws_message(struct pubsub *p, struct pubsub_client *c, zg_str_t data, bool text)
{
	struct pubsub_zws *z = c->zws;
	int flags;
	zg_str_t frame = behind(data, &flags);

	if (!z)
		return; /* being closed */
	if (text || flags < 0 || flags > COMMAND)
		refuse(p, c, 1002, text ? "a text message; those of ZWS2.0 are binary"
		                        : "a message does not begin with a flags byte of 0, 1 or 2");
	else if (!z->introduced && (flags != LAST || frame.n > ROUTING_ID_MAX))
		refuse(p, c, 1002, "the first message is no routing id: 0 and up to 255 bytes");
	else if (!z->introduced)
		introduced(p, z);
	else if (flags == LAST && z->frames == 0)
		on_message(p, c, &frame, 1);
	else if (flags != COMMAND) /* commands belong to mechanisms: there is none to obey */
		collect(p, c, frame, flags == MORE);
}

/* ---- coming and going ---- */

int pubsub_zws_open(struct pubsub_client *c, bool has_topics)
{
	static const char no_id[] = { LAST };
	struct pubsub_zws *z = calloc(1, sizeof *z);

	if (!z)
		return -1;
	c->zws = z;
	z->client = c;
	z->bytes = ZG_BUF(SIZE_MAX); /* max_body is what bounds it */
	zg_timeq_entry_init(&z->ask);
	if (has_topics)
		subscribes(z);
	zg_ws_send_bytes(c->ws, ZG_WS_BINARY, zg_str_n(no_id, sizeof no_id));
	return 0;
}

void pubsub_zws_close(struct pubsub_client *c)
{
	if (!c->zws)
		return;
	zg_timeq_disarm(&c->zws->ask);
	zg_buf_free(&c->zws->bytes);
	free(c->zws);
	c->zws = NULL;
}

int pubsub_zws_start(struct pubsub *p)
{
	zg_timeq_init(&p->asks, ASK_MS);
	p->ask_timer = zg_timer_add(p->in->loop, on_timer, p);
	return p->ask_timer ? 0 : -1;
}

void pubsub_zws_stop(struct pubsub *p)
{
	zg_timer_remove(&p->ask_timer);
}
