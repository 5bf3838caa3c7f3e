#include "gateway/channel.h"

#include "engine/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX   64 /* a listener's: workers at most */
#define PRINT_MAX (4u << 20)

struct wire {
	zg_said_t what;
	unsigned fds;
	char text[ZG_CHANNEL_TEXT];  /* of a listener: its `where` */
	char address[128], path[128];
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

int zg_channel_new(int end[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, end);
}

static void put(int fd, struct wire *w, const int *fds)
{
	union control c = { 0 };
	struct iovec iov = { w, sizeof *w };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd < 0)
		return;
	if (w->fds) {
		m.msg_control = c.bytes;
		m.msg_controllen = CMSG_SPACE(w->fds * sizeof(int));
		c.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(w->fds * sizeof(int)),
		                            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.align), fds, w->fds * sizeof(int));
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE && errno != ECONNRESET)
		zg_error("the master cannot be told what happens: %s", strerror(errno));
}

static void say(int fd, zg_said_t what, const char *text)
{
	struct wire w = { .what = what };

	snprintf(w.text, sizeof w.text, "%s", text);
	put(fd, &w, NULL);
}

/* As text, in a file without a name; -1: there is no memory. */
static int print(const zg_conf_t *conf)
{
	zg_buf_t text = ZG_BUF(PRINT_MAX);
	int fd = memfd_create("zgate configuration", MFD_CLOEXEC);

	if (fd >= 0 && (zg_conf_print(conf, &text) != 0 ||
	                pwrite(fd, text.data, text.len, 0) != (ssize_t)text.len)) {
		close(fd);
		fd = -1;
	}
	zg_buf_free(&text);
	return fd;
}

void zg_channel_at_work(int fd, zg_listeners_t *list, const zg_conf_t *conf)
{
	struct wire done = { .what = ZG_SAID_AT_WORK };
	int text;

	if (fd < 0)
		return;
	for (size_t i = 0; i < list->count; i++) {
		zg_listener_t *l = &list->item[i];
		struct wire w = { .what = ZG_SAID_LISTENER, .fds = l->fds < FDS_MAX ? l->fds : FDS_MAX };

		snprintf(w.text, sizeof w.text, "%s", l->where);
		memcpy(w.address, l->text, sizeof w.address);
		snprintf(w.path, sizeof w.path, "%s", l->unlink ? l->unlink : "");
		put(fd, &w, l->fd);
		l->lent = true;
	}
	text = print(conf);
	done.fds = text >= 0;
	put(fd, &done, &text);
	if (text >= 0)
		close(text);
}

void zg_channel_ending(int fd)
{
	say(fd, ZG_SAID_ENDING, "");
}

void zg_channel_reopen(int fd)
{
	say(fd, ZG_SAID_REOPEN, "");
}

void zg_channel_notify(int fd, const char *state)
{
	say(fd, ZG_SAID_NOTIFY, state);
}

/* ---- the master's side ---- */

static int add(zg_listeners_t *list, const struct wire *w, const int *fds, unsigned n)
{
	zg_listener_t *more = reallocarray(list->item, list->count + 1, sizeof *more), *l;

	if (!more)
		return -1;
	list->item = more;
	l = &more[list->count];
	*l = (zg_listener_t){ .fds = n, .fd = malloc((n + 1) * sizeof *l->fd), .where = strdup(w->text),
	                      .unlink = *w->path ? strdup(w->path) : NULL };
	if (!l->fd || !l->where || (*w->path && !l->unlink)) {
		free(l->fd);
		free(l->where);
		free(l->unlink);
		return -1;
	}
	memcpy(l->fd, fds, n * sizeof *fds);
	memcpy(l->text, w->address, sizeof l->text);
	list->count++;
	return 0;
}

zg_said_t zg_channel_read(int fd, zg_listeners_t *list, char text[ZG_CHANNEL_TEXT], int *conf)
{
	union control c;
	struct wire w;
	struct iovec iov = { &w, sizeof w };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
	                    .msg_control = c.bytes, .msg_controllen = sizeof c.bytes };
	ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *h = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fds[FDS_MAX];
	unsigned n = 0;

	if (got != sizeof w)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? ZG_SAID_NOTHING : ZG_SAID_GOODBYE;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
		n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
		memcpy(fds, CMSG_DATA(h), n * sizeof *fds);
	}
	if (w.what == ZG_SAID_LISTENER && add(list, &w, fds, n) != 0) {
		zg_error("out of memory: %s would not outlive a crash", w.address);
		while (n > 0)
			close(fds[--n]);
	}
	*conf = w.what == ZG_SAID_AT_WORK && n ? fds[0] : -1;
	memcpy(text, w.text, ZG_CHANNEL_TEXT);
	return w.what;
}
