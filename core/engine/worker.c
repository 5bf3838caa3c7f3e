#include "engine/worker.h"

#include "config.h"

#define ROW(f, doc)   ZG_COUNTER(zg_location_counts_t, f, doc)
#define LEVEL(f, doc) ZG_GAUGE(zg_location_counts_t, f, doc)

const zg_counter_t zg_location_counter_rows[] = {
	ROW(requests, "HTTP requests that reached the location: each is answered, in flight, or its client has gone."),
	LEVEL(in_flight, "HTTP requests not answered yet."),
	ROW(refused, "Of the answers, those given before the module saw the request: method, size, address, origin."),
	ROW(client_gone, "HTTP requests whose client left before the answer."),
	ROW(answered_2xx, "Answers with a status from 200 to 299."),
	ROW(answered_3xx, "Answers with a status from 300 to 399."),
	ROW(answered_4xx, "Answers with a status from 400 to 499."),
	ROW(answered_5xx, "Answers with a status from 500 to 599."),
	ROW(bytes_in, "Bytes of request bodies."),
	ROW(bytes_out, "Bytes of answer bodies."),
	ROW(ws_opened, "WebSockets opened."),
	LEVEL(ws_open, "WebSockets open now."),
	ROW(ws_refused, "WebSocket handshakes refused."),
	ROW(ws_received, "WebSocket messages received from clients."),
	ROW(ws_delivered, "WebSocket messages handed to clients' connections."),
	ROW(ws_dropped, "WebSocket messages dropped because a client was too slow."),
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
	ZG_COUNTER_END,
};

const char *zg_worker_version(void)
{
	return ZG_VERSION;
}
