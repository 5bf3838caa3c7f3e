/* worker: one thread that serves clients: its loop, its fronts, its sockets
 * and its instance of every location. This header is what the layers above
 * share; the thread itself is made in gateway/worker.c. */
#ifndef ZG_ENGINE_WORKER_H
#define ZG_ENGINE_WORKER_H

#include "engine/conf.h"

/* Of one location on one worker. */
typedef struct zg_location_counts {
	uint64_t requests, in_flight, refused, client_gone;
	uint64_t answered_2xx, answered_3xx, answered_4xx, answered_5xx;
	uint64_t bytes_in, bytes_out;
	uint64_t ws_opened, ws_open, ws_refused;
	uint64_t ws_received, ws_delivered, ws_dropped, ws_slow_closed, ws_queued_bytes;
} zg_location_counts_t;
extern const zg_counter_t zg_location_counter_rows[];

/* Of one worker. */
typedef struct zg_worker_counts {
	uint64_t connections_accepted, connections_open, connections_refused;
	uint64_t accept_paused, heads_refused, timeouts_head, timeouts_body, timeouts_idle;
} zg_worker_counts_t;
extern const zg_counter_t zg_worker_counter_rows[];

/* "0.1.0" */
const char *zg_worker_version(void);

struct zg_worker {
	unsigned index;
	char name[16]; /* "worker 0" */
	const zg_conf_t *conf;
	zg_loop_t *loop;
	void *zmq;               /* the process's ZeroMQ context */
	struct zg_http *http;    /* front/http.h */
	struct zg_wsfront *ws;   /* front/wsfront.h */
	zg_instance_t **location; /* parallel to conf->location */
	zg_instance_t **service;
	zg_worker_counts_t counts;
	uint64_t started;        /* zg_loop_now */
	bool draining;
};

#endif
