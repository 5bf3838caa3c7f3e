/* loop: the event loop of one thread, on libuv. Everything here is called on
 * the loop's own thread, except zg_loop_post and zg_loop_stop. Callbacks never
 * block. Handles are freed by their remove function, which nulls the caller's
 * pointer; a callback may remove its own handle. */
#ifndef ZG_ENGINE_LOOP_H
#define ZG_ENGINE_LOOP_H

#include "base/err.h"
#include "base/list.h"
#include <stdint.h>

typedef struct zg_loop zg_loop_t;
typedef struct zg_io zg_io_t;
typedef struct zg_timer zg_timer_t;
typedef struct zg_signal zg_signal_t;

typedef void (*zg_fn)(void *ctx);

zg_loop_t *zg_loop_new(zg_err_t *err);
void zg_loop_run(zg_loop_t *loop);  /* returns after zg_loop_stop */
void zg_loop_stop(zg_loop_t *loop); /* any thread */
/* Lets closing handles and work on the pool finish; every handle must have been
 * removed. After it, only libraries that shared the loop may still touch it. */
void zg_loop_end(zg_loop_t *loop);
void zg_loop_free(zg_loop_t **loop); /* ends it first if need be */
uint64_t zg_loop_now(const zg_loop_t *loop); /* ms, monotonic, as of this turn of the loop */
void *zg_loop_uv(zg_loop_t *loop);           /* uv_loop_t, for libwebsockets */

/* Descriptors, level-triggered. The descriptor stays the caller's and must
 * outlive the handle. */
enum { ZG_IO_READ = 1, ZG_IO_WRITE = 2, ZG_IO_ERROR = 4 };
typedef void (*zg_io_fn)(void *ctx, unsigned events);
zg_io_t *zg_io_add(zg_loop_t *loop, int fd, unsigned events, zg_io_fn fn, void *ctx);
void zg_io_set(zg_io_t *io, unsigned events); /* 0 pauses it */
void zg_io_remove(zg_io_t **io);

/* One-shot timers; made idle. Setting one again moves it. */
zg_timer_t *zg_timer_add(zg_loop_t *loop, zg_fn fn, void *ctx);
void zg_timer_set(zg_timer_t *t, uint64_t ms); /* from now */
void zg_timer_clear(zg_timer_t *t);
void zg_timer_remove(zg_timer_t **t);

/* Runs fn once, after this turn's descriptors have been served and before the
 * loop sleeps: the place to do once what many events asked for. The struct is
 * the caller's; scheduling what is scheduled does nothing. */
typedef struct zg_defer {
	zg_link_t link;
	zg_fn fn;
	void *ctx;
} zg_defer_t;
void zg_defer_init(zg_defer_t *d, zg_fn fn, void *ctx);
void zg_defer(zg_loop_t *loop, zg_defer_t *d);
void zg_defer_cancel(zg_defer_t *d);

/* Runs fn on the loop's thread, soon; the only way in from other threads. Never
 * fails and never allocates: the struct is the sender's, stays with the loop
 * until fn begins, and may be freed or posted again from then on. What one
 * thread posts to a loop runs in that order. The loop must not have ended. */
typedef struct zg_post {
	zg_link_t link;
	zg_fn fn;
	void *ctx;
} zg_post_t;
void zg_loop_post(zg_loop_t *loop, zg_post_t *p, zg_fn fn, void *ctx);

/* Runs work on libuv's thread pool, where it may block, then done on the
 * loop's thread, always. -1: out of memory, neither will run. */
int zg_loop_work(zg_loop_t *loop, zg_fn work, zg_fn done, void *ctx);

/* Signals: main thread's loop only. */
zg_signal_t *zg_signal_add(zg_loop_t *loop, int number, void (*fn)(void *ctx, int number),
                           void *ctx);
void zg_signal_remove(zg_signal_t **s);

#endif
