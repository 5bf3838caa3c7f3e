/* msg: immutable bytes shared by reference count, in one allocation. Made
 * writable (new, fill), then shared. The count is not atomic: a message stays
 * on the thread that made it. `units` says how many protocol messages the
 * bytes hold, so that dropping it can be counted truly. */
#ifndef ZG_BASE_MSG_H
#define ZG_BASE_MSG_H

#include "base/str.h"
#include <stdint.h>

typedef struct zg_msg {
	uint32_t refs;
	uint32_t units;
	size_t len;
	/* room that a library may write its own header into, before the bytes */
	unsigned char pre[16];
	unsigned char data[];
} zg_msg_t;

/* len bytes, not initialised, one reference, units 1; NULL when out of memory. */
zg_msg_t *zg_msg_new(size_t len);
zg_msg_t *zg_msg_copy(const void *p, size_t n);
static inline zg_msg_t *zg_msg_ref(zg_msg_t *m) { m->refs++; return m; }
/* Gives one reference back and nulls the handle; NULL is fine. */
void zg_msg_unref(zg_msg_t **m);
static inline zg_str_t zg_msg_str(const zg_msg_t *m) { return zg_str_n(m->data, m->len); }

#endif
