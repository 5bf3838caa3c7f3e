/* listen: the listening sockets of one configuration. Opened on the main
 * thread before any worker starts, so that a taken port fails the start. */
#ifndef ZG_FRONT_LISTEN_H
#define ZG_FRONT_LISTEN_H

#include "base/err.h"
#include "engine/conf.h"

typedef struct zg_listener {
	int fd;
	char text[128]; /* ADDRESS:PORT with the real port, or unix:/path */
	char *unlink;   /* of a unix socket: its path, removed at the end */
	char *where;    /* as the directive has it */
} zg_listener_t;

typedef struct zg_listeners {
	zg_listener_t *item;
	size_t count;
} zg_listeners_t;

/* The descriptor that a worker accepts from. */
static inline int zg_listener_fd(const zg_listener_t *l, unsigned worker)
{
	(void)worker;
	return l->fd;
}

/* Binds and listens on every `listen` of the configuration, or on none: -1,
 * err names the address. May block in name resolution. */
int zg_listen_open(zg_listeners_t *l, const zg_conf_t *conf, zg_err_t *err);
void zg_listen_close(zg_listeners_t *l);
/* Before the last accepts: no connection joins the queue of the listening socket any
 * more, so that it can be closed without resetting one that has. Who comes now asks
 * again a second later, as for a lost packet, and finds the port closed. Not for unix
 * sockets. */
void zg_listen_hold(int fd);
void zg_listen_release(int fd);
/* The listeners of another configuration: those of `from` that it names as well
 * are shared, the others opened. -1: none is. */
int zg_listen_renew(zg_listeners_t *to, const zg_listeners_t *from, const zg_conf_t *conf,
                    zg_err_t *err);
/* Closes those of l that `but` does not share, and frees l. */
void zg_listen_close_dropped(zg_listeners_t *l, const zg_listeners_t *but);

#endif
