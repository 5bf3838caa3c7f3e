/* listen: the listening sockets of one configuration. Opened on the main
 * thread before any worker starts, so that a taken port fails the start. All
 * functions: main thread. */
#ifndef ZG_FRONT_LISTEN_H
#define ZG_FRONT_LISTEN_H

#include "base/err.h"
#include "engine/conf.h"

typedef struct zg_listener {
	int *fd;        /* several with SO_REUSEPORT: the kernel spreads clients over them */
	unsigned fds;
	char text[128]; /* ADDRESS:PORT with the real port, or unix:/path */
	char *unlink;   /* of a unix socket: its path, removed at the end */
	char *where;    /* as the directive has it */
	bool lent;      /* the master has it too (gateway/master.h): the path is its to remove */
} zg_listener_t;

typedef struct zg_listeners {
	zg_listener_t *item;
	size_t count;
} zg_listeners_t;

/* Whether a worker accepts from the k-th descriptor. Every worker has one, and
 * every descriptor a worker, however many there are: a unix socket has one for
 * all, and so has what was inherited. */
static inline bool zg_listener_is_for(const zg_listener_t *l, size_t k, unsigned worker,
                                      unsigned workers)
{
	return l->fds < workers ? worker % l->fds == k : k % workers == worker;
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
 * are shared, the others opened, a TCP address once for each worker. -1: none is. */
int zg_listen_renew(zg_listeners_t *to, const zg_listeners_t *from, const zg_conf_t *conf,
                    unsigned workers, zg_err_t *err);
/* Closes those of l that `but` does not share, and frees l. */
void zg_listen_close_dropped(zg_listeners_t *l, const zg_listeners_t *but);
/* Frees one, and closes it. */
void zg_listen_close_one(zg_listener_t *l);

#endif
