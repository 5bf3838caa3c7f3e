/* slots: ids for values that somebody outside will send back. An id carries
 * the slot's number and its generation, so that an old, forged or repeated id
 * is recognised and never leads to another's value. Grows up to max; the
 * memory of freed slots is used again. One thread. */
#ifndef ZG_BASE_SLOTS_H
#define ZG_BASE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct zg_slots {
	struct zg_slot { void *value; uint32_t generation, next_free; } *slot;
	uint32_t size, used, first_free, max;
} zg_slots_t;

void zg_slots_init(zg_slots_t *s, uint32_t max);
/* The id under which value (not NULL) is found, never 0; 0: full or no memory. */
uint64_t zg_slots_put(zg_slots_t *s, void *value);
void *zg_slots_get(const zg_slots_t *s, uint64_t id); /* NULL: not, or no longer */
void *zg_slots_take(zg_slots_t *s, uint64_t id);      /* get, and free the slot */
void zg_slots_free(zg_slots_t *s);                    /* slots, not values */

#endif
