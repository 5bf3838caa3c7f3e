/* crew: the worker threads of the process. They live as long as it does; what
 * changes is the cycle they work for. The main thread leads them in steps: a
 * step runs on every worker's thread, and is over when each has said so. What
 * a worker owns is touched by its own thread only. Posting to a loop does here
 * what an inproc PAIR would, without a second mechanism beside the loop's own. */
#ifndef ZG_GATEWAY_CREW_H
#define ZG_GATEWAY_CREW_H

#include "engine/worker.h"
#include "front/listen.h"
#include "gateway/cycle.h"

struct zg_crew;

/* One worker, as the crew has it. */
typedef struct zg_hand {
	zg_worker_t w;
	struct zg_crew *crew;
	pthread_t thread;
	zg_post_t ask, answer, rest, rush;
	bool failed;              /* in this step; err says why */
	zg_err_t err;
	/* hand.c */
	zg_instance_t **fresh;    /* between prepare and commit: by section */
	zg_timer_t *look;         /* whether something has come to rest */
	bool leaving;             /* the worker drains */
	uint64_t leave_until;
	uint64_t left_at;         /* when it began to */
	bool closing, shut;       /* the fronts close; they have closed */
} zg_hand_t;

typedef struct zg_crew {
	zg_hand_t *hand;
	unsigned hands;
	zg_worker_t **mate;
	zg_common_t common;
	zg_loop_t *main_loop;
	/* of the step under way, set by the main thread before it */
	zg_cycle_t *cycle;
	const zg_listeners_t *listeners;
	zg_kin_t **bury;
	size_t buries;
	_Atomic uint64_t end_ms; /* how long a drain may still take */
	unsigned passes;         /* empty steps to follow this one */
	unsigned waits;          /* hands that have not finished the step */
	const char *why;         /* the first failure's reason, NULL: none */
	void (*then)(void *ctx, const char *why);
	void (*rested)(void *ctx); /* a family that was given up may be buried */
	void *ctx;
} zg_crew_t;

/* Starts the threads; they do nothing yet. Borrows everything. */
zg_crew_t *zg_crew_new(unsigned workers, void *zmq, zg_loop_t *main_loop, zg_err_t *err);
/* Runs fn on every worker's thread, then `then` on the main thread with the
 * reason if one failed. fn, or what it begins, must call zg_hand_done. One step
 * at a time. */
void zg_crew_step(zg_crew_t *c, zg_fn fn, void (*then)(void *ctx, const char *why));
void zg_hand_done(zg_hand_t *h);
/* Two empty steps: all letters of before have arrived, and their answers too. */
void zg_crew_pass(zg_crew_t *c, void (*then)(void *ctx, const char *why));
/* The last step, after zg_hand_stop: the threads end. */
void zg_crew_end(zg_crew_t *c, void (*then)(void *ctx, const char *why));
/* Joins the threads. */
void zg_crew_free(zg_crew_t **c);

/* The steps (hand.c); the argument is the zg_hand_t. */
void zg_hand_open(void *hand);    /* the fronts */
void zg_hand_prepare(void *hand); /* what crew->cycle starts anew; may fail */
void zg_hand_abort(void *hand);   /* and stops it again */
void zg_hand_commit(void *hand);  /* the swap: never fails */
void zg_hand_bury(void *hand);    /* stops the members of crew->bury */
void zg_hand_refuse(void *hand);  /* accepts nobody any more; its listening sockets may close */
void zg_hand_drain(void *hand);   /* until nothing is in flight, or crew->end_ms is over */
void zg_hand_close(void *hand);   /* the fronts, with everything that is left */
void zg_hand_stop(void *hand);    /* all instances */
/* After the loop has stopped, on the thread. */
void zg_hand_end(zg_hand_t *h);
void zg_hand_hurry(zg_hand_t *h);
/* A drain under way has crew->end_ms from now. Main thread. */
void zg_crew_hurry(zg_crew_t *c);

#endif
