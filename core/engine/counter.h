/* counter: what a part of the gateway counts, declared in one table of rows,
 * from which /status, /status/metrics and the help follow. The numbers live
 * in a plain struct of uint64_t per worker and instance: counts->answered++.
 * What all workers have together is the sum, word by word (zg_counters_add). */
#ifndef ZG_ENGINE_COUNTER_H
#define ZG_ENGINE_COUNTER_H

#include "base/hist.h"
#include <stddef.h>
#include <stdint.h>

typedef enum zg_counter_kind {
	ZG_KIND_COUNTER, /* only grows */
	ZG_KIND_GAUGE,
	ZG_KIND_HISTOGRAM, /* a zg_hist_t */
	ZG_KIND_LIMIT,     /* a gauge that stands beside one: what the configuration allows */
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
/* The field must be a zg_hist_t. */
#define ZG_HISTOGRAM(st, field, text)                                                      \
	{ .name = #field,                                                                  \
	  .offset = offsetof(st, field) + 0 * sizeof(&((st *)0)->field == (zg_hist_t *)0), \
	  .kind = ZG_KIND_HISTOGRAM, .doc = (text) }
/* Of the module's configuration, not its counters: a limit of all instances
 * together. The field must be an int64_t or a uint64_t. */
#define ZG_LIMIT(st, field, text)                                                          \
	{ .name = #field "_limit",                                                         \
	  .offset = offsetof(st, field) + 0 * sizeof(char[sizeof ((st *)0)->field == 8 ? 1 : -1]), \
	  .kind = ZG_KIND_LIMIT, .doc = (text) }
#define ZG_COUNTER_END              { .name = NULL }

/* counts: the configuration for a limit. */
static inline uint64_t zg_counter_value(const zg_counter_t *row, const void *counts)
{
	return *(const uint64_t *)((const char *)counts + row->offset);
}

static inline const zg_hist_t *zg_counter_hist(const zg_counter_t *row, const void *counts)
{
	return (const zg_hist_t *)((const char *)counts + row->offset);
}

/* sum += counts, both structs of `size` bytes that hold uint64_t alone. */
static inline void zg_counters_add(void *sum, const void *counts, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		((uint64_t *)sum)[i] += ((const uint64_t *)counts)[i];
}

#endif
