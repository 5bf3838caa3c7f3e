/* Messages that are kept, and cursors, which name a place among them. */
#include "pubsub.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct pubsub_event *pubsub_event_new(const struct pubsub_message *m, uint64_t now)
{
	size_t bytes = sizeof(struct pubsub_event) + m->frames * sizeof *m->frame;
	struct pubsub_event *e;
	char *at;

	for (size_t i = 0; i < m->frames; i++)
		bytes += m->frame[i].n;
	if (!(e = malloc(bytes)))
		return NULL;
	*e = (struct pubsub_event){ .refs = 1, .at = now, .bytes = bytes };
	e->m = (struct pubsub_message){ m->at, e->frame, m->frames };
	at = (char *)&e->frame[m->frames];
	for (size_t i = 0; i < m->frames; i++) {
		e->frame[i] = zg_str_n(at, m->frame[i].n);
		if (m->frame[i].n)
			memcpy(at, m->frame[i].p, m->frame[i].n);
		at += m->frame[i].n;
	}
	return e;
}

struct pubsub_event *pubsub_event_ref(struct pubsub_event *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void pubsub_event_unref(struct pubsub_event *e)
{
	if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
		free(e);
}

zg_str_t pubsub_topic_of(const struct pubsub_message *m)
{
	zg_str_t topic = m->frame[0];
	const char *blank;

	if (m->frames == 1 && topic.n > 0 && (blank = memchr(topic.p, ' ', topic.n)))
		topic.n = (size_t)(blank - topic.p);
	return topic;
}

/* ---- cursors ---- */

static uint64_t epoch_of(const zg_instance_t *in)
{
	return ((const struct pubsub_shared *)in->shared)->epoch;
}

void pubsub_cursor_text(const zg_instance_t *in, struct pubsub_place at,
                        char out[PUBSUB_CURSOR_SIZE])
{
	snprintf(out, PUBSUB_CURSOR_SIZE, "%" PRIx64 "-%" PRIu64 "-%" PRIu64, epoch_of(in), at.seq,
	         at.listened);
}

static bool number(zg_str_t s, int base, uint64_t *n)
{
	char text[24], *end;

	if (s.n == 0 || s.n >= sizeof text)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (strspn(text, base == 16 ? "0123456789abcdef" : "0123456789") != s.n)
		return false;
	*n = strtoull(text, &end, base);
	return *end == '\0';
}

int pubsub_cursor_parse(const zg_instance_t *in, zg_str_t text, struct pubsub_place *at, bool *ours)
{
	zg_str_t epoch, seq;
	uint64_t e;

	if (!zg_str_cut(&text, '-', &epoch) || !number(epoch, 16, &e) ||
	    !zg_str_cut(&text, '-', &seq) || !number(seq, 10, &at->seq) ||
	    !number(text, 10, &at->listened))
		return -1;
	*ours = e == epoch_of(in);
	if (!*ours)
		*at = (struct pubsub_place){ 0 };
	return 0;
}
