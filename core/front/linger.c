#include "front/linger.h"

#include "base/timeq.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS    2000
#define LINGER_BYTES (64u << 20)
#define LINGER_MAX   512

struct lingering {
	zg_timeq_entry_t deadline;
	zg_linger_t *owner;
	zg_io_t *io;
	int fd;
	size_t left;
};

struct zg_linger {
	zg_loop_t *loop;
	zg_timer_t *timer;
	zg_timeq_t queue;
	unsigned count;
};

static void end(struct lingering *c)
{
	zg_timeq_disarm(&c->deadline);
	zg_io_remove(&c->io);
	close(c->fd);
	c->owner->count--;
	free(c);
}

static void on_bytes(void *ctx, unsigned events)
{
	static _Thread_local char waste[65536];
	struct lingering *c = ctx;
	ssize_t n;

	(void)events;
	do {
		n = recv(c->fd, waste, sizeof waste, MSG_DONTWAIT);
		if (n > 0)
			c->left = (size_t)n < c->left ? c->left - (size_t)n : 0;
	} while (n > 0 && c->left > 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	end(c);
}

static void on_timer(void *ctx)
{
	zg_linger_t *l = ctx;
	uint64_t now = zg_loop_now(l->loop);
	zg_timeq_entry_t *e;

	while ((e = zg_timeq_pop(&l->queue, now)))
		end(ZG_CONTAINER(e, struct lingering, deadline));
	if ((e = zg_timeq_first(&l->queue)))
		zg_timer_set(l->timer, e->due - now);
}

zg_linger_t *zg_linger_new(zg_loop_t *loop)
{
	zg_linger_t *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->loop = loop;
	zg_timeq_init(&l->queue, LINGER_MS);
	if (!(l->timer = zg_timer_add(loop, on_timer, l))) {
		free(l);
		return NULL;
	}
	return l;
}

void zg_linger_free(zg_linger_t **l)
{
	zg_timeq_entry_t *e;

	if (!*l)
		return;
	while ((e = zg_timeq_first(&(*l)->queue)))
		end(ZG_CONTAINER(e, struct lingering, deadline));
	zg_timer_remove(&(*l)->timer);
	free(*l);
	*l = NULL;
}

unsigned zg_linger_count(const zg_linger_t *l)
{
	return l->count;
}

void zg_linger_close(zg_linger_t *l, int fd)
{
	struct lingering *c = l->count < LINGER_MAX ? calloc(1, sizeof *c) : NULL;

	shutdown(fd, SHUT_WR);
	if (!c || !(c->io = zg_io_add(l->loop, fd, ZG_IO_READ, on_bytes, c))) {
		free(c);
		close(fd);
		return;
	}
	c->owner = l;
	c->fd = fd;
	c->left = LINGER_BYTES;
	zg_timeq_entry_init(&c->deadline);
	if (!zg_timeq_first(&l->queue))
		zg_timer_set(l->timer, LINGER_MS);
	zg_timeq_arm(&l->queue, &c->deadline, zg_loop_now(l->loop));
	l->count++;
}
