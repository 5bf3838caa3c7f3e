/* ws: one client's WebSocket, or stream of events, as a module sees it. Owned by the front; a
 * module may use it from ws_open until ws_close. What is sent is queued when
 * the client is slow, up to the location's client_queue, and then goes by its
 * `overflow`. All on the worker's thread. */
#ifndef ZG_FRONT_WS_H
#define ZG_FRONT_WS_H

#include "base/list.h"
#include "base/msg.h"
#include "engine/module.h"

typedef enum zg_ws_type {
	ZG_WS_TEXT, ZG_WS_BINARY,
	ZG_WS_BYTES, /* as they are: for streams (front/stream.h), or frames already, which a
	              * burst then keeps together as one message */
	ZG_WS_TEXT_DEFLATED, ZG_WS_BINARY_DEFLATED, /* the bytes are compressed (front/deflate.h) */
} zg_ws_type_t;

struct zg_ws {
	zg_instance_t *to;
	void *ctx;         /* the module's */
	zg_link_t link;    /* the module's, e.g. membership of a fan-out */
	char protocol[16]; /* subprotocol, "" for none */
	bool deflates;     /* takes deflated messages */
};

/* Bytes of a server's frame header for a payload of n bytes. */
size_t zg_ws_head_size(zg_ws_type_t type, size_t n);
/* Writes the header of one unfragmented frame (RFC 6455, 5.2); returns its size. */
size_t zg_ws_head(unsigned char *out, zg_ws_type_t type, size_t n);
/* One frame of the parts' bytes, ready to send to any number of clients; NULL
 * when out of memory. */
zg_msg_t *zg_ws_encode(zg_ws_type_t type, const zg_str_t *parts, size_t n);
/* TEXT if the parts together are valid UTF-8, else BINARY. */
zg_ws_type_t zg_ws_type_of(const zg_str_t *parts, size_t n);

/* Sends frames made above; borrows m. 0: sent or queued; -1: dropped by
 * `overflow` or the client is going. Never calls back. */
int zg_ws_send(zg_ws_t *ws, zg_msg_t *m);
/* The same for a member of a fan-out: with overflow = conflate, ws_lag may be called
 * instead. */
void zg_ws_fan(zg_ws_t *ws, zg_msg_t *m);
/* The client has got the newest: it lags no longer. */
void zg_ws_caught_up(zg_ws_t *ws);
/* Encodes and sends one message. */
int zg_ws_send_bytes(zg_ws_t *ws, zg_ws_type_t type, zg_str_t data);
/* n messages for this client were dropped before they came here: it is told before
 * the next one (ws_gap). */
void zg_ws_missed(zg_ws_t *ws, uint64_t n);
/* Whether a message would leave at once (nothing is queued). */
bool zg_ws_idle(const zg_ws_t *ws);
/* Starts the closing handshake after what is queued; reason is cut at 123
 * bytes. ws_close follows later. */
void zg_ws_close(zg_ws_t *ws, unsigned code, const char *reason);
/* Stops and goes on reading from the client (TCP then holds it back). */
void zg_ws_pause(zg_ws_t *ws);
void zg_ws_resume(zg_ws_t *ws);

#endif
