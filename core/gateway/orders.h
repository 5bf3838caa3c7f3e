/* orders: what the gateway is told to do while it runs, by signals and, answered,
 * by `zgate -s`. Main thread. */
#ifndef ZG_GATEWAY_ORDERS_H
#define ZG_GATEWAY_ORDERS_H

#include "gateway/control.h"
#include "gateway/run.h"

typedef struct zg_orders {
	zg_control_t *control;
	/* not for others */
	int master;
	zg_signal_t *signal[5];
	const char *(*obey)(void *ctx, int signal);
	void *ctx;
} zg_orders_t;

/* From now on obey is called with a signal's number, whoever gave the order; it
 * returns NULL, or why it refuses. Signals that were blocked until here arrive. */
int zg_orders_watch(zg_orders_t *o, zg_loop_t *loop, const zg_given_t *given,
                    const char *(*obey)(void *ctx, int signal), void *ctx);
void zg_orders_end(zg_orders_t *o);

#endif
