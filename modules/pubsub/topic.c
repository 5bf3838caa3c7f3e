/* The topics of a worker's clients, each kept once, and sets of them. */
#include "pubsub.h"
#include <errno.h>
#include <stdlib.h>

struct pubsub_topic *pubsub_topic_ref(struct pubsub *p, zg_str_t text)
{
	struct pubsub_topic *t = zg_map_get(&p->topics, text);

	if (!t) {
		t = malloc(sizeof *t + text.n);
		if (!t)
			return NULL;
		*t = (struct pubsub_topic){ .len = text.n };
		if (text.n > 0)
			memcpy(t->text, text.p, text.n);
		if (zg_map_put(&p->topics, text, t, NULL) != 0) {
			free(t);
			return NULL;
		}
	}
	t->refs++;
	return t;
}

void pubsub_topic_unref(struct pubsub *p, struct pubsub_topic *t)
{
	if (--t->refs > 0)
		return;
	zg_map_del(&p->topics, pubsub_topic_text(t));
	free(t);
}

int pubsub_topic_want(struct pubsub *p, struct pubsub_topic *t)
{
	if (t->wanted == 0 && pubsub_hub_want(p, pubsub_topic_text(t)) != 0)
		return -1;
	t->wanted++;
	return 0;
}

void pubsub_topic_unwant(struct pubsub *p, struct pubsub_topic *t)
{
	if (--t->wanted == 0)
		pubsub_hub_unwant(p, pubsub_topic_text(t));
}

bool pubsub_means_offer(const struct pubsub *p, const struct pubsub_topic *t)
{
	return t->len == 0 && p->offered.n > 0;
}

bool pubsub_allowed(const struct pubsub *p, zg_str_t topic)
{
	for (size_t i = 0; i < p->offered.n; i++)
		if (zg_str_starts(topic, pubsub_topic_text(p->offered.item[i])))
			return true;
	return p->offered.n == 0 || topic.n == 0;
}

/* ---- sets ---- */

int pubsub_set_add(struct pubsub *p, struct pubsub_set *s, zg_str_t topic)
{
	struct pubsub_topic **item = reallocarray(s->item, s->n + 1, sizeof *item);

	if (!item)
		return -1;
	s->item = item;
	if (!(item[s->n] = pubsub_topic_ref(p, topic)))
		return -1;
	s->n++;
	return 0;
}

void pubsub_set_free(struct pubsub *p, struct pubsub_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		pubsub_topic_unref(p, s->item[i]);
	free(s->item);
	*s = (struct pubsub_set){ 0 };
}
