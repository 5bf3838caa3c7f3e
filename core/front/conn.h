/* conn: one client connection from accept until its descriptor is closed or
 * given to the WebSocket front. Shared by the gate, which makes and frees it,
 * and the HTTP front, which serves it. */
#ifndef ZG_FRONT_CONN_H
#define ZG_FRONT_CONN_H

#include "base/timeq.h"
#include "engine/worker.h"
#include <sys/socket.h>
#include <netinet/in.h>
#include <stdbool.h>

#define ZG_CONN_MOVES 3

struct zg_gate;
struct zg_http_request;

typedef struct zg_conn {
	zg_timeq_entry_t deadline; /* in one of the gate's or the HTTP front's queues */
	struct zg_gate *gate;
	struct zg_http *http;      /* that has it */
	zg_post_t move;            /* to another worker's gate */
	zg_worker_t *to;
	unsigned moves;            /* so far; a reload may move the location's home */
	struct zg_http_request *req; /* the HTTP front's, while one is under way */
	int fd;
	uint64_t acked;              /* how far an answer under way had got when last looked at */
	bool with_http;              /* else the gate waits for its first head */
	bool half_closed;            /* the client will send nothing more */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} from;
} zg_conn_t;

#endif
