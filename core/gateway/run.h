/* run: the gateway at work, seen from its main thread: signals, cycles, the end.
 * Never client traffic. */
#ifndef ZG_GATEWAY_RUN_H
#define ZG_GATEWAY_RUN_H

#include "front/listen.h"
#include "gateway/options.h"

/* Runs until it is told to stop; the exit code. Takes over conf and listeners.
 * The options are read again for every reload. */
int zg_run(const zg_options_t *o, zg_conf_t *conf, zg_listeners_t *listeners);

#endif
