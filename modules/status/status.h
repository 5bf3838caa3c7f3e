/* The parts of the status module. What several workers have is collected by a
 * tour into a snapshot, and told from that by the worker that was asked. The
 * rows of the counters' tables decide what is shown, so nothing here names a
 * counter. */
#ifndef STATUS_H
#define STATUS_H

#include "zgate.h"

/* ---- snapshot.c ---- */

typedef struct status_endpoint {
	struct status_endpoint *next;
	zg_endpoint_info_t info;
} status_endpoint_t;

/* Sockets of one directive, type and list of endpoints, on all workers. */
typedef struct status_socket {
	struct status_socket *next;
	const char *directive, *type;
	zg_socket_info_t info;
	bool lacking; /* a worker has no peer there */
	status_endpoint_t *endpoint;
} status_socket_t;

/* A location or service: what its instances on all workers have together. */
typedef struct status_section {
	struct status_section *next;
	uint64_t family;         /* its serial */
	const char *name, *path; /* as in gateway.ini; without the "=" */
	const char *module;
	bool service, exact;
	bool leaving;            /* a reload gave it up, and it still works */
	bool websocket;          /* has WebSockets */
	unsigned method_bits;
	uint64_t client_queue;
	zg_location_counts_t common;
	/* the module's: its counters, with the limits behind them, and rows that are
	 * true for this; rows_from is what they were copied from */
	void *counts;
	const zg_counter_t *rows, *rows_from;
	size_t counts_size;
	status_socket_t *socket;
} status_section_t;

/* Owns everything in it and points to nothing of the configuration: by the time
 * it is told, a reload may have freed what it was taken from. */
typedef struct status_snapshot {
	status_section_t *first, *last, *at;
	zg_worker_counts_t all, *worker; /* of all workers; of each */
	unsigned workers;
	zg_pool_t *pool;
	bool failed;             /* memory has run out on the way */
} status_snapshot_t;

/* NULL: out of memory. */
status_snapshot_t *status_snapshot_new(const zg_worker_t *w);
/* On each worker's thread: adds what it has. */
void status_snapshot_add(status_snapshot_t *s, const zg_worker_t *w);
void status_snapshot_free(status_snapshot_t **s);

/* ---- process.c ---- */

typedef struct status_process {
	int pid;
	uint64_t uptime_ms, configured_ms, memory_bytes, descriptors, descriptors_max;
	uint64_t reloads, reloads_failed;
	bool draining;
} status_process_t;

/* What the kernel and the main thread say of this process; 0 where they say
 * nothing. */
status_process_t status_process_read(const zg_worker_t *w);

/* ---- the texts; both -1 when the text is too long or memory has run out ---- */

/* json.c: the whole document. */
int status_json_write(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out);
/* metrics.c: Prometheus' text format, version 0.0.4. */
int status_metrics_write(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out);
/* metrics_sockets.c: its part on ZeroMQ. */
int status_metrics_sockets(const status_snapshot_t *s, const zg_worker_t *w, zg_buf_t *out);

/* ---- metrics.c, lines ---- */

#define STATUS_NAME_MAX 160

/* Says what a name means; writes the name to be used into `name`. */
int status_line_family(zg_buf_t *out, char name[STATUS_NAME_MAX], const char *prefix,
                       const char *row, zg_counter_kind_t kind, const char *doc);
/* `name="value"` */
int status_line_label(zg_buf_t *out, const char *name, const char *value);
/* The labels of a section, without braces. */
int status_line_section(zg_buf_t *out, const status_section_t *at);

#endif
