#include "engine/worker.h"

#include "config.h"

#define ROW(f, doc)   ZG_COUNTER(zg_location_counts_t, f, doc)
#define LEVEL(f, doc) ZG_GAUGE(zg_location_counts_t, f, doc)
#define TIMES(f, doc) ZG_HISTOGRAM(zg_location_counts_t, f, doc)

const zg_counter_t zg_location_counter_rows[] = {
	ROW(requests, "HTTP requests that reached the location: each is in flight, or ends in one of the "
	              "outcomes answered, refused, failed, timed_out, cancelled."),
	LEVEL(in_flight, "HTTP requests not answered yet."),
	ROW(answered, "HTTP requests answered as their bridge had it, a worker's own errors included."),
	ROW(refused, "HTTP requests that the gateway refused: 4xx, or 503 as nobody could take them."),
	ROW(failed, "HTTP requests that failed on their way: 500, 502."),
	ROW(timed_out, "HTTP requests that took too long: 504, or 408 if the client did."),
	ROW(cancelled, "HTTP requests whose client left before the answer."),
	ROW(status_2xx, "Answers with a status from 200 to 299."),
	ROW(status_3xx, "Answers with a status from 300 to 399."),
	ROW(status_4xx, "Answers with a status from 400 to 499."),
	ROW(status_5xx, "Answers with a status from 500 to 599."),
	TIMES(request_time, "From an HTTP request's head to its answer."),
	TIMES(waiting_time, "Of it, until a worker was given the request."),
	TIMES(worker_time, "Of it, from then until the worker's reply."),
	ROW(bytes_in, "Bytes of request bodies."),
	ROW(bytes_out, "Bytes of answer bodies."),
	ROW(ws_opened, "WebSockets opened."),
	LEVEL(ws_open, "WebSockets open now."),
	ROW(ws_refused, "WebSocket handshakes refused."),
	ROW(ws_received, "WebSocket messages received from clients."),
	ROW(ws_delivered, "WebSocket messages handed to clients' connections."),
	ROW(ws_dropped, "WebSocket messages dropped because a client was too slow."),
	ROW(ws_dropped_left, "WebSocket messages still queued for a client when it left."),
	ROW(ws_dropped_memory, "WebSocket messages dropped because memory had run out."),
	ROW(ws_slow_closed, "WebSockets closed because the client was too slow or did not answer a ping."),
	LEVEL(ws_queued_bytes, "Bytes queued for slow WebSocket clients."),
	ZG_COUNTER_END,
};

#undef ROW
#undef LEVEL
#define ROW(f, doc)   ZG_COUNTER(zg_worker_counts_t, f, doc)
#define LEVEL(f, doc) ZG_GAUGE(zg_worker_counts_t, f, doc)

const zg_counter_t zg_worker_counter_rows[] = {
	ROW(connections_accepted, "Connections accepted."),
	LEVEL(connections_open, "Connections open now."),
	ROW(connections_refused, "Connections answered 503 because max_connections was reached."),
	ROW(accept_paused, "Times that accepting paused because no descriptor was left."),
	ROW(heads_refused, "Request heads refused as malformed, too large, or for no location."),
	ROW(timeouts_head, "Connections closed because a request head took longer than header_timeout."),
	ROW(timeouts_body, "Requests ended because the body came too slowly."),
	ROW(timeouts_idle, "Connections closed after idle_timeout without a request, or without an answer moving."),
	ROW(access_lines_dropped, "Lines of access_log dropped as it could not be written fast enough."),
	ZG_COUNTER_END,
};

const char *zg_worker_version(void)
{
	return ZG_VERSION;
}

const char *zg_worker_compiler(void)
{
	return ZG_COMPILER;
}

const char *zg_worker_libraries(void)
{
	return ZG_LIBRARIES;
}

/* ---- siblings ---- */

static void deliver(void *ctx)
{
	zg_letter_t *l = ctx;

	l->fn(l->family->member[l->to->index], l->ctx);
}

void zg_instance_send(zg_instance_t *in, unsigned to, zg_letter_t *l,
                      void (*fn)(zg_instance_t *there, void *ctx), void *ctx)
{
	l->to = in->worker->mate[to];
	l->family = in->family;
	l->fn = fn;
	l->ctx = ctx;
	zg_loop_post(l->to->loop, &l->post, deliver, l);
}

void zg_letter_return(zg_letter_t *l, unsigned to, void (*fn)(zg_instance_t *there, void *ctx))
{
	l->to = l->to->mate[to];
	l->fn = fn;
	zg_loop_post(l->to->loop, &l->post, deliver, l);
}

static void tour_done(void *ctx)
{
	zg_tour_t *t = ctx;

	t->from->tours--;
	t->done(t->from, t->ctx);
}

static void tour_visit(void *ctx)
{
	zg_tour_t *t = ctx;
	zg_worker_t *w = t->from->mate[t->next++];

	t->visit(w, t->ctx);
	if (t->next < w->mates)
		zg_loop_post(w->mate[t->next]->loop, &t->post, tour_visit, t);
	else
		zg_loop_post(t->from->loop, &t->post, tour_done, t);
}

void zg_worker_tour(zg_worker_t *w, zg_tour_t *t, void (*visit)(zg_worker_t *w, void *ctx),
                    void (*done)(zg_worker_t *w, void *ctx), void *ctx)
{
	w->tours++;
	*t = (zg_tour_t){ .from = w, .visit = visit, .done = done, .ctx = ctx };
	zg_loop_post(w->mate[0]->loop, &t->post, tour_visit, t);
}
