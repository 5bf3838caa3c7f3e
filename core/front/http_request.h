/* http_request: the HTTP front's own view of a request, from its request line
 * until nobody has it any more; private to http_request.c, to http.c, which runs
 * libmicrohttpd and keeps the deadlines, receive.c, which judges and receives
 * requests, request.c, which answers them, forward.c, which brings them to
 * another worker, and access.c, which logs them. */
#ifndef ZG_FRONT_HTTP_REQUEST_H
#define ZG_FRONT_HTTP_REQUEST_H

#include "base/head.h"
#include "engine/worker.h"
#include "front/access.h"
#include "front/conn.h"
#include "front/request.h"
#include <microhttpd.h>

#define ZG_HTTP_TARGET_INLINE 512
#define ZG_HTTP_PATIENCE_MS   3 /* how long a waiting request is parked */
#define ZG_HTTP_LEAVING_MS    1 /* until the next piece of an answer under way */

typedef enum zg_http_state {
	ZG_HTTP_HEAD,    /* the head is arriving */
	ZG_HTTP_BODY,    /* the body is arriving */
	ZG_HTTP_SWALLOW, /* a body that nobody wants is arriving; `no` is the answer */
	ZG_HTTP_WAITING, /* the module has it */
	ZG_HTTP_REPLIED, /* response is ready, not queued yet */
	ZG_HTTP_QUEUED,  /* libmicrohttpd has the response */
	ZG_HTTP_DOOMED,  /* to be cut off: answered past libmicrohttpd, or client gone */
} zg_http_state_t;

typedef struct zg_http_request {
	zg_request_t pub;
	zg_link_t link;    /* of the front's open, away or free ones */
	struct zg_http *http;
	zg_instance_t *to; /* here; pub.to is the home's while that has the request */
	zg_conn_t *conn;
	struct MHD_Connection *mhd;
	zg_http_state_t state;
	bool in_handler;
	bool open;         /* its outcome is */
	bool streams;      /* logged when its stream ends */
	bool parked;       /* waits unsuspended: see zg_http.parked */
	bool suspended;
	uint64_t parked_at;
	uint64_t arrived, handed; /* us; handed 0: no worker has had it */
	zg_buf_t body;
	uint64_t body_started;
	size_t swallowed;
	zg_refusal_t no;
	struct MHD_Response *response;
	unsigned status;
	zg_outcome_t outcome;
	uint64_t bytes;    /* of the answer */
	/* While the home has it (forward.c) all but these and what is above `away`
	 * is the home's: */
	bool away;         /* set and cleared here */
	bool orphan, acked, over; /* its client left: the home was told, said so, MHD is done */
	bool settled;      /* the home's: replied or cancelled */
	zg_letter_t out, cancel;
	zg_post_t back, ack;
	zg_buf_t kept;     /* what libmicrohttpd has of it, copied */
	const char *version; /* borrowed from libmicrohttpd */
	char method[16];
	struct { char *name, *value; } extra[32];
	unsigned extras;
	zg_str_t origin;   /* borrowed from libmicrohttpd */
	char id[65], remote[64];
	char *target, *path; /* of target_room bytes each */
	size_t target_room;
	char inline_target[ZG_HTTP_TARGET_INLINE], inline_path[ZG_HTTP_TARGET_INLINE];
} zg_http_request_t;

struct zg_http {
	zg_worker_t *w;
	struct MHD_Daemon *daemon;
	zg_io_t *io;
	zg_defer_t run;
	zg_timer_t *timer;
	uint64_t timer_due;
	zg_timeq_t idle, head, body, doomed;
	zg_link_t open, free_list;
	zg_link_t orphans;    /* requests whose client left while a home had them */
	unsigned free_count, connections, away;
	uint64_t max_header;  /* libmicrohttpd's memory is made for this */
	struct zg_http *older; /* fronts made for another max_header, until they are empty */
	zg_defer_t reap;
	bool retired;
	/* Suspending a connection and resuming it costs four system calls. So a
	 * request that waits is only parked at first: libmicrohttpd asks for its
	 * answer in every run, and suspended when that has gone on for a moment. */
	unsigned parked;
	unsigned leaving; /* answers that libmicrohttpd is sending */
	bool progress;    /* this run of libmicrohttpd has moved something */
	zg_timer_t *patience;
	bool stopping;       /* new requests are cut off */
	zg_conn_t *adopting; /* during MHD_add_connection, for on_connection */
};

/* libmicrohttpd's access handler (receive.c). */
enum MHD_Result zg_receive(void *cls, struct MHD_Connection *mhd, const char *url,
                           const char *method, const char *version, const char *data,
                           size_t *data_n, void **con_cls);
/* For receive.c: (re)arms the connection's deadline in one of the queues. */
void zg_http_arm(struct zg_http *h, zg_timeq_t *q, zg_conn_t *c);
/* Takes the request id over, or makes one. */
void zg_http_fill_id(zg_http_request_t *r, zg_str_t given);
/* Answers past libmicrohttpd, which cannot answer in the middle of a body, and
 * has the connection cut off soon. The request counts as refused. */
void zg_http_doom(struct zg_http *h, zg_conn_t *c, const zg_refusal_t *no);
/* For libmicrohttpd: it has the request line, and a request begins; it is done with
 * the request. */
void *zg_http_begin(void *http, const char *uri, struct MHD_Connection *mhd);
void zg_http_completed(void *http, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode code);
/* Takes a request that waits from its module: its client has left. */
void zg_http_cancel(zg_http_request_t *r);
/* The request's one outcome, with the answer's status and length. Later calls
 * change nothing. */
void zg_http_settle(zg_http_request_t *r, zg_outcome_t outcome, unsigned status, uint64_t bytes);
/* It waits no longer as it did: unparks or resumes it. */
void zg_http_wake(zg_http_request_t *r);
/* The answer is in the request; here or, for one that is away, at its home. */
void zg_http_replied(zg_http_request_t *r);
/* The request is over and nobody has it any more. */
void zg_http_request_free(zg_http_request_t *r);

/* forward.c: requests whose location works on another worker. */
void zg_forward(zg_http_request_t *r);
/* On the home's thread: the answer is in the request, send it back. */
void zg_forward_back(zg_http_request_t *r);
/* Its client has left. */
void zg_forward_cancel(zg_http_request_t *r);
/* On the request's own thread: completes the answer that came back (request.c). */
void zg_request_complete(zg_http_request_t *r);

#endif
