#include "zmq/claim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define LOOK_MS 10 /* between two attempts */

struct zg_claim {
	void *zmq;
	void (*bound)(void *ctx, const char *address);
	void *ctx;
	zg_timer_t *timer;
	const char **address; /* not bound yet */
	size_t count;
};

bool zg_claim_concerns(const zg_list_t *freed, const char *address)
{
	for (size_t i = 0; freed && i < freed->count; i++)
		if (strcmp(freed->item[i], address) == 0)
			return true;
	return false;
}

static void on_timer(void *ctx)
{
	zg_claim_t *c = ctx;

	for (size_t i = 0; i < c->count; i++) {
		const char *address = c->address[i];

		if (zmq_bind(c->zmq, address) != 0)
			continue;
		c->address[i--] = c->address[--c->count];
		c->bound(c->ctx, address);
	}
	if (c->count > 0)
		zg_timer_set(c->timer, LOOK_MS);
}

int zg_claim_bind(zg_claim_t *c, const char *address)
{
	const char **list;

	if (zmq_bind(c->zmq, address) == 0)
		return 0;
	if (zmq_errno() != EADDRINUSE)
		return -1;
	list = reallocarray(c->address, c->count + 1, sizeof *list);
	if (!list)
		return -1;
	c->address = list;
	c->address[c->count++] = address;
	zg_timer_set(c->timer, LOOK_MS);
	return 0;
}

bool zg_claim_waits(const zg_claim_t *c, const char *address)
{
	for (size_t i = 0; c && i < c->count; i++)
		if (!address || c->address[i] == address)
			return true;
	return false;
}

zg_claim_t *zg_claim_new(zg_loop_t *loop, void *zmq, void (*bound)(void *ctx, const char *address),
                         void *ctx)
{
	zg_claim_t *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	*c = (zg_claim_t){ .zmq = zmq, .bound = bound, .ctx = ctx };
	if (!(c->timer = zg_timer_add(loop, on_timer, c)))
		zg_claim_free(&c);
	return c;
}

void zg_claim_free(zg_claim_t **handle)
{
	zg_claim_t *c = *handle;

	if (!c)
		return;
	*handle = NULL;
	zg_timer_remove(&c->timer);
	free(c->address);
	free(c);
}
