/* timeq: deadlines that all lie the same time ahead, so that a plain list is
 * already sorted: arming, moving and disarming cost a few stores. Pure: the
 * owner says what time it is and keeps one timer for the earliest. Entries
 * are embedded and owned by the caller. */
#ifndef ZG_BASE_TIMEQ_H
#define ZG_BASE_TIMEQ_H

#include "base/list.h"
#include <stdint.h>

typedef struct zg_timeq {
	zg_link_t list;
	uint64_t span; /* ms from arming to deadline */
} zg_timeq_t;

typedef struct zg_timeq_entry {
	zg_link_t link;
	uint64_t due; /* ms, on the owner's clock */
} zg_timeq_entry_t;

static inline void zg_timeq_init(zg_timeq_t *q, uint64_t span)
{
	zg_list_init(&q->list);
	q->span = span;
}

static inline void zg_timeq_entry_init(zg_timeq_entry_t *e) { zg_list_init(&e->link); }

/* Another span from now on. Deadlines that lie further ahead than it are moved
 * up, so that the order holds. The owner then sets its timer anew. */
static inline void zg_timeq_set_span(zg_timeq_t *q, uint64_t span, uint64_t now)
{
	q->span = span;
	ZG_LIST_EACH(it, &q->list) {
		zg_timeq_entry_t *e = ZG_CONTAINER(it, zg_timeq_entry_t, link);

		if (e->due > now + span)
			e->due = now + span;
	}
}

/* (Re)arms: due `span` from now. */
static inline void zg_timeq_arm(zg_timeq_t *q, zg_timeq_entry_t *e, uint64_t now)
{
	zg_list_remove(&e->link);
	e->due = now + q->span;
	zg_list_append(&q->list, &e->link);
}

static inline void zg_timeq_disarm(zg_timeq_entry_t *e) { zg_list_remove(&e->link); }
static inline bool zg_timeq_armed(const zg_timeq_entry_t *e) { return !zg_list_empty(&e->link); }

/* The earliest entry, NULL if none is armed. */
static inline zg_timeq_entry_t *zg_timeq_first(const zg_timeq_t *q)
{
	return zg_list_empty(&q->list) ? NULL
	                               : ZG_CONTAINER(q->list.next, zg_timeq_entry_t, link);
}

/* Disarms and returns the next entry that is due, NULL when none is. */
static inline zg_timeq_entry_t *zg_timeq_pop(zg_timeq_t *q, uint64_t now)
{
	zg_timeq_entry_t *e = zg_timeq_first(q);

	if (!e || e->due > now)
		return NULL;
	zg_timeq_disarm(e);
	return e;
}

#endif
