/* Between a location's home and its other workers: what they want, what they
 * are sent, what their clients publish. All by letters (engine/worker.h). */
#include "pubsub.h"
#include <errno.h>
#include <stdlib.h>

#define BATCH_MAX      1024       /* messages in one letter */
#define AWAY_MAX       (32u << 20) /* bytes that a worker has not taken yet; more are dropped */
#define PUBLISHING_MAX (4u << 20)  /* bytes from a worker that the hub has not taken yet */

/* ---- what a worker wants ---- */

struct note {
	zg_letter_t letter;
	unsigned from;
	bool on;
	size_t n;
	char text[];
};

static void arrived(zg_instance_t *home, void *ctx)
{
	struct note *note = ctx;
	const struct pubsub *p = home ? home->state : NULL;

	if (p && note->on && pubsub_links_add(pubsub_hub_links(p->hub), note->from,
	                                      zg_str_n(note->text, note->n)) != 0)
		zg_error("%s: out of memory: worker %u misses a topic", home->name, note->from);
	else if (p && !note->on)
		pubsub_links_remove(pubsub_hub_links(p->hub), note->from, zg_str_n(note->text, note->n));
	free(note);
}

static int send_note(struct pubsub *p, zg_str_t prefix, bool on)
{
	struct note *note = malloc(sizeof *note + prefix.n);

	if (!note) {
		errno = ENOMEM;
		return -1;
	}
	note->from = p->in->worker->index;
	note->on = on;
	note->n = prefix.n;
	if (prefix.n > 0)
		memcpy(note->text, prefix.p, prefix.n);
	zg_instance_send(p->in, p->in->family->home, &note->letter, arrived, note);
	return 0;
}

int pubsub_hub_want(struct pubsub *p, zg_str_t prefix)
{
	return p->hub ? pubsub_hub_add(p->hub, prefix) : send_note(p, prefix, true);
}

void pubsub_hub_unwant(struct pubsub *p, zg_str_t prefix)
{
	/* without memory for the note the home sends on what nobody here wants */
	if (p->hub)
		pubsub_hub_remove(p->hub, prefix);
	else
		send_note(p, prefix, false);
}

/* ---- messages for the other workers ---- */

struct batch {
	zg_letter_t letter;
	struct peer *peer;  /* the home's; not to be touched elsewhere */
	unsigned home;
	uint64_t missed;
	size_t n, bytes;
	struct pubsub_event *event[BATCH_MAX];
};

struct peer {
	struct links *links;
	unsigned worker;
	uint64_t stamp;     /* of the last message it is sent */
	struct batch *open; /* being filled in this turn */
	size_t away;        /* bytes that it has not taken yet */
	uint64_t missed;    /* messages that it could not be sent */
	zg_defer_t flush;
};

struct links {
	struct pubsub *p;
	zg_trie_t *interest; /* prefix -> peer */
	unsigned peers;
	struct peer peer[];
};

static void taken(zg_instance_t *home, void *ctx)
{
	struct batch *b = ctx;

	if (home)
		b->peer->away -= b->bytes;
	free(b);
}

static void deliver(zg_instance_t *there, void *ctx)
{
	struct batch *b = ctx;
	struct pubsub *p = there ? there->state : NULL;

	if (p && b->missed > 0)
		pubsub_tell_missed(p, b->missed);
	for (size_t i = 0; i < b->n; i++) {
		if (p && pubsub_deliver(p, &b->event[i]->m))
			pubsub_lag_note(p, &b->event[i]->m, b->event[i]);
		pubsub_event_unref(b->event[i]);
	}
	zg_letter_return(&b->letter, b->home, taken);
}

static void flush(void *ctx)
{
	struct peer *peer = ctx;
	struct batch *b = peer->open;

	zg_defer_cancel(&peer->flush);
	peer->open = NULL;
	if (!b)
		return;
	b->missed = peer->missed;
	peer->missed = 0;
	peer->away += b->bytes;
	zg_instance_send(peer->links->p->in, peer->worker, &b->letter, deliver, b);
}

static struct batch *batch_for(struct peer *peer, const struct pubsub_event *e)
{
	struct batch *b;

	if (peer->open && peer->open->n == BATCH_MAX)
		flush(peer);
	if (peer->away + (peer->open ? peer->open->bytes : 0) + e->bytes > AWAY_MAX)
		return NULL;
	if (peer->open || !(b = malloc(sizeof *b)))
		return peer->open;
	b->peer = peer;
	b->home = peer->links->p->in->worker->index;
	b->n = b->bytes = 0;
	peer->open = b;
	zg_defer(peer->links->p->in->loop, &peer->flush);
	return b;
}

struct sending {
	struct links *links;
	const struct pubsub_message *m;
	struct pubsub_event **event;
	bool matched;
};

static void send_to(void *ctx, void *subscriber)
{
	struct sending *s = ctx;
	struct peer *peer = subscriber;
	struct pubsub *p = s->links->p;
	struct batch *b = NULL;

	s->matched = true;
	if (peer->stamp == s->m->at.seq)
		return; /* by another of its prefixes already */
	peer->stamp = s->m->at.seq;
	if (!*s->event)
		*s->event = pubsub_event_new(s->m, zg_loop_now(p->in->loop));
	if (*s->event && (b = batch_for(peer, *s->event))) {
		b->event[b->n++] = pubsub_event_ref(*s->event);
		b->bytes += (*s->event)->bytes;
		return;
	}
	peer->missed++;
	p->counts->worker_dropped++;
}

bool pubsub_links_send(struct links *l, const struct pubsub_message *m, struct pubsub_event **event)
{
	struct sending s = { l, m, event, false };

	if (zg_trie_prefixes(l->interest) > 0)
		zg_trie_match(l->interest, m->frame[0], send_to, &s);
	return s.matched;
}

int pubsub_links_add(struct links *l, unsigned worker, zg_str_t prefix)
{
	if (zg_trie_add(l->interest, prefix, &l->peer[worker]) < 0)
		return -1;
	if (pubsub_hub_add(l->p->hub, prefix) == 0)
		return 0;
	zg_trie_remove(l->interest, prefix, &l->peer[worker]);
	return -1;
}

void pubsub_links_remove(struct links *l, unsigned worker, zg_str_t prefix)
{
	if (zg_trie_remove(l->interest, prefix, &l->peer[worker]) >= 0)
		pubsub_hub_remove(l->p->hub, prefix);
}

struct links *pubsub_links_new(struct pubsub *p)
{
	unsigned n = p->in->family->members;
	struct links *l = calloc(1, sizeof *l + n * sizeof l->peer[0]);

	if (!l)
		return NULL;
	l->p = p;
	l->peers = n;
	for (unsigned i = 0; i < n; i++) {
		l->peer[i].links = l;
		l->peer[i].worker = i;
		zg_defer_init(&l->peer[i].flush, flush, &l->peer[i]);
	}
	if (!(l->interest = zg_trie_new((size_t)PUBSUB_TOPICS_MAX * n)))
		pubsub_links_free(&l);
	return l;
}

void pubsub_links_free(struct links **handle)
{
	struct links *l = *handle;

	if (!l)
		return;
	*handle = NULL;
	for (unsigned i = 0; i < l->peers; i++) {
		struct batch *b = l->peer[i].open;

		zg_defer_cancel(&l->peer[i].flush);
		for (size_t k = 0; b && k < b->n; k++)
			pubsub_event_unref(b->event[k]);
		free(b);
	}
	zg_trie_free(&l->interest);
	free(l);
}

/* ---- asking what was missed ---- */

void pubsub_ask_free(struct pubsub_ask *ask)
{
	for (size_t i = 0; i < ask->events; i++)
		pubsub_event_unref(ask->event[i]);
	free(ask->event);
	free(ask);
}

static void answer_arrived(zg_instance_t *there, void *ctx)
{
	struct pubsub_ask *ask = ctx;

	if (there)
		pubsub_answered(there->state, ask);
	else
		pubsub_ask_free(ask);
}

static void ask_arrived(zg_instance_t *home, void *ctx)
{
	struct pubsub_ask *ask = ctx;

	if (home) {
		const struct pubsub *p = home->state;

		/* what it was sent so far comes before the answer */
		flush(&pubsub_hub_links(p->hub)->peer[ask->from]);
		pubsub_hub_answer(p->hub, ask);
	}
	zg_letter_return(&ask->letter, ask->from, answer_arrived);
}

void pubsub_hub_ask(struct pubsub *p, struct pubsub_ask *ask)
{
	ask->from = p->in->worker->index;
	if (!p->hub) {
		zg_instance_send(p->in, p->in->family->home, &ask->letter, ask_arrived, ask);
		return;
	}
	pubsub_hub_answer(p->hub, ask);
	pubsub_answered(p, ask);
}

/* ---- publishing ---- */

/* For clients that cannot be told otherwise. */
static void close_forbidden(struct pubsub_client *c, int why)
{
	if (why == EACCES)
		zg_ws_close(c->ws, 1008, pubsub_why_not(why));
}

static void publication_back(zg_instance_t *there, void *ctx)
{
	struct pubsub_publication *pub = ctx;
	struct pubsub *p = there ? there->state : NULL;

	if (p) {
		p->publishing -= pub->bytes;
		p->counts->publish_failed += pub->rc == ECANCELED;
	}
	if (p && pub->client) {
		zg_list_remove(&pub->link);
		if (pub->as_it_is)
			close_forbidden(pub->client, pub->rc);
		else
			pubsub_v1_published(p, pub->client, pub->id, pub->rc);
	}
	free(pub->id);
	free(pub);
}

static void publish_here(zg_instance_t *home, void *ctx)
{
	struct pubsub_publication *pub = ctx;
	struct pubsub *p = home ? home->state : NULL;

	pub->rc = 0;
	if (!p)
		pub->rc = ECANCELED;
	else if (pub->as_it_is ? pubsub_hub_publish_frames(p->hub, pub->frame, pub->frames)
	                       : pubsub_hub_publish(p->hub, pub->frame[0], pub->frame[1]))
		pub->rc = errno;
	zg_letter_return(&pub->letter, pub->from, publication_back);
}

static struct pubsub_publication *publication_new(struct pubsub *p, const zg_str_t *frame,
                                                  size_t frames)
{
	size_t bytes = sizeof(struct pubsub_publication) + frames * sizeof *frame;
	struct pubsub_publication *pub;
	char *at;

	for (size_t i = 0; i < frames; i++)
		bytes += frame[i].n;
	/* one is let through whatever its size, which max_body bounds */
	if ((p->publishing > 0 && p->publishing + bytes > PUBLISHING_MAX) || !(pub = malloc(bytes)))
		return NULL;
	*pub = (struct pubsub_publication){ .bytes = bytes, .frames = frames };
	at = (char *)&pub->frame[frames];
	for (size_t i = 0; i < frames; i++) {
		pub->frame[i] = zg_str_n(at, frame[i].n);
		if (frame[i].n > 0)
			memcpy(at, frame[i].p, frame[i].n);
		at += frame[i].n;
	}
	return pub;
}

static int send_publication(struct pubsub *p, struct pubsub_client *c,
                            struct pubsub_publication *pub)
{
	if (!pub) {
		p->counts->publish_failed++;
		errno = EAGAIN;
		return -1;
	}
	pub->client = c;
	pub->from = p->in->worker->index;
	p->publishing += pub->bytes;
	zg_list_append(&c->publications, &pub->link);
	zg_instance_send(p->in, p->in->family->home, &pub->letter, publish_here, pub);
	return 1;
}

int pubsub_publish(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, zg_str_t data,
                   const char *id)
{
	const zg_str_t frame[] = { topic, data };
	struct pubsub_publication *pub;

	if (p->hub)
		return pubsub_hub_publish(p->hub, topic, data);
	pub = publication_new(p, frame, 2);
	if (pub)
		pub->id = id ? strdup(id) : NULL;
	return send_publication(p, c, pub);
}

void pubsub_publish_frames(struct pubsub *p, struct pubsub_client *c, const zg_str_t *frame,
                           size_t frames)
{
	struct pubsub_publication *pub;

	if (p->hub) {
		if (pubsub_hub_publish_frames(p->hub, frame, frames) != 0)
			close_forbidden(c, errno);
		return;
	}
	pub = publication_new(p, frame, frames);
	if (pub)
		pub->as_it_is = true;
	send_publication(p, c, pub);
}
