/* watchdog: tells systemd that zgate is alive ($WATCHDOG_USEC, sd_watchdog_enabled(3)),
 * but only while every worker answers: a worker that hangs is a gateway that hangs.
 * Main thread. */
#ifndef ZG_GATEWAY_WATCHDOG_H
#define ZG_GATEWAY_WATCHDOG_H

#include "gateway/crew.h"

typedef struct zg_watchdog zg_watchdog_t;

/* NULL: nobody watches (or out of memory, which systemd will notice). */
zg_watchdog_t *zg_watchdog_new(zg_crew_t *crew);
/* Asks the workers no more; before their loops end. NULL is fine. */
void zg_watchdog_stop(zg_watchdog_t *d);
/* After their loops have ended. */
void zg_watchdog_free(zg_watchdog_t **d);

#endif
