#include "front/collect.h"

#include "engine/worker.h"
#include "front/ws_client.h"
#include <stdlib.h>

#define PIECE_MAX (128u << 10) /* of what is sent at once, before it is written as JSON */

struct zg_collect {
	zg_ws_client_t *c;
	zg_buf_t buf;
	bool full;
	zg_defer_t ready;
	void (*fn)(void *ctx);
	void *ctx;
};

static void soon(zg_ws_client_t *c)
{
	zg_defer(c->pub.to->loop, &c->collect->ready);
}

static bool blocked(const zg_ws_client_t *c)
{
	(void)c;
	return false;
}

static void gather(zg_ws_client_t *c, const unsigned char *bytes, size_t n)
{
	struct zg_collect *k = c->collect;

	/* what does not fit into one answer is left for the next: nothing after it
	 * may come before it */
	k->full |= zg_buf_add(&k->buf, bytes, k->full ? 0 : n) != 0;
	soon(c);
}

static void read_it(zg_ws_client_t *c, bool on)
{
	(void)c;
	(void)on;
}

static void ping(zg_ws_client_t *c)
{
	(void)c; /* it waits no longer than its module lets it */
}

static void detach(zg_ws_client_t *c)
{
	struct zg_collect *k = c->collect;

	zg_defer_cancel(&k->ready);
	zg_buf_free(&k->buf);
	free(k);
	c->collect = NULL;
}

static const zg_carrier_t carrier = {
	.blocked = blocked, .write = gather, .want_writable = soon, .read = read_it, .ping = ping,
	.kill = soon, .detach = detach,
};

static void on_ready(void *ctx)
{
	struct zg_collect *k = ctx;

	k->fn(k->ctx);
}

zg_ws_t *zg_collect_open(zg_instance_t *in, const zg_request_t *req, void (*ready)(void *ctx),
                         void *ctx)
{
	struct zg_collect *k = calloc(1, sizeof *k);
	zg_ws_client_t *c = k ? zg_ws_client_new(in->worker->ws, &carrier, req) : NULL;

	if (!c) {
		free(k);
		return NULL;
	}
	k->c = c;
	k->buf = ZG_BUF(8 * (in->location->client_queue + PIECE_MAX));
	k->fn = ready;
	k->ctx = ctx;
	zg_defer_init(&k->ready, on_ready, k);
	c->collect = k;
	zg_ws_client_opened(c, req);
	return &c->pub;
}

zg_buf_t *zg_collect_buf(zg_ws_t *ws)
{
	return &zg_ws_client(ws)->collect->buf;
}

void zg_collect_close(zg_ws_t *ws)
{
	zg_ws_client_closed(zg_ws_client(ws));
}
