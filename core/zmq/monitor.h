/* monitor: what a ZeroMQ socket's connections are doing, from libzmq's
 * monitor events. Part of a zg_socket_t; on its thread. */
#ifndef ZG_ZMQ_MONITOR_H
#define ZG_ZMQ_MONITOR_H

#include "base/err.h"
#include "engine/loop.h"

typedef struct zg_monitor zg_monitor_t;

typedef enum zg_monitor_event {
	ZG_MONITOR_TRYING,     /* an attempt to connect has begun */
	ZG_MONITOR_CLOSED,     /* ... and failed */
	ZG_MONITOR_RETRYING,   /* the next one will begin soon */
	ZG_MONITOR_OPENED,     /* connected; the handshake has begun */
	ZG_MONITOR_JOINED,     /* a peer's handshake is complete */
	ZG_MONITOR_LEFT,       /* a peer that had joined is gone */
	/* A handshake failed. libzmq does not always tell these apart: if the peer is
	 * the first to see that the types do not fit, it is the second. */
	ZG_MONITOR_WRONG_TYPE, /* a socket type that does not fit ours */
	ZG_MONITOR_FAILED,     /* no ZeroMQ, or another dialect of it */
} zg_monitor_event_t;

/* Watches the socket `watched` (made with the context zmq). fn may be called from the loop until
 * zg_monitor_free; address is the endpoint concerned, borrowed. */
zg_monitor_t *zg_monitor_new(zg_loop_t *loop, void *zmq, void *watched,
                             void (*fn)(void *ctx, zg_monitor_event_t event, const char *address),
                             void *ctx, zg_err_t *err);
/* Tells now of all that has happened. */
void zg_monitor_read(zg_monitor_t *m);
/* The endpoint was disconnected with zmq_disconnect, of which libzmq does not
 * tell: its connections are gone. */
void zg_monitor_forget(zg_monitor_t *m, const char *address);
/* Before the socket it watches is closed. */
void zg_monitor_free(zg_monitor_t **m);

#endif
