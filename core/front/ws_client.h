/* ws_client: the front's own view of a client with an open connection: what is
 * queued for it and how it ends (ws.c), apart from what carries its bytes: a
 * WebSocket (wsfront.c), an event stream (stream.c). Private to these. */
#ifndef ZG_FRONT_WS_CLIENT_H
#define ZG_FRONT_WS_CLIENT_H

#include "base/buf.h"
#include "base/head.h"
#include "base/ring.h"
#include "base/timeq.h"
#include "engine/worker.h"
#include "front/conn.h"
#include "front/ws.h"
#include <libwebsockets.h>

struct zg_ws_client;

/* What carries a client's bytes. */
typedef struct zg_carrier {
	/* Bytes of an earlier write still wait for the socket. */
	bool (*blocked)(const struct zg_ws_client *c);
	/* Takes all n bytes; what the socket does not take now is copied. Not while
	 * blocked. May kill the client. */
	void (*write)(struct zg_ws_client *c, const unsigned char *bytes, size_t n);
	/* zg_ws_client_writable is to be called soon, and not before what is blocked
	 * has left. */
	void (*want_writable)(struct zg_ws_client *c);
	/* Whether the client is read. */
	void (*read)(struct zg_ws_client *c, bool on);
	/* It was idle for `ping`. */
	void (*ping)(struct zg_ws_client *c);
	/* Ends the connection without ceremony; zg_ws_client_closed follows later. */
	void (*kill)(struct zg_ws_client *c);
	/* c is about to be freed: the connection, if there still is one, goes on
	 * without it to its end. */
	void (*detach)(struct zg_ws_client *c);
} zg_carrier_t;

typedef struct zg_ws_client {
	zg_ws_t pub;
	zg_link_t member;         /* of in->clients */
	const zg_carrier_t *carrier;
	struct zg_wsfront *front;
	union {
		struct lws *wsi;
		struct zg_stream *stream;
		struct zg_collect *collect;
	};
	int fd;                   /* of a WebSocket; libwebsockets' */
	bool open;                /* false before the handshake and after the close */
	zg_ring_t queue;
	uint64_t missed;          /* dropped since the last message that was sent */
	uint64_t received, sent, dropped;
	struct zg_session *session; /* front/access.h */
	zg_buf_t rx;              /* a message arriving in pieces */
	zg_timeq_entry_t ping, end; /* end: the closing handshake must be over */
	zg_timeq_entry_t limit;   /* max_rate: when to look again */
	uint64_t free_at;         /* us; max_rate: from when on it may be sent more */
	bool waits_pong, waits_writable, rx_text;
	bool lags;                /* conflate: the fan-out's messages go to ws_lag */
	bool paused;              /* not read, so its pongs are not seen */
	bool closing, dead;       /* dead: lws_write failed; its close comes soon */
	uint64_t leave_at;        /* ms; 0: it may stay */
	const char *leave_reason;
	uint16_t close_code;      /* ours, or the client's if that came first; 0: none yet */
	char *close_reason;       /* NULL until it closes, or for want of memory */
} zg_ws_client_t;

static inline zg_ws_client_t *zg_ws_client(zg_ws_t *ws)
{
	return ZG_CONTAINER(ws, zg_ws_client_t, pub);
}

static inline void zg_ws_client_sent(zg_ws_client_t *c, uint64_t messages)
{
	c->sent += messages;
	c->pub.to->common->ws_delivered += messages;
}

static inline void zg_ws_client_dropped(zg_ws_client_t *c, uint64_t messages)
{
	c->dropped += messages;
	c->pub.to->common->ws_dropped += messages;
}

/* For a location, with its limits; not open yet. NULL: out of memory. */
zg_ws_client_t *zg_ws_client_new(struct zg_wsfront *f, const zg_carrier_t *carrier,
                                 const zg_request_t *req);
/* Gives it the limits of its location as they are now. */
void zg_ws_client_limit(zg_ws_client_t *c);
/* It is open: the module hears of it. */
void zg_ws_client_opened(zg_ws_client_t *c, const zg_request_t *req);
/* The socket takes bytes again: writes what is queued as far as it goes. true:
 * all has left and the client is closing: end it. */
bool zg_ws_client_writable(zg_ws_client_t *c);
/* The connection is gone: the module hears of it, and c is freed. */
void zg_ws_client_closed(zg_ws_client_t *c);
/* Has the connection closed without a closing handshake. */
void zg_ws_client_kill(zg_ws_client_t *c);
/* wsfront.c: what carries WebSockets; and has libwebsockets perform the handshake,
 * with the descriptor of conn, whose head bytes has room for; frees c if the client
 * has gone. */
extern const zg_carrier_t zg_wsfront_carrier;
void zg_wsfront_perform(zg_ws_client_t *c, zg_conn_t *conn, const zg_head_t *head,
                        char *bytes, const zg_request_t *req);
/* (Re)arm the client's next ping, the deadline of its closing handshake
 * (wsfront.c, which has the timer). */
void zg_wsfront_arm_ping(zg_ws_client_t *c);
void zg_wsfront_arm_end(zg_ws_client_t *c);
void zg_wsfront_arm_limit(zg_ws_client_t *c);
/* The moment has come. */
void zg_ws_client_unlimit(zg_ws_client_t *c);

#endif
