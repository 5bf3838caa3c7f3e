#include "reqrep.h"
#include <time.h>

/* A REP answers one request at a time, and what is sent to it beyond that
 * waits in its socket, where it is lost with the worker and cannot be given to
 * another. So a backend is sent as many requests as it answers in about 2 ms,
 * at least one for each of its workers: enough to keep a fast worker busy
 * while its replies travel, and only one to a slow worker. A ROUTER or DEALER
 * peer is a broker or does many things at once: it may have all. */

#define AHEAD_NS   2000000u
#define WINDOW_MAX 256u /* for each peer */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* `service` is what one reply of the backend as a whole takes, so that more
 * peers make it smaller and the window larger. */
static void set_window(struct reqrep_backend *b)
{
	uint64_t fits = b->service ? AHEAD_NS / b->service : 0;

	if (b->kind == REQREP_ASYNC)
		b->window = (unsigned)b->r->conf->queue;
	else if (fits <= b->peers)
		b->window = b->peers;
	else
		b->window = (unsigned)(fits < WINDOW_MAX * (uint64_t)b->peers
		                       ? fits : WINDOW_MAX * (uint64_t)b->peers);
}

void reqrep_window_resize(struct reqrep_backend *b)
{
	set_window(b);
}

void reqrep_window_reset(struct reqrep_backend *b)
{
	b->kind = REQREP_UNKNOWN;
	b->service = 0;
	set_window(b);
}

void reqrep_window_shrink(struct reqrep_backend *b)
{
	b->service = 0;
	set_window(b);
}

void reqrep_window_sent(struct reqrep_backend *b)
{
	if (b->holding == 0 && b->replies == 0)
		b->since = now_ns();
}

void reqrep_window_replied(struct reqrep_backend *b)
{
	if (b->kind == REQREP_UNKNOWN) {
		const char *type = zg_socket_peer_type(b->socket);

		b->kind = strcmp(type, "ROUTER") == 0 || strcmp(type, "DEALER") == 0
		                ? REQREP_ASYNC : REQREP_ONE_AT_A_TIME;
	}
	b->replies++;
	zg_defer(b->r->in->loop, &b->r->turn);
}

void reqrep_window_measure(struct reqrep_backend *b)
{
	uint64_t now, each;

	if (b->replies == 0)
		return;
	now = now_ns();
	each = (now - b->since) / b->replies;
	/* smoothed over about four turns; never 0, which means "not measured" */
	b->service = (b->service ? b->service - b->service / 4 + each / 4 : each) | 1;
	b->since = now;
	b->replies = 0;
	set_window(b);
}

bool reqrep_window_open(const struct reqrep_backend *b)
{
	return b->peers > 0 && !b->full && b->holding - b->stray < b->window;
}
