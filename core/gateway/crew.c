#include "gateway/crew.h"

#include "engine/crash.h"
#include "engine/log.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void *thread_main(void *arg)
{
	zg_hand_t *h = arg;

	zg_log_thread(h->w.name);
	zg_loop_run(h->w.loop);
	zg_hand_end(h);
	zg_hand_done(h);
	return NULL;
}

static int hand_init(zg_crew_t *c, zg_hand_t *h, unsigned index, void *zmq, zg_err_t *err)
{
	h->crew = c;
	h->w.index = index;
	snprintf(h->w.name, sizeof h->w.name, "worker %u", index);
	h->w.common = &c->common;
	h->w.mate = c->mate;
	h->w.mates = c->hands;
	h->w.zmq = zmq;
	zg_list_init(&h->w.instances);
	c->mate[index] = &h->w;
	return (h->w.loop = zg_loop_new(err)) ? 0 : -1;
}

static int start_thread(zg_hand_t *h, zg_err_t *err)
{
	sigset_t all, before;
	int rc;

	/* signals are the main thread's */
	sigfillset(&all);
	zg_crash_spare(&all); /* but for a crash's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&h->thread, NULL, thread_main, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? 0 : zg_err(err, "cannot make a thread: %s", strerror(rc));
}

zg_crew_t *zg_crew_new(unsigned workers, void *zmq, zg_loop_t *main_loop, zg_err_t *err)
{
	zg_crew_t *c = calloc(1, sizeof *c);
	unsigned made = 0, running = 0;

	if (!c || !(c->hand = calloc(workers, sizeof *c->hand)) ||
	    !(c->mate = calloc(workers, sizeof *c->mate))) {
		zg_err(err, "out of memory");
		goto fail;
	}
	c->hands = workers;
	c->main_loop = main_loop;
	c->common.started = zg_loop_now(main_loop);
	for (; made < workers; made++)
		if (hand_init(c, &c->hand[made], made, zmq, err) != 0)
			goto fail;
	for (; running < workers; running++)
		if (start_thread(&c->hand[running], err) != 0)
			goto fail;
	return c;
fail:
	for (unsigned i = 0; i < running; i++) {
		zg_loop_stop(c->hand[i].w.loop);
		pthread_join(c->hand[i].thread, NULL);
	}
	for (unsigned i = running; i < made; i++)
		zg_loop_free(&c->hand[i].w.loop);
	if (c) {
		free(c->hand);
		free(c->mate);
	}
	free(c);
	return NULL;
}

/* ---- steps ---- */

static void pass(void *hand)
{
	zg_hand_done(hand);
}

static void on_done(void *ctx)
{
	zg_hand_t *h = ctx;
	zg_crew_t *c = h->crew;
	void (*then)(void *ctx, const char *why) = c->then;

	if (h->failed && !c->why)
		c->why = h->err.text;
	if (--c->waits > 0)
		return;
	if (c->passes > 0) {
		c->passes--;
		zg_crew_step(c, pass, then);
		return;
	}
	c->then = NULL;
	then(c->ctx, c->why);
}

void zg_hand_done(zg_hand_t *h)
{
	zg_loop_post(h->crew->main_loop, &h->answer, on_done, h);
}

static void begin(zg_crew_t *c, void (*then)(void *ctx, const char *why))
{
	c->waits = c->hands;
	c->why = NULL;
	c->then = then;
}

void zg_crew_step(zg_crew_t *c, zg_fn fn, void (*then)(void *ctx, const char *why))
{
	begin(c, then);
	for (unsigned i = 0; i < c->hands; i++) {
		zg_hand_t *h = &c->hand[i];

		h->failed = false;
		zg_loop_post(h->w.loop, &h->ask, fn, h);
	}
}

void zg_crew_pass(zg_crew_t *c, void (*then)(void *ctx, const char *why))
{
	c->passes = 1;
	zg_crew_step(c, pass, then);
}

void zg_crew_end(zg_crew_t *c, void (*then)(void *ctx, const char *why))
{
	begin(c, then);
	for (unsigned i = 0; i < c->hands; i++)
		zg_loop_stop(c->hand[i].w.loop);
}

static void hurry(void *ctx)
{
	zg_hand_hurry(ctx);
}

void zg_crew_hurry(zg_crew_t *c)
{
	for (unsigned i = 0; i < c->hands; i++)
		zg_loop_post(c->hand[i].w.loop, &c->hand[i].rush, hurry, &c->hand[i]);
}

void zg_crew_free(zg_crew_t **handle)
{
	zg_crew_t *c = *handle;

	if (!c)
		return;
	*handle = NULL;
	for (unsigned i = 0; i < c->hands; i++)
		pthread_join(c->hand[i].thread, NULL);
	for (unsigned i = 0; i < c->hands; i++)
		zg_loop_free(&c->hand[i].w.loop);
	free(c->hand);
	free(c->mate);
	free(c);
}
