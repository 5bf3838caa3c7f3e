/* claim: addresses that a reload binds for a new instance while the one that it
 * takes the place of still has them: each is tried until it is free. (The path of an
 * ipc address is free at once: libzmq 4.3.4 takes it over, and whoever had it does
 * not remove it.) Part of a zg_socket_t; on its thread. */
#ifndef ZG_ZMQ_CLAIM_H
#define ZG_ZMQ_CLAIM_H

#include "engine/directive.h"
#include "engine/loop.h"

typedef struct zg_claim zg_claim_t;

/* Whether the address is one of those that are given up; freed may be NULL. */
bool zg_claim_concerns(const zg_list_t *freed, const char *address);
/* For the socket zmq; bound is called for each address that had to be waited for. */
zg_claim_t *zg_claim_new(zg_loop_t *loop, void *zmq, void (*bound)(void *ctx, const char *address),
                         void *ctx);
/* Before the socket is closed. */
void zg_claim_free(zg_claim_t **c);
/* Binds the address (borrowed) now or as soon as it is free. -1: errno is
 * zmq_bind's, but never EADDRINUSE. */
int zg_claim_bind(zg_claim_t *c, const char *address);
/* Whether the address (NULL: any) is still waited for; c may be NULL. */
bool zg_claim_waits(const zg_claim_t *c, const char *address);

#endif
