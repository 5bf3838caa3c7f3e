/* gate: where connections come in. Accepts, waits for a whole request head
 * without taking it from the socket (MSG_PEEK), judges it (base/head.h), and
 * hands the connection to the HTTP front or, routed and accepted, to the
 * WebSocket front; what is refused is answered and closed here. One per worker,
 * on its thread.
 *
 * Waiting connections sit in one edge-triggered epoll set of the gate's own,
 * whose descriptor is on the loop: a partial head costs nothing until more of
 * it comes, and a connection served by the HTTP front stays in the set, so that
 * its breaking is seen while its request waits for a worker. */
#ifndef ZG_FRONT_GATE_H
#define ZG_FRONT_GATE_H

#include "engine/worker.h"
#include "front/conn.h"
#include "front/linger.h"
#include "front/listen.h"

typedef struct zg_gate zg_gate_t;

/* Accepts nobody yet. The worker's fronts must be there. */
zg_gate_t *zg_gate_new(zg_worker_t *w, zg_err_t *err);
/* The worker's configuration has changed: accepts at these listeners from now on,
 * and only these. The sockets stay the caller's. -1: at some of them not. */
int zg_gate_reload(zg_gate_t *g, const zg_listeners_t *listeners, zg_err_t *err);
void zg_gate_stop_accepting(zg_gate_t *g);
/* Connections of which a part of a head has come, and answers to refused ones that
 * are leaving. */
unsigned zg_gate_busy(const zg_gate_t *g);
/* Whether any connection waits for its first head. */
bool zg_gate_waits(const zg_gate_t *g);
/* Closes what waits for a head. After the HTTP front is gone. */
void zg_gate_free(zg_gate_t **g);

/* For the HTTP front: the connection's descriptor is about to be closed by
 * libmicrohttpd; forget and free it. */
void zg_gate_forget(zg_conn_t *c);
zg_linger_t *zg_gate_linger(zg_gate_t *g);
/* A connection was closed: a place, and perhaps a descriptor, is free. */
void zg_gate_closed(zg_worker_t *w);

#endif
