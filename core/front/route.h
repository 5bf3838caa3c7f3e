/* route: from a request to its location, and whether the request may pass:
 * path, address, origin, method. The same for plain requests and WebSocket
 * handshakes. Pure but for counting. */
#ifndef ZG_FRONT_ROUTE_H
#define ZG_FRONT_ROUTE_H

#include "base/head.h"
#include "engine/worker.h"
#include "front/request.h"
#include <sys/socket.h>

/* Fills req->to, method, method_name, path, below, query and content_type from the
 * head. store has room for head->target.n + 1 bytes and lives as long as req.
 * 0, or -1 with the answer in no (404, 400, 403, 405); req->to is set as soon
 * as the location is known, and stays NULL for `OPTIONS *`. */
int zg_route(zg_worker_t *w, const zg_head_t *head, const struct sockaddr *from, char *store,
             zg_request_t *req, zg_refusal_t *no);

/* Whether the request's Origin is listed in `origins` (not merely same-origin):
 * then CORS headers are due. */
bool zg_route_origin_listed(const zg_location_t *loc, zg_str_t origin);

#endif
