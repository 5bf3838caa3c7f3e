#include "engine/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

struct zg_loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_check_t check; /* after descriptors: runs what was deferred */
	uv_idle_t idle;   /* active while something is deferred: the loop does not sleep */
	zg_link_t deferred;
	pthread_mutex_t lock; /* guards posted and stopping */
	zg_link_t posted;
	bool stopping, ended;
};

struct zg_io {
	uv_poll_t poll;
	zg_io_fn fn;
	void *ctx;
};

struct zg_timer {
	uv_timer_t timer;
	zg_fn fn;
	void *ctx;
};

struct zg_signal {
	uv_signal_t signal;
	void (*fn)(void *ctx, int number);
	void *ctx;
};

struct work {
	uv_work_t req;
	zg_fn work, done;
	void *ctx;
};

static void free_handle(uv_handle_t *h)
{
	free(h->data);
}

/* ---- the loop ---- */

static void run_deferred(uv_check_t *check)
{
	zg_loop_t *loop = check->data;
	zg_link_t now;

	if (zg_list_empty(&loop->deferred))
		return;
	/* what these defer in turn belongs to the next turn */
	zg_list_move(&now, &loop->deferred);
	while (!zg_list_empty(&now)) {
		zg_defer_t *d = ZG_CONTAINER(now.next, zg_defer_t, link);

		zg_list_remove(&d->link);
		d->fn(d->ctx);
	}
	if (zg_list_empty(&loop->deferred))
		uv_idle_stop(&loop->idle);
}

static void stay_awake(uv_idle_t *idle)
{
	(void)idle;
}

static void run_posted(uv_async_t *wake)
{
	zg_loop_t *loop = wake->data;
	zg_link_t now;
	bool stop;

	pthread_mutex_lock(&loop->lock);
	zg_list_move(&now, &loop->posted);
	stop = loop->stopping;
	pthread_mutex_unlock(&loop->lock);
	while (!zg_list_empty(&now)) {
		zg_post_t *p = ZG_CONTAINER(now.next, zg_post_t, link);
		zg_fn fn = p->fn;
		void *ctx = p->ctx;

		zg_list_remove(&p->link);
		fn(ctx); /* p may be gone after it */
	}
	if (stop)
		uv_stop(&loop->uv);
}

zg_loop_t *zg_loop_new(zg_err_t *err)
{
	zg_loop_t *loop = calloc(1, sizeof *loop);
	int rc = loop ? uv_loop_init(&loop->uv) : UV_ENOMEM;

	if (rc == 0 && (rc = uv_async_init(&loop->uv, &loop->wake, run_posted)) != 0)
		uv_loop_close(&loop->uv);
	if (rc != 0) {
		zg_err(err, "cannot make an event loop: %s", uv_strerror(rc));
		free(loop);
		return NULL;
	}
	uv_check_init(&loop->uv, &loop->check);
	uv_idle_init(&loop->uv, &loop->idle);
	uv_check_start(&loop->check, run_deferred);
	loop->wake.data = loop->check.data = loop;
	zg_list_init(&loop->deferred);
	zg_list_init(&loop->posted);
	pthread_mutex_init(&loop->lock, NULL);
	return loop;
}

void zg_loop_run(zg_loop_t *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void zg_loop_stop(zg_loop_t *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stopping = true;
	pthread_mutex_unlock(&loop->lock);
	uv_async_send(&loop->wake);
}

void zg_loop_end(zg_loop_t *loop)
{
	if (loop->ended)
		return;
	loop->ended = true;
	run_posted(&loop->wake);
	run_deferred(&loop->check);
	uv_close((uv_handle_t *)&loop->wake, NULL);
	uv_close((uv_handle_t *)&loop->check, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	/* uv_stop may still be pending: run until nothing is left, whatever it says */
	while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
		;
}

void zg_loop_free(zg_loop_t **handle)
{
	zg_loop_t *loop = *handle;

	if (!loop)
		return;
	*handle = NULL;
	zg_loop_end(loop);
	uv_loop_close(&loop->uv);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

uint64_t zg_loop_now(const zg_loop_t *loop)
{
	return uv_now(&loop->uv);
}

void *zg_loop_uv(zg_loop_t *loop)
{
	return &loop->uv;
}

/* ---- descriptors ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
	zg_io_t *io = poll->data;
	unsigned e = 0;

	if (status < 0)
		e |= ZG_IO_ERROR;
	if (events & UV_READABLE)
		e |= ZG_IO_READ;
	if (events & UV_WRITABLE)
		e |= ZG_IO_WRITE;
	io->fn(io->ctx, e);
}

zg_io_t *zg_io_add(zg_loop_t *loop, int fd, unsigned events, zg_io_fn fn, void *ctx)
{
	zg_io_t *io = calloc(1, sizeof *io);

	if (!io)
		return NULL;
	if (uv_poll_init(&loop->uv, &io->poll, fd) != 0) {
		free(io);
		return NULL;
	}
	io->fn = fn;
	io->ctx = ctx;
	io->poll.data = io;
	zg_io_set(io, events);
	return io;
}

void zg_io_set(zg_io_t *io, unsigned events)
{
	int e = (events & ZG_IO_READ ? UV_READABLE : 0) | (events & ZG_IO_WRITE ? UV_WRITABLE : 0);

	if (e)
		uv_poll_start(&io->poll, e, on_poll);
	else
		uv_poll_stop(&io->poll);
}

void zg_io_remove(zg_io_t **io)
{
	if (!*io)
		return;
	uv_close((uv_handle_t *)&(*io)->poll, free_handle);
	*io = NULL;
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
	zg_timer_t *t = timer->data;

	t->fn(t->ctx);
}

zg_timer_t *zg_timer_add(zg_loop_t *loop, zg_fn fn, void *ctx)
{
	zg_timer_t *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	uv_timer_init(&loop->uv, &t->timer);
	t->timer.data = t;
	t->fn = fn;
	t->ctx = ctx;
	return t;
}

void zg_timer_set(zg_timer_t *t, uint64_t ms)
{
	uv_timer_start(&t->timer, on_timer, ms, 0);
}

void zg_timer_clear(zg_timer_t *t)
{
	uv_timer_stop(&t->timer);
}

void zg_timer_remove(zg_timer_t **t)
{
	if (!*t)
		return;
	uv_close((uv_handle_t *)&(*t)->timer, free_handle);
	*t = NULL;
}

/* ---- later, elsewhere ---- */

void zg_defer_init(zg_defer_t *d, zg_fn fn, void *ctx)
{
	zg_list_init(&d->link);
	d->fn = fn;
	d->ctx = ctx;
}

void zg_defer(zg_loop_t *loop, zg_defer_t *d)
{
	if (!zg_list_empty(&d->link))
		return;
	if (zg_list_empty(&loop->deferred))
		uv_idle_start(&loop->idle, stay_awake);
	zg_list_append(&loop->deferred, &d->link);
}

void zg_defer_cancel(zg_defer_t *d)
{
	zg_list_remove(&d->link);
}

void zg_loop_post(zg_loop_t *loop, zg_post_t *p, zg_fn fn, void *ctx)
{
	p->fn = fn;
	p->ctx = ctx;
	zg_list_init(&p->link);
	pthread_mutex_lock(&loop->lock);
	zg_list_append(&loop->posted, &p->link);
	pthread_mutex_unlock(&loop->lock);
	uv_async_send(&loop->wake);
}

static void on_work(uv_work_t *req)
{
	struct work *w = req->data;

	w->work(w->ctx);
}

static void on_work_done(uv_work_t *req, int status)
{
	struct work *w = req->data;

	(void)status; /* never cancelled */
	w->done(w->ctx);
	free(w);
}

int zg_loop_work(zg_loop_t *loop, zg_fn work, zg_fn done, void *ctx)
{
	struct work *w = malloc(sizeof *w);

	if (!w)
		return -1;
	*w = (struct work){ .work = work, .done = done, .ctx = ctx };
	w->req.data = w;
	if (uv_queue_work(&loop->uv, &w->req, on_work, on_work_done) != 0) {
		free(w);
		return -1;
	}
	return 0;
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *signal, int number)
{
	zg_signal_t *s = signal->data;

	s->fn(s->ctx, number);
}

zg_signal_t *zg_signal_add(zg_loop_t *loop, int number, void (*fn)(void *ctx, int number),
                           void *ctx)
{
	zg_signal_t *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	if (uv_signal_init(&loop->uv, &s->signal) != 0) {
		free(s);
		return NULL;
	}
	s->signal.data = s;
	s->fn = fn;
	s->ctx = ctx;
	uv_signal_start(&s->signal, on_signal, number);
	return s;
}

void zg_signal_remove(zg_signal_t **s)
{
	if (!*s)
		return;
	uv_close((uv_handle_t *)&(*s)->signal, free_handle);
	*s = NULL;
}
