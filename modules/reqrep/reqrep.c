#include "reqrep.h"
#include <errno.h>
#include <stdlib.h>

/* ---- configuration ---- */

static const char *const envelopes[] = { "none", "http", NULL };

static const zg_directive_t reqrep_directives[] = {
	ZG_SOCKET(struct reqrep_conf, req, .required = true,
	          .doc = "Where the REP workers (or ROUTER or DEALER that keep the envelope) are."),
	ZG_MSEC(struct reqrep_conf, timeout, .def = "30s", .min = "1ms", .max = "1h",
	        .doc = "How long a request may take, from its arrival to the reply; 504 after that."),
	ZG_INT(struct reqrep_conf, queue, .def = "1000", .min = "1", .max = "1000000",
	       .doc = "Requests that may wait for a worker or be with one; 503 for more."),
	ZG_ENUM(struct reqrep_conf, envelope, .def = "none", .choices = envelopes, .fixed = true,
	        .doc = "What workers get: the body (none), or a JSON head and the body (http)."),
	ZG_STRING(struct reqrep_conf, content_type,
	          .doc = "Content-Type of replies; unset: text/plain where they are UTF-8, else binary."),
	ZG_SIZE(struct reqrep_conf, max_reply, .def = "16m", .min = "1k", .max = "1g", .fixed = true,
	        .doc = "The largest reply; a worker that sends a larger frame is disconnected."),
	ZG_DIRECTIVE_END
};

static const zg_counter_t reqrep_counters[] = {
	ZG_COUNTER(struct reqrep_counts, worker_lost, "Requests answered 502: the worker went away."),
	ZG_COUNTER(struct reqrep_counts, no_worker, "Requests answered 503: no worker was connected."),
	ZG_COUNTER(struct reqrep_counts, queue_full, "Requests answered 503: the queue was full."),
	ZG_COUNTER(struct reqrep_counts, bad_replies, "Requests answered 502: the reply was unusable."),
	ZG_COUNTER(struct reqrep_counts, late_replies, "Replies to requests that were over already."),
	ZG_COUNTER(struct reqrep_counts, malformed_replies, "Messages of workers that are no replies."),
	ZG_GAUGE(struct reqrep_counts, waiting, "Requests that wait for a worker."),
	ZG_GAUGE(struct reqrep_counts, outstanding, "Requests that are with a worker."),
	ZG_GAUGE(struct reqrep_counts, abandoned,
	         "Requests still with a worker whose client left or got a 504."),
	ZG_LIMIT(struct reqrep_conf, queue, "How many of these three there may be together."),
	ZG_COUNTER_END
};

static void reqrep_check(zg_check_t *check, void *ctx)
{
	const struct reqrep_conf *conf = ctx;

	for (const char *s = conf->content_type; s && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f) {
			zg_check_error(check, "content_type", "has control characters");
			break;
		}
	if (conf->content_type && !strchr(conf->content_type, '/'))
		zg_check_error(check, "content_type", "\"%s\" is no media type such as text/plain",
		               conf->content_type);
}

/* What a bound endpoint is sent comes back to it alone: one instance has it. */
static zg_placement_t reqrep_place(const void *ctx)
{
	const struct reqrep_conf *conf = ctx;

	for (size_t i = 0; i < conf->req.count; i++)
		if (conf->req.item[i].bind)
			return ZG_AT_HOME;
	return ZG_EVERYWHERE;
}

/* ---- sockets ---- */

/* [id][][body] comes back as it went: a REP returns all up to the empty frame. */
static void reqrep_message(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct reqrep_backend *b = ctx;
	struct reqrep *r = b->r;
	zg_request_t *req;
	uint64_t id;

	(void)s;
	if (frame[0].n != sizeof id) {
		r->counts->malformed_replies++;
		return;
	}
	memcpy(&id, frame[0].p, sizeof id);
	reqrep_window_replied(b);
	if (!reqrep_finish(b, id, &req)) {
		if (zg_slots_get(&r->slots, id))
			r->counts->malformed_replies++; /* another socket's: forged */
		else
			r->counts->late_replies++;
		return;
	}
	if (!req)
		r->counts->late_replies++;
	else if (frames < 3 || frame[1].n > 0)
		reqrep_envelope_bad(r, req, "no empty frame and body follow its first frame, the id; "
		                            "reply with all frames up to the empty one, then the body");
	else
		reqrep_envelope_reply(r, req, frame + 2, frames - 2);
}

static void reqrep_writable(void *ctx, zg_socket_t *s)
{
	struct reqrep_backend *b = ctx;

	(void)s;
	b->full = false;
	zg_defer(b->r->in->loop, &b->r->turn);
}

static void reqrep_peers(void *ctx, zg_socket_t *s, int change)
{
	(void)s;
	reqrep_peers_changed(ctx, change);
}

static int reqrep_open(struct reqrep *r, const zg_endpoint_t *endpoint, size_t endpoints,
                       zg_err_t *err)
{
	struct reqrep_backend *b = &r->backend[r->backends];
	/* one more than can be sent, so that sending stops at the queue's limit; if that is
	 * raised later, the rest waits here */
	int hwm = (int)r->conf->queue + 1;

	*b = (struct reqrep_backend){ .r = r, .address = endpoint->bind ? NULL : endpoint->address };
	zg_list_init(&b->held);
	b->socket = zg_socket_open(r->in, &(zg_socket_options_t){
		.name = "req", .type = ZG_SOCKET_DEALER, .endpoint = endpoint, .endpoints = endpoints,
		.send_hwm = hwm, .receive_hwm = hwm, .max_message = r->conf->max_reply,
		.message = reqrep_message, .writable = reqrep_writable, .peers = reqrep_peers, .ctx = b,
	}, err);
	if (!b->socket)
		return -1;
	r->backends++;
	return 0;
}

/* ---- the module ---- */

static void reqrep_stop(zg_instance_t *in)
{
	struct reqrep *r = in->state;

	zg_defer_cancel(&r->turn);
	zg_timer_remove(&r->timer);
	zg_timer_remove(&r->settle);
	for (size_t i = 0; i < r->backends; i++)
		zg_socket_close(&r->backend[i].socket, 0);
	reqrep_queue_free(r);
	zg_slots_free(&r->slots);
	zg_buf_free(&r->scratch);
	free(r->endpoint);
	free(r);
	in->state = NULL;
}

static struct reqrep *reqrep_new(zg_instance_t *in)
{
	const struct reqrep_conf *conf = in->conf;
	struct reqrep *r = calloc(1, sizeof *r + conf->req.count * sizeof *r->backend);

	if (!r)
		return NULL;
	in->state = r;
	r->in = in;
	r->conf = conf;
	r->counts = in->counts;
	r->shared = in->shared;
	/* a head is at most six times as long as what it is made of */
	r->scratch = ZG_BUF(64u << 20);
	zg_slots_init(&r->slots, UINT32_MAX); /* never more than `queue`, which may change */
	zg_list_init(&r->waiting);
	zg_list_init(&r->spare);
	zg_timeq_init(&r->deadlines, conf->timeout);
	zg_defer_init(&r->turn, reqrep_turn, r);
	r->timer = zg_timer_add(in->loop, reqrep_expire, r);
	r->settle = zg_timer_add(in->loop, reqrep_settle, r);
	r->endpoint = calloc(conf->req.count, sizeof *r->endpoint);
	if (r->timer && r->settle && r->endpoint)
		return r;
	reqrep_stop(in);
	return NULL;
}

static int reqrep_start(zg_instance_t *in, zg_err_t *err)
{
	const struct reqrep_conf *conf = in->conf;
	struct reqrep *r = reqrep_new(in);
	size_t bound = 0, n = 0;

	if (!r)
		return zg_err(err, "out of memory");
	for (size_t i = 0; i < conf->req.count; i++)
		bound += conf->req.item[i].bind;
	for (size_t i = 0; i < conf->req.count; i++)
		r->endpoint[conf->req.item[i].bind ? n++ : bound + i - n] = conf->req.item[i];
	if (bound > 0 && reqrep_open(r, r->endpoint, bound, err) != 0)
		goto fail;
	for (size_t i = bound; i < conf->req.count; i++)
		if (reqrep_open(r, &r->endpoint[i], 1, err) != 0)
			goto fail;
	return 0;
fail:
	reqrep_stop(in);
	return -1;
}

static void reqrep_request(zg_instance_t *in, zg_request_t *req)
{
	reqrep_accept(in->state, req);
}

static void reqrep_cancel(zg_instance_t *in, zg_request_t *req)
{
	reqrep_forget(in->state, req->ctx);
}

static void reqrep_reload(zg_instance_t *in)
{
	struct reqrep *r = in->state;

	r->conf = in->conf;
	reqrep_timeout_changed(r);
	for (size_t i = 0; i < r->backends; i++)
		reqrep_window_resize(&r->backend[i]);
	zg_defer(in->loop, &r->turn);
}

const zg_module_t ZG_MODULE(reqrep) = {
	.abi = ZG_MODULE_ABI,
	.name = "reqrep",
	.doc = "HTTP requests to REQ/REP workers.",
	.kind = ZG_BRIDGE,
	.directives = reqrep_directives,
	.conf_size = sizeof(struct reqrep_conf),
	.counters = reqrep_counters,
	.counts_size = sizeof(struct reqrep_counts),
	.methods = "POST",
	.shared_size = sizeof(struct reqrep_shared),
	.place = reqrep_place,
	.check = reqrep_check,
	.start = reqrep_start,
	.request = reqrep_request,
	.cancel = reqrep_cancel,
	.reload = reqrep_reload,
	.stop = reqrep_stop,
};
