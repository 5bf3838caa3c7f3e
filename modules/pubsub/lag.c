/* overflow = conflate: a client that does not take everything gets, when it can
 * take something, the newest message of each topic that it missed. Nothing is
 * queued for it: the newest of each topic are kept once for all. */
#include "pubsub.h"
#include <stdlib.h>

#define PIECE_BYTES (64u << 10)

void pubsub_lag_note(struct pubsub *p, const struct pubsub_message *m, struct pubsub_event *e)
{
	if (!p->newest)
		return;
	e = e ? pubsub_event_ref(e) : pubsub_event_new(m, zg_loop_now(p->in->loop));
	if (e) /* else those who lag miss it, and count it */
		pubsub_keep_value(p->newest, e);
}

void pubsub_lag(struct pubsub *p, struct pubsub_client *c, uint64_t messages)
{
	(void)p;
	if (c->lagged == 0 && c->group)
		c->lag_after = c->group->first - 1;
	c->lagged += messages;
}

/* ---- catching up ---- */

struct newer {
	struct pubsub *p;
	struct pubsub_client *c;
	struct pubsub_event **event; /* the newest first */
	size_t n, room;
};

static bool collect(void *ctx, struct pubsub_event *e)
{
	struct newer *v = ctx;
	struct pubsub_event **event;

	if (!pubsub_receives(v->p, v->c, e->frame[0]))
		return true;
	if (v->n == v->room) {
		v->room = v->room ? v->room * 2 : 64;
		if (!(event = reallocarray(v->event, v->room, sizeof *event)))
			return false;
		v->event = event;
	}
	v->event[v->n++] = pubsub_event_ref(e);
	return true;
}

/* Sends the oldest of them; how many that were. */
static size_t send_piece(struct newer *v, size_t left)
{
	zg_burst_t burst = { 0 };
	size_t n = 0;
	int64_t rate = v->p->in->location->max_rate;
	zg_msg_t *m;

	/* with a rate one by one: each waits for its moment */
	while (n < left && !(rate && n > 0) && (!burst.msg || burst.msg->len < PIECE_BYTES)) {
		const struct pubsub_message *e = &v->event[left - ++n]->m;

		if (pubsub_encode(v->p, v->c, e, &burst) != 0)
			v->p->counts->undelivered++;
		v->c->lag_after = e->at.seq;
	}
	m = zg_burst_take(&burst);
	if (m)
		zg_ws_send(v->c->ws, m);
	zg_msg_unref(&m);
	return n;
}

void pubsub_lag_catch_up(struct pubsub *p, struct pubsub_client *c)
{
	struct newer v = { .p = p, .c = c };
	size_t left;

	if (c->lagged == 0)
		return;
	if (c->group) /* what is kept already must not come again */
		zg_fanout_flush(&c->group->fanout);
	if (p->newest)
		pubsub_keep_newer(p->newest, c->lag_after, collect, &v);
	left = v.n;
	if (c->lagged > left) {
		zg_ws_missed(c->ws, c->lagged - left);
		p->counts->conflated += c->lagged - left;
	}
	while (left > 0 && zg_ws_idle(c->ws))
		left -= send_piece(&v, left);
	c->lagged = left;
	if (left == 0)
		zg_ws_caught_up(c->ws);
	for (size_t i = 0; i < v.n; i++)
		pubsub_event_unref(v.event[i]);
	free(v.event);
}

int pubsub_lag_reload(struct pubsub *p)
{
	bool wanted = p->in->location->overflow == ZG_OVERFLOW_CONFLATE;

	if (wanted && !p->newest)
		return (p->newest = pubsub_keep_new(p->in, NULL, 0)) ? 0 : -1;
	if (!wanted)
		pubsub_keep_free(&p->newest);
	return 0;
}
