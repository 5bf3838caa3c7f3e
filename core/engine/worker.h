/* worker: one thread that serves clients: its loop, its fronts, its sockets
 * and its instance of every location. This header is what the layers above
 * share; the thread itself is made in gateway/worker.c. */
#ifndef ZG_ENGINE_WORKER_H
#define ZG_ENGINE_WORKER_H

#include "engine/conf.h"

/* Of one location on one worker. */
typedef struct zg_location_counts {
	/* requests = answered + refused + failed + timed_out + cancelled + in_flight */
	uint64_t requests, in_flight, answered, refused, failed, timed_out, cancelled;
	uint64_t status_2xx, status_3xx, status_4xx, status_5xx;
	zg_hist_t request_time, waiting_time, worker_time;
	uint64_t bytes_in, bytes_out;
	uint64_t ws_opened, ws_open, ws_refused;
	uint64_t ws_received, ws_delivered, ws_dropped, ws_dropped_left, ws_dropped_memory;
	uint64_t ws_slow_closed, ws_queued_bytes;
} zg_location_counts_t;
extern const zg_counter_t zg_location_counter_rows[];

/* Of one worker. */
typedef struct zg_worker_counts {
	uint64_t connections_accepted, connections_open, connections_refused;
	uint64_t accept_paused, heads_refused, timeouts_head, timeouts_body, timeouts_idle;
	uint64_t access_lines_dropped;
} zg_worker_counts_t;
extern const zg_counter_t zg_worker_counter_rows[];

/* "0.1.0" */
const char *zg_worker_version(void);
/* What built this binary, and the libraries it was built with, as -V says it. */
const char *zg_worker_compiler(void);
const char *zg_worker_libraries(void);

/* ---- siblings ---- */

/* The instances of one section, one for each worker. Made and freed by the main
 * thread (gateway/cycle.h); a member is its own worker's to read and write. */
struct zg_family {
	const zg_module_t *module;
	zg_placement_t placement;
	unsigned home, members;   /* the home's worker; how many there are */
	uint64_t serial;          /* no other family of the process has or had it */
	void *shared;
	zg_instance_t **member;   /* by worker; NULL before start and after stop */
};

static inline bool zg_instance_is_home(const zg_instance_t *in);

/* A message to a sibling, embedded in what it carries, as zg_post_t. */
typedef struct zg_letter {
	zg_post_t post;
	zg_worker_t *to;
	zg_family_t *family;
	void (*fn)(zg_instance_t *there, void *ctx);
	void *ctx;
} zg_letter_t;

/* Runs fn on worker `to`'s thread with the sibling there; NULL if it has been
 * stopped, so that fn can free what ctx is. Never fails; the rules are
 * zg_loop_post's. What two instances send each other arrives in order. */
void zg_instance_send(zg_instance_t *in, unsigned to, zg_letter_t *l,
                      void (*fn)(zg_instance_t *there, void *ctx), void *ctx);

/* From fn, which has the letter then: sends it on, or back, to the sibling on worker
 * `to`, with the same ctx; also where there is no instance any more. */
void zg_letter_return(zg_letter_t *l, unsigned to, void (*fn)(zg_instance_t *there, void *ctx));

/* A tour of all workers: visit runs on each worker's thread in turn, then done
 * on the thread where it began, always: the workers stop only when all tours
 * are over. None may begin once the fronts are closed. ctx is with one thread at
 * a time, so it needs no lock. The struct is the caller's until done. */
typedef struct zg_tour {
	zg_post_t post;
	zg_worker_t *from;
	unsigned next;
	void (*visit)(zg_worker_t *w, void *ctx);
	void (*done)(zg_worker_t *w, void *ctx);
	void *ctx;
} zg_tour_t;
void zg_worker_tour(zg_worker_t *w, zg_tour_t *t, void (*visit)(zg_worker_t *w, void *ctx),
                    void (*done)(zg_worker_t *w, void *ctx), void *ctx);

/* What the workers of a process have together. */
typedef struct zg_common {
	_Atomic uint64_t connections; /* open, on all workers */
	_Atomic bool draining;        /* no new work is wanted: /ready fails */
	_Atomic uint64_t reloads, reloads_failed;
	_Atomic uint64_t configured;  /* when the configuration began to work, ms, monotonic */
	uint64_t started;             /* ms, monotonic */
} zg_common_t;

struct zg_worker {
	unsigned index;
	char name[24]; /* "worker 0" */
	zg_common_t *common;
	zg_worker_t **mate; /* all workers of the process, itself among them */
	unsigned mates;
	const zg_conf_t *conf;   /* changes with a reload, between two callbacks */
	zg_loop_t *loop;
	void *zmq;               /* the process's ZeroMQ context */
	struct zg_http *http;    /* front/http.h */
	struct zg_wsfront *ws;   /* front/wsfront.h */
	struct zg_streams *streams; /* front/stream.h */
	struct zg_gate *gate;    /* front/gate.h; NULL when the worker closes */
	struct zg_access_out *access; /* front/access.h; NULL: there was no access log yet */
	zg_instance_t **location; /* parallel to conf->location */
	zg_instance_t **service;
	const zg_list_t *freed;   /* while a reload prepares: addresses that are bound only until
	                           * what has them is given up */
	zg_link_t instances;      /* all there are, also those that are being given up */
	zg_worker_counts_t counts;
	unsigned tours;           /* that began here and are not over */
	bool draining;
	uint64_t end_at;          /* ms, while instances stop for good: when the time for it is over */
};

static inline bool zg_instance_is_home(const zg_instance_t *in)
{
	return in->family->home == in->worker->index;
}

/* Whether its module is given requests here, or at home. */
static inline bool zg_instance_serves_requests(const zg_instance_t *in)
{
	return in->family->placement == ZG_EVERYWHERE || zg_instance_is_home(in);
}

#endif
