#include "front/listen.h"

#include "base/net.h"
#include "engine/log.h"
#include "front/inherit.h"
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

/* ---- opening ---- */

static int add_fd(zg_listener_t *l, int fd)
{
	int *more = reallocarray(l->fd, l->fds + 1, sizeof *more);

	if (!more) {
		close(fd);
		errno = ENOMEM;
		return -1;
	}
	l->fd = more;
	l->fd[l->fds++] = fd;
	return 0;
}

static int fail_with(int fd, int error)
{
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

/* Binds one more socket; `share`: beside others of this process. */
static int bind_one(zg_listener_t *l, const struct sockaddr *addr, socklen_t len, bool share)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	if (addr->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (share)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(fd, addr, len) != 0 || listen(fd, BACKLOG) != 0)
		return fail_with(fd, errno);
	return add_fd(l, fd);
}

/* The first socket listens before it has SO_REUSEPORT: so another zgate of the
 * same user cannot have the address, nor get it, as its first socket has not the
 * option either. The others join it. */
static int listen_on(zg_listener_t *l, const struct sockaddr *addr, socklen_t len, unsigned sockets)
{
	struct sockaddr_storage real;
	socklen_t real_len = sizeof real;
	int one = 1;

	if (bind_one(l, addr, len, false) != 0)
		return -1;
	if (getsockname(l->fd[0], (struct sockaddr *)&real, &real_len) != 0)
		return -1;
	zg_net_text((struct sockaddr *)&real, real_len, l->text);
	if (sockets > 1 && setsockopt(l->fd[0], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
		return -1;
	while (l->fds < sockets)
		if (bind_one(l, (struct sockaddr *)&real, real_len, true) != 0)
			return -1;
	return 0;
}

/* Whether a program still accepts on a unix socket; a stale file is removed. */
static bool unix_in_use(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof *un) == 0;
	struct stat st;

	if (fd >= 0)
		close(fd);
	if (!alive && stat(un->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(un->sun_path);
	return alive;
}

static int open_unix(zg_listener_t *l, const char *path, zg_err_t *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof un.sun_path)
		return zg_err(err, "listen: unix:%s: the path is longer than %zu bytes", path,
		              sizeof un.sun_path - 1);
	strcpy(un.sun_path, path);
	if (zg_inherit_take(l, (struct sockaddr *)&un))
		return 0;
	if (unix_in_use(&un))
		errno = EADDRINUSE;
	else if (listen_on(l, (struct sockaddr *)&un, sizeof un, 1) == 0)
		return (l->unlink = strdup(path)) ? 0 : zg_err(err, "out of memory");
	return zg_err(err, "listen: cannot listen on unix:%s: %s", path, strerror(errno));
}

static const char *hint(int error)
{
	switch (error) {
	case EADDRINUSE: return "; stop the program that has it, or change `listen`";
	case EACCES: return "; a port under 1024 needs root, or CAP_NET_BIND_SERVICE";
	default: return "";
	}
}

static int open_one(zg_listener_t *l, const char *where, unsigned sockets, zg_err_t *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	const char *colon = strrchr(where, ':');
	char host[256];
	size_t n;
	int rc;

	if (strncmp(where, "unix:", 5) == 0)
		return open_unix(l, where + 5, err);
	n = colon ? (size_t)(colon - where) : 0;
	if (n == 0 || n >= sizeof host)
		return zg_err(err, "listen: \"%s\" is no HOST:PORT", where);
	memcpy(host, where, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		memmove(host, host + 1, n - 1);
	}
	if (strcmp(host, "*") == 0) {
		hints.ai_family = AF_INET;
		strcpy(host, "0.0.0.0");
	}
	rc = getaddrinfo(host, colon + 1, &hints, &found);
	if (rc != 0)
		return zg_err(err, "listen: cannot resolve %s: %s", where, gai_strerror(rc));
	if (!zg_inherit_take(l, found->ai_addr) &&
	    (rc = listen_on(l, found->ai_addr, found->ai_addrlen, sockets)) != 0)
		zg_err(err, "listen: cannot listen on %s: %s%s", where, strerror(errno), hint(errno));
	freeaddrinfo(found);
	return rc;
}

/* ---- of a configuration ---- */

/* The same address may be given twice with port 0: the n-th is found. */
static const zg_listener_t *find(const zg_listeners_t *l, const char *where, size_t n)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->item[i].where, where) == 0 && n-- == 0)
			return &l->item[i];
	return NULL;
}

static size_t place_of(const zg_listeners_t *l, size_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < at; i++)
		n += strcmp(l->item[i].where, l->item[at].where) == 0;
	return n;
}

static int open_next(zg_listeners_t *to, const zg_listeners_t *from, const char *where,
                     unsigned workers, zg_err_t *err)
{
	zg_listener_t *l = &to->item[to->count];
	const zg_listener_t *same;
	char *copy = strdup(where);

	if (!copy)
		return zg_err(err, "out of memory");
	l->where = copy;
	if ((same = find(from, where, place_of(to, to->count)))) {
		*l = *same;
		free(copy);
	} else if (open_one(l, where, workers, err) != 0) {
		zg_listen_close_one(l);
		return -1;
	}
	to->count++;
	return 0;
}

int zg_listen_renew(zg_listeners_t *to, const zg_listeners_t *from, const zg_conf_t *conf,
                    unsigned workers, zg_err_t *err)
{
	const zg_list_t *where = &conf->gateway.listen;

	*to = (zg_listeners_t){ .item = calloc(where->count ? where->count : 1, sizeof *to->item) };
	if (!to->item)
		return zg_err(err, "out of memory");
	for (size_t i = 0; i < where->count; i++)
		if (open_next(to, from, where->item[i], workers, err) != 0) {
			zg_listen_close_dropped(to, from);
			return -1;
		}
	return 0;
}

int zg_listen_open(zg_listeners_t *l, const zg_conf_t *conf, zg_err_t *err)
{
	int rc = zg_listen_renew(l, &(zg_listeners_t){ 0 }, conf, zg_conf_workers(conf), err);

	zg_inherit_end();
	return rc;
}

/* ---- the end ---- */

void zg_listen_close_one(zg_listener_t *l)
{
	for (size_t k = 0; k < l->fds; k++)
		close(l->fd[k]);
	if (l->unlink && !l->lent)
		unlink(l->unlink);
	free(l->fd);
	free(l->unlink);
	free(l->where);
	*l = (zg_listener_t){ 0 };
}

void zg_listen_close_dropped(zg_listeners_t *l, const zg_listeners_t *but)
{
	/* from the last: a place is counted from those before it */
	for (size_t i = l->count; i-- > 0;)
		if (!find(but, l->item[i].where, place_of(l, i)))
			zg_listen_close_one(&l->item[i]);
	free(l->item);
	*l = (zg_listeners_t){ 0 };
}

void zg_listen_close(zg_listeners_t *l)
{
	for (size_t i = 0; i < l->count; i++)
		zg_listen_close_one(&l->item[i]);
	free(l->item);
	*l = (zg_listeners_t){ 0 };
}

void zg_listen_hold(int fd)
{
	/* what a TCP socket's filter sees begins with the TCP header (RFC 9293, 3.1) */
	static struct sock_filter no_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	static const struct sock_fprog filter = { ZG_COUNT_OF(no_syn), no_syn };
	struct sockaddr_storage own;
	socklen_t n = sizeof own;

	if (getsockname(fd, (struct sockaddr *)&own, &n) == 0 && own.ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

void zg_listen_release(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
}
