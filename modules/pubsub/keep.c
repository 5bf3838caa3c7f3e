/* What the home keeps of the messages: the newest ones, by number, for clients
 * that resume (history), and the newest of each topic (last values). */
#include "pubsub.h"
#include <stdlib.h>

#define PIECE_BYTES (64u << 10) /* of one answer */
#define PIECE_WORK  1000000     /* comparisons for one answer */

struct value {
	zg_link_t link; /* keep->values, oldest first */
	struct pubsub_event *event;
};

struct keep {
	zg_instance_t *in;
	struct pubsub_counts *counts;
	/* history: a ring; messages have the numbers floor + 1 to floor + count */
	struct pubsub_event **ring;
	size_t room, first, count, bytes;
	uint64_t floor;
	/* last values */
	zg_map_t by_topic;
	zg_link_t values;
	size_t value_bytes;
	bool has_values;
};

static const struct pubsub_conf *conf_of(const struct keep *k)
{
	return k->in->conf;
}

static void count(struct keep *k)
{
	if (!k->counts)
		return;
	k->counts->kept = k->count + k->by_topic.count;
	k->counts->kept_bytes = k->bytes + k->value_bytes;
}

/* ---- history ---- */

static struct pubsub_event *at(const struct keep *k, size_t i)
{
	return k->ring[(k->first + i) % k->room];
}

static void drop_first(struct keep *k)
{
	struct pubsub_event *e = at(k, 0);

	k->bytes -= e->bytes;
	k->first = (k->first + 1) % k->room;
	k->count--;
	k->floor++;
	pubsub_event_unref(e);
}

static int grow(struct keep *k)
{
	size_t room = k->room ? k->room * 2 : 64;
	struct pubsub_event **ring = calloc(room, sizeof *ring);

	if (!ring)
		return -1;
	for (size_t i = 0; i < k->count; i++)
		ring[i] = at(k, i);
	free(k->ring);
	k->ring = ring;
	k->room = room;
	k->first = 0;
	return 0;
}

static void trim(struct keep *k, uint64_t now)
{
	const struct pubsub_conf *c = conf_of(k);

	while (k->count > 0 &&
	       ((c->history_count && k->count > c->history_count) || k->bytes > c->history_size ||
	        (c->history_ms && at(k, 0)->at + c->history_ms < now) ||
	        (!c->history_count && !c->history_ms)))
		drop_first(k);
}

static void remember(struct keep *k, struct pubsub_event *e)
{
	const struct pubsub_conf *c = conf_of(k);

	if ((!c->history_count && !c->history_ms) || (k->count == k->room && grow(k) != 0)) {
		pubsub_keep_lost(k, e->m.at.seq);
		return;
	}
	k->ring[(k->first + k->count++) % k->room] = pubsub_event_ref(e);
	k->bytes += e->bytes;
	trim(k, e->at);
}

void pubsub_keep_lost(struct keep *k, uint64_t seq)
{
	while (k->count > 0)
		drop_first(k);
	k->floor = seq;
	count(k);
}

/* ---- last values ---- */

static void drop_value(struct keep *k, struct value *v)
{
	zg_list_remove(&v->link);
	zg_map_del(&k->by_topic, pubsub_topic_of(&v->event->m));
	k->value_bytes -= v->event->bytes + sizeof *v;
	pubsub_event_unref(v->event);
	free(v);
}

static void trim_values(struct keep *k)
{
	uint64_t max = conf_of(k)->history_size;

	while (!zg_list_empty(&k->values) && (!k->has_values || k->value_bytes > max))
		drop_value(k, ZG_CONTAINER(k->values.next, struct value, link));
}

static void set_value(struct keep *k, struct pubsub_event *e)
{
	zg_str_t topic = pubsub_topic_of(&e->m);
	struct value *v = zg_map_get(&k->by_topic, topic);

	if (!v) {
		if (k->by_topic.count == k->by_topic.max)
			drop_value(k, ZG_CONTAINER(k->values.next, struct value, link));
		v = calloc(1, sizeof *v);
		if (!v || zg_map_put(&k->by_topic, topic, v, NULL) != 0) {
			free(v);
			return;
		}
		zg_list_init(&v->link);
		k->value_bytes += sizeof *v;
	} else {
		k->value_bytes -= v->event->bytes;
		pubsub_event_unref(v->event);
	}
	v->event = pubsub_event_ref(e);
	k->value_bytes += e->bytes;
	zg_list_remove(&v->link);
	zg_list_append(&k->values, &v->link);
	trim_values(k);
}

void pubsub_keep_value(struct keep *k, struct pubsub_event *e)
{
	set_value(k, e);
	pubsub_event_unref(e);
}

void pubsub_keep_newer(const struct keep *k, uint64_t since,
                       bool (*fn)(void *ctx, struct pubsub_event *e), void *ctx)
{
	for (const zg_link_t *l = k->values.prev; l != &k->values; l = l->prev) {
		const struct value *v = ZG_CONTAINER(l, struct value, link);

		if (v->event->m.at.seq <= since || !fn(ctx, v->event))
			return;
	}
}

void pubsub_keep_add(struct keep *k, struct pubsub_event *e)
{
	remember(k, e);
	if (k->has_values)
		set_value(k, e);
	pubsub_event_unref(e);
	count(k);
}

/* ---- answers ---- */

static bool wants(const struct pubsub_ask *ask, const struct pubsub_event *e)
{
	for (size_t i = 0; i < ask->topics; i++)
		if (zg_str_starts(e->frame[0], ask->topic[i]))
			return true;
	return false;
}

struct piece {
	size_t room, bytes, work;
};

/* false: the piece is full, and e has to wait for the next one. */
static bool offer(struct pubsub_ask *ask, struct piece *p, struct pubsub_event *e)
{
	p->work += ask->topics;
	if (p->work > PIECE_WORK || p->bytes > PIECE_BYTES)
		return false;
	if (wants(ask, e)) {
		if (ask->events == p->room) {
			size_t room = p->room ? p->room * 2 : 16;
			struct pubsub_event **event = reallocarray(ask->event, room, sizeof *event);

			if (!event)
				return false;
			ask->event = event;
			p->room = room;
		}
		ask->event[ask->events++] = pubsub_event_ref(e);
		p->bytes += e->bytes;
	}
	ask->upto = e->m.at;
	return true;
}

static void answer_history(const struct keep *k, uint64_t head, struct pubsub_ask *ask)
{
	struct piece p = { 0 };

	if (ask->foreign || ask->since.seq > head) {
		ask->unknown = true;
		ask->since.seq = k->floor;
	} else if (ask->since.seq < k->floor) {
		ask->missed = k->floor - ask->since.seq;
		ask->since.seq = k->floor;
	}
	ask->upto = ask->since;
	for (size_t i = (size_t)(ask->since.seq - k->floor); i < k->count && !ask->more; i++)
		ask->more = !offer(ask, &p, at(k, i));
}

/* In the order of their numbers, so that the next piece goes on after upto. */
static void answer_values(const struct keep *k, struct pubsub_ask *ask)
{
	struct piece p = { 0 };

	ask->upto = ask->since;
	ZG_LIST_EACH(l, &k->values) {
		struct value *v = ZG_CONTAINER(l, struct value, link);

		if (v->event->m.at.seq > ask->since.seq && (ask->more = !offer(ask, &p, v->event)))
			return;
	}
}

void pubsub_keep_answer(struct keep *k, struct pubsub_place head, struct pubsub_ask *ask)
{
	trim(k, zg_loop_now(k->in->loop));
	count(k);
	if (ask->resumes)
		answer_history(k, head.seq, ask);
	else if (ask->latest)
		answer_values(k, ask);
	if (!ask->more)
		ask->upto = head;
}

/* ---- making and ending ---- */

struct keep *pubsub_keep_new(zg_instance_t *in, struct pubsub_counts *counts, uint64_t head)
{
	struct keep *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	k->in = in;
	k->counts = counts;
	k->floor = head;
	k->has_values = true;
	k->by_topic.max = PUBSUB_TOPICS_MAX;
	zg_list_init(&k->values);
	return k;
}

void pubsub_keep_free(struct keep **handle)
{
	struct keep *k = *handle;

	if (!k)
		return;
	*handle = NULL;
	pubsub_keep_lost(k, k->floor);
	ZG_LIST_EACH(l, &k->values)
		drop_value(k, ZG_CONTAINER(l, struct value, link));
	count(k);
	zg_map_free(&k->by_topic);
	free(k->ring);
	free(k);
}

void pubsub_keep_reload(struct keep *k)
{
	k->has_values = conf_of(k)->last_value;
	trim(k, zg_loop_now(k->in->loop));
	trim_values(k);
	count(k);
}
