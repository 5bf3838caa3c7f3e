#include "base/hist.h"

const uint64_t zg_hist_bounds_us[ZG_HIST_BOUNDS] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	1000000, 5000000, 15000000, 60000000,
};

void zg_hist_add(zg_hist_t *h, uint64_t us)
{
	unsigned i = 0;

	while (i < ZG_HIST_BOUNDS && us > zg_hist_bounds_us[i])
		i++;
	h->bucket[i]++;
	h->sum_us += us;
}

uint64_t zg_hist_count(const zg_hist_t *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= ZG_HIST_BOUNDS; i++)
		n += h->bucket[i];
	return n;
}
