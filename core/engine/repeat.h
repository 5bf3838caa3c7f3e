/* repeat: which of many like log lines are shown. Of the lines with one key so
 * many are shown in a span of time; the others are counted, and a line says how
 * many when the span is over. A table of fixed size; pure, not thread-safe. */
#ifndef ZG_ENGINE_REPEAT_H
#define ZG_ENGINE_REPEAT_H

#include "base/str.h"
#include <stdint.h>

#define ZG_REPEAT_SLOTS 128
#define ZG_REPEAT_MS    5000 /* the span */

typedef struct zg_repeat_slot {
	uint64_t key;      /* 0: free */
	uint64_t since;    /* ms */
	uint64_t hidden;
	unsigned shown;
	int level;         /* of the lines hidden */
	char text[200];    /* the last of them, cut */
} zg_repeat_slot_t;

typedef struct zg_repeat {
	zg_repeat_slot_t slot[ZG_REPEAT_SLOTS];
	unsigned hiding; /* slots with lines that have not been told of */
} zg_repeat_t;

uint64_t zg_repeat_key(zg_str_t bytes);
/* Whether a line is shown; if not, it has been counted. limit: how many are in
 * a span. over gets what has to be told first, or over->hidden is 0. */
bool zg_repeat_shows(zg_repeat_t *t, uint64_t key, unsigned limit, int level, const char *text,
                     uint64_t now, zg_repeat_slot_t *over);
/* Takes a slot whose span is over by `now` and that hid lines; false: there is
 * none. */
bool zg_repeat_take(zg_repeat_t *t, uint64_t now, zg_repeat_slot_t *over);

#endif
