/* collect: a client that is a request waiting for its one answer. To the module
 * it is like a WebSocket (front/ws.h): what is sent to it gathers in a buffer,
 * of which the module makes the answer. The worker's thread only. */
#ifndef ZG_FRONT_COLLECT_H
#define ZG_FRONT_COLLECT_H

#include "base/buf.h"
#include "front/request.h"
#include "front/ws.h"

/* Opens it (ws_open) for req, whose protocol says what is to be gathered.
 * ready(ctx) runs once, in a later turn, when something has come or the client
 * is to close. NULL: out of memory. The buffer is bounded by client_queue: what
 * does not fit any more is left out, and so is all that follows. */
zg_ws_t *zg_collect_open(zg_instance_t *in, const zg_request_t *req, void (*ready)(void *ctx),
                         void *ctx);
/* What has come; valid until the close. */
zg_buf_t *zg_collect_buf(zg_ws_t *ws);
/* ws_close follows at once; ready is not called any more. */
void zg_collect_close(zg_ws_t *ws);

#endif
