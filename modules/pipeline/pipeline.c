#include "pipeline.h"
#include <inttypes.h>
#include <stdlib.h>

#define SEND_HWM 8 /* messages a worker is ahead: the rest waits where it is counted */

static const char *const framings[] = { "body", "id", "meta", NULL };

static const zg_directive_t pipeline_directives[] = {
	ZG_SOCKET(struct pipeline_conf, push, .required = true,
	          .doc = "Where PULL workers are that take the uploads."),
	ZG_SOCKET(struct pipeline_conf, pull,
	          .doc = "Where workers PUSH their results to; without it there are none."),
	ZG_ENUM(struct pipeline_conf, framing, .def = "body", .choices = framings, .fixed = true,
	        .doc = "What a worker gets: the body, [id][body], or [JSON head][body]."),
	ZG_INT(struct pipeline_conf, queue, .def = "1000", .min = "1", .max = "1000000",
	       .doc = "How many uploads may wait for a worker; 503 beyond."),
	ZG_SIZE(struct pipeline_conf, queue_size, .def = "64m", .min = "1k", .max = "64g",
	        .doc = "How many bytes of uploads may wait for a worker; 503 beyond."),
	ZG_MSEC(struct pipeline_conf, results, .def = "10m", .min = "10ms", .max = "24h",
	        .doc = "How long an upload waits for its result, and how long the result is kept."),
	ZG_SIZE(struct pipeline_conf, results_size, .def = "64m", .min = "1k", .max = "64g",
	        .doc = "How many bytes of results are kept; the oldest go first."),
	ZG_DIRECTIVE_END
};

static const zg_counter_t pipeline_counters[] = {
	ZG_COUNTER(struct pipeline_counts, uploads, "Uploads accepted with 202, each file of a form."),
	ZG_GAUGE(struct pipeline_counts, queued, "Uploads waiting for a worker."),
	ZG_GAUGE(struct pipeline_counts, queued_bytes, "Bytes of these."),
	ZG_LIMIT(struct pipeline_conf, queue, "How many uploads may wait for a worker."),
	ZG_LIMIT(struct pipeline_conf, queue_size, "How many bytes of uploads may wait for a worker."),
	ZG_COUNTER(struct pipeline_counts, handed_over, "Uploads handed over to ZeroMQ for a worker."),
	ZG_COUNTER(struct pipeline_counts, refused_no_worker,
	           "Requests refused because no worker was connected."),
	ZG_COUNTER(struct pipeline_counts, refused_full,
	           "Requests refused because the queue or the table of results was full."),
	ZG_COUNTER(struct pipeline_counts, results, "Results received."),
	ZG_COUNTER(struct pipeline_counts, duplicate_results,
	           "Results for an id that had one already; the first is kept."),
	ZG_COUNTER(struct pipeline_counts, unmatched_results,
	           "Results whose first frame is no id that waits for one."),
	ZG_COUNTER(struct pipeline_counts, unheard_results,
	           "Results dropped because nobody listened and they carry no id to keep them by."),
	ZG_GAUGE(struct pipeline_counts, pending, "Uploads that wait for their result."),
	ZG_GAUGE(struct pipeline_counts, kept_bytes, "Bytes of results kept."),
	ZG_COUNTER(struct pipeline_counts, expired, "Results, or waits for one, that reached `results`."),
	ZG_COUNTER(struct pipeline_counts, evicted, "Results dropped to make room, or too large to keep."),
	ZG_COUNTER(struct pipeline_counts, discarded_at_stop,
	           "Uploads that still waited for a worker when the gateway stopped."),
	ZG_COUNTER_END
};

/* A bound endpoint has one owner, and so have ids, or they would not be found
 * where they are asked for. */
static zg_placement_t pipeline_place(const void *ctx)
{
	const struct pipeline_conf *conf = ctx;

	for (size_t i = 0; i < conf->push.count; i++)
		if (conf->push.item[i].bind)
			return ZG_AT_HOME;
	return conf->pull.count ? ZG_AT_HOME : ZG_EVERYWHERE;
}

/* ---- results ---- */

/* One WebSocket message for all: the frames, joined by a blank. */
static void stream(struct pipeline *p, const zg_str_t *frame, size_t frames)
{
	zg_str_t *part = reallocarray(NULL, frames, 2 * sizeof *part);
	size_t n = 0;

	if (!part) {
		zg_warn("%s: a result was not streamed: out of memory", p->in->name);
		p->in->common->ws_dropped_memory += p->stream.count;
		return;
	}
	for (size_t i = 0; i < frames; i++) {
		if (i > 0)
			part[n++] = ZG_STR(" ");
		part[n++] = frame[i];
	}
	zg_fanout_append(&p->stream, zg_ws_type_of(part, n), part, n);
	free(part);
}

static void on_result(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct pipeline *p = ctx;

	(void)s;
	p->counts->results++;
	if (p->by_id)
		zg_job_finish(&p->jobs, frame[0], frame + 1, frames - 1);
	else if (p->stream.count == 0)
		p->counts->unheard_results++;
	if (p->stream.count > 0)
		stream(p, frame, frames);
}

static void on_writable(void *ctx, zg_socket_t *s)
{
	(void)s;
	zg_upload_flush(ctx);
}

static void on_peers(void *ctx, zg_socket_t *s, int change)
{
	(void)s;
	if (change > 0)
		zg_upload_flush(ctx);
}

/* ---- requests ---- */

static const char *why_no_job(const struct pipeline *p)
{
	if (!p->pull)
		return "there are no results here: this location has no `pull`";
	if (p->conf->framing == PIPELINE_BODY)
		return "results are not kept by id here: `framing = body` tells the worker no id";
	return "results are not kept by id here: `[location = PATH]` does not reach below the path";
}

static void reply_pending(zg_request_t *req, zg_str_t id)
{
	zg_buf_t b = ZG_BUF(256);

	if (zg_buf_printf(&b, "{\"id\":\"%.*s\",\"status\":\"pending\"}\n", ZG_STR_ARG(id)) < 0) {
		zg_request_problem(req, 503, "out of memory");
		return;
	}
	zg_request_reply_buf(req, 202, "application/json", &b);
}

static void get_job(struct pipeline *p, zg_request_t *req)
{
	const zg_msg_t *result;

	if (!p->by_id) {
		zg_request_problem(req, 404, "%s", why_no_job(p));
		return;
	}
	zg_request_add_header(req, "Cache-Control", "no-store");
	switch (zg_job_find(&p->jobs, req->below, &result)) {
	case ZG_JOB_DONE:
		/* what a worker made of a stranger's upload: no browser may guess its type */
		zg_request_add_header(req, "X-Content-Type-Options", "nosniff");
		zg_request_reply(req, 200, zg_utf8_valid(zg_msg_str(result))
		                 ? "text/plain; charset=utf-8" : "application/octet-stream",
		                 result->data, result->len);
		break;
	case ZG_JOB_PENDING:
		reply_pending(req, req->below);
		break;
	case ZG_JOB_GONE:
		zg_request_problem(req, 410, "this upload's result is no longer kept, or never came");
		break;
	case ZG_JOB_UNKNOWN:
		zg_request_problem(req, 404, "no upload has this id");
		break;
	}
}

static void get_stream(struct pipeline *p, zg_request_t *req)
{
	if (!p->pull) {
		zg_request_problem(req, 404, "%s", why_no_job(p));
		return;
	}
	zg_request_add_header(req, "Upgrade", "websocket");
	zg_request_problem(req, 426, "results are streamed here over WebSocket, and are at %.*s/ID "
	                   "one by one; uploads are POST or PUT",
	                   ZG_STR_ARG(p->in->location->path));
}

static void pipeline_request(zg_instance_t *in, zg_request_t *req)
{
	struct pipeline *p = in->state;

	if (req->method & (ZG_POST | ZG_PUT)) {
		zg_upload_take(p, req);
	} else if (!(req->method & (ZG_GET | ZG_HEAD))) {
		zg_request_add_header(req, "Allow", "GET, HEAD, POST, PUT");
		zg_request_problem(req, 405, "uploads are POST or PUT");
	} else if (req->below.n) {
		get_job(p, req);
	} else {
		get_stream(p, req);
	}
}

/* ---- WebSocket ---- */

static int pipeline_handshake(zg_instance_t *in, const zg_request_t *req, zg_refusal_t *no)
{
	struct pipeline *p = in->state;

	if (!p->pull)
		return zg_refuse(no, 404, "%s", why_no_job(p));
	if (req->below.n)
		return zg_refuse(no, 404, "the stream of results is at %.*s",
		                 ZG_STR_ARG(in->location->path));
	if (req->protocol.n)
		return zg_refuse(no, 400, "this stream has no subprotocols; offer none");
	return 0;
}

static void pipeline_ws_open(zg_instance_t *in, zg_ws_t *ws, const zg_request_t *req)
{
	struct pipeline *p = in->state;

	(void)req;
	zg_fanout_join(&p->stream, ws);
}

static void pipeline_ws_message(zg_instance_t *in, zg_ws_t *ws, zg_str_t data, bool text)
{
	(void)in;
	(void)data;
	(void)text;
	zg_ws_close(ws, 1008, "this stream is read-only");
}

static void pipeline_ws_close(zg_instance_t *in, zg_ws_t *ws)
{
	struct pipeline *p = in->state;

	zg_fanout_leave(&p->stream, ws);
}

/* ---- from start to stop ---- */

static int open_sockets(struct pipeline *p, zg_err_t *err)
{
	zg_socket_options_t push = {
		.name = "push", .type = ZG_SOCKET_PUSH, .send_hwm = SEND_HWM,
		.endpoint = p->conf->push.item, .endpoints = p->conf->push.count,
		.writable = on_writable, .peers = on_peers, .ctx = p,
	};
	zg_socket_options_t pull = {
		.name = "pull", .type = ZG_SOCKET_PULL, .max_message = p->max_frame,
		.endpoint = p->conf->pull.item, .endpoints = p->conf->pull.count,
		.message = on_result, .ctx = p,
	};

	/* the sink first, so that no worker finds the ventilator without it */
	if (p->conf->pull.count && !(p->pull = zg_socket_open(p->in, &pull, err)))
		return -1;
	return (p->push = zg_socket_open(p->in, &push, err)) ? 0 : -1;
}

static void pipeline_free(struct pipeline *p, int linger_ms)
{
	zg_socket_close(&p->push, linger_ms);
	zg_socket_close(&p->pull, 0);
	zg_fanout_free(&p->stream);
	zg_job_free(&p->jobs);
	free(p);
}

static int pipeline_start(zg_instance_t *in, zg_err_t *err)
{
	struct pipeline *p = calloc(1, sizeof *p);

	if (!p)
		return zg_err(err, "out of memory");
	p->in = in;
	p->conf = in->conf;
	p->counts = in->counts;
	p->shared = in->shared;
	p->max_frame = p->conf->results_size;
	p->by_id = p->conf->pull.count && p->conf->framing != PIPELINE_BODY && !in->location->exact;
	zg_list_init(&p->queue);
	zg_fanout_init(&p->stream, in->loop);
	if (zg_job_init(&p->jobs, in->loop, p->conf, p->counts, err) < 0 ||
	    open_sockets(p, err) < 0) {
		pipeline_free(p, 0);
		return -1;
	}
	in->state = p;
	return 0;
}

static uint64_t pipeline_pending(const zg_instance_t *in)
{
	return ((const struct pipeline *)in->state)->counts->queued;
}

static void pipeline_reload(zg_instance_t *in)
{
	struct pipeline *p = in->state;

	p->conf = in->conf;
	if (p->pull && p->conf->results_size > p->max_frame)
		zg_warn("%s: results_size is larger now, but one frame of a result still has at most "
		        "%" PRIu64 " bytes until zgate is started again", in->name, p->max_frame);
	zg_job_reload(&p->jobs, p->conf);
}

static void pipeline_stop(zg_instance_t *in)
{
	struct pipeline *p = in->state;

	zg_upload_flush(p);
	if ((p->counts->discarded_at_stop = zg_upload_discard(p)) > 0)
		zg_warn("%s: %llu uploads that waited for a worker are discarded", in->name,
		        (unsigned long long)p->counts->discarded_at_stop);
	pipeline_free(p, zg_socket_linger(in));
	in->state = NULL;
}

const zg_module_t ZG_MODULE(pipeline) = {
	.abi = ZG_MODULE_ABI,
	.name = "pipeline",
	.doc = "Uploads to PUSH/PULL workers, and their results.",
	.directives = pipeline_directives,
	.conf_size = sizeof(struct pipeline_conf),
	.counters = pipeline_counters,
	.counts_size = sizeof(struct pipeline_counts),
	.methods = "GET POST PUT",
	.shared_size = sizeof(struct pipeline_shared),
	.place = pipeline_place,
	.start = pipeline_start,
	.request = pipeline_request,
	.handshake = pipeline_handshake,
	.ws_open = pipeline_ws_open,
	.ws_message = pipeline_ws_message,
	.ws_close = pipeline_ws_close,
	.pending = pipeline_pending,
	.reload = pipeline_reload,
	.stop = pipeline_stop,
};
