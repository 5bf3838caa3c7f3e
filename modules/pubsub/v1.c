#include "pubsub.h"
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* zgate.v1: one JSON object a text message, both ways; README.md lists them. */

#define ID_MAX     64 /* bytes of an id that is a string */
#define ERRORS_MAX 64 /* in a row; the client is closed after that */

/* ---- to the client ---- */

/* id is JSON; NULL: none */
static int add_id(zg_buf_t *b, const char *id)
{
	return id ? zg_buf_printf(b, ",\"id\":%s", id) : 0;
}

static int add_text(zg_buf_t *b, const char *name, zg_str_t text)
{
	return zg_buf_printf(b, ",\"%s\":", name) != 0 ? -1 : zg_buf_add_json(b, text);
}

static void send_out(struct pubsub *p, struct pubsub_client *c)
{
	if (zg_buf_add(&p->out, "}", 1) == 0)
		zg_ws_send_bytes(c->ws, ZG_WS_TEXT, zg_buf_str(&p->out));
}

/* {"op":OP,"topic":TOPIC,"id":ID,"cursor":CURSOR}; what is NULL is left out */
static void answer(struct pubsub *p, struct pubsub_client *c, const char *op, zg_str_t topic,
                   const char *id, const char *cursor)
{
	zg_buf_t *b = &p->out;

	c->errors = 0;
	zg_buf_clear(b);
	if (zg_buf_printf(b, "{\"op\":\"%s\"", op) == 0 &&
	    (!topic.p || add_text(b, "topic", topic) == 0) && add_id(b, id) == 0 &&
	    (!cursor || zg_buf_printf(b, ",\"cursor\":\"%s\"", cursor) == 0))
		send_out(p, c);
}

static void fail(struct pubsub *p, struct pubsub_client *c, const char *id, const char *code,
                 const char *detail)
{
	zg_buf_t *b = &p->out;

	p->counts->errors++;
	zg_buf_clear(b);
	if (zg_buf_printf(b, "{\"op\":\"error\",\"code\":\"%s\"", code) == 0 &&
	    add_text(b, "detail", zg_str(detail)) == 0 && add_id(b, id) == 0)
		send_out(p, c);
	if (++c->errors > ERRORS_MAX)
		zg_ws_close(c->ws, 1008, "too many errors in a row");
}

/* ---- from the client ---- */

struct message {
	json_t *json;
	void (*fn)(struct pubsub *p, struct pubsub_client *c, const struct message *m);
	const char *id; /* as JSON; NULL: none */
};

static zg_str_t string_of(const json_t *s)
{
	return zg_str_n(json_string_value(s), json_string_length(s));
}

/* "topic" of the message; false: the client was told what is wrong with it. */
static bool get_topic(struct pubsub *p, struct pubsub_client *c, const struct message *m,
                      zg_str_t *topic)
{
	const json_t *t = json_object_get(m->json, "topic");

	if (!json_is_string(t)) {
		fail(p, c, m->id, "bad_request", "\"topic\" is missing or no string");
		return false;
	}
	*topic = string_of(t);
	if (topic->n <= PUBSUB_TOPIC_MAX)
		return true;
	fail(p, c, m->id, "bad_request", "\"topic\" is longer than 512 bytes");
	return false;
}

/* "since" of the message; false: the client was told what is wrong with it. */
static bool get_since(struct pubsub *p, struct pubsub_client *c, const struct message *m,
                      struct pubsub_begin *begin)
{
	const json_t *since = json_object_get(m->json, "since");
	bool ours = true;

	*begin = (struct pubsub_begin){ .resumes = since != NULL };
	if (!since)
		return true;
	if (json_is_string(since) &&
	    pubsub_cursor_parse(p->in, string_of(since), &begin->since, &ours) == 0) {
		begin->foreign = !ours;
		return true;
	}
	fail(p, c, m->id, "bad_request", "\"since\" is no cursor that this gateway gave");
	return false;
}

static void on_subscribe(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	struct pubsub_set topics = { 0 };
	struct pubsub_begin begin;
	zg_str_t topic;

	if (!get_topic(p, c, m, &topic) || !get_since(p, c, m, &begin))
		return;
	if (!pubsub_allowed(p, topic)) {
		fail(p, c, m->id, "forbidden", "this location does not offer that topic");
		return;
	}
	free(c->op_id);
	c->op_id = m->id ? strdup(m->id) : NULL;
	c->op = true;
	if (pubsub_set_add(p, &topics, topic) != 0) {
		pubsub_v1_joined(p, c, errno);
		pubsub_set_free(p, &topics);
		return;
	}
	pubsub_join(p, c, topics, begin);
}

static const struct {
	int why;
	const char *code, *detail;
} reasons[] = {
	{ ENOSPC, "too_many", "you or all clients of this location together have too many topics; "
	                      "unsubscribe from others" },
	{ EACCES, "forbidden", "this location does not offer that topic" },
	{ 0, "unavailable", "the gateway is out of memory" },
};

void pubsub_v1_joined(struct pubsub *p, struct pubsub_client *c, int why)
{
	char cursor[PUBSUB_CURSOR_SIZE];
	size_t i = 0;

	pubsub_cursor_text(p->in, c->since, cursor);
	if (why == 0) {
		for (i = 0; i < c->asked.n; i++)
			answer(p, c, "subscribed", pubsub_topic_text(c->asked.item[i]), c->op_id, cursor);
		return;
	}
	while (reasons[i].why && reasons[i].why != why)
		i++;
	if (c->op)
		fail(p, c, c->op_id, reasons[i].code, reasons[i].detail);
	else
		zg_ws_close(c->ws, 1013, reasons[i].detail);
}

static void on_unsubscribe(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic;

	if (!get_topic(p, c, m, &topic))
		return;
	pubsub_want(p, c);
	pubsub_want_drop(p, topic);
	if (pubsub_settle(p, c) == 0)
		answer(p, c, "unsubscribed", topic, m->id, NULL);
	else
		fail(p, c, m->id, "unavailable", "the gateway is out of memory");
}

static bool is_base64(zg_str_t s)
{
	size_t n = s.n;

	for (int pad = 0; pad < 2 && n > 0 && s.p[n - 1] == '='; pad++)
		n--;
	for (size_t i = 0; i < n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		      (s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '+' || s.p[i] == '/'))
			return false;
	return s.n % 4 == 0;
}

/* Decodes into p->json. -1: out of memory. s is base64. */
static int decode(struct pubsub *p, zg_str_t s, zg_str_t *data)
{
	zg_buf_t *b = &p->json;
	size_t n;

	*data = ZG_STR_NONE;
	if (s.n == 0)
		return 0;
	zg_buf_clear(b);
	if (zg_buf_reserve(b, s.n) != 0)
		return -1;
	/* decodes padding to zero bytes and counts them */
	n = (size_t)EVP_DecodeBlock((unsigned char *)b->data, (const unsigned char *)s.p, (int)s.n);
	n -= (size_t)(s.p[s.n - 1] == '=') + (size_t)(s.p[s.n - 2] == '=');
	*data = zg_str_n(b->data, n);
	return 0;
}

/* The bytes of "data" or "data64"; false: the client was told what is wrong. */
static bool get_data(struct pubsub *p, struct pubsub_client *c, const struct message *m,
                     zg_str_t *data)
{
	const json_t *plain = json_object_get(m->json, "data");
	const json_t *base64 = json_object_get(m->json, "data64");

	if (json_is_string(plain) && !base64) {
		*data = string_of(plain);
		return true;
	}
	if (plain || !json_is_string(base64) || !is_base64(string_of(base64))) {
		fail(p, c, m->id, "bad_request",
		     "a message has either \"data\", a string, or \"data64\", a string in base64");
		return false;
	}
	if (decode(p, string_of(base64), data) == 0)
		return true;
	fail(p, c, m->id, "unavailable", "the gateway is out of memory");
	return false;
}

void pubsub_v1_published(struct pubsub *p, struct pubsub_client *c, const char *id, int why)
{
	if (why == 0)
		answer(p, c, "published", ZG_STR_NONE, id, NULL);
	else
		fail(p, c, id, why == EACCES ? "forbidden" : "unavailable", pubsub_why_not(why));
}

static void on_publish(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic, data;
	int rc;

	if (!p->publishes) {
		fail(p, c, m->id, "not_configured", "this location does not publish: it has no pub");
	} else if (get_topic(p, c, m, &topic) && get_data(p, c, m, &data)) {
		rc = pubsub_publish(p, c, topic, data, m->id);
		if (rc != 1)
			pubsub_v1_published(p, c, m->id, rc == 0 ? 0 : errno);
	}
}

static void on_ping(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	answer(p, c, "pong", ZG_STR_NONE, m->id, NULL);
}

void pubsub_v1_presence(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, size_t n,
                        const char *id)
{
	zg_buf_t *b = &p->out;

	zg_buf_clear(b);
	if (zg_buf_printf(b, "{\"op\":\"presence\"") == 0 && add_text(b, "topic", topic) == 0 &&
	    zg_buf_printf(b, ",\"subscribers\":%zu", n) == 0 && add_id(b, id) == 0)
		send_out(p, c);
}

static void on_presence(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic;

	if (!get_topic(p, c, m, &topic))
		return;
	if (!pubsub_allowed(p, topic))
		fail(p, c, m->id, "forbidden", "this location does not offer that topic");
	else if (pubsub_watch(p, c, topic, m->id) == 0)
		c->errors = 0; /* the counts follow */
	else if (errno == ENOSPC)
		fail(p, c, m->id, "too_many", "you watch the presence of too many topics");
	else
		fail(p, c, m->id, "unavailable", "the gateway is out of memory");
}

static void on_presence_end(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic;

	if (!get_topic(p, c, m, &topic))
		return;
	pubsub_unwatch(p, c, topic);
	answer(p, c, "presence_end", topic, m->id, NULL);
}

static const struct {
	const char *op;
	void (*fn)(struct pubsub *p, struct pubsub_client *c, const struct message *m);
} ops[] = {
	{ "subscribe", on_subscribe },
	{ "unsubscribe", on_unsubscribe },
	{ "publish", on_publish },
	{ "presence", on_presence },
	{ "presence_end", on_presence_end },
	{ "ping", on_ping },
};

static bool is_id(const json_t *id)
{
	return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= ID_MAX);
}

static void handle(struct pubsub *p, struct pubsub_client *c, json_t *json)
{
	const json_t *id = json_object_get(json, "id"), *op = json_object_get(json, "op");
	struct message m = { .json = json };

	if (id && !is_id(id)) {
		fail(p, c, NULL, "bad_request", "\"id\" is no integer and no string of up to 64 bytes");
		return;
	}
	m.id = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
	for (size_t i = 0; i < ZG_COUNT_OF(ops); i++)
		if (json_is_string(op) && strcmp(ops[i].op, json_string_value(op)) == 0)
			m.fn = ops[i].fn;
	if (!json_is_string(op))
		fail(p, c, m.id, "bad_request", "the message is no object with a string \"op\"");
	else if (!m.fn)
		fail(p, c, m.id, "unknown_op", "\"op\" is none of subscribe, unsubscribe, publish, "
		                                  "presence, presence_end, ping");
	else
		m.fn(p, c, &m);
	free((void *)(uintptr_t)m.id);
}

void pubsub_v1_message(struct pubsub *p, struct pubsub_client *c, zg_str_t data, bool text)
{
	json_error_t why;
	json_t *json;

	if (c->errors > ERRORS_MAX)
		return; /* being closed */
	if (!text) {
		fail(p, c, NULL, "bad_request", "a binary message; send JSON as text");
		return;
	}
	json = json_loadb(data.n ? data.p : "", data.n, JSON_REJECT_DUPLICATES, &why);
	if (json)
		handle(p, c, json);
	else
		fail(p, c, NULL, "bad_request", "the message is no JSON object such as "
		                                "{\"op\":\"subscribe\",\"topic\":\"A\",\"id\":1}");
	json_decref(json);
}
