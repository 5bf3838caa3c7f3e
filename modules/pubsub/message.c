#include "pubsub.h"
#include <limits.h>
#include <openssl/evp.h>

#define FRAMES_MAX 64      /* the most that a ZeroMQ socket of the gateway delivers */
#define KEEP       1048576 /* bytes that a buffer keeps between messages */

/* ---- from ZeroMQ ---- */

/* One message on its way to the groups; what several need is made once. */
struct delivery {
	struct pubsub *p;
	zg_str_t topic;                     /* of zgate.v1 */
	zg_str_t part[2 * FRAMES_MAX];      /* the frames, joined by blanks */
	size_t parts, data;                 /* data: the first part after the topic */
	zg_str_t after;                     /* of a single frame: what follows the topic */
	bool matched, raw_ready, json_ready;
	zg_ws_type_t raw_type;
	zg_str_t json;
};

static void take(struct delivery *d, const zg_str_t *frame, size_t frames)
{
	const char *blank;

	for (size_t i = 0; i < frames; i++) {
		if (i > 0)
			d->part[d->parts++] = ZG_STR(" ");
		d->part[d->parts++] = frame[i];
	}
	d->topic = frame[0];
	d->data = 2;
	if (frames > 1)
		return;
	d->data = 1;
	blank = frame[0].n ? memchr(frame[0].p, ' ', frame[0].n) : NULL;
	if (!blank)
		return;
	d->topic.n = (size_t)(blank - frame[0].p);
	d->after = zg_str_n(blank + 1, frame[0].n - d->topic.n - 1);
}

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
static int join_data(struct delivery *d, zg_str_t *data)
{
	zg_buf_t *b = &d->p->joined;

	*data = d->after;
	if (d->parts - d->data == 1)
		*data = d->part[d->data];
	if (d->parts - d->data <= 1)
		return 0;
	zg_buf_clear(b);
	for (size_t i = d->data; i < d->parts; i++)
		if (zg_buf_add_str(b, d->part[i]) != 0)
			return -1;
	*data = zg_buf_str(b);
	return 0;
}

static int make_json(struct delivery *d)
{
	zg_buf_t *b = &d->p->json;
	zg_str_t data;

	zg_buf_clear(b);
	if (join_data(d, &data) != 0 || zg_buf_add_str(b, ZG_STR("{\"op\":\"message\"")) != 0 ||
	    add_member(b, "topic", d->topic) != 0 || add_member(b, "data", data) != 0 ||
	    zg_buf_add(b, "}", 1) != 0)
		return -1;
	d->json = zg_buf_str(b);
	return 0;
}

static void append_v1(struct delivery *d, zg_fanout_t *f)
{
	if (!d->json_ready) {
		d->json_ready = true;
		if (make_json(d) != 0)
			d->json = ZG_STR_NONE;
	}
	if (d->json.n > 0)
		zg_fanout_append(f, ZG_WS_TEXT, &d->json, 1);
	else
		d->p->counts->undelivered += f->count;
}

static void append_raw(struct delivery *d, zg_fanout_t *f)
{
	if (!d->raw_ready) {
		d->raw_ready = true;
		d->raw_type = zg_ws_type_of(d->part, d->parts);
	}
	zg_fanout_append(f, d->raw_type, d->part, d->parts);
}

static void deliver(void *ctx, void *subscriber)
{
	struct pubsub_group *g = *(struct pubsub_group **)subscriber;
	struct delivery *d = ctx;

	d->matched = true;
	if (g->stamp == d->p->stamp)
		return; /* matched by another of its topics already */
	g->stamp = d->p->stamp;
	if (g->encoding == PUBSUB_V1)
		append_v1(d, &g->fanout);
	else
		append_raw(d, &g->fanout);
}

static void forget_large(zg_buf_t *b)
{
	if (b->room > KEEP)
		zg_buf_free(b);
}

void pubsub_received(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct pubsub *p = ctx;
	struct delivery d;

	(void)s;
	p->counts->received++;
	if (frames > FRAMES_MAX) {
		p->counts->unmatched++;
		return;
	}
	d.p = p;
	d.parts = 0;
	d.after = ZG_STR_NONE;
	d.matched = d.raw_ready = d.json_ready = false;
	take(&d, frame, frames);
	p->stamp++;
	zg_trie_match(p->trie, frame[0], deliver, &d);
	if (!d.matched)
		p->counts->unmatched++;
	forget_large(&p->json);
	forget_large(&p->joined);
}

/* ---- to ZeroMQ ---- */

static int send_counted(struct pubsub *p, const zg_str_t *frame, size_t frames)
{
	int rc = zg_socket_send(p->pub, frame, frames);

	if (rc == 0)
		p->counts->published++;
	else
		p->counts->publish_failed++;
	return rc;
}

int pubsub_publish(struct pubsub *p, zg_str_t topic, zg_str_t data)
{
	const zg_str_t frame[] = { topic, data };
	zg_buf_t *b = &p->joined;
	zg_str_t whole;
	int rc;

	if (p->conf->framing == PUBSUB_MULTIPART)
		return send_counted(p, frame, 2);
	if (topic.n == 0)
		return send_counted(p, &data, 1);
	zg_buf_clear(b);
	if (zg_buf_add_str(b, topic) != 0 || zg_buf_add(b, " ", 1) != 0 ||
	    zg_buf_add_str(b, data) != 0) {
		p->counts->publish_failed++;
		return -1;
	}
	whole = zg_buf_str(b);
	rc = send_counted(p, &whole, 1);
	forget_large(b);
	return rc;
}

int pubsub_publish_raw(struct pubsub *p, zg_str_t data)
{
	return send_counted(p, &data, 1);
}
