/* state: what is known of one endpoint of a ZeroMQ socket, from the events of
 * its monitor. Pure; on the socket's thread. */
#ifndef ZG_ZMQ_STATE_H
#define ZG_ZMQ_STATE_H

#include "zmq/monitor.h"
#include "zmq/socket.h"

typedef struct zg_state {
	zg_endpoint_state_t state;
	bool bound, closed;  /* closed: the attempt under way has ended */
	bool silent;         /* ... without an answer, when it is ZG_ENDPOINT_UNREACHABLE */
	uint64_t since, tried; /* ms; tried: when the attempt began, 0: none is known of */
	unsigned peers;
	uint64_t attempts, disconnects, handshakes_failed;
} zg_state_t;

void zg_state_init(zg_state_t *s, bool bound, uint64_t now);
void zg_state_note(zg_state_t *s, zg_monitor_event_t event, uint64_t now);
/* The state as a clause, for a socket of this type, into out. */
void zg_state_say(const zg_state_t *s, const char *type, const char *wants, char *out, size_t size);

#endif
