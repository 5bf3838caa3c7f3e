/* ring: a bounded first-in first-out queue of shared messages, limited by
 * bytes and by entries, with a named policy for when it is full. Owns one
 * reference to each message it holds. One thread. */
#ifndef ZG_BASE_RING_H
#define ZG_BASE_RING_H

#include "base/msg.h"

typedef enum zg_ring_policy {
	ZG_RING_REFUSE,      /* a push that does not fit fails */
	ZG_RING_DROP_OLDEST, /* a push makes room at the front */
} zg_ring_policy_t;

typedef struct zg_ring {
	zg_msg_t **slot;    /* NULL while empty: an idle ring costs this struct only */
	uint32_t head, count, size;
	uint32_t max_count;
	size_t bytes, max_bytes;
	zg_ring_policy_t policy;
} zg_ring_t;

void zg_ring_init(zg_ring_t *r, size_t max_bytes, uint32_t max_count, zg_ring_policy_t policy);
/* Takes over the caller's reference when it returns 0. *dropped (may be NULL)
 * gets the units that DROP_OLDEST threw away. -1: refused (errno EAGAIN),
 * or it could never fit (EMSGSIZE), or no memory (ENOMEM); the reference stays the caller's. */
int zg_ring_push(zg_ring_t *r, zg_msg_t *m, uint64_t *dropped);
/* The front message, borrowed; NULL when empty. */
zg_msg_t *zg_ring_peek(const zg_ring_t *r);
/* The front message with its reference; NULL when empty. Memory is given
 * back when the ring becomes empty. */
zg_msg_t *zg_ring_pop(zg_ring_t *r);
/* Drops everything; returns the units that were in it. */
uint64_t zg_ring_clear(zg_ring_t *r);

#endif
