/* map: byte-string keys to pointers, hashed with SipHash-1-3 under a random
 * key so that outsiders who choose keys cannot make it slow. Copies keys;
 * borrows values. One thread. Zero-initialise, set max, use. */
#ifndef ZG_BASE_MAP_H
#define ZG_BASE_MAP_H

#include "base/str.h"
#include <stdint.h>

typedef struct zg_map_entry {
	struct zg_map_entry *next; /* same bucket */
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
} zg_map_entry_t;

typedef struct zg_map {
	zg_map_entry_t **bucket;
	size_t buckets, count;
	size_t max; /* entries; a put beyond it fails. 0: none may be put */
} zg_map_t;

void *zg_map_get(const zg_map_t *m, zg_str_t key);
/* Adds or replaces; *old (may be NULL) gets what was there. -1: full
 * (errno ENOSPC) or no memory (ENOMEM), nothing changed. value is not NULL. */
int zg_map_put(zg_map_t *m, zg_str_t key, void *value, void **old);
/* Removes and returns the value, NULL if there was none. */
void *zg_map_del(zg_map_t *m, zg_str_t key);
/* Walks all entries: start with at = NULL; NULL at the end. To delete an entry
 * while walking, ask for the next one first; put nothing meanwhile. */
zg_map_entry_t *zg_map_next(const zg_map_t *m, zg_map_entry_t *at);
void zg_map_free(zg_map_t *m); /* entries, not values; usable again */

/* The hash itself, 64 bits, under a key made once per process from
 * getrandom(2). */
uint64_t zg_map_hash(const void *p, size_t n);

#endif
