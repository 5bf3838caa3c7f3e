#include "front/inherit.h"

#include "base/net.h"
#include "engine/log.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST 3   /* by the protocol */
#define MOST  256

static int first, count; /* those that are left are open; -1 is never among them */
static bool taken[MOST];

static int number(const char *name)
{
	const char *text = getenv(name);

	return text ? atoi(text) : 0;
}

void zg_inherit_begin(void)
{
	if (number("LISTEN_PID") == (int)getpid()) {
		first = FIRST;
		count = number("LISTEN_FDS");
		count = count < 0 ? 0 : count > MOST ? MOST : count;
	}
	for (int i = 0; i < count; i++)
		fcntl(first + i, F_SETFD, FD_CLOEXEC);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* The address it listens at; false: it is no stream socket that listens. */
static bool listens(int fd, struct sockaddr_storage *at, socklen_t *len)
{
	int type = 0, on = 0;
	socklen_t n = sizeof type, m = sizeof on;

	*len = sizeof *at;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &m) == 0 && on &&
	       getsockname(fd, (struct sockaddr *)at, len) == 0;
}

static bool same(const struct sockaddr_storage *a, const struct sockaddr *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	const struct sockaddr_un *au = (const void *)a, *bu = (const void *)b;

	if (a->ss_family != b->sa_family)
		return false;
	switch (b->sa_family) {
	case AF_INET: return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	case AF_INET6:
		return a6->sin6_port == b6->sin6_port &&
		       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
	case AF_UNIX: return strncmp(au->sun_path, bu->sun_path, sizeof au->sun_path) == 0;
	default: return false;
	}
}

bool zg_inherit_take(zg_listener_t *l, const struct sockaddr *addr)
{
	for (int i = 0; i < count; i++) {
		struct sockaddr_storage at = { 0 };
		socklen_t len;
		int *more;

		if (taken[i] || !listens(first + i, &at, &len) || !same(&at, addr) ||
		    !(more = reallocarray(l->fd, l->fds + 1, sizeof *more)))
			continue;
		taken[i] = true;
		l->fd = more;
		l->fd[l->fds++] = first + i;
		fcntl(first + i, F_SETFL, fcntl(first + i, F_GETFL) | O_NONBLOCK);
		zg_net_text((struct sockaddr *)&at, len, l->text);
	}
	if (l->fds)
		zg_info("%s was passed by who started zgate", l->text);
	return l->fds > 0;
}

void zg_inherit_end(void)
{
	for (int i = 0; i < count; i++) {
		struct sockaddr_storage at = { 0 };
		socklen_t len;
		char text[128] = "no listening stream socket";

		if (taken[i])
			continue;
		if (listens(first + i, &at, &len))
			zg_net_text((struct sockaddr *)&at, len, text);
		zg_warn("descriptor %d was passed to listen (%s), but no `listen` names it; it is closed",
		        first + i, text);
		close(first + i);
	}
	count = 0;
}
