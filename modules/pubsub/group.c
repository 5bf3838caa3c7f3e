/* Who receives what: clients with the same encoding and topics are one group. */
#include "pubsub.h"
#include <errno.h>
#include <stdlib.h>

/* ---- sets, sorted ---- */

/* Where t is in the set, or would be. */
static size_t set_find(const struct pubsub_set *s, const struct pubsub_topic *t)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if ((uintptr_t)s->item[middle] < (uintptr_t)t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void set_ref(const struct pubsub_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->item[i]->refs++;
}

static void set_unref(struct pubsub *p, struct pubsub_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		pubsub_topic_unref(p, s->item[i]);
	s->n = 0;
}

/* The next item of a, from *i on, that b has not; *k follows in b. NULL: none. */
static struct pubsub_topic *set_only_in(const struct pubsub_set *a, const struct pubsub_set *b,
                                        size_t *i, size_t *k)
{
	while (*i < a->n) {
		struct pubsub_topic *t = a->item[(*i)++];

		while (*k < b->n && (uintptr_t)b->item[*k] < (uintptr_t)t)
			(*k)++;
		if (*k == b->n || b->item[*k] != t)
			return t;
	}
	return NULL;
}

/* ---- the trie, and what the hub is asked for ---- */

static int add_prefix(struct pubsub *p, struct pubsub_topic *prefix, void *subscriber)
{
	if (zg_trie_add(p->trie, pubsub_topic_text(prefix), subscriber) < 0)
		return -1;
	if (pubsub_topic_want(p, prefix) == 0)
		return 0;
	zg_trie_remove(p->trie, pubsub_topic_text(prefix), subscriber);
	errno = ENOMEM;
	return -1;
}

static void remove_prefix(struct pubsub *p, struct pubsub_topic *prefix, void *subscriber)
{
	if (zg_trie_remove(p->trie, pubsub_topic_text(prefix), subscriber) >= 0)
		pubsub_topic_unwant(p, prefix);
}

static int attach(struct pubsub *p, struct pubsub_group *g, struct pubsub_topic *t)
{
	if (!pubsub_means_offer(p, t))
		return add_prefix(p, t, &g->by_name);
	for (size_t i = 0; i < p->offered.n; i++)
		if (add_prefix(p, p->offered.item[i], &g->by_all) != 0)
			return -1;
	return 0;
}

/* Also what was attached in part, or not at all. */
static void detach(struct pubsub *p, struct pubsub_group *g, struct pubsub_topic *t)
{
	if (!pubsub_means_offer(p, t))
		remove_prefix(p, t, &g->by_name);
	else
		for (size_t i = 0; i < p->offered.n; i++)
			remove_prefix(p, p->offered.item[i], &g->by_all);
}

/* ---- groups ---- */

struct key {
	uintptr_t word[1 + PUBSUB_SHARED_MAX];
};

/* The key of the group with that encoding and these topics; n == 0: such a
 * group is not shared, so that joining and leaving it stays cheap. */
static zg_str_t make_key(struct key *key, enum pubsub_encoding encoding, bool deflates,
                         const struct pubsub_set *s)
{
	if (s->n > PUBSUB_SHARED_MAX)
		return ZG_STR_NONE;
	key->word[0] = 2 * encoding + deflates;
	for (size_t i = 0; i < s->n; i++)
		key->word[1 + i] = (uintptr_t)s->item[i];
	return zg_str_n(key->word, (1 + s->n) * sizeof *key->word);
}

static void register_group(struct pubsub *p, struct pubsub_group *g)
{
	struct key key;
	zg_str_t k = make_key(&key, g->encoding, g->deflates, &g->topics);

	/* without memory for it: one that newcomers do not find works as well */
	if (k.n > 0)
		zg_map_put(&p->groups, k, g, NULL);
}

static void unregister_group(struct pubsub *p, struct pubsub_group *g)
{
	struct key key;
	zg_str_t k = make_key(&key, g->encoding, g->deflates, &g->topics);

	if (k.n > 0 && zg_map_get(&p->groups, k) == g)
		zg_map_del(&p->groups, k);
}

/* Gives the group the topics that are wanted. -1 and errno: nothing changed. */
static int refit(struct pubsub *p, struct pubsub_group *g)
{
	struct pubsub_set to = { malloc(p->wanted.n * sizeof *to.item + 1), p->wanted.n };
	struct pubsub_topic *t;
	size_t i = 0, k = 0;
	int why;

	if (!to.item)
		return -1;
	while ((t = set_only_in(&p->wanted, &g->topics, &i, &k))) {
		if (attach(p, g, t) == 0)
			continue;
		why = errno;
		for (i = k = 0; (t = set_only_in(&p->wanted, &g->topics, &i, &k));)
			detach(p, g, t);
		free(to.item);
		errno = why;
		return -1;
	}
	for (i = k = 0; (t = set_only_in(&g->topics, &p->wanted, &i, &k));)
		detach(p, g, t);
	unregister_group(p, g);
	set_unref(p, &g->topics);
	free(g->topics.item);
	if (to.n > 0)
		memcpy(to.item, p->wanted.item, to.n * sizeof *to.item);
	set_ref(&to);
	g->topics = to;
	register_group(p, g);
	return 0;
}

static void group_free(struct pubsub *p, struct pubsub_group *g)
{
	for (size_t i = 0; i < g->topics.n; i++)
		detach(p, g, g->topics.item[i]);
	zg_list_remove(&g->link);
	unregister_group(p, g);
	zg_fanout_free(&g->fanout);
	set_unref(p, &g->topics);
	free(g->topics.item);
	free(g);
}

/* A group with the topics that are wanted. */
static struct pubsub_group *group_new(struct pubsub *p, const struct pubsub_client *c)
{
	struct pubsub_group *g = calloc(1, sizeof *g);
	int why;

	if (!g)
		return NULL;
	g->encoding = c->encoding;
	g->deflates = c->ws->deflates;
	g->by_name = g->by_all = g;
	zg_list_append(&p->all_groups, &g->link);
	zg_fanout_init(&g->fanout, p->in->loop);
	if (refit(p, g) == 0)
		return g;
	why = errno;
	group_free(p, g);
	errno = why;
	return NULL;
}

/* ---- changing what a client receives ---- */

void pubsub_want(struct pubsub *p, const struct pubsub_client *c)
{
	set_unref(p, &p->wanted); /* of one that was given up */
	if (!c->group)
		return;
	p->wanted.n = c->group->topics.n;
	if (p->wanted.n > 0)
		memcpy(p->wanted.item, c->group->topics.item, p->wanted.n * sizeof *p->wanted.item);
	set_ref(&p->wanted);
}

int pubsub_want_add(struct pubsub *p, zg_str_t topic)
{
	struct pubsub_set *s = &p->wanted;
	struct pubsub_topic *t = pubsub_topic_ref(p, topic);
	size_t at;

	if (!t)
		return -1;
	at = set_find(s, t);
	if (at < s->n && s->item[at] == t) {
		pubsub_topic_unref(p, t);
		return 0;
	}
	if (s->n == PUBSUB_V1_MAX) {
		pubsub_topic_unref(p, t);
		errno = ENOSPC;
		return -1;
	}
	memmove(s->item + at + 1, s->item + at, (s->n - at) * sizeof *s->item);
	s->item[at] = t;
	s->n++;
	return 0;
}

void pubsub_want_drop(struct pubsub *p, zg_str_t topic)
{
	struct pubsub_set *s = &p->wanted;
	struct pubsub_topic *t = zg_map_get(&p->topics, topic);
	size_t at = t ? set_find(s, t) : s->n;

	if (at == s->n || s->item[at] != t)
		return;
	memmove(s->item + at, s->item + at + 1, (s->n - at - 1) * sizeof *s->item);
	s->n--;
	pubsub_topic_unref(p, t);
}

static void join(struct pubsub_group *g, struct pubsub_client *c)
{
	zg_fanout_join(&g->fanout, c->ws);
	for (size_t i = 0; i < g->topics.n; i++)
		g->topics.item[i]->clients++;
	c->group = g;
}

/* Flushes: what was received for the old topics goes first. */
static void part(struct pubsub_group *g, struct pubsub_client *c)
{
	c->group = NULL;
	zg_fanout_leave(&g->fanout, c->ws);
	for (size_t i = 0; i < g->topics.n; i++)
		g->topics.item[i]->clients--;
}

int pubsub_settle(struct pubsub *p, struct pubsub_client *c)
{
	struct pubsub_group *was = c->group, *to;
	struct key key;
	zg_str_t k = make_key(&key, c->encoding, c->ws->deflates, &p->wanted);
	int rc = 0;

	to = k.n > 0 ? zg_map_get(&p->groups, k) : NULL;
	if (!to && was && was->fanout.count == 1) {
		part(was, c);
		rc = refit(p, was);
		join(was, c);
	} else if (to || (to = group_new(p, c))) {
		if (to != was) {
			pubsub_leave(p, c);
			join(to, c);
		}
	} else {
		rc = -1;
	}
	set_unref(p, &p->wanted);
	return rc;
}

void pubsub_leave(struct pubsub *p, struct pubsub_client *c)
{
	struct pubsub_group *g = c->group;

	if (!g)
		return;
	part(g, c);
	if (g->fanout.count == 0)
		group_free(p, g);
}

/* ---- what is offered changes ---- */

static struct pubsub_topic *everything_of(const struct pubsub_group *g)
{
	for (size_t i = 0; i < g->topics.n; i++)
		if (g->topics.item[i]->len == 0)
			return g->topics.item[i];
	return NULL;
}

static void close_members(struct pubsub_group *g, unsigned code, const char *reason)
{
	ZG_LIST_EACH(l, &g->fanout.members)
		zg_ws_close(ZG_CONTAINER(l, zg_ws_t, link), code, reason);
}

static bool allows(const struct pubsub *p, const struct pubsub_group *g)
{
	for (size_t i = 0; i < g->topics.n; i++)
		if (!pubsub_allowed(p, pubsub_topic_text(g->topics.item[i])))
			return false;
	return true;
}

static bool is_offered(const struct pubsub *p, const zg_list_t *prefixes)
{
	if (prefixes->count != p->offered.n)
		return false;
	for (size_t i = 0; i < prefixes->count; i++)
		if (!zg_str_eq(pubsub_topic_text(p->offered.item[i]), zg_str(prefixes->item[i])))
			return false;
	return true;
}

/* What the hub sends for it now goes on until let_go. */
static void hold_on(struct pubsub_topic *t)
{
	t->refs++;
	t->held = t->wanted > 0;
	t->wanted += t->held;
}

static void let_go(struct pubsub *p, struct pubsub_topic *t)
{
	if (t->held)
		pubsub_topic_unwant(p, t);
	t->held = false;
	pubsub_topic_unref(p, t);
}

void pubsub_offer(struct pubsub *p, const zg_list_t *prefixes)
{
	struct pubsub_set was = p->offered, is = { 0 };
	struct pubsub_topic *t, *held[] = { zg_map_get(&p->topics, ZG_STR("")) };
	/* what "everything" was stands until what it is now is in place, or messages
	 * that come in between would be missed */
	struct pubsub_set hold = was.n > 0 ? was : (struct pubsub_set){ held, held[0] != NULL };

	if (is_offered(p, prefixes))
		return;
	for (size_t i = 0; i < prefixes->count; i++)
		if (pubsub_set_add(p, &is, zg_str(prefixes->item[i])) != 0) {
			zg_error("%s: topics stays as it was: out of memory", p->in->name);
			pubsub_set_free(p, &is);
			return;
		}
	for (size_t i = 0; i < hold.n; i++)
		hold_on(hold.item[i]);
	ZG_LIST_EACH(l, &p->all_groups)
		if ((t = everything_of(ZG_CONTAINER(l, struct pubsub_group, link))))
			detach(p, ZG_CONTAINER(l, struct pubsub_group, link), t);
	p->offered = is;
	ZG_LIST_EACH(l, &p->all_groups) {
		struct pubsub_group *g = ZG_CONTAINER(l, struct pubsub_group, link);

		if ((t = everything_of(g)) && attach(p, g, t) != 0)
			close_members(g, 1013, "too many topics, or out of memory");
		else if (!allows(p, g))
			close_members(g, 1008, "a topic is not offered any more");
	}
	for (size_t i = 0; i < hold.n; i++)
		let_go(p, hold.item[i]);
	pubsub_set_free(p, &was);
}

/* ---- what a client has already ---- */

struct look {
	const struct pubsub_group *group;
	bool found;
};

static void look(void *ctx, void *subscriber)
{
	struct look *l = ctx;

	l->found |= *(struct pubsub_group **)subscriber == l->group;
}

bool pubsub_receives(const struct pubsub *p, const struct pubsub_client *c, zg_str_t first_frame)
{
	struct look l = { c->group, false };

	if (c->group)
		zg_trie_match(p->trie, first_frame, look, &l);
	return l.found;
}
