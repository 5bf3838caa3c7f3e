#include "gateway/watchdog.h"

#include "engine/log.h"
#include "gateway/notify.h"
#include <stdlib.h>

struct beat {
	zg_post_t post;
	_Atomic bool out; /* asked, and not answered */
};

struct zg_watchdog {
	zg_crew_t *crew;
	zg_timer_t *timer;
	uint64_t ms;
	bool silent; /* somebody has not answered */
	struct beat beat[];
};

static void answer(void *ctx)
{
	struct beat *b = ctx;

	b->out = false;
}

static bool all_answered(zg_watchdog_t *d)
{
	for (unsigned i = 0; i < d->crew->hands; i++)
		if (d->beat[i].out) {
			if (!d->silent)
				zg_error("%s has not answered for %llu ms: systemd is told nothing until it does",
				         d->crew->hand[i].w.name, (unsigned long long)d->ms);
			return false;
		}
	return true;
}

static void tick(void *ctx)
{
	zg_watchdog_t *d = ctx;

	d->silent = !all_answered(d);
	if (!d->silent)
		zg_notify("WATCHDOG=1");
	for (unsigned i = 0; i < d->crew->hands; i++) {
		if (d->beat[i].out)
			continue;
		d->beat[i].out = true;
		zg_loop_post(d->crew->hand[i].w.loop, &d->beat[i].post, answer, &d->beat[i]);
	}
	zg_timer_set(d->timer, d->ms);
}

zg_watchdog_t *zg_watchdog_new(zg_crew_t *crew)
{
	uint64_t ms = zg_notify_watchdog_ms();
	zg_watchdog_t *d = ms ? calloc(1, sizeof *d + crew->hands * sizeof *d->beat) : NULL;

	if (!d)
		return NULL;
	d->crew = crew;
	d->ms = ms;
	if ((d->timer = zg_timer_add(crew->main_loop, tick, d)))
		tick(d);
	return d;
}

void zg_watchdog_stop(zg_watchdog_t *d)
{
	if (d)
		zg_timer_remove(&d->timer);
}

void zg_watchdog_free(zg_watchdog_t **d)
{
	free(*d);
	*d = NULL;
}
