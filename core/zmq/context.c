#include "zmq/context.h"

#include "engine/log.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <zmq.h>

#define SOCKETS_MAX 8192 /* a zg_socket_t takes three */
#define LEAST_MS    500  /* for libzmq's own threads to end */

void *zg_context_new(zg_err_t *err)
{
	void *context = zmq_ctx_new();

	if (!context) {
		zg_err(err, "cannot make a ZeroMQ context: %s", zmq_strerror(zmq_errno()));
		return NULL;
	}
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
	return context;
}

/* ---- the end ---- */

static _Atomic uint64_t expected; /* ms: when the last socket will have lingered enough */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void zg_context_expect(int linger_ms)
{
	uint64_t until = now_ms() + (uint64_t)linger_ms, was = expected;

	while (was < until && !atomic_compare_exchange_weak(&expected, &was, until))
		;
}

/* zmq_ctx_term waits for sockets that a reload gave up as well, and they may have
 * longer than the process: so it runs on a thread that need not be waited for. */
struct end {
	pthread_mutex_t lock;
	pthread_cond_t done;
	void *context;
	bool over;
};

static void *end_context(void *arg)
{
	struct end *e = arg;

	while (zmq_ctx_term(e->context) != 0 && zmq_errno() == EINTR)
		;
	pthread_mutex_lock(&e->lock);
	e->over = true;
	pthread_cond_signal(&e->done);
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

static bool wait_for(struct end *e, uint64_t until)
{
	struct timespec t = { .tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000 };
	bool over;

	pthread_mutex_lock(&e->lock);
	while (!e->over && pthread_cond_clockwait(&e->done, &e->lock, CLOCK_MONOTONIC, &t) == 0)
		;
	over = e->over;
	pthread_mutex_unlock(&e->lock);
	return over;
}

void zg_context_free(void **context)
{
	/* outlives the call if the thread does */
	static struct end e = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
	uint64_t begun = now_ms(), least = begun + LEAST_MS;
	pthread_t thread;
	bool over;

	if (!*context)
		return;
	e.context = *context;
	*context = NULL;
	if (pthread_create(&thread, NULL, end_context, &e) != 0) {
		end_context(&e);
		return;
	}
	over = wait_for(&e, expected > least ? expected + LEAST_MS : least);
	if (over)
		pthread_join(thread, NULL);
	/* libzmq gave up at the very end, or has not yet */
	if (!over || (expected > begun && now_ms() >= expected))
		zg_warn("ZeroMQ still had messages when time was up, for peers that did not take them; "
		        "they are discarded, and it does not tell how many");
}

const char *zg_context_version(char out[32])
{
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	snprintf(out, 32, "%d.%d.%d", major, minor, patch);
	return out;
}
