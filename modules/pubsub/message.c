/* Messages encoded for clients, each encoding once for all who share it. */
#include "pubsub.h"
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>

#define KEEP 1048576 /* bytes that a buffer keeps between messages */

/* One message on its way to the groups; what several need is made once. */
struct delivery {
	struct pubsub *p;
	const struct pubsub_message *m;
	zg_str_t part[2 * PUBSUB_FRAMES_MAX]; /* the frames, joined by blanks */
	size_t parts;
	bool matched, has_json;
	struct wire {
		bool made;
		zg_ws_type_t type;
		const zg_str_t *part;
		size_t parts; /* 0: there was no memory for it */
		zg_str_t own[5];
	} wire[PUBSUB_ENCODINGS], deflated[PUBSUB_ENCODINGS];
	enum pubsub_encoding compressed; /* whose bytes lie in p->deflated */
	zg_str_t zws[2 * PUBSUB_FRAMES_MAX];
	unsigned char zws_head[PUBSUB_FRAMES_MAX][PUBSUB_ZWS_HEAD];
	zg_str_t json; /* n == 0: there was no memory for it */
	char cursor[PUBSUB_CURSOR_SIZE];
};

static void delivery_init(struct delivery *d, struct pubsub *p, const struct pubsub_message *m)
{
	d->p = p;
	d->m = m;
	d->parts = 0;
	d->matched = d->has_json = false;
	d->json = ZG_STR_NONE;
	d->cursor[0] = '\0';
	for (size_t i = 0; i < PUBSUB_ENCODINGS; i++)
		d->wire[i].made = d->deflated[i].made = false;
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

static const char *cursor_of(struct delivery *d)
{
	if (!d->cursor[0])
		pubsub_cursor_text(d->p->in, d->m->at, d->cursor);
	return d->cursor;
}

/* Several encodings hold it. */
static zg_str_t json_of(struct delivery *d)
{
	zg_buf_t *b = &d->p->json;
	zg_str_t topic = pubsub_topic_of(d->m), data;

	if (d->has_json)
		return d->json;
	d->has_json = true;
	zg_buf_clear(b);
	if (join_data(d, topic, &data) == 0 && zg_buf_add_str(b, ZG_STR("{\"op\":\"message\"")) == 0 &&
	    add_member(b, "topic", topic) == 0 && add_member(b, "data", data) == 0 &&
	    zg_buf_printf(b, ",\"cursor\":\"%s\"}", cursor_of(d)) == 0)
		d->json = zg_buf_str(b);
	return d->json;
}

/* ---- events (WHATWG HTML, 9.2) ---- */

/* "data: LINE" for each line of the bytes, which go on in the next part. */
static int add_lines(zg_buf_t *b, zg_str_t s)
{
	int rc = 0;

	for (size_t i = 0, from = 0; i <= s.n && rc == 0; i++) {
		if (i < s.n && s.p[i] != '\n' && s.p[i] != '\r')
			continue;
		rc = zg_buf_add(b, s.p + from, i - from);
		if (i == s.n)
			break;
		i += s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n';
		from = i + 1;
		rc |= zg_buf_add_str(b, ZG_STR("\ndata: "));
	}
	return rc;
}

/* Events are UTF-8: other bytes go as base64, under a name of their own. */
static int make_event(struct delivery *d, zg_buf_t *b)
{
	bool text = zg_ws_type_of(d->part, d->parts) == ZG_WS_TEXT;
	zg_buf_t *whole = &d->p->joined;
	int rc;

	zg_buf_clear(b);
	rc = zg_buf_printf(b, "id: %s\n%sdata: ", cursor_of(d), text ? "" : "event: base64\n");
	for (size_t i = 0; i < d->parts && text && rc == 0; i++)
		rc = add_lines(b, d->part[i]);
	if (!text) {
		zg_buf_clear(whole);
		for (size_t i = 0; i < d->parts && rc == 0; i++)
			rc = zg_buf_add_str(whole, d->part[i]);
		if (rc == 0 && (rc = pubsub_add_base64(b, zg_buf_str(whole))) == 0) {
			/* without its quotes */
			char *open = memchr(b->data, '"', b->len);

			memmove(open, open + 1, b->len - (size_t)(open + 1 - b->data));
			b->len -= 2;
		}
	}
	return rc == 0 ? zg_buf_add(b, "\n\n", 2) : -1;
}

/* ---- all of them ---- */

static void make(struct delivery *d, enum pubsub_encoding encoding)
{
	struct wire *w = &d->wire[encoding];

	w->made = true;
	w->type = encoding == PUBSUB_V1 ? ZG_WS_TEXT : ZG_WS_BYTES;
	w->part = w->own;
	w->parts = 0;
	switch (encoding) {
	case PUBSUB_RAW:
		w->type = zg_ws_type_of(d->part, d->parts);
		w->part = d->part;
		w->parts = d->parts;
		return;
	case PUBSUB_ZWS:
		w->part = d->zws;
		w->parts = pubsub_zws_encode(d->m, d->zws, d->zws_head);
		return;
	case PUBSUB_SSE:
		if (make_event(d, &d->p->sse) == 0)
			w->own[w->parts++] = zg_buf_str(&d->p->sse);
		return;
	default:
		break;
	}
	if (json_of(d).n == 0)
		return;
	if (encoding == PUBSUB_SSE_JSON) {
		w->own[w->parts++] = ZG_STR("id: ");
		w->own[w->parts++] = zg_str(cursor_of(d));
		w->own[w->parts++] = ZG_STR("\ndata: ");
	}
	w->own[w->parts++] = json_of(d);
	if (encoding == PUBSUB_SSE_JSON)
		w->own[w->parts++] = ZG_STR("\n\n");
	else if (encoding == PUBSUB_POLL)
		w->own[w->parts++] = ZG_STR(",\n");
}

zg_msg_t *pubsub_gap(enum pubsub_encoding encoding, uint64_t missed, bool known)
{
	static const struct {
		zg_ws_type_t type;
		const char *before, *after;
	} form[PUBSUB_ENCODINGS] = {
		[PUBSUB_V1] = { ZG_WS_TEXT, "{\"op\":\"gap\",\"missed\":", "}" },
		[PUBSUB_SSE] = { ZG_WS_BYTES, "event: gap\ndata: {\"missed\":", "}\n\n" },
		[PUBSUB_SSE_JSON] = { ZG_WS_BYTES, "event: gap\ndata: {\"missed\":", "}\n\n" },
		[PUBSUB_POLL] = { ZG_WS_BYTES, "{\"op\":\"gap\",\"missed\":", "},\n" },
	};
	char number[24] = "null";
	zg_str_t part[3];

	if (!form[encoding].before)
		return NULL;
	if (known)
		snprintf(number, sizeof number, "%llu", (unsigned long long)missed);
	part[0] = zg_str(form[encoding].before);
	part[1] = zg_str(number);
	part[2] = zg_str(form[encoding].after);
	return zg_ws_encode(form[encoding].type, part, 3);
}

/* Compressed if it is large and the client takes that. Its bytes lie in a buffer
 * that the next encoding uses again. */
static const struct wire *wire_for(struct delivery *d, enum pubsub_encoding encoding, bool deflates)
{
	struct wire *w = &d->wire[encoding], *small = &d->deflated[encoding];
	size_t len = 0;

	if (!w->made)
		make(d, encoding);
	for (size_t i = 0; i < w->parts && deflates; i++)
		len += w->part[i].n;
	if (!deflates || len < ZG_DEFLATE_MIN || w->type == ZG_WS_BYTES)
		return w;
	if (!small->made || d->compressed != encoding) {
		small->made = true;
		d->compressed = encoding;
		small->type = w->type == ZG_WS_TEXT ? ZG_WS_TEXT_DEFLATED : ZG_WS_BINARY_DEFLATED;
		small->part = small->own;
		small->parts = zg_deflate_message(&d->p->deflate, w->part, w->parts, &d->p->deflated);
		small->own[0] = zg_buf_str(&d->p->deflated);
	}
	return small->parts ? small : w;
}

static void append(struct delivery *d, struct pubsub_group *g, const struct wire *w)
{
	zg_fanout_append(&g->fanout, w->type, w->part, w->parts);
	if (g->fanout.burst.msg && g->fanout.burst.msg->units == 1)
		g->first = d->m->at.seq;
}

static void deliver(void *ctx, void *subscriber)
{
	struct pubsub_group *g = *(struct pubsub_group **)subscriber;
	struct delivery *d = ctx;
	const struct wire *w;

	d->matched = true;
	if (g->stamp == d->p->stamp)
		return; /* matched by another of its topics already */
	g->stamp = d->p->stamp;
	w = wire_for(d, g->encoding, g->deflates);
	if (w->parts == 0)
		d->p->counts->undelivered += g->fanout.count;
	else
		append(d, g, w);
}

void pubsub_forget_large(zg_buf_t *b)
{
	if (b->room > KEEP)
		zg_buf_free(b);
}

static void forget_scratch(struct pubsub *p)
{
	pubsub_forget_large(&p->json);
	pubsub_forget_large(&p->sse);
	pubsub_forget_large(&p->deflated);
	pubsub_forget_large(&p->joined);
}

bool pubsub_deliver(struct pubsub *p, const struct pubsub_message *m)
{
	struct delivery d;

	delivery_init(&d, p, m);
	p->stamp++;
	p->at = m->at;
	zg_trie_match(p->trie, m->frame[0], deliver, &d);
	forget_scratch(p);
	return d.matched;
}

int pubsub_encode(struct pubsub *p, const struct pubsub_client *c, const struct pubsub_message *m,
                  zg_burst_t *to)
{
	struct delivery d;
	const struct wire *w;
	int rc = -1;

	delivery_init(&d, p, m);
	w = wire_for(&d, c->encoding, c->ws->deflates);
	if (w->parts > 0)
		rc = zg_burst_append(to, w->type, w->part, w->parts);
	forget_scratch(p);
	return rc;
}
