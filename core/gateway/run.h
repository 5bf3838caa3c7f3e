/* run: the gateway at work, seen from its main thread: signals, cycles, the end.
 * Never client traffic. */
#ifndef ZG_GATEWAY_RUN_H
#define ZG_GATEWAY_RUN_H

#include "front/listen.h"
#include "gateway/options.h"

/* What was opened before, while the process had its privileges. */
typedef struct zg_given {
	zg_listeners_t listeners;
	int control; /* where `zgate -s` asks (control.h); -1: nowhere */
	int master;  /* the channel to the master (channel.h); -1: there is none */
} zg_given_t;

/* Runs until it is told to stop; the exit code. Takes over conf and what is given.
 * The options are read again for every reload. */
int zg_run(const zg_options_t *o, zg_conf_t *conf, const zg_given_t *given);

#endif
