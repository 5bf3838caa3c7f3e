/* counter: what a part of the gateway counts, declared in one table of rows,
 * from which /status, /status/metrics and the help follow. The numbers live
 * in a plain struct of uint64_t per worker and instance: counts->answered++. */
#ifndef ZG_ENGINE_COUNTER_H
#define ZG_ENGINE_COUNTER_H

#include <stddef.h>
#include <stdint.h>

typedef enum zg_counter_kind {
	ZG_KIND_COUNTER, /* only grows */
	ZG_KIND_GAUGE,
} zg_counter_kind_t;

typedef struct zg_counter {
	const char *name;
	size_t offset;
	zg_counter_kind_t kind;
	const char *doc;
} zg_counter_t;

/* The field must be a uint64_t: another type does not compile. */
#define ZG_COUNTER_ROW(st, field, k, text)                                                 \
	{ .name = #field,                                                                  \
	  .offset = offsetof(st, field) + 0 * sizeof(&((st *)0)->field == (uint64_t *)0),  \
	  .kind = (k), .doc = (text) }
#define ZG_COUNTER(st, field, text) ZG_COUNTER_ROW(st, field, ZG_KIND_COUNTER, text)
#define ZG_GAUGE(st, field, text)   ZG_COUNTER_ROW(st, field, ZG_KIND_GAUGE, text)
#define ZG_COUNTER_END              { .name = NULL }

static inline uint64_t zg_counter_value(const zg_counter_t *row, const void *counts)
{
	return *(const uint64_t *)((const char *)counts + row->offset);
}

#endif
