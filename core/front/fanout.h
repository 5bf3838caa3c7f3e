/* fanout: clients that receive the same messages. What is appended during one
 * turn of the loop is encoded once into one shared buffer, the burst, and given
 * to every member in one write at the turn's end. Members are zg_ws_t, linked by
 * their `link`; a client is in one fan-out at most. */
#ifndef ZG_FRONT_FANOUT_H
#define ZG_FRONT_FANOUT_H

#include "base/buf.h"
#include "front/ws.h"

/* Messages encoded one after the other. Zero-initialise. */
typedef struct zg_burst {
	zg_msg_t *msg; /* NULL: empty */
	size_t room;   /* bytes allocated in it */
} zg_burst_t;

/* Appends one message of the parts' bytes. -1: out of memory, nothing changed. */
int zg_burst_append(zg_burst_t *b, zg_ws_type_t type, const zg_str_t *parts, size_t n);
/* What has been appended, to be sent and given back; NULL: nothing. Empties it. */
zg_msg_t *zg_burst_take(zg_burst_t *b);

typedef struct zg_fanout {
	zg_link_t members;
	size_t count;
	zg_loop_t *loop;
	zg_defer_t flush;
	zg_burst_t burst;
} zg_fanout_t;

void zg_fanout_init(zg_fanout_t *f, zg_loop_t *loop);
/* Sends what is pending and forgets the members. */
void zg_fanout_free(zg_fanout_t *f);
/* Flushes first, so that a newcomer gets only what is appended after this. */
void zg_fanout_join(zg_fanout_t *f, zg_ws_t *ws);
/* Flushes first; what was appended before is still sent. */
void zg_fanout_leave(zg_fanout_t *f, zg_ws_t *ws);
/* Sends what is pending now. */
void zg_fanout_flush(zg_fanout_t *f);
/* Appends one message of the parts' bytes. -1: out of memory; it is then
 * counted as dropped for every member. */
int zg_fanout_append(zg_fanout_t *f, zg_ws_type_t type, const zg_str_t *parts, size_t n);

#endif
