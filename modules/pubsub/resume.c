/* How a client comes to its topics: it asks the hub, gets what it missed piece
 * by piece as fast as it takes it, and joins the living where the last piece
 * ends. It is not read meanwhile, so that nothing overtakes. */
#include "pubsub.h"
#include <errno.h>
#include <stdlib.h>

/* ---- asking ---- */

static struct pubsub_ask *ask_new(const struct pubsub_client *c)
{
	const struct pubsub_set *s = &c->wants; /* as the hub knows it */
	size_t bytes = sizeof(struct pubsub_ask) + s->n * sizeof(zg_str_t);
	struct pubsub_ask *ask;
	char *at;

	for (size_t i = 0; i < s->n; i++)
		bytes += s->item[i]->len;
	if (!(ask = calloc(1, bytes)))
		return NULL;
	ask->topics = s->n;
	at = (char *)&ask->topic[s->n];
	for (size_t i = 0; i < s->n; i++) {
		zg_str_t text = pubsub_topic_text(s->item[i]);

		/* the texts are the worker's: the hub gets copies */
		ask->topic[i] = zg_str_n(at, text.n);
		memcpy(at, text.p, text.n);
		at += text.n;
	}
	ask->resumes = c->resumes;
	ask->foreign = c->foreign;
	ask->latest = c->latest;
	ask->since = c->since;
	return ask;
}

static void end_join(struct pubsub *p, struct pubsub_client *c, int why);

static void ask(struct pubsub *p, struct pubsub_client *c)
{
	struct pubsub_ask *a = ask_new(c);

	if (!a) {
		end_join(p, c, ENOMEM);
		return;
	}
	a->client = c;
	c->ask = a;
	pubsub_hub_ask(p, a);
}

static void ask_again(void *ctx)
{
	struct pubsub_client *c = ctx;

	if (c->joining && !c->ask)
		ask(c->ws->to->state, c);
}

/* ---- joining ---- */

static void forget_asked(struct pubsub *p, struct pubsub_client *c)
{
	while (c->wanted > 0)
		pubsub_topic_unwant(p, c->wants.item[--c->wanted]);
	pubsub_set_free(p, &c->wants);
	pubsub_set_free(p, &c->asked);
}

/* The client receives what it asked for from now on, or why not. */
static int settle(struct pubsub *p, struct pubsub_client *c)
{
	int why = 0;

	pubsub_want(p, c);
	for (size_t i = 0; i < c->asked.n && !why; i++) {
		zg_str_t topic = pubsub_topic_text(c->asked.item[i]);

		if (!pubsub_allowed(p, topic)) /* a reload came in between */
			why = EACCES;
		else if (pubsub_want_add(p, topic) != 0)
			why = errno;
	}
	if (why)
		pubsub_want(p, c); /* what it had */
	if (pubsub_settle(p, c) != 0 && !why)
		why = errno;
	return why;
}

/* A stream can be resumed from its first moment: an event without data sets the
 * client's last event id (WHATWG HTML, 9.2.6). */
static void tell_place(struct pubsub *p, struct pubsub_client *c)
{
	char text[PUBSUB_CURSOR_SIZE];
	zg_str_t part[3] = { ZG_STR("id: "), ZG_STR_NONE, ZG_STR("\n\n") };
	zg_msg_t *m;

	if (c->encoding != PUBSUB_SSE && c->encoding != PUBSUB_SSE_JSON)
		return;
	pubsub_cursor_text(p->in, c->since, text);
	part[1] = zg_str(text);
	if ((m = zg_ws_encode(ZG_WS_BYTES, part, 3))) {
		m->units = 0; /* no message */
		zg_ws_send(c->ws, m);
	}
	zg_msg_unref(&m);
}

static void end_join(struct pubsub *p, struct pubsub_client *c, int why)
{
	if (!why)
		why = settle(p, c);
	c->joining = false;
	if (c->encoding == PUBSUB_V1)
		pubsub_v1_joined(p, c, why);
	else if (!why)
		tell_place(p, c);
	else
		zg_ws_close(c->ws, why == EACCES ? 1008 : 1013,
		            why == EACCES ? "a topic is not offered any more"
		                          : "too many topics, or out of memory");
	forget_asked(p, c);
	if (c->paused) {
		c->paused = false;
		zg_ws_resume(c->ws);
	}
}

/* The hub sends these from now on, so that there is no hole between its answer
 * and the joining. */
static int want_asked(struct pubsub *p, struct pubsub_client *c)
{
	for (size_t i = 0; i < c->asked.n; i++) {
		struct pubsub_topic *t = c->asked.item[i];
		bool offer = pubsub_means_offer(p, t);

		for (size_t k = 0; k < (offer ? p->offered.n : 1); k++)
			if (pubsub_set_add(p, &c->wants,
			                   pubsub_topic_text(offer ? p->offered.item[k] : t)) != 0)
				return -1;
	}
	for (; c->wanted < c->wants.n; c->wanted++)
		if (pubsub_topic_want(p, c->wants.item[c->wanted]) != 0)
			return -1;
	return 0;
}

void pubsub_join(struct pubsub *p, struct pubsub_client *c, struct pubsub_set topics,
                 struct pubsub_begin begin)
{
	c->asked = topics;
	c->joining = true;
	c->resumes = begin.resumes;
	c->foreign = begin.foreign;
	c->since = begin.since;
	c->latest = p->conf->last_value && !begin.resumes;
	if (want_asked(p, c) != 0) {
		end_join(p, c, errno);
		return;
	}
	if (c->resumes)
		p->counts->resumed++;
	ask(p, c);
	if (c->joining && !c->paused) {
		c->paused = true;
		zg_ws_pause(c->ws);
	}
}

/* ---- what was missed ---- */

static void tell_missed(struct pubsub *p, struct pubsub_client *c, const struct pubsub_ask *a)
{
	zg_msg_t *m;

	p->counts->missed += a->missed;
	m = pubsub_gap(c->encoding, a->missed, !a->unknown);
	if (m)
		zg_ws_send(c->ws, m);
	zg_msg_unref(&m);
}

static void send_piece(struct pubsub *p, struct pubsub_client *c, const struct pubsub_ask *a)
{
	zg_burst_t burst = { 0 };
	zg_msg_t *m;

	if (c->group)
		zg_fanout_flush(&c->group->fanout);
	for (size_t i = 0; i < a->events; i++) {
		const struct pubsub_message *e = &a->event[i]->m;

		if (pubsub_receives(p, c, e->frame[0]))
			continue;
		if (pubsub_encode(p, c, e, &burst) == 0)
			p->counts->replayed++;
		else
			p->counts->undelivered++;
	}
	m = zg_burst_take(&burst);
	if (m)
		zg_ws_send(c->ws, m);
	zg_msg_unref(&m);
}

void pubsub_answered(struct pubsub *p, struct pubsub_ask *a)
{
	struct pubsub_client *c = a->client;

	if (!c) {
		pubsub_ask_free(a);
		return;
	}
	c->ask = NULL;
	if (a->unknown || a->missed)
		tell_missed(p, c, a);
	send_piece(p, c, a);
	c->since = a->upto;
	c->foreign = false;
	if (!a->more) {
		if (p->at.seq <= a->upto.seq)
			p->at = a->upto;
		end_join(p, c, 0);
	} else if (zg_ws_idle(c->ws)) {
		zg_defer(p->in->loop, &c->again); /* others have their turn first */
	}
	pubsub_ask_free(a);
}

void pubsub_resume_more(struct pubsub *p, struct pubsub_client *c)
{
	(void)p;
	ask_again(c);
}

void pubsub_resume_init(struct pubsub_client *c)
{
	zg_defer_init(&c->again, ask_again, c);
}

void pubsub_tell_missed(struct pubsub *p, uint64_t n)
{
	ZG_LIST_EACH(l, &p->all_groups) {
		struct pubsub_group *g = ZG_CONTAINER(l, struct pubsub_group, link);

		zg_fanout_flush(&g->fanout);
		ZG_LIST_EACH(m, &g->fanout.members)
			zg_ws_missed(ZG_CONTAINER(m, zg_ws_t, link), n);
	}
}

void pubsub_resume_forget(struct pubsub *p, struct pubsub_client *c)
{
	zg_defer_cancel(&c->again);
	if (c->ask)
		c->ask->client = NULL;
	c->ask = NULL;
	if (c->joining)
		forget_asked(p, c);
	c->joining = false;
}
