#include "front/listen.h"

#include "base/net.h"
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

static int listen_on(zg_listener_t *l, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_storage real;
	socklen_t real_len = sizeof real;
	int one = 1;

	l->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -1;
	if (addr->sa_family != AF_UNIX)
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr->sa_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(l->fd, addr, len) != 0 || listen(l->fd, BACKLOG) != 0 ||
	    getsockname(l->fd, (struct sockaddr *)&real, &real_len) != 0) {
		int saved = errno;

		close(l->fd);
		l->fd = -1;
		errno = saved;
		return -1;
	}
	zg_net_text((struct sockaddr *)&real, real_len, l->text);
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
	if (unix_in_use(&un))
		errno = EADDRINUSE;
	else if (listen_on(l, (struct sockaddr *)&un, sizeof un) == 0) {
		return (l->unlink = strdup(path)) ? 0 : zg_err(err, "out of memory");
	}
	return zg_err(err, "listen: cannot listen on unix:%s: %s", path, strerror(errno));
}

static int open_one(zg_listener_t *l, const char *where, zg_err_t *err)
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
	rc = listen_on(l, found->ai_addr, found->ai_addrlen);
	if (rc != 0)
		zg_err(err, "listen: cannot listen on %s: %s%s", where, strerror(errno),
		       errno == EADDRINUSE ? "; stop the program that has it, or change `listen`" : "");
	freeaddrinfo(found);
	return rc;
}

static const zg_listener_t *find(const zg_listeners_t *l, const char *where)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->item[i].where, where) == 0)
			return &l->item[i];
	return NULL;
}

int zg_listen_renew(zg_listeners_t *to, const zg_listeners_t *from, const zg_conf_t *conf,
                    zg_err_t *err)
{
	const zg_list_t *where = &conf->gateway.listen;

	*to = (zg_listeners_t){ .item = calloc(where->count ? where->count : 1, sizeof *to->item) };
	if (!to->item)
		return zg_err(err, "out of memory");
	for (size_t i = 0; i < where->count; i++) {
		const zg_listener_t *same = find(from, where->item[i]);

		if (same)
			to->item[i] = *same;
		else if (open_one(&to->item[i], where->item[i], err) != 0)
			break;
		else if (!(to->item[i].where = strdup(where->item[i])))
			break;
		to->count++;
	}
	if (to->count == where->count)
		return 0;
	zg_listen_close_dropped(to, from);
	return -1;
}

int zg_listen_open(zg_listeners_t *l, const zg_conf_t *conf, zg_err_t *err)
{
	return zg_listen_renew(l, &(zg_listeners_t){ 0 }, conf, err);
}

void zg_listen_close_dropped(zg_listeners_t *l, const zg_listeners_t *but)
{
	for (size_t i = 0; i < l->count; i++) {
		if (find(but, l->item[i].where))
			continue;
		close(l->item[i].fd);
		if (l->item[i].unlink)
			unlink(l->item[i].unlink);
		free(l->item[i].unlink);
		free(l->item[i].where);
	}
	free(l->item);
	*l = (zg_listeners_t){ 0 };
}

void zg_listen_close(zg_listeners_t *l)
{
	zg_listen_close_dropped(l, &(zg_listeners_t){ 0 });
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
