/* master: a small parent without traffic. It holds the listening sockets, starts
 * the gateway as its child, and starts it again when it crashes: clients wait in
 * the sockets' queues meanwhile. A crash soon after one is answered more slowly.
 * The new gateway reads the configuration file as it is now; if that is wrong, or
 * the gateway did not come to work with it, it runs what was seen to work. */
#ifndef ZG_GATEWAY_MASTER_H
#define ZG_GATEWAY_MASTER_H

#include "gateway/pid.h"
#include "gateway/run.h"

/* Returns the exit code, in this process and in every child. Takes over conf and
 * the listeners; a child forgets the pid file. Before there is any thread. */
int zg_master(const zg_options_t *o, zg_conf_t *conf, zg_given_t *given, zg_pid_t *pid);

#endif
