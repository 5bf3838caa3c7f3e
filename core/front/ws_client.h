/* ws_client: the front's own view of a WebSocket; private to wsfront.c, which
 * opens and receives, and ws.c, which sends. */
#ifndef ZG_FRONT_WS_CLIENT_H
#define ZG_FRONT_WS_CLIENT_H

#include "base/buf.h"
#include "base/ring.h"
#include "base/timeq.h"
#include "front/ws.h"
#include <libwebsockets.h>

typedef struct zg_ws_client {
	zg_ws_t pub;
	zg_link_t member;         /* of in->clients */
	struct zg_wsfront *front;
	struct lws *wsi;          /* NULL before the handshake and after the close */
	zg_ring_t queue;
	uint64_t missed;          /* dropped since the last message that was sent */
	zg_buf_t rx;              /* a message arriving in pieces */
	zg_timeq_entry_t ping, end; /* end: the closing handshake must be over */
	bool waits_pong, waits_writable, rx_text;
	bool paused;              /* not read, so its pongs are not seen */
	bool closing, dead;       /* dead: lws_write failed; its close comes soon */
	uint64_t leave_at;        /* ms; 0: it may stay */
	const char *leave_reason;
	uint16_t close_code;
	char close_reason[124];
} zg_ws_client_t;

static inline zg_ws_client_t *zg_ws_client(zg_ws_t *ws)
{
	return ZG_CONTAINER(ws, zg_ws_client_t, pub);
}

/* Writes what is queued as far as the socket takes it. */
void zg_ws_client_pump(zg_ws_client_t *c);
/* Writes complete frames now. The socket must not be waiting. */
void zg_ws_client_write(zg_ws_client_t *c, const unsigned char *frames, size_t n);
/* Has the connection closed without a closing handshake. */
void zg_ws_client_kill(zg_ws_client_t *c);
/* Gives the closing handshake a deadline (wsfront.c, which has the timer). */
void zg_wsfront_arm_end(zg_ws_client_t *c);

#endif
