/* holder: who listens where, as /proc shows it, without touching anybody. For
 * the main thread of `zgate -t`; reads files, so it blocks a little. */
#ifndef ZG_GATEWAY_HOLDER_H
#define ZG_GATEWAY_HOLDER_H

#include <stdbool.h>
#include <sys/socket.h>

typedef struct zg_holder {
	long pid;      /* 0: somebody, but only root or its owner may see who */
	char name[32]; /* the program's */
	bool running;  /* it is the gateway that was asked for */
} zg_holder_t;

/* Who listens on a TCP address, or on a larger one that takes it in. false:
 * nobody. gateway: the process that counts as the running gateway, together with
 * its parent and its children; 0: none. Of several holders that one is named. */
bool zg_holder_tcp(const struct sockaddr *addr, long gateway, zg_holder_t *holder);
/* The same for the path of a unix socket; "@name" is an abstract one. */
bool zg_holder_unix(const char *path, long gateway, zg_holder_t *holder);
/* Whether listening on the one stands in the way of the other. */
bool zg_holder_overlap(const struct sockaddr *a, const struct sockaddr *b);

#endif
