/* status: what the gateway says of itself, for people, Prometheus, and whoever
 * has to know whether it lives and takes requests. */
#include "status.h"

#define TEXT_MAX (16u << 20)

static void status_reply(zg_instance_t *in, zg_request_t *req, const char *type,
                         int (*write)(const zg_worker_t *w, zg_buf_t *out))
{
	zg_buf_t out = ZG_BUF(TEXT_MAX);

	if (write(in->worker, &out) != 0)
		zg_request_problem(req, 503, "The answer is over %u bytes, or memory has run out.", TEXT_MAX);
	else
		zg_request_reply_buf(req, 200, type, &out);
	zg_buf_free(&out);
}

static void status_reply_ready(zg_instance_t *in, zg_request_t *req)
{
	if (in->worker->draining)
		zg_request_problem(req, 503, "The gateway is shutting down and takes no new requests.");
	else
		zg_request_reply(req, 200, "text/plain; charset=utf-8", "ready\n", 6);
}

static void status_request(zg_instance_t *in, zg_request_t *req)
{
	if (zg_request_add_header(req, "Cache-Control", "no-store") != 0)
		zg_request_problem(req, 503, "Memory has run out; try again later.");
	else if (req->below.n == 0)
		status_reply(in, req, "application/json", status_json_write);
	else if (zg_str_eq(req->below, ZG_STR("metrics")))
		status_reply(in, req, "text/plain; version=0.0.4; charset=utf-8", status_metrics_write);
	else if (zg_str_eq(req->below, ZG_STR("live")))
		zg_request_reply(req, 200, "text/plain; charset=utf-8", "live\n", 5);
	else if (zg_str_eq(req->below, ZG_STR("ready")))
		status_reply_ready(in, req);
	else
		zg_request_problem(req, 404, "Below %s there are metrics, live and ready.", in->name);
}

const zg_module_t ZG_MODULE(status) = {
	.abi = ZG_MODULE_ABI,
	.name = "status",
	.doc = "tells what the gateway does: JSON, Prometheus, live, ready",
	.kind = ZG_BRIDGE,
	.methods = "GET",
	.request = status_request,
};
