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

/* Sets w->ws, also when it fails (-1): only zg_wsfront_stop and _free can end it. */
int zg_wsfront_open(zg_worker_t *w, zg_err_t *err);
typedef enum zg_ws_adoption {
	ZG_WS_ADOPTED,   /* the descriptor is taken over (and may be closed again already) */
	ZG_WS_REFUSED,   /* the answer is in no, nothing was taken */
	ZG_WS_ELSEWHERE, /* the location's home serves it, nothing was taken */
} zg_ws_adoption_t;
/* bytes is the head as received; *in gets the location if there is one. */
zg_ws_adoption_t zg_wsfront_adopt(zg_worker_t *w, zg_conn_t *c, const zg_head_t *head,
                                  const char *bytes, zg_instance_t **in, zg_refusal_t *no);
/* Closes every WebSocket of the instance (NULL: all of them) with 1001: a
 * thousand a second or faster, in at most within_ms, each at a random moment, so
 * that clients do not come back all at once. The reason is kept. */
void zg_wsfront_close(zg_wsfront_t *f, zg_instance_t *in, const char *reason, uint64_t within_ms);
/* Modules hear of the end of every WebSocket of the instance, or of all, now
 * (ws_close), and the connections end. */
void zg_wsfront_forget(zg_wsfront_t *f, zg_instance_t *in);
/* The worker's configuration has changed; it holds for those who are there, too. */
void zg_wsfront_reload(zg_wsfront_t *f);
/* Whether close frames are on their way. */
bool zg_wsfront_lingers(const zg_wsfront_t *f);
/* Closes all at once. libwebsockets ends only when the loop has run empty: so
 * stop, zg_loop_end, free. In between it closes a descriptor a second time
 * (core/README.md): nothing may open one in that time, so the ZeroMQ sockets
 * have to be closed before. */
void zg_wsfront_stop(zg_wsfront_t *f);
void zg_wsfront_free(zg_wsfront_t **f);

#endif
