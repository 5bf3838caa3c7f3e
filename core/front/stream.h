/* stream: answers without end. A GET that its module wants to answer with a
 * stream of events is taken from the HTTP front with its connection; from then
 * on the client is one like a WebSocket (front/ws.h), whose bytes are written as
 * the module makes them. One front per worker, on its thread.
 *
 * The answer ends with the connection, so that no chunk headers stand between
 * the bytes that many clients share. */
#ifndef ZG_FRONT_STREAM_H
#define ZG_FRONT_STREAM_H

#include "engine/worker.h"
#include "front/linger.h"
#include "front/request.h"

typedef struct zg_streams zg_streams_t;

zg_streams_t *zg_streams_new(zg_worker_t *w, zg_err_t *err);
/* The clients have been forgotten before (zg_wsfront_forget). */
void zg_streams_free(zg_streams_t **s);

/* Takes over fd and opens a client for req (ws_open), whose protocol says what
 * it speaks; head is the answer's, complete. -1: out of memory, nothing was
 * sent or taken. */
int zg_stream_open(zg_streams_t *s, const zg_request_t *req, int fd, zg_str_t head);

#endif
