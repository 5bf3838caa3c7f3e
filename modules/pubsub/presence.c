/* Presence: how many clients, on all workers, have a topic. Asked for once (GET
 * ?presence), or watched by a client of zgate.v1, which is told when it changes. */
#include "pubsub.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLD_EVERY_MS 500        /* changes in between are told as one */
#define TEXT_MAX      (64u << 20) /* of an answer */

/* ---- counting on all workers ---- */

struct gather;

/* One worker's part. */
struct part {
	zg_letter_t letter;
	struct gather *gather;   /* the asker's; not to be touched elsewhere */
	unsigned from;
	bool all;                /* else only the topics that are in counts already */
	zg_buf_t counts;         /* uint32 subscribers, uint32 length, text */
};

struct gather {
	unsigned parts;
	bool failed;             /* memory ran out somewhere */
	zg_map_t counts;         /* topic -> subscribers */
	void (*done)(struct pubsub *p, struct gather *g, void *ctx);
	void *ctx;
};

static void add_count(zg_map_t *m, zg_str_t topic, uintptr_t n, bool *failed)
{
	n += (uintptr_t)zg_map_get(m, topic);
	if (n > 0 && zg_map_put(m, topic, (void *)n, NULL) != 0)
		*failed = true;
}

static void part_free(struct part *part)
{
	zg_buf_free(&part->counts);
	free(part);
}

/* Back where it was asked. */
static void add_part(zg_instance_t *there, void *ctx)
{
	struct part *part = ctx;
	struct gather *g = part->gather;
	uint32_t n[2];

	for (size_t at = 0; at < part->counts.len; at += sizeof n + n[1]) {
		memcpy(n, part->counts.data + at, sizeof n);
		add_count(&g->counts, zg_str_n(part->counts.data + at + sizeof n, n[1]), n[0], &g->failed);
	}
	part_free(part);
	if (--g->parts > 0)
		return;
	g->done(there ? there->state : NULL, g, g->ctx);
	zg_map_free(&g->counts);
	free(g);
}

static int add_entry(zg_buf_t *out, size_t clients, zg_str_t topic)
{
	uint32_t n[2] = { (uint32_t)clients, (uint32_t)topic.n };

	return zg_buf_add(out, n, sizeof n) | zg_buf_add_str(out, topic);
}

static int count_all(const struct pubsub *p, zg_buf_t *out)
{
	int rc = 0;

	for (zg_map_entry_t *e = NULL; rc == 0 && (e = zg_map_next(&p->topics, e));) {
		const struct pubsub_topic *t = e->value;

		if (t->clients > 0)
			rc = add_entry(out, t->clients, pubsub_topic_text(t));
	}
	return rc;
}

static void count_these(const struct pubsub *p, zg_buf_t *b)
{
	uint32_t n[2];

	for (size_t at = 0; at < b->len; at += sizeof n + n[1]) {
		const struct pubsub_topic *t;

		memcpy(n, b->data + at, sizeof n);
		t = zg_map_get(&p->topics, zg_str_n(b->data + at + sizeof n, n[1]));
		n[0] = t ? (uint32_t)t->clients : 0;
		memcpy(b->data + at, n, sizeof n);
	}
}

static void visit(zg_instance_t *there, void *ctx)
{
	struct part *part = ctx;

	/* what does not fit is missing in the sum; the asker cannot do more about it */
	if (there && !part->all)
		count_these(there->state, &part->counts);
	else if (there && count_all(there->state, &part->counts) != 0)
		zg_warn("%s: presence is not complete: out of memory", there->name);
	zg_letter_return(&part->letter, part->from, add_part);
}

static struct part *part_new(const zg_buf_t *asked)
{
	struct part *part = calloc(1, sizeof *part);

	if (!part)
		return NULL;
	part->all = !asked;
	part->counts = ZG_BUF(TEXT_MAX);
	if (!asked || zg_buf_add_str(&part->counts, zg_buf_str(asked)) == 0)
		return part;
	free(part);
	return NULL;
}

/* asked: entries of the topics to count, or NULL: all. done is called once, in a
 * later turn, with p NULL if the instance has stopped. -1: out of memory, it will
 * not be. */
static int gather(struct pubsub *p, const zg_buf_t *asked,
                  void (*done)(struct pubsub *p, struct gather *g, void *ctx), void *ctx)
{
	unsigned n = p->in->family->members;
	struct gather *g = calloc(1, sizeof *g);
	struct part *part[n];
	bool ok = g != NULL;

	for (unsigned i = 0; i < n; i++) {
		part[i] = part_new(asked);
		ok = ok && part[i];
	}
	if (!ok) {
		for (unsigned i = 0; i < n; i++)
			if (part[i])
				part_free(part[i]);
		free(g);
		return -1;
	}
	*g = (struct gather){ .parts = n, .done = done, .ctx = ctx };
	g->counts.max = (size_t)PUBSUB_TOPICS_MAX * n;
	for (unsigned i = 0; i < n; i++) {
		part[i]->gather = g;
		part[i]->from = p->in->worker->index;
		zg_instance_send(p->in, i, &part[i]->letter, visit, part[i]);
	}
	return 0;
}

/* ---- asked for once ---- */

struct once {
	struct pubsub_waiting waiting;
	zg_request_t *req; /* NULL: its client has gone */
};

static void once_cancel(struct pubsub_waiting *w)
{
	((struct once *)w)->req = NULL; /* freed when the counts are there */
}

/* {"topics":{"A":2,…}} of all, or of those in the query. */
static int write_counts(const struct gather *g, const zg_request_t *req, zg_buf_t *out)
{
	unsigned asked = zg_request_params(req, "topic");
	char text[PUBSUB_TOPIC_MAX + 1];
	const char *comma = "";
	int rc = zg_buf_printf(out, "{\"topics\":{");

	for (unsigned i = 0; i < asked && rc == 0; i++) {
		long n = zg_request_param(req, "topic", i, text, sizeof text);
		zg_str_t topic = zg_str_n(text, n > 0 ? (size_t)n : 0);

		rc |= zg_buf_printf(out, "%s", comma) | zg_utf8_add_json(out, topic);
		rc |= zg_buf_printf(out, ":%zu", (size_t)zg_map_get(&g->counts, topic));
		comma = ",";
	}
	for (zg_map_entry_t *e = NULL; !asked && rc == 0 && (e = zg_map_next(&g->counts, e));) {
		rc |= zg_buf_printf(out, "%s", comma) | zg_utf8_add_json(out, zg_str_n(e->key, e->len));
		rc |= zg_buf_printf(out, ":%zu", (size_t)e->value);
		comma = ",";
	}
	return rc | zg_buf_printf(out, "}}\n");
}

static void once_done(struct pubsub *p, struct gather *g, void *ctx)
{
	struct once *once = ctx;
	zg_buf_t out = ZG_BUF(TEXT_MAX);

	(void)p;
	if (once->req && !g->failed && write_counts(g, once->req, &out) == 0) {
		zg_request_add_header(once->req, "Cache-Control", "no-store");
		zg_request_reply_buf(once->req, 200, "application/json", &out);
	} else if (once->req) {
		zg_request_problem(once->req, 503, "The gateway is out of memory.");
	}
	zg_buf_free(&out);
	free(once);
}

void pubsub_presence(struct pubsub *p, zg_request_t *req)
{
	struct once *once = calloc(1, sizeof *once);

	if (!once || gather(p, NULL, once_done, once) != 0) {
		free(once);
		zg_request_problem(req, 503, "The gateway is out of memory.");
		return;
	}
	once->waiting.cancel = once_cancel;
	once->req = req;
	req->ctx = once;
}

/* ---- watched ---- */

struct watch {
	zg_link_t link;      /* p->watches */
	struct pubsub_client *client;
	size_t told;         /* subscribers; SIZE_MAX: none yet */
	char *id;            /* to answer the first time with; or NULL */
	size_t len;
	char topic[];
};

static void watch_free(struct pubsub *p, struct watch *w)
{
	zg_list_remove(&w->link);
	w->client->watches--;
	free(w->id);
	free(w);
	if (zg_list_empty(&p->watches))
		zg_timer_clear(p->look_around);
}

static void on_counts(struct pubsub *p, struct gather *g, void *ctx)
{
	(void)ctx;
	if (!p)
		return;
	ZG_LIST_EACH(l, &p->watches) {
		struct watch *w = ZG_CONTAINER(l, struct watch, link);
		zg_str_t topic = zg_str_n(w->topic, w->len);
		size_t n = (size_t)zg_map_get(&g->counts, topic);

		if (n == w->told || g->failed)
			continue;
		pubsub_v1_presence(p, w->client, topic, n, w->id);
		w->told = n;
		free(w->id);
		w->id = NULL;
	}
	if (!zg_list_empty(&p->watches))
		zg_timer_set(p->look_around, TOLD_EVERY_MS);
}

static void look_around(void *ctx)
{
	struct pubsub *p = ctx;
	zg_buf_t asked = ZG_BUF(TEXT_MAX);
	zg_map_t seen = { .max = SIZE_MAX }; /* each topic once, or it counts twice */
	int rc = 0;

	ZG_LIST_EACH(l, &p->watches) {
		const struct watch *w = ZG_CONTAINER(l, struct watch, link);
		zg_str_t topic = zg_str_n(w->topic, w->len);

		if (zg_map_get(&seen, topic))
			continue;
		rc |= zg_map_put(&seen, topic, p, NULL) | add_entry(&asked, 0, topic);
	}
	zg_map_free(&seen);
	if (asked.len > 0 && (rc != 0 || gather(p, &asked, on_counts, NULL) != 0))
		zg_timer_set(p->look_around, TOLD_EVERY_MS);
	zg_buf_free(&asked);
}

static struct watch *find(const struct pubsub *p, const struct pubsub_client *c, zg_str_t topic)
{
	ZG_LIST_EACH(l, &p->watches) {
		struct watch *w = ZG_CONTAINER(l, struct watch, link);

		if (w->client == c && zg_str_eq(zg_str_n(w->topic, w->len), topic))
			return w;
	}
	return NULL;
}

int pubsub_watch(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, const char *id)
{
	struct watch *w = find(p, c, topic);

	if (w) { /* asked again: told again */
		watch_free(p, w);
	} else if (c->watches == PUBSUB_WATCH_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if (!p->look_around && !(p->look_around = zg_timer_add(p->in->loop, look_around, p))) {
		errno = ENOMEM;
		return -1;
	}
	if (!(w = malloc(sizeof *w + topic.n))) {
		errno = ENOMEM;
		return -1;
	}
	*w = (struct watch){ .client = c, .told = SIZE_MAX, .id = id ? strdup(id) : NULL, .len = topic.n };
	if (topic.n > 0)
		memcpy(w->topic, topic.p, topic.n);
	zg_list_init(&w->link);
	zg_list_append(&p->watches, &w->link);
	c->watches++;
	zg_timer_set(p->look_around, 0);
	return 0;
}

void pubsub_unwatch(struct pubsub *p, struct pubsub_client *c, zg_str_t topic)
{
	struct watch *w = find(p, c, topic);

	if (w)
		watch_free(p, w);
}

void pubsub_unwatch_all(struct pubsub *p, struct pubsub_client *c)
{
	ZG_LIST_EACH(l, &p->watches)
		if (c->watches > 0 && ZG_CONTAINER(l, struct watch, link)->client == c)
			watch_free(p, ZG_CONTAINER(l, struct watch, link));
}
