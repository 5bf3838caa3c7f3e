/* http: the HTTP front of one worker, on libmicrohttpd in external epoll mode:
 * it serves the connections that the gate hands over, one request at a time
 * each, and gives whole requests to modules. The worker's thread only.
 *
 * libmicrohttpd has no timers but an idle one that any byte resets, so the
 * deadlines are kept here: between requests, for a later request's head, for a
 * body's progress and least rate. */
#ifndef ZG_FRONT_HTTP_H
#define ZG_FRONT_HTTP_H

#include "engine/worker.h"
#include "front/conn.h"

typedef struct zg_http zg_http_t;

zg_http_t *zg_http_new(zg_worker_t *w, zg_err_t *err);
/* Takes over the connection, whose first request head is whole and judged. */
void zg_http_adopt(zg_http_t *h, zg_conn_t *c);
/* The connection broke (error or hang-up): a request that waits is cancelled. */
void zg_http_broken(zg_http_t *h, zg_conn_t *c);
/* The client has finished sending, or has gone: TCP does not tell which. What
 * is answered within 2 s still goes out; then its request is cancelled. */
void zg_http_half_closed(zg_http_t *h, zg_conn_t *c);
/* The worker's configuration has changed; w->http may be another one after it. */
void zg_http_reload(zg_worker_t *w);
/* Answers 503 to what the instance has not answered, and takes it from it. */
void zg_http_give_up(zg_http_t *h, zg_instance_t *in, const char *why);
/* Requests that are arriving or waiting, and answers that are leaving. */
unsigned zg_http_busy(const zg_http_t *h);
/* Whether there is any connection. */
bool zg_http_connected(const zg_http_t *h);
/* Answers what waits with 503, gives answers under way a moment to leave, and
 * closes all connections. */
void zg_http_close(zg_http_t *h);
/* Requests that other workers have, or have not given back yet. After the close
 * they have to come to 0 before the front is freed. */
unsigned zg_http_away(const zg_http_t *h);
void zg_http_free(zg_http_t **h);

#endif
