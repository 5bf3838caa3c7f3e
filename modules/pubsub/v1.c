#include "pubsub.h"
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

/* zgate.v1: one JSON object a text message, both ways; README.md lists them. */

#define ID_MAX     64 /* bytes of an id that is a string */
#define ERRORS_MAX 64 /* in a row; the client is closed after that */

/* ---- to the client ---- */

static int add_id(zg_buf_t *b, const json_t *id)
{
	if (!id)
		return 0;
	if (json_is_integer(id))
		return zg_buf_printf(b, ",\"id\":%" JSON_INTEGER_FORMAT, json_integer_value(id));
	if (zg_buf_add_str(b, ZG_STR(",\"id\":")) != 0)
		return -1;
	return zg_buf_add_json(b, zg_str_n(json_string_value(id), json_string_length(id)));
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

/* {"op":OP,"topic":TOPIC,"id":ID}; topic.p == NULL and id == NULL leave it out */
static void answer(struct pubsub *p, struct pubsub_client *c, const char *op, zg_str_t topic,
                   const json_t *id)
{
	zg_buf_t *b = &p->out;

	c->errors = 0;
	zg_buf_clear(b);
	if (zg_buf_printf(b, "{\"op\":\"%s\"", op) == 0 &&
	    (!topic.p || add_text(b, "topic", topic) == 0) && add_id(b, id) == 0)
		send_out(p, c);
}

static void fail(struct pubsub *p, struct pubsub_client *c, const json_t *id, const char *code,
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

zg_msg_t *pubsub_v1_gap(uint64_t missed)
{
	char text[64];
	int n = snprintf(text, sizeof text, "{\"op\":\"gap\",\"missed\":%llu}",
	                 (unsigned long long)missed);
	zg_str_t part = zg_str_n(text, (size_t)n);

	return zg_ws_encode(ZG_WS_TEXT, &part, 1);
}

/* ---- from the client ---- */

struct message {
	json_t *json;
	const json_t *id; /* NULL: none */
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

static void on_subscribe(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic;
	int why = 0;

	if (!get_topic(p, c, m, &topic))
		return;
	if (json_object_get(m->json, "since")) {
		fail(p, c, m->id, "not_configured",
		     "this location keeps no history: subscribe without \"since\"");
		return;
	}
	if (!pubsub_allowed(p, topic)) {
		fail(p, c, m->id, "forbidden", "this location does not offer that topic");
		return;
	}
	pubsub_want(p, c);
	if (pubsub_want_add(p, topic) != 0)
		why = errno;
	if (pubsub_settle(p, c) != 0)
		why = errno;
	if (why == 0)
		answer(p, c, "subscribed", topic, m->id);
	else if (why == ENOSPC)
		fail(p, c, m->id, "too_many", "you or all clients of this location together have too "
		                              "many topics; unsubscribe from others");
	else
		fail(p, c, m->id, "unavailable", "the gateway is out of memory");
}

static void on_unsubscribe(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic;

	if (!get_topic(p, c, m, &topic))
		return;
	pubsub_want(p, c);
	pubsub_want_drop(p, topic);
	if (pubsub_settle(p, c) == 0)
		answer(p, c, "unsubscribed", topic, m->id);
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

static void on_publish(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	zg_str_t topic, data;

	if (!p->pub)
		fail(p, c, m->id, "not_configured", "this location does not publish: it has no pub");
	else if (get_topic(p, c, m, &topic) && get_data(p, c, m, &data)) {
		if (pubsub_publish(p, topic, data) == 0)
			answer(p, c, "published", ZG_STR_NONE, m->id);
		else
			fail(p, c, m->id, "unavailable", "publishing is not possible now; try again");
	}
}

static void on_ping(struct pubsub *p, struct pubsub_client *c, const struct message *m)
{
	answer(p, c, "pong", ZG_STR_NONE, m->id);
}

static const struct {
	const char *op;
	void (*fn)(struct pubsub *p, struct pubsub_client *c, const struct message *m);
} ops[] = {
	{ "subscribe", on_subscribe },
	{ "unsubscribe", on_unsubscribe },
	{ "publish", on_publish },
	{ "ping", on_ping },
};

static bool is_id(const json_t *id)
{
	return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= ID_MAX);
}

static void handle(struct pubsub *p, struct pubsub_client *c, json_t *json)
{
	const json_t *id = json_object_get(json, "id"), *op = json_object_get(json, "op");
	const struct message m = { json, id };

	if (id && !is_id(id)) {
		fail(p, c, NULL, "bad_request", "\"id\" is no integer and no string of up to 64 bytes");
		return;
	}
	if (!json_is_string(op)) {
		fail(p, c, id, "bad_request", "the message is no object with a string \"op\"");
		return;
	}
	for (size_t i = 0; i < ZG_COUNT_OF(ops); i++) {
		if (strcmp(ops[i].op, json_string_value(op)) == 0) {
			ops[i].fn(p, c, &m);
			return;
		}
	}
	fail(p, c, id, "unknown_op", "\"op\" is none of subscribe, unsubscribe, publish, ping");
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

void pubsub_v1_open(struct pubsub *p, struct pubsub_client *c, zg_str_t topic)
{
	answer(p, c, "subscribed", topic, NULL);
}
