/* access: the fronts' access log: one line about every request with an outcome,
 * every head that was refused, and every WebSocket and stream at its end. Does
 * nothing while the configuration has no access_log. The worker's thread only;
 * never blocks: lines go to a ring of the worker's own (engine/logfile.h), and one
 * that finds no room is dropped and counted (access_lines_dropped). */
#ifndef ZG_FRONT_ACCESS_H
#define ZG_FRONT_ACCESS_H

#include "base/head.h"
#include "engine/worker.h"
#include "front/conn.h"
#include "front/request.h"

#define ZG_CLIENT_GONE 499 /* as nginx has it: no status was sent */

struct zg_http_request;
struct zg_ws_client;

/* What became of a request. */
typedef enum zg_outcome {
	ZG_ANSWERED,  /* as the module had it */
	ZG_REFUSED,
	ZG_FAILED,
	ZG_TIMED_OUT,
	ZG_CANCELLED, /* its client has gone */
} zg_outcome_t;
/* Of a request that the gateway itself answered. */
zg_outcome_t zg_access_outcome(unsigned status);

/* Makes what the worker needs for the log of the configuration; -1: out of
 * memory. What there is stays. */
int zg_access_open(zg_worker_t *w, const zg_conf_t *conf, zg_err_t *err);
/* Lines that wait are still written. */
void zg_access_close(zg_worker_t *w);

/* A request is settled at `now` (zg_clock_us). */
void zg_access_request(const struct zg_http_request *r, zg_outcome_t outcome, unsigned status,
                       uint64_t bytes, uint64_t now);
/* A connection's first head was refused with an answer of so many bytes. head
 * NULL: it was malformed or not whole; else its bytes. in may be NULL. */
void zg_access_refused(zg_worker_t *w, const zg_conn_t *c, const zg_head_t *head,
                       const char *bytes, const zg_instance_t *in, zg_str_t id, unsigned status,
                       size_t body);

/* What the line about a WebSocket needs of its handshake, copied. */
typedef struct zg_session zg_session_t;
/* NULL: there is no access log now, or no memory. */
zg_session_t *zg_access_session(const zg_conn_t *c, const zg_head_t *head, const char *bytes,
                                const zg_request_t *req);
/* The same of the request that a stream of events answers. */
zg_session_t *zg_access_stream(const zg_request_t *req);
/* It has ended, or its client went during the handshake. Frees it. */
void zg_access_session_end(const struct zg_ws_client *c, zg_session_t **s);
void zg_access_session_failed(const struct zg_ws_client *c, zg_session_t **s);

#endif
