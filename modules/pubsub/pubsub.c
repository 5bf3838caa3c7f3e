#include "pubsub.h"
#include <stdlib.h>

/* ---- configuration ---- */

static const char *const framings[] = { "single", "multipart", NULL };

static const zg_directive_t pubsub_directives[] = {
	ZG_SOCKET(struct pubsub_conf, sub, .required = true,
	          .doc = "Where the PUB or XPUB peers are whose messages clients receive."),
	ZG_SOCKET(struct pubsub_conf, pub,
	          .doc = "Where to publish what clients send; unset: clients may not publish."),
	ZG_LIST(struct pubsub_conf, topics,
	        .doc = "Prefixes of the topics that clients may subscribe to; unset: all."),
	ZG_ENUM(struct pubsub_conf, framing, .def = "single", .choices = framings,
	        .doc = "What is published: one frame \"TOPIC DATA\" (single), or two (multipart)."),
	ZG_DIRECTIVE_END
};

static const zg_counter_t pubsub_counters[] = {
	ZG_COUNTER(struct pubsub_counts, received, "Messages received from ZeroMQ."),
	ZG_COUNTER(struct pubsub_counts, unmatched, "Messages received that no client wanted."),
	ZG_COUNTER(struct pubsub_counts, undelivered, "Deliveries given up for want of memory."),
	ZG_COUNTER(struct pubsub_counts, published, "Messages of clients given to ZeroMQ."),
	ZG_COUNTER(struct pubsub_counts, publish_failed, "Messages of clients not published."),
	ZG_COUNTER(struct pubsub_counts, errors, "zgate.v1 messages answered with an error."),
	ZG_GAUGE(struct pubsub_counts, subscriptions, "Distinct topics subscribed to upstream."),
	ZG_GAUGE(struct pubsub_counts, clients, "WebSockets open."),
	ZG_COUNTER_END
};

static void pubsub_check(zg_check_t *check, void *ctx)
{
	const struct pubsub_conf *conf = ctx;

	for (size_t i = 0; i < conf->topics.count; i++)
		if (strlen(conf->topics.item[i]) > PUBSUB_TOPIC_MAX)
			zg_check_error(check, "topics", "a topic is longer than %d bytes",
			               PUBSUB_TOPIC_MAX);
}

/* ---- HTTP ---- */

static void explain(const zg_instance_t *in, zg_request_t *req)
{
	zg_str_t host = zg_request_header(req, "Host");

	zg_request_add_header(req, "Upgrade", "websocket");
	if (host.n == 0 || host.n > 255)
		host = ZG_STR("HOST");
	zg_request_problem(req, 426, "This location speaks WebSocket: "
	                   "new WebSocket(\"ws://%.*s%.*s?topic=A\").", ZG_STR_ARG(host),
	                   ZG_STR_ARG(in->location->path));
}

static void pubsub_request(zg_instance_t *in, zg_request_t *req)
{
	struct pubsub *p = in->state;
	char name[PUBSUB_TOPIC_MAX + 1];
	unsigned topics;
	long n;

	if (req->method & (ZG_GET | ZG_HEAD)) {
		explain(in, req);
		return;
	}
	if (!p->pub) {
		zg_request_add_header(req, "Allow", "GET");
		zg_request_problem(req, 405, "This location does not publish: it has no pub.");
		return;
	}
	topics = zg_request_params(req, "topic");
	if (topics != 1) {
		zg_request_problem(req, 400, "%s: POST %.*s?topic=A publishes the body under topic A.",
		                   topics ? "There is more than one topic" : "The topic is missing",
		                   ZG_STR_ARG(in->location->path));
		return;
	}
	n = zg_request_param(req, "topic", 0, name, sizeof name);
	if (n < 0)
		zg_request_problem(req, 400, n == -2 ? "The topic is longer than 512 bytes."
		                                     : "The topic has a bad percent escape.");
	else if (pubsub_publish(p, zg_str_n(name, (size_t)n), req->body) == 0)
		zg_request_reply(req, 202, "application/json", "{\"published\":true}\n", 19);
	else
		zg_request_problem(req, 503, "ZeroMQ took nothing more for pub; nothing was published, send it again later.");
}

/* ---- WebSocket ---- */

static int check_topic(const struct pubsub *p, const zg_request_t *req, unsigned nth,
                       size_t *unknown, zg_refusal_t *no)
{
	char text[PUBSUB_TOPIC_MAX + 1];
	long n = zg_request_param(req, "topic", nth, text, sizeof text);
	zg_str_t topic = zg_str_n(text, n > 0 ? (size_t)n : 0);

	if (n == -2)
		return zg_refuse(no, 400, "A topic is longer than %d bytes.", PUBSUB_TOPIC_MAX);
	if (n < 0)
		return zg_refuse(no, 400, "A topic has a bad percent escape.");
	if (req->protocol.n > 0 && !zg_utf8_valid(topic))
		return zg_refuse(no, 400, "A topic is not UTF-8; " PUBSUB_V1_NAME " is.");
	if (!pubsub_allowed(p, topic))
		return zg_refuse(no, 403, "This location does not offer one of the topics.");
	*unknown += !zg_map_get(&p->topics, topic);
	return 0;
}

static int pubsub_handshake(zg_instance_t *in, const zg_request_t *req, zg_refusal_t *no)
{
	const struct pubsub *p = in->state;
	unsigned topics = zg_request_params(req, "topic");
	size_t unknown = 1; /* without topics: the empty one */

	if (req->protocol.n > 0 && !zg_str_eq(req->protocol, ZG_STR(PUBSUB_V1_NAME)))
		return zg_refuse(no, 400, "No subprotocol offered is known here; this location speaks "
		                 PUBSUB_V1_NAME ", or WebSocket without subprotocol.");
	if (topics > PUBSUB_RAW_MAX)
		return zg_refuse(no, 400, "More than %d topics in a query; subscribe to them over "
		                 PUBSUB_V1_NAME ".", PUBSUB_RAW_MAX);
	for (unsigned i = 0; i < topics; i++)
		if (check_topic(p, req, i, &unknown, no) != 0)
			return -1;
	if (p->topics.count + unknown > p->topics.max)
		return zg_refuse(no, 503, "The clients of this location have too many topics.");
	return 0;
}

/* What the query asks for; without any: everything, or nothing over zgate.v1,
 * whose clients then say. */
static int want_query(struct pubsub *p, struct pubsub_client *c, const zg_request_t *req)
{
	unsigned topics = zg_request_params(req, "topic");
	char text[PUBSUB_TOPIC_MAX + 1];
	int rc = 0;

	pubsub_want(p, c);
	if (topics == 0 && c->encoding == PUBSUB_RAW)
		rc = pubsub_want_add(p, ZG_STR_NONE);
	for (unsigned i = 0; i < topics && rc == 0; i++) {
		long n = zg_request_param(req, "topic", i, text, sizeof text);

		rc = n < 0 ? -1 : pubsub_want_add(p, zg_str_n(text, (size_t)n));
	}
	return rc;
}

static void confirm_query(struct pubsub *p, struct pubsub_client *c, const zg_request_t *req)
{
	unsigned topics = zg_request_params(req, "topic");
	char text[PUBSUB_TOPIC_MAX + 1];

	for (unsigned i = 0; i < topics; i++) {
		long n = zg_request_param(req, "topic", i, text, sizeof text);

		if (n >= 0)
			pubsub_v1_open(p, c, zg_str_n(text, (size_t)n));
	}
}

static void pubsub_ws_open(zg_instance_t *in, zg_ws_t *ws, const zg_request_t *req)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = calloc(1, sizeof *c);
	int rc;

	p->counts->clients++;
	ws->ctx = c;
	if (!c) {
		zg_ws_close(ws, 1013, "out of memory");
		return;
	}
	c->ws = ws;
	c->encoding = ws->protocol[0] ? PUBSUB_V1 : PUBSUB_RAW;
	rc = want_query(p, c, req);
	if (pubsub_settle(p, c) != 0 || rc != 0)
		zg_ws_close(ws, 1013, "too many topics, or out of memory");
	else if (c->encoding == PUBSUB_V1)
		confirm_query(p, c, req);
}

static void pubsub_ws_message(zg_instance_t *in, zg_ws_t *ws, zg_str_t data, bool text)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = ws->ctx;

	if (!c)
		return;
	if (c->encoding == PUBSUB_V1)
		pubsub_v1_message(p, c, data, text);
	else if (p->pub)
		pubsub_publish_raw(p, data);
	else
		zg_ws_close(ws, 1008, "this location does not publish: no pub");
}

static zg_msg_t *pubsub_ws_gap(zg_instance_t *in, zg_ws_t *ws, uint64_t missed)
{
	const struct pubsub_client *c = ws->ctx;

	(void)in;
	return c && c->encoding == PUBSUB_V1 ? pubsub_v1_gap(missed) : NULL;
}

static void pubsub_ws_close(zg_instance_t *in, zg_ws_t *ws)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = ws->ctx;

	p->counts->clients--;
	if (!c)
		return;
	pubsub_leave(p, c);
	free(c);
	ws->ctx = NULL;
}

/* ---- the module ---- */

static void pubsub_stop(zg_instance_t *in)
{
	struct pubsub *p = in->state;

	zg_socket_close(&p->sub, 0);
	zg_socket_close(&p->pub, 200);
	zg_trie_free(&p->trie);
	zg_map_free(&p->topics);
	zg_map_free(&p->groups);
	zg_buf_free(&p->json);
	zg_buf_free(&p->joined);
	zg_buf_free(&p->out);
	free(p->wanted.item);
	free(p);
	in->state = NULL;
}

static struct pubsub *pubsub_new(zg_instance_t *in)
{
	const struct pubsub_conf *conf = in->conf;
	struct pubsub *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	in->state = p;
	p->in = in;
	p->conf = conf;
	p->counts = in->counts;
	/* bounded by what the sockets and the front let in; this is for arithmetic */
	p->json = p->joined = p->out = ZG_BUF((size_t)1 << 30);
	p->topics.max = PUBSUB_TOPICS_MAX;
	p->groups.max = SIZE_MAX; /* no more than there are clients */
	p->trie = zg_trie_new(PUBSUB_TOPICS_MAX + conf->topics.count);
	p->wanted.item = calloc(PUBSUB_V1_MAX, sizeof *p->wanted.item);
	if (p->trie && p->wanted.item)
		return p;
	pubsub_stop(in);
	return NULL;
}

static int pubsub_start(zg_instance_t *in, zg_err_t *err)
{
	const struct pubsub_conf *conf = in->conf;
	struct pubsub *p = pubsub_new(in);
	/* what is larger than a client's queue reaches no client */
	uint64_t max = in->location->client_queue;

	if (!p)
		return zg_err(err, "out of memory");
	p->sub = zg_socket_open(in, &(zg_socket_options_t){
		.name = "sub", .type = ZG_SOCKET_SUB, .endpoint = conf->sub.item,
		.endpoints = conf->sub.count, .max_message = max, .message = pubsub_received, .ctx = p,
	}, err);
	if (!p->sub)
		goto fail;
	if (conf->pub.count > 0) {
		p->pub = zg_socket_open(in, &(zg_socket_options_t){
			.name = "pub", .type = ZG_SOCKET_PUB, .endpoint = conf->pub.item,
			.endpoints = conf->pub.count, .ctx = p,
		}, err);
		if (!p->pub)
			goto fail;
	}
	return 0;
fail:
	pubsub_stop(in);
	return -1;
}

const zg_module_t ZG_MODULE(pubsub) = {
	.abi = ZG_MODULE_ABI,
	.name = "pubsub",
	.doc = "WebSocket clients and POST to PUB/SUB peers.",
	.kind = ZG_BRIDGE,
	.directives = pubsub_directives,
	.conf_size = sizeof(struct pubsub_conf),
	.counters = pubsub_counters,
	.counts_size = sizeof(struct pubsub_counts),
	.methods = "GET POST",
	.check = pubsub_check,
	.start = pubsub_start,
	.request = pubsub_request,
	.handshake = pubsub_handshake,
	.ws_open = pubsub_ws_open,
	.ws_message = pubsub_ws_message,
	.ws_gap = pubsub_ws_gap,
	.ws_close = pubsub_ws_close,
	.stop = pubsub_stop,
};
