/* hist: a histogram of durations with fixed bounds, as Prometheus wants them.
 * Made of uint64_t alone, so that histograms add up word by word. Pure. */
#ifndef ZG_BASE_HIST_H
#define ZG_BASE_HIST_H

#include <stdint.h>

#define ZG_HIST_BOUNDS 16

typedef struct zg_hist {
	uint64_t bucket[ZG_HIST_BOUNDS + 1]; /* not cumulative; the last: over all bounds */
	uint64_t sum_us;
} zg_hist_t;

/* Upper bounds in microseconds, inclusive, ascending: 100 us to 60 s. */
extern const uint64_t zg_hist_bounds_us[ZG_HIST_BOUNDS];

void zg_hist_add(zg_hist_t *h, uint64_t us);
uint64_t zg_hist_count(const zg_hist_t *h);

#endif
