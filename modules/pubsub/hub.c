/* The home's part: the ZeroMQ sockets, and the numbering of what comes. */
#include "pubsub.h"
#include <errno.h>
#include <stdlib.h>

#define PUB_LINGER_MS 200

struct hub {
	struct pubsub *p;
	zg_socket_t *sub, *pub; /* pub: NULL if not configured */
	struct pubsub_place at; /* of the newest message */
	zg_map_t upstream;      /* prefix -> struct wanted */
	struct links *links;    /* NULL: there is one worker */
	struct keep *keep;      /* NULL: nothing is kept */
	char **listening;       /* prefixes that are wanted for it; NULL-terminated */
	zg_trie_t *listeners;   /* at pub; NULL: publish_required is not set */
	bool too_many;          /* to know them all */
	zg_buf_t joined;
};

/* A prefix that is subscribed to. */
struct wanted {
	size_t workers;  /* that want it */
	uint64_t since;  /* h->at.listened when it began */
};

/* ---- from ZeroMQ ---- */

static void keep(struct hub *h, const struct pubsub_message *m, struct pubsub_event *event)
{
	if (!event)
		event = pubsub_event_new(m, zg_loop_now(h->p->in->loop));
	else
		pubsub_event_ref(event);
	if (event)
		pubsub_keep_add(h->keep, event);
	else
		pubsub_keep_lost(h->keep, m->at.seq);
}

static void received(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct hub *h = ctx;
	struct pubsub *p = h->p;
	struct pubsub_message m = { { ++h->at.seq, h->at.listened }, frame, frames };
	struct pubsub_event *event = NULL;
	bool matched;

	(void)s;
	p->counts->received++;
	matched = pubsub_deliver(p, &m);
	if (matched)
		pubsub_lag_note(p, &m, NULL);
	if (h->links && pubsub_links_send(h->links, &m, &event))
		matched = true;
	if (!matched)
		p->counts->unmatched++;
	if (h->keep)
		keep(h, &m, event);
	if (event)
		pubsub_event_unref(event);
}

/* ---- subscriptions upstream ---- */

int pubsub_hub_add(struct hub *h, zg_str_t prefix)
{
	struct wanted *w = zg_map_get(&h->upstream, prefix);

	if (w) {
		w->workers++;
		return 0;
	}
	if (!(w = malloc(sizeof *w)))
		return -1;
	if (zg_map_put(&h->upstream, prefix, w, NULL) != 0) {
		free(w);
		return -1;
	}
	if (zg_socket_subscribe(h->sub, prefix) != 0) {
		zg_map_del(&h->upstream, prefix);
		free(w);
		errno = ENOMEM;
		return -1;
	}
	*w = (struct wanted){ .workers = 1, .since = ++h->at.listened };
	h->p->counts->subscriptions = h->upstream.count;
	return 0;
}

void pubsub_hub_remove(struct hub *h, zg_str_t prefix)
{
	struct wanted *w = zg_map_get(&h->upstream, prefix);

	if (!w || --w->workers > 0)
		return;
	zg_map_del(&h->upstream, prefix);
	free(w);
	zg_socket_unsubscribe(h->sub, prefix);
	h->p->counts->subscriptions = h->upstream.count;
}

/* Whether it has been listened to since then without a break: by itself or by a
 * shorter prefix. */
static bool heard_since(const struct hub *h, zg_str_t topic, struct pubsub_place then)
{
	for (size_t n = 0; n <= topic.n; n++) {
		const struct wanted *w = zg_map_get(&h->upstream, zg_str_n(topic.p, n));

		if (w && w->since <= then.listened)
			return true;
	}
	return false;
}

/* ---- what is kept ---- */

static void stop_listening(struct hub *h)
{
	for (size_t i = 0; h->listening && h->listening[i]; i++) {
		pubsub_hub_remove(h, zg_str(h->listening[i]));
		free(h->listening[i]);
	}
	free(h->listening);
	h->listening = NULL;
}

/* What is kept has to be heard whether a client listens now or not. */
static int listen_for_keep(struct hub *h)
{
	const zg_list_t *topics = &h->p->conf->topics;
	size_t n = topics->count ? topics->count : 1;

	if (!(h->listening = calloc(n + 1, sizeof *h->listening)))
		return -1;
	for (size_t i = 0; i < n; i++) {
		char *prefix = strdup(topics->count ? topics->item[i] : "");

		if (!prefix || pubsub_hub_add(h, zg_str(prefix)) != 0) {
			free(prefix);
			return -1;
		}
		h->listening[i] = prefix;
	}
	return 0;
}

static int open_keep(struct hub *h)
{
	const struct pubsub_conf *conf = h->p->conf;

	if (!conf->last_value && !conf->history_count && !conf->history_ms)
		return 0;
	if (!h->keep && !(h->keep = pubsub_keep_new(h->p->in, h->p->counts, h->at.seq)))
		return -1;
	pubsub_keep_reload(h->keep);
	return listen_for_keep(h);
}

void pubsub_hub_reload(struct hub *h)
{
	char **was = h->listening;
	char **is;

	h->listening = NULL;
	if (open_keep(h) != 0)
		zg_error("%s: out of memory: not all of topics is kept", h->p->in->name);
	/* the old ones go after the new ones are there: nothing is missed */
	is = h->listening;
	h->listening = was;
	stop_listening(h);
	h->listening = is;
	if (h->keep && !h->listening)
		pubsub_keep_free(&h->keep);
}

/* ---- what was missed ---- */

void pubsub_hub_answer(struct hub *h, struct pubsub_ask *ask)
{
	ask->upto = h->at;
	if (h->keep) {
		pubsub_keep_answer(h->keep, h->at, ask);
	} else if (ask->resumes) {
		ask->unknown = ask->foreign || ask->since.seq > h->at.seq;
		for (size_t i = 0; i < ask->topics && !ask->unknown; i++)
			ask->unknown = !heard_since(h, ask->topic[i], ask->since);
		ask->missed = ask->unknown ? 0 : h->at.seq - ask->since.seq;
	}
}

/* ---- to ZeroMQ ---- */

static bool may_publish(const struct pubsub *p, zg_str_t topic)
{
	const zg_list_t *list = &p->conf->publish_topics;

	for (size_t i = 0; i < list->count; i++)
		if (zg_str_starts(topic, zg_str(list->item[i])))
			return true;
	return list->count == 0;
}

static void found(void *ctx, void *subscriber)
{
	(void)subscriber;
	*(bool *)ctx = true;
}

static bool has_listener(const struct hub *h, zg_str_t first_frame)
{
	bool is = h->too_many;

	zg_trie_match(h->listeners, first_frame, found, &is);
	return is;
}

/* A peer of pub (an XPUB) has subscribed or unsubscribed. */
static void on_listener(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct hub *h = ctx;
	zg_str_t prefix;

	(void)s;
	if (frames != 1 || frame[0].n == 0)
		return;
	prefix = zg_str_n(frame[0].p + 1, frame[0].n - 1);
	if (frame[0].p[0] == 0)
		zg_trie_remove(h->listeners, prefix, h);
	else if (frame[0].p[0] == 1 && zg_trie_add(h->listeners, prefix, h) < 0)
		h->too_many = true; /* from now on somebody is taken to listen */
}

int pubsub_hub_publish_frames(struct hub *h, const zg_str_t *frame, size_t frames)
{
	struct pubsub_counts *counts = h->p->counts;
	int rc = -1;

	if (!may_publish(h->p, frame[0]))
		errno = EACCES;
	else if (h->listeners && !has_listener(h, frame[0]))
		errno = EHOSTUNREACH;
	else
		rc = zg_socket_send(h->pub, frame, frames);
	*(rc == 0 ? &counts->published : &counts->publish_failed) += 1;
	return rc;
}

int pubsub_hub_publish(struct hub *h, zg_str_t topic, zg_str_t data)
{
	const zg_str_t frame[] = { topic, data };
	zg_buf_t *b = &h->joined;
	zg_str_t whole;
	int rc;

	if (h->p->conf->framing == PUBSUB_MULTIPART)
		return pubsub_hub_publish_frames(h, frame, 2);
	if (topic.n == 0)
		return pubsub_hub_publish_frames(h, &data, 1);
	zg_buf_clear(b);
	if (zg_buf_add_str(b, topic) != 0 || zg_buf_add(b, " ", 1) != 0 ||
	    zg_buf_add_str(b, data) != 0) {
		h->p->counts->publish_failed++;
		errno = ENOMEM;
		return -1;
	}
	whole = zg_buf_str(b);
	rc = pubsub_hub_publish_frames(h, &whole, 1);
	pubsub_forget_large(b);
	return rc;
}

/* ---- opening and closing ---- */

static int open_sockets(struct hub *h, zg_err_t *err)
{
	zg_instance_t *in = h->p->in;
	const struct pubsub_conf *conf = in->conf;

	h->sub = zg_socket_open(in, &(zg_socket_options_t){
		.name = "sub", .type = ZG_SOCKET_SUB, .endpoint = conf->sub.item,
		.endpoints = conf->sub.count, .message = received, .ctx = h,
		/* what is larger than a client's queue reaches no client */
		.max_message = in->location->client_queue,
	}, err);
	if (!h->sub)
		return -1;
	if (conf->pub.count == 0)
		return 0;
	if (conf->publish_required && !(h->listeners = zg_trie_new(PUBSUB_TOPICS_MAX)))
		return zg_err(err, "out of memory");
	h->pub = zg_socket_open(in, &(zg_socket_options_t){
		.name = "pub", .type = h->listeners ? ZG_SOCKET_XPUB : ZG_SOCKET_PUB,
		.message = h->listeners ? on_listener : NULL, .endpoint = conf->pub.item,
		.endpoints = conf->pub.count, .ctx = h,
	}, err);
	return h->pub ? 0 : -1;
}

int pubsub_hub_open(struct pubsub *p, zg_err_t *err)
{
	struct hub *h = calloc(1, sizeof *h);

	if (!h)
		return zg_err(err, "out of memory");
	p->hub = h;
	h->p = p;
	h->joined = ZG_BUF((size_t)1 << 30);
	h->upstream.max = PUBSUB_TOPICS_MAX * p->in->family->members;
	if (open_sockets(h, err) != 0)
		return -1;
	if (p->in->family->members > 1 && !(h->links = pubsub_links_new(p)))
		return zg_err(err, "out of memory");
	return open_keep(h) == 0 ? 0 : zg_err(err, "out of memory");
}

void pubsub_hub_close(struct hub **handle)
{
	struct hub *h = *handle;

	if (!h)
		return;
	*handle = NULL;
	stop_listening(h);
	zg_socket_close(&h->sub, 0);
	zg_socket_close(&h->pub, PUB_LINGER_MS);
	pubsub_links_free(&h->links);
	pubsub_keep_free(&h->keep);
	for (zg_map_entry_t *e = NULL; (e = zg_map_next(&h->upstream, e));)
		free(e->value);
	zg_map_free(&h->upstream);
	zg_trie_free(&h->listeners);
	zg_buf_free(&h->joined);
	free(h);
}

struct links *pubsub_hub_links(struct hub *h)
{
	return h->links;
}
