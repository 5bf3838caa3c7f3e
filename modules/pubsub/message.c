/* Messages encoded for clients, each encoding once for all who share it. */
#include "pubsub.h"
#include <limits.h>
#include <openssl/evp.h>

#define KEEP 1048576 /* bytes that a buffer keeps between messages */

/* One message on its way to the groups; what several need is made once. */
struct delivery {
	struct pubsub *p;
	const struct pubsub_message *m;
	zg_str_t part[2 * PUBSUB_FRAMES_MAX]; /* the frames, joined by blanks */
	size_t parts;
	bool matched;
	struct {
		bool made;
		zg_ws_type_t type;
		const zg_str_t *part;
		size_t parts; /* 0: there was no memory for it */
	} wire[PUBSUB_ENCODINGS];
	zg_str_t json;
};

static void delivery_init(struct delivery *d, struct pubsub *p, const struct pubsub_message *m)
{
	d->p = p;
	d->m = m;
	d->parts = 0;
	d->matched = false;
	for (size_t i = 0; i < PUBSUB_ENCODINGS; i++)
		d->wire[i].made = false;
	for (size_t i = 0; i < m->frames; i++) {
		if (i > 0)
			d->part[d->parts++] = ZG_STR(" ");
		d->part[d->parts++] = m->frame[i];
	}
}

/* ---- zgate.v1 ---- */

int pubsub_add_base64(zg_buf_t *b, zg_str_t data)
{
	size_t size = (data.n + 2) / 3 * 4;

	/* EVP_EncodeBlock adds a NUL */
	if (data.n > INT_MAX / 2 || zg_buf_reserve(b, size + 3) != 0)
		return -1;
	b->data[b->len++] = '"';
	if (data.n > 0)
		b->len += (size_t)EVP_EncodeBlock((unsigned char *)b->data + b->len,
		                                  (const unsigned char *)data.p, (int)data.n);
	b->data[b->len++] = '"';
	return 0;
}

/* ,"NAME":"…" of UTF-8, else ,"NAME64":"…" */
static int add_member(zg_buf_t *b, const char *name, zg_str_t s)
{
	bool text = zg_utf8_valid(s);

	if (zg_buf_printf(b, ",\"%s%s\":", name, text ? "" : "64") != 0)
		return -1;
	return text ? zg_buf_add_json(b, s) : pubsub_add_base64(b, s);
}

/* What follows the topic, in one piece. */
static int join_data(struct delivery *d, zg_str_t topic, zg_str_t *data)
{
	zg_buf_t *b = &d->p->joined;
	zg_str_t whole = d->m->frame[0];

	*data = ZG_STR_NONE;
	if (d->m->frames == 1 && topic.n < whole.n)
		*data = zg_str_n(whole.p + topic.n + 1, whole.n - topic.n - 1);
	else if (d->m->frames == 2)
		*data = d->m->frame[1];
	if (d->m->frames <= 2)
		return 0;
	zg_buf_clear(b);
	for (size_t i = 2; i < d->parts; i++)
		if (zg_buf_add_str(b, d->part[i]) != 0)
			return -1;
	*data = zg_buf_str(b);
	return 0;
}

static int make_json(struct delivery *d)
{
	zg_buf_t *b = &d->p->json;
	zg_str_t topic = pubsub_topic_of(d->m), data;
	char cursor[PUBSUB_CURSOR_SIZE];

	zg_buf_clear(b);
	pubsub_cursor_text(d->p->in, d->m->seq, cursor);
	if (join_data(d, topic, &data) != 0 || zg_buf_add_str(b, ZG_STR("{\"op\":\"message\"")) != 0 ||
	    add_member(b, "topic", topic) != 0 || add_member(b, "data", data) != 0 ||
	    zg_buf_printf(b, ",\"cursor\":\"%s\"}", cursor) != 0)
		return -1;
	d->json = zg_buf_str(b);
	return 0;
}

/* ---- all of them ---- */

static void make(struct delivery *d, enum pubsub_encoding encoding)
{
	bool raw = encoding == PUBSUB_RAW;

	d->wire[encoding].made = true;
	d->wire[encoding].type = raw ? zg_ws_type_of(d->part, d->parts) : ZG_WS_TEXT;
	d->wire[encoding].part = raw ? d->part : &d->json;
	d->wire[encoding].parts = raw ? d->parts : make_json(d) == 0;
}

static void deliver(void *ctx, void *subscriber)
{
	struct pubsub_group *g = *(struct pubsub_group **)subscriber;
	struct delivery *d = ctx;

	d->matched = true;
	if (g->stamp == d->p->stamp)
		return; /* matched by another of its topics already */
	g->stamp = d->p->stamp;
	if (!d->wire[g->encoding].made)
		make(d, g->encoding);
	if (d->wire[g->encoding].parts == 0)
		d->p->counts->undelivered += g->fanout.count;
	else
		zg_fanout_append(&g->fanout, d->wire[g->encoding].type, d->wire[g->encoding].part,
		                 d->wire[g->encoding].parts);
}

void pubsub_forget_large(zg_buf_t *b)
{
	if (b->room > KEEP)
		zg_buf_free(b);
}

bool pubsub_deliver(struct pubsub *p, const struct pubsub_message *m)
{
	struct delivery d;

	delivery_init(&d, p, m);
	p->stamp++;
	p->seq = m->seq;
	zg_trie_match(p->trie, m->frame[0], deliver, &d);
	pubsub_forget_large(&p->json);
	pubsub_forget_large(&p->joined);
	return d.matched;
}

int pubsub_encode(struct pubsub *p, enum pubsub_encoding encoding, const struct pubsub_message *m,
                  zg_burst_t *to)
{
	struct delivery d;
	int rc = -1;

	delivery_init(&d, p, m);
	make(&d, encoding);
	if (d.wire[encoding].parts > 0)
		rc = zg_burst_append(to, d.wire[encoding].type, d.wire[encoding].part,
		                     d.wire[encoding].parts);
	pubsub_forget_large(&p->json);
	pubsub_forget_large(&p->joined);
	return rc;
}
