/* The module: directives, HTTP, WebSockets coming and going. */
#include "pubsub.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

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
	ZG_LIST(struct pubsub_conf, publish_topics,
	        .doc = "Prefixes of the topics that clients may publish to; unset: all."),
	ZG_BOOL(struct pubsub_conf, publish_required, .def = "no", .fixed = true,
	        .doc = "Whether publishing fails (503) if nobody subscribes to the topic at pub."),
	ZG_STRING(struct pubsub_conf, history, .def = "0",
	          .doc = "Messages kept for clients that resume: the newest N, or those of a time such "
	                 "as 5m; what topics names is then subscribed to all the time."),
	ZG_BOOL(struct pubsub_conf, last_value, .def = "no",
	        .doc = "Whether a client that subscribes gets the newest message of each matching topic "
	               "first; what topics names is then subscribed to all the time."),
	ZG_SIZE(struct pubsub_conf, history_size, .def = "16m", .min = "64k", .max = "16g",
	        .doc = "Memory for history, and as much again for last values; the oldest go first."),
	ZG_DIRECTIVE_END
};

static const zg_counter_t pubsub_counters[] = {
	ZG_COUNTER(struct pubsub_counts, received, "Messages received from ZeroMQ."),
	ZG_COUNTER(struct pubsub_counts, unmatched, "Messages received that no client wanted."),
	ZG_COUNTER(struct pubsub_counts, undelivered, "Deliveries given up for want of memory."),
	ZG_COUNTER(struct pubsub_counts, worker_dropped,
	           "Messages dropped on the way to a worker that did not keep up; its clients are told."),
	ZG_COUNTER(struct pubsub_counts, conflated,
	           "Messages that slow clients did not get as a newer one of their topic came."),
	ZG_COUNTER(struct pubsub_counts, published, "Messages of clients given to ZeroMQ."),
	ZG_COUNTER(struct pubsub_counts, publish_failed, "Messages of clients not published."),
	ZG_COUNTER(struct pubsub_counts, errors,
	           "Messages of clients answered with an error (zgate.v1), or with a close (ZWS2.0)."),
	ZG_COUNTER(struct pubsub_counts, resumed, "Clients that resumed with a cursor."),
	ZG_COUNTER(struct pubsub_counts, replayed, "Messages given to clients from what was kept."),
	ZG_COUNTER(struct pubsub_counts, missed, "Messages that were not kept any more when a client resumed."),
	ZG_GAUGE(struct pubsub_counts, kept, "Messages kept as history and last values."),
	ZG_GAUGE(struct pubsub_counts, kept_bytes, "Memory that these take."),
	ZG_GAUGE(struct pubsub_counts, subscriptions, "Distinct topics subscribed to upstream."),
	ZG_GAUGE(struct pubsub_counts, clients, "WebSockets open."),
	ZG_COUNTER_END
};

static void check_history(zg_check_t *check, struct pubsub_conf *conf)
{
	zg_str_t text = zg_str(conf->history);
	int64_t n = 0;
	zg_err_t err;

	if (zg_unit_int(text, &n, &err) == 0 && n >= 0 && n <= 100000000)
		conf->history_count = (uint64_t)n;
	else if (zg_unit_msec(text, &conf->history_ms, &err) != 0)
		zg_check_error(check, "history", "\"%s\" is neither a number of messages up to 100000000 "
		               "nor a time; write 1000 or 5m", conf->history);
}

static void check_topics(zg_check_t *check, const char *directive, const zg_list_t *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (strlen(list->item[i]) > PUBSUB_TOPIC_MAX)
			zg_check_error(check, directive, "a topic is longer than %d bytes", PUBSUB_TOPIC_MAX);
}

static void pubsub_check(zg_check_t *check, void *ctx)
{
	struct pubsub_conf *conf = ctx;

	check_topics(check, "topics", &conf->topics);
	check_topics(check, "publish_topics", &conf->publish_topics);
	if (conf->pub.count == 0 && (conf->publish_topics.count > 0 || conf->publish_required))
		zg_check_error(check, conf->publish_required ? "publish_required" : "publish_topics",
		               "is of no use without `pub`");
	check_history(check, conf);
}

/* ---- HTTP ---- */

static void explain(const zg_instance_t *in, zg_request_t *req)
{
	zg_str_t host = zg_request_header(req, "Host");

	zg_request_add_header(req, "Upgrade", "websocket");
	if (host.n == 0 || host.n > 255)
		host = ZG_STR("HOST");
	zg_request_problem(req, 426, "This location speaks WebSocket: "
	                   "new WebSocket(\"ws://%.*s%.*s?topic=A\"); or events, to Accept: "
	                   "text/event-stream; or ?wait=20s for one answer.", ZG_STR_ARG(host),
	                   ZG_STR_ARG(in->location->path));
}

const char *pubsub_why_not(int why)
{
	switch (why) {
	case EACCES: return "this location does not let clients publish to that topic";
	case EHOSTUNREACH: return "nobody subscribes to that topic at pub; nothing was published";
	case EMSGSIZE: return "the message is larger than this location lets through";
	case ENOMEM: return "the gateway is out of memory";
	default: return "ZeroMQ took nothing more for pub; nothing was published, try again later";
	}
}

static void pubsub_request(zg_instance_t *in, zg_request_t *req)
{
	struct pubsub *p = in->state;
	char name[PUBSUB_TOPIC_MAX + 1];
	unsigned topics;
	long n;

	if (req->method == ZG_GET && zg_request_params(req, "wait") > 0) {
		pubsub_poll(p, req);
		return;
	}
	if (req->method == ZG_GET && zg_request_params(req, "presence") > 0) {
		pubsub_presence(p, req);
		return;
	}
	if (req->method & (ZG_GET | ZG_HEAD)) {
		explain(in, req);
		return;
	}
	if (!p->publishes) {
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
	else if (pubsub_hub_publish(p->hub, zg_str_n(name, (size_t)n), req->body) == 0)
		zg_request_reply(req, 202, "application/json", "{\"published\":true}\n", 19);
	else
		zg_request_problem(req, errno == EACCES ? 403 : 503, "%s.", pubsub_why_not(errno));
}

static void pubsub_cancel(zg_instance_t *in, zg_request_t *req)
{
	struct pubsub_waiting *w = req->ctx;

	(void)in;
	if (w)
		w->cancel(w);
}

/* ---- WebSockets and streams ---- */

static int pubsub_handshake(zg_instance_t *in, const zg_request_t *req, zg_refusal_t *no)
{
	if (pubsub_encoding_of(req->protocol) < 0 || zg_str_eq(req->protocol, ZG_STR(PUBSUB_ANSWER)))
		return zg_refuse(no, 400, "No subprotocol offered is known here; this location speaks "
		                 PUBSUB_V1_NAME " and " PUBSUB_ZWS_NAME
		                 ", or WebSocket without subprotocol.");
	return pubsub_check_query(in->state, req, no);
}

static void pubsub_ws_open(zg_instance_t *in, zg_ws_t *ws, const zg_request_t *req)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = calloc(1, sizeof *c);
	struct pubsub_set topics = { 0 };
	struct pubsub_begin begin;

	p->counts->clients++;
	ws->ctx = c;
	if (!c) {
		zg_ws_close(ws, 1013, "out of memory");
		return;
	}
	c->ws = ws;
	c->encoding = (enum pubsub_encoding)pubsub_encoding_of(zg_str(ws->protocol));
	zg_list_init(&c->publications);
	pubsub_resume_init(c);
	pubsub_begin_of(p, req, &begin);
	if (pubsub_topics_of(p, c->encoding, req, &topics) != 0 ||
	    (c->encoding == PUBSUB_ZWS && pubsub_zws_open(c, topics.n > 0) != 0)) {
		pubsub_set_free(p, &topics);
		zg_ws_close(ws, 1013, "too many topics, or out of memory");
	} else if (topics.n > 0) {
		pubsub_join(p, c, topics, begin);
	}
}

static void pubsub_ws_message(zg_instance_t *in, zg_ws_t *ws, zg_str_t data, bool text)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = ws->ctx;

	if (!c)
		return;
	if (c->encoding == PUBSUB_V1)
		pubsub_v1_message(p, c, data, text);
	else if (c->encoding == PUBSUB_ZWS)
		pubsub_zws_message(p, c, data, text);
	else if (p->publishes)
		pubsub_publish_frames(p, c, &data, 1);
	else
		zg_ws_close(ws, 1008, "this location does not publish: no pub");
}

static void pubsub_ws_writable(zg_instance_t *in, zg_ws_t *ws)
{
	if (!ws->ctx)
		return;
	pubsub_lag_catch_up(in->state, ws->ctx);
	pubsub_resume_more(in->state, ws->ctx);
}

static void pubsub_ws_lag(zg_instance_t *in, zg_ws_t *ws, uint64_t messages)
{
	if (ws->ctx)
		pubsub_lag(in->state, ws->ctx, messages);
}

static zg_msg_t *pubsub_ws_gap(zg_instance_t *in, zg_ws_t *ws, uint64_t missed)
{
	const struct pubsub_client *c = ws->ctx;

	(void)in;
	return c ? pubsub_gap(c->encoding, missed, true) : NULL;
}

static void pubsub_ws_close(zg_instance_t *in, zg_ws_t *ws)
{
	struct pubsub *p = in->state;
	struct pubsub_client *c = ws->ctx;

	p->counts->clients--;
	if (!c)
		return;
	if (c->poll)
		pubsub_poll_lost(c->poll);
	pubsub_resume_forget(p, c);
	pubsub_unwatch_all(p, c);
	pubsub_leave(p, c);
	ZG_LIST_EACH(l, &c->publications) {
		ZG_CONTAINER(l, struct pubsub_publication, link)->client = NULL;
		zg_list_remove(l);
	}
	pubsub_zws_close(c);
	free(c->op_id);
	free(c);
	ws->ctx = NULL;
}

/* ---- the module ---- */

static void pubsub_stop(zg_instance_t *in)
{
	struct pubsub *p = in->state;

	pubsub_hub_close(&p->hub);
	pubsub_keep_free(&p->newest);
	zg_timer_remove(&p->look_around);
	pubsub_zws_stop(p);
	zg_trie_free(&p->trie);
	pubsub_set_free(p, &p->offered);
	zg_map_free(&p->topics);
	zg_map_free(&p->groups);
	zg_buf_free(&p->json);
	zg_buf_free(&p->sse);
	zg_buf_free(&p->joined);
	zg_buf_free(&p->deflated);
	zg_deflate_free(&p->deflate);
	zg_buf_free(&p->out);
	free(p->wanted.item);
	free(p);
	in->state = NULL;
}

/* Whoever comes first makes it. */
static void make_epoch(struct pubsub_shared *shared)
{
	uint64_t none = 0, epoch = 0;

	if (getrandom(&epoch, 6, 0) != 6)
		epoch = (uint64_t)(uintptr_t)shared;
	atomic_compare_exchange_strong(&shared->epoch, &none, epoch | 1);
}

static int pubsub_start(zg_instance_t *in, zg_err_t *err)
{
	const struct pubsub_conf *conf = in->conf;
	struct pubsub *p = calloc(1, sizeof *p);

	if (!p)
		return zg_err(err, "out of memory");
	in->state = p;
	p->in = in;
	p->conf = conf;
	p->counts = in->counts;
	p->publishes = conf->pub.count > 0;
	zg_list_init(&p->all_groups);
	zg_list_init(&p->watches);
	make_epoch(in->shared);
	/* bounded by what the sockets and the front let in; this is for arithmetic */
	p->json = p->sse = p->joined = p->deflated = p->out = ZG_BUF((size_t)1 << 30);
	p->topics.max = PUBSUB_TOPICS_MAX + conf->topics.count;
	p->groups.max = SIZE_MAX; /* no more than there are clients */
	p->trie = zg_trie_new(PUBSUB_TOPICS_MAX + conf->topics.count);
	p->wanted.item = calloc(PUBSUB_V1_MAX, sizeof *p->wanted.item);
	if (!p->trie || !p->wanted.item || pubsub_zws_start(p) != 0) {
		zg_err(err, "out of memory");
		goto fail;
	}
	pubsub_offer(p, &conf->topics);
	if (pubsub_lag_reload(p) != 0) {
		zg_err(err, "out of memory");
		goto fail;
	}
	if (!zg_instance_is_home(in) || pubsub_hub_open(p, err) == 0)
		return 0;
fail:
	pubsub_stop(in);
	return -1;
}

static void pubsub_reload(zg_instance_t *in)
{
	struct pubsub *p = in->state;

	p->conf = in->conf;
	if (p->hub)
		pubsub_hub_reload(p->hub);
	pubsub_offer(p, &p->conf->topics);
	if (pubsub_lag_reload(p) != 0)
		zg_error("%s: out of memory: clients that lag get nothing until the next reload", in->name);
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
	.shared_size = sizeof(struct pubsub_shared),
	.placement = ZG_WITH_HOME,
	.methods = "GET POST",
	.check = pubsub_check,
	.start = pubsub_start,
	.request = pubsub_request,
	.cancel = pubsub_cancel,
	.handshake = pubsub_handshake,
	.stream = pubsub_stream,
	.ws_open = pubsub_ws_open,
	.ws_message = pubsub_ws_message,
	.ws_writable = pubsub_ws_writable,
	.ws_gap = pubsub_ws_gap,
	.ws_lag = pubsub_ws_lag,
	.ws_close = pubsub_ws_close,
	.reload = pubsub_reload,
	.stop = pubsub_stop,
};
