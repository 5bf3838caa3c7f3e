/* status: what the gateway says of itself, for people, Prometheus, and whoever
 * has to know whether it lives and takes requests. */
#include "status.h"

#include <stdlib.h>

#define TEXT_MAX (16u << 20)

static const struct text {
	const char *type;
	int (*write)(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out);
} texts[] = {
	{ "application/json", status_json_write },
	{ "text/plain; version=0.0.4; charset=utf-8", status_metrics_write },
};
enum { JSON, METRICS };

struct question {
	zg_link_t link; /* of those that wait, or of a round */
	zg_request_t *req;
	int text;
};

/* One tour of the workers, for all who asked before it began. It may outlive
 * them, and its instance. */
struct round {
	zg_tour_t tour;
	struct status *owner; /* NULL: stopped meanwhile */
	zg_link_t questions;
	status_snapshot_t *snapshot;
};

struct status {
	zg_instance_t *in;
	zg_link_t waiting;    /* for the next round */
	struct round *round;  /* under way */
};

static void question_free(struct question *q)
{
	zg_list_remove(&q->link);
	free(q);
}

static void refuse_all(zg_link_t *questions)
{
	ZG_LIST_EACH(l, questions) {
		struct question *q = ZG_CONTAINER(l, struct question, link);
		zg_request_t *req = q->req;

		question_free(q);
		zg_request_problem(req, 503, "The answer is over %u bytes, or memory has run out.", TEXT_MAX);
	}
}

/* ---- a round ---- */

static void visit(zg_worker_t *w, void *ctx)
{
	struct round *r = ctx;

	status_snapshot_add(r->snapshot, w);
}

static bool is_asked(const struct round *r, int text)
{
	ZG_LIST_EACH(l, &r->questions)
		if (ZG_CONTAINER(l, struct question, link)->text == text)
			return true;
	return false;
}

/* Answers those who asked for this text; who gets none stays in the list. */
static void answer(struct round *r, const zg_worker_t *w, int text)
{
	zg_buf_t out = ZG_BUF(TEXT_MAX);

	if (!r->snapshot->failed && is_asked(r, text) && texts[text].write(r->snapshot, w, &out) == 0)
		ZG_LIST_EACH(l, &r->questions) {
			struct question *q = ZG_CONTAINER(l, struct question, link);
			zg_request_t *req = q->req;

			if (q->text != text)
				continue;
			question_free(q);
			zg_request_reply(req, 200, texts[text].type, out.data, out.len);
		}
	zg_buf_free(&out);
}

static void begin(struct status *st);

static void done(zg_worker_t *w, void *ctx)
{
	struct round *r = ctx;
	struct status *st = r->owner;

	for (int i = 0; i < (int)ZG_COUNT_OF(texts); i++)
		answer(r, w, i);
	refuse_all(&r->questions);
	status_snapshot_free(&r->snapshot);
	free(r);
	if (!st)
		return;
	st->round = NULL;
	if (!zg_list_empty(&st->waiting))
		begin(st);
}

static void begin(struct status *st)
{
	struct round *r = calloc(1, sizeof *r);

	if (!r || !(r->snapshot = status_snapshot_new(st->in->worker))) {
		free(r);
		refuse_all(&st->waiting);
		return;
	}
	zg_list_move(&r->questions, &st->waiting);
	r->owner = st;
	st->round = r;
	zg_worker_tour(st->in->worker, &r->tour, visit, done, r);
}

/* ---- the module ---- */

static int status_start(zg_instance_t *in, zg_err_t *err)
{
	struct status *st = calloc(1, sizeof *st);

	if (!st)
		return zg_err(err, "out of memory");
	st->in = in;
	zg_list_init(&st->waiting);
	in->state = st;
	return 0;
}

static void status_stop(zg_instance_t *in)
{
	struct status *st = in->state;

	if (st->round)
		st->round->owner = NULL;
	free(st);
	in->state = NULL;
}

static void status_ask(zg_instance_t *in, zg_request_t *req, int text)
{
	struct status *st = in->state;
	struct question *q = calloc(1, sizeof *q);

	if (!q) {
		zg_request_problem(req, 503, "Memory has run out; try again later.");
		return;
	}
	q->req = req;
	q->text = text;
	req->ctx = q;
	zg_list_init(&q->link);
	zg_list_append(&st->waiting, &q->link);
	if (!st->round)
		begin(st);
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
		status_ask(in, req, JSON);
	else if (zg_str_eq(req->below, ZG_STR("metrics")))
		status_ask(in, req, METRICS);
	else if (zg_str_eq(req->below, ZG_STR("live")))
		zg_request_reply(req, 200, "text/plain; charset=utf-8", "live\n", 5);
	else if (zg_str_eq(req->below, ZG_STR("ready")))
		status_reply_ready(in, req);
	else
		zg_request_problem(req, 404, "Below %s there are metrics, live and ready.", in->name);
}

static void status_cancel(zg_instance_t *in, zg_request_t *req)
{
	(void)in;
	question_free(req->ctx);
}

const zg_module_t ZG_MODULE(status) = {
	.abi = ZG_MODULE_ABI,
	.name = "status",
	.doc = "tells what the gateway does: JSON, Prometheus, live, ready",
	.kind = ZG_BRIDGE,
	.methods = "GET",
	.start = status_start,
	.request = status_request,
	.cancel = status_cancel,
	.stop = status_stop,
};
