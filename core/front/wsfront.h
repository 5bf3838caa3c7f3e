/* wsfront: the WebSocket front of one worker, on libwebsockets. The gate
 * gives it connections whose handshake is correct; it routes the handshake,
 * asks the module, and only then has libwebsockets answer 101. libwebsockets
 * is shown a handshake that the front wrote itself, never a stranger's bytes.
 * The worker's thread only. */
#ifndef ZG_FRONT_WSFRONT_H
#define ZG_FRONT_WSFRONT_H

#include "base/head.h"
#include "engine/worker.h"
#include "front/conn.h"
#include "front/request.h"

typedef struct zg_wsfront zg_wsfront_t;

zg_wsfront_t *zg_wsfront_new(zg_worker_t *w, zg_err_t *err);
/* 0: the descriptor is taken over (and may be closed again already). -1: the
 * answer is in no, nothing was taken. bytes is the head as received; *in gets
 * the location if there is one. */
int zg_wsfront_adopt(zg_wsfront_t *f, zg_conn_t *c, const zg_head_t *head, const char *bytes,
                     zg_instance_t **in, zg_refusal_t *no);
/* Starts closing every WebSocket with 1001. */
void zg_wsfront_drain(zg_wsfront_t *f);
/* Modules hear of the end of every WebSocket (ws_close). */
void zg_wsfront_forget(zg_wsfront_t *f);
/* Closes all at once. libwebsockets ends only when the loop has run empty: so
 * stop, zg_loop_end, free. In between it closes a descriptor a second time
 * (core/README.md): nothing may open one in that time, so the ZeroMQ sockets
 * have to be closed before. */
void zg_wsfront_stop(zg_wsfront_t *f);
void zg_wsfront_free(zg_wsfront_t **f);

#endif
