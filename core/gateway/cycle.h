/* cycle: one configuration at work: which instances of the cycle before it are
 * kept, which start anew, and which are given up. Made, counted and freed by the
 * main thread; workers read it while they prepare and commit. A configuration
 * lives as long as an instance that was started with it. */
#ifndef ZG_GATEWAY_CYCLE_H
#define ZG_GATEWAY_CYCLE_H

#include "engine/worker.h"

typedef enum zg_fate {
	ZG_START,  /* a new section, or one that changed: its instances start */
	ZG_KEEP,   /* nothing changed */
	ZG_RELOAD, /* what changed can change at work: the module is told */
} zg_fate_t;

/* A family, and what the main thread keeps of it. */
typedef struct zg_kin {
	zg_family_t family;
	/* Whose configurations its instances use: that they started with, as a module
	 * without a reload hook keeps pointers into it, and that of the last change. */
	struct zg_cycle *born, *now;
	_Atomic unsigned busy;       /* members that have not come to rest yet, once given up */
	zg_post_t rested;            /* the news of it to the main thread */
	zg_link_t link;              /* of those given up */
} zg_kin_t;

typedef struct zg_section {
	zg_fate_t fate;
	zg_kin_t *kin;
	const zg_location_t *location; /* NULL: a service */
	const void *conf;              /* the module's */
} zg_section_t;

typedef struct zg_cycle {
	zg_conf_t *conf;
	unsigned refs;
	zg_section_t *section; /* conf->location, then conf->service */
	size_t sections;
	zg_kin_t **dropped;    /* of the cycle before: given up by this one */
	size_t drops;
	zg_list_t freed;       /* the addresses that these have bound */
} zg_cycle_t;

/* Takes over conf, also if it fails (NULL: out of memory). before NULL: the
 * first cycle. Nothing of `before` changes. */
zg_cycle_t *zg_cycle_new(zg_conf_t *conf, const zg_cycle_t *before, unsigned workers);
/* The cycle is at work: families that it has reloaded belong to it now. */
void zg_cycle_settle(zg_cycle_t *c);
/* It was at work and all its instances are stopped: the last one. */
void zg_cycle_end(zg_cycle_t **c);
/* It came to nothing, and its new instances are stopped. */
void zg_cycle_abort(zg_cycle_t **c);
/* The instances are stopped and no letter to them is under way. */
void zg_kin_free(zg_kin_t *k);
void zg_cycle_unref(zg_cycle_t **c);
/* Calls note for every directive of [gateway] that only a restart changes and
 * that is not the same in both. */
void zg_cycle_notes(const zg_conf_t *running, const zg_conf_t *conf,
                    void (*note)(void *ctx, const char *sentence), void *ctx);

#endif
