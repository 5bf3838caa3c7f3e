#include "engine/lines.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* ---- sinks ---- */

zg_sink_t zg_sink(int fd)
{
	zg_sink_t s = { .fd = fd, .manner = ZG_SINK_FILE };
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		s.manner = S_ISSOCK(st.st_mode) ? ZG_SINK_SOCKET : ZG_SINK_PIPE;
	return s;
}

/* Writes some of it, without waiting: a descriptor that others share cannot be
 * made non-blocking. A pipe that polls as writable has room for PIPE_BUF bytes. */
static ssize_t write_some(const zg_sink_t *s, struct iovec *v, int n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n };
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	if (s->manner == ZG_SINK_SOCKET)
		return sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (s->manner == ZG_SINK_PIPE && (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))) {
		errno = EAGAIN;
		return -1;
	}
	return writev(s->fd, v, n);
}

void zg_sink_write(zg_sink_t *s, const char *line, size_t n, int ms)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	struct iovec v = { (void *)(uintptr_t)line, n };

	if (s->manner != ZG_SINK_FILE)
		poll(&p, 1, ms);
	if (write_some(s, &v, 1) < 0) {
		/* a log that cannot be written has nowhere to say so */
	}
}

/* ---- rings ---- */

static char at(const zg_lines_t *l, uint64_t i)
{
	return l->bytes[i & (l->size - 1)];
}

size_t zg_lines_add(zg_lines_t *l, const char *line, size_t n)
{
	uint64_t head, used;
	size_t from, first;

	pthread_mutex_lock(&l->lock);
	head = l->head;
	used = head - atomic_load(&l->tail);
	if (n > l->size - used) {
		l->dropped++;
		pthread_mutex_unlock(&l->lock);
		return 0;
	}
	from = head & (l->size - 1);
	first = n < l->size - from ? n : l->size - from;
	memcpy(l->bytes + from, line, first);
	memcpy(l->bytes, line + first, n - first);
	atomic_store(&l->head, head + n);
	pthread_mutex_unlock(&l->lock);
	return used + n;
}

bool zg_lines_empty(const zg_lines_t *l)
{
	return atomic_load(&l->head) == atomic_load(&l->tail);
}

bool zg_lines_torn(const zg_lines_t *l)
{
	uint64_t tail = atomic_load(&l->tail);

	return tail > 0 && at(l, tail - 1) != '\n';
}

/* How much to write at once. */
static size_t portion(const zg_lines_t *l, const zg_sink_t *s, uint64_t tail, size_t n)
{
	size_t whole = n < PIPE_BUF ? n : PIPE_BUF;

	if (s->manner != ZG_SINK_PIPE || whole == n)
		return n;
	while (whole > 0 && at(l, tail + whole - 1) != '\n')
		whole--;
	return whole ? whole : PIPE_BUF;
}

bool zg_lines_write(zg_lines_t *l, zg_sink_t *s, uint64_t until)
{
	uint64_t tail = atomic_load(&l->tail);

	while (tail < until) {
		size_t n = portion(l, s, tail, until - tail), from = tail & (l->size - 1);
		size_t first = n < l->size - from ? n : l->size - from;
		struct iovec v[2] = { { l->bytes + from, first }, { l->bytes, n - first } };
		ssize_t wrote = write_some(s, v, first < n ? 2 : 1);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			s->error = wrote < 0 && errno != EAGAIN ? errno : 0;
			return false;
		}
		tail += (uint64_t)wrote;
		atomic_store(&l->tail, tail);
	}
	s->error = 0;
	return true;
}
