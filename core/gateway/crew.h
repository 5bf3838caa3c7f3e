/* crew: the worker threads of one cycle. The main thread starts them, hears
 * from them through its own loop (zg_loop_post), and tells them to end; it
 * never touches what is theirs. Posting to a loop does here what an inproc
 * PAIR would, without a second mechanism beside the loop's own. */
#ifndef ZG_GATEWAY_CREW_H
#define ZG_GATEWAY_CREW_H

#include "engine/conf.h"
#include "front/listen.h"

typedef struct zg_crew zg_crew_t;

/* All on the main thread, from its loop. */
typedef struct zg_crew_events {
	void (*ready)(void *ctx);                     /* every worker serves */
	void (*failed)(void *ctx, const char *why);   /* one could not start; then ended follows */
	void (*ended)(void *ctx);                     /* all threads are about to return */
	void *ctx;
} zg_crew_events_t;

/* Borrows everything. -1: not even a thread could be made. */
zg_crew_t *zg_crew_start(const zg_conf_t *conf, const zg_listeners_t *listeners, void *zmq,
                         zg_loop_t *main_loop, const zg_crew_events_t *events, zg_err_t *err);
/* Answers what waits with 503, closes WebSockets with 1001 and ends, within a
 * fraction of a second; also cuts a drain short. */
void zg_crew_stop(zg_crew_t *crew);
/* Accepts nothing more, finishes what is in flight within shutdown_timeout,
 * closes WebSockets with 1001, then ends. */
void zg_crew_drain(zg_crew_t *crew);
/* After `ended`: joins the threads and frees. */
void zg_crew_free(zg_crew_t **crew);

#endif
