/* privileges: `user` and `group`. What needs root is opened first: the `listen`
 * addresses, the pid file, the logs, the control socket. What modules open, such
 * as ZeroMQ endpoints and files, is opened as the user, at the start as in every
 * reload, so that both can do the same. */
#ifndef ZG_GATEWAY_PRIVILEGES_H
#define ZG_GATEWAY_PRIVILEGES_H

#include "engine/conf.h"

/* Becomes the user, for good; says so if it was not started as root and stays
 * what it is. While the process has one thread. -1: it may still be root: end. */
int zg_privileges_drop(const zg_gateway_t *conf, zg_err_t *err);
/* Root only, else nothing: the log files become the user's, so that they can be
 * opened again without privileges. */
void zg_privileges_give_logs(const zg_gateway_t *conf);

#endif
