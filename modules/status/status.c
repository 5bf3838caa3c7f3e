/* status: what the gateway says of itself, for people, Prometheus, and whoever
 * has to know whether it lives and takes requests. */
#include "status.h"

#include <stdlib.h>

#define TEXT_MAX (16u << 20)

/* One question, on its way through the workers. It may outlive its request and
 * its instance. */
struct question {
	zg_tour_t tour;
	zg_request_t *req; /* NULL: its client has left */
	status_snapshot_t *snapshot;
	const char *type;
	int (*write)(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out);
};

static void visit(zg_worker_t *w, void *ctx)
{
	struct question *q = ctx;

	status_snapshot_add(q->snapshot, w);
}

static void answer(const struct question *q, const zg_worker_t *w)
{
	zg_buf_t out = ZG_BUF(TEXT_MAX);

	if (q->snapshot->failed || q->write(q->snapshot, w, &out) != 0)
		zg_request_problem(q->req, 503, "The answer is over %u bytes, or memory has run out.",
		                   TEXT_MAX);
	else
		zg_request_reply_buf(q->req, 200, q->type, &out);
	zg_buf_free(&out);
}

static void done(zg_worker_t *w, void *ctx)
{
	struct question *q = ctx;

	if (q->req)
		answer(q, w);
	status_snapshot_free(&q->snapshot);
	free(q);
}

static void status_ask(zg_instance_t *in, zg_request_t *req, const char *type,
                       int (*write)(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out))
{
	struct question *q = calloc(1, sizeof *q);

	if (!q || !(q->snapshot = status_snapshot_new(in->worker))) {
		free(q);
		zg_request_problem(req, 503, "Memory has run out; try again later.");
		return;
	}
	q->req = req;
	q->type = type;
	q->write = write;
	req->ctx = q;
	zg_worker_tour(in->worker, &q->tour, visit, done, q);
}

static void status_reply_ready(zg_instance_t *in, zg_request_t *req)
{
	if (in->worker->common->draining)
		zg_request_problem(req, 503, "The gateway is shutting down and takes no new requests.");
	else
		zg_request_reply(req, 200, "text/plain; charset=utf-8", "ready\n", 6);
}

static void status_request(zg_instance_t *in, zg_request_t *req)
{
	if (zg_request_add_header(req, "Cache-Control", "no-store") != 0)
		zg_request_problem(req, 503, "Memory has run out; try again later.");
	else if (req->below.n == 0)
		status_ask(in, req, "application/json", status_json_write);
	else if (zg_str_eq(req->below, ZG_STR("metrics")))
		status_ask(in, req, "text/plain; version=0.0.4; charset=utf-8", status_metrics_write);
	else if (zg_str_eq(req->below, ZG_STR("live")))
		zg_request_reply(req, 200, "text/plain; charset=utf-8", "live\n", 5);
	else if (zg_str_eq(req->below, ZG_STR("ready")))
		status_reply_ready(in, req);
	else
		zg_request_problem(req, 404, "Below %s there are metrics, live and ready.", in->name);
}

static void status_cancel(zg_instance_t *in, zg_request_t *req)
{
	struct question *q = req->ctx;

	(void)in;
	q->req = NULL;
}

const zg_module_t ZG_MODULE(status) = {
	.abi = ZG_MODULE_ABI,
	.name = "status",
	.doc = "tells what the gateway does: JSON, Prometheus, live, ready",
	.kind = ZG_BRIDGE,
	.methods = "GET",
	.request = status_request,
	.cancel = status_cancel,
};
