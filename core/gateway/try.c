#include "gateway/try.h"

#include "engine/endpoint.h"
#include "gateway/holder.h"
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SENTENCE_MAX 1024

/* An address that was free, and for whom. */
struct taken {
	struct taken *next;
	struct sockaddr_storage addr;
	bool v6only;
	char by[600];
};

struct attempt {
	const zg_conf_t *conf;
	const zg_try_out_t *out;
	struct taken *taken;
	long gateway; /* the running one; 0: none is known */
	unsigned errors;
	/* the value in hand */
	char section[160];
	const zg_directive_t *row;
	const void *of;
	size_t item;
};

/* ---- telling ---- */

static void where(const struct attempt *t, char out[600])
{
	char origin[512];

	snprintf(out, 600, "%s: [%s] %s",
	         zg_conf_origin(t->conf, t->row, t->of, t->item, origin), t->section, t->row->name);
}

static void say(struct attempt *t, void (*to)(void *ctx, const char *sentence), const char *format,
                va_list ap)
{
	char place[600], what[SENTENCE_MAX], sentence[sizeof place + sizeof what + 2];

	where(t, place);
	vsnprintf(what, sizeof what, format, ap);
	snprintf(sentence, sizeof sentence, "%s: %s", place, what);
	to(t->out->ctx, sentence);
}

static void fail(struct attempt *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct attempt *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct attempt *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(t, t->out->error, format, ap);
	va_end(ap);
	t->errors++;
}

static void note(struct attempt *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(t, t->out->note, format, ap);
	va_end(ap);
}

/* ---- who is in the way ---- */

static void in_use(struct attempt *t, const char *address, bool known, const zg_holder_t *h)
{
	/* systemd listens for services that it starts on demand */
	bool systemd = known && h->pid == 1 && strcmp(h->name, "systemd") == 0;

	if (known && (h->running || systemd))
		note(t, "%s is held by %s, pid %ld", address,
		     systemd ? "systemd, for a service" : "the running gateway", h->pid);
	else if (!known)
		fail(t, "cannot bind %s: address already in use; write another one", address);
	else if (!h->pid)
		fail(t, "cannot bind %s: address already in use by a process of another user's; stop "
		     "it, or write another address", address);
	else
		fail(t, "cannot bind %s: address already in use by %s, pid %ld; %s", address, h->name, h->pid,
		     strcmp(h->name, "zgate") == 0 && !t->conf->gateway.pid
		             ? "if that is this gateway at work, give it a `pid` file to be known by"
		             : "stop it, or write another address");
}

/* ---- TCP ---- */

static bool clashes(const struct taken *a, const struct taken *b)
{
	const struct taken *v6 = a->addr.ss_family == AF_INET6 ? a : b;

	if (a->addr.ss_family != b->addr.ss_family && v6->v6only)
		return false;
	return zg_holder_overlap((const void *)&a->addr, (const void *)&b->addr);
}

/* Two of one configuration are in each other's way only when they listen, which
 * is not tried. */
static bool taken_before(struct attempt *t, const char *address, const struct taken *one)
{
	for (const struct taken *k = t->taken; k; k = k->next) {
		if (!clashes(one, k))
			continue;
		fail(t, "cannot bind %s: this configuration binds it already, at %s", address, k->by);
		return true;
	}
	return false;
}

static int bind_once(const struct taken *one)
{
	int family = one->addr.ss_family, on = 1, v6only = one->v6only, saved, rc;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
	rc = bind(fd, (const struct sockaddr *)&one->addr,
	          family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

static void keep(struct attempt *t, const struct taken *one)
{
	struct taken *k = malloc(sizeof *k);

	if (!k)
		return; /* one comparison less */
	*k = *one;
	k->next = t->taken;
	where(t, k->by);
	t->taken = k;
}

static void try_bind(struct attempt *t, const char *address, struct taken *one)
{
	const struct sockaddr *addr = (const struct sockaddr *)&one->addr;
	bool any_port = ((const struct sockaddr_in *)addr)->sin_port == 0;
	zg_holder_t holder;

	if (!any_port && taken_before(t, address, one))
		return;
	if (bind_once(one) == 0)
		;
	else if (errno == EADDRINUSE)
		in_use(t, address, zg_holder_tcp(addr, t->gateway, &holder), &holder);
	else if (errno == EACCES)
		fail(t, "cannot bind %s: permission denied; a port under 1024 needs root or "
		     "CAP_NET_BIND_SERVICE", address);
	else if (errno == EADDRNOTAVAIL)
		fail(t, "cannot bind %s: this machine has no such address", address);
	else
		fail(t, "cannot bind %s: %s", address, strerror(errno));
	if (!any_port)
		keep(t, one);
}

static int resolve(const char *host, const char *port, int flags, int family, struct taken *one)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags, .ai_family = family };
	struct addrinfo *found;
	int rc = getaddrinfo(host, port, &hints, &found);

	if (rc != 0)
		return rc;
	memcpy(&one->addr, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

/* libzmq binds to the name of an interface as well: to its first address. */
static bool interface(const char *name, const char *port, struct taken *one)
{
	struct sockaddr_in *addr = (struct sockaddr_in *)&one->addr;
	struct ifaddrs *all;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return false;
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || strcmp(i->ifa_name, name) != 0)
			continue;
		memcpy(addr, i->ifa_addr, sizeof *addr);
		addr->sin_port = htons((uint16_t)atoi(port));
		found = true;
	}
	freeifaddrs(all);
	return found;
}

static void try_tcp(struct attempt *t, const char *address, const char *rest)
{
	struct taken one = { .v6only = false }; /* libzmq lets [::] have IPv4 too */
	char host[256], port[8];
	bool v6 = rest[0] == '[';

	if (!zg_endpoint_split(zg_str(rest), host, port))
		return;
	if (strcmp(port, "*") == 0)
		strcpy(port, "0");
	if (strcmp(host, "*") == 0)
		strcpy(host, "0.0.0.0");
	if ((!v6 && interface(host, port, &one)) ||
	    resolve(host, port, AI_PASSIVE | AI_NUMERICHOST, v6 ? AF_INET6 : AF_INET, &one) == 0)
		try_bind(t, address, &one);
	else
		fail(t, "cannot bind %s: \"%s\" is neither an address nor an interface of this machine, "
		     "and ZeroMQ binds no host names; write the address, or * for all", address, host);
}

/* ---- unix sockets ---- */

/* The folder that a file would be made in. */
static bool can_make(const char *path, char folder[4096])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= 4096)
		return false;
	snprintf(folder, 4096, "%.*s", (int)n, path);
	if (!slash || !n)
		strcpy(folder, slash ? "/" : ".");
	return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

static void try_unix(struct attempt *t, const char *address, const char *path)
{
	char folder[4096];
	zg_holder_t h;
	struct stat st;

	if (strcmp(path, "*") == 0)
		return;
	if (zg_holder_unix(path, t->gateway, &h))
		in_use(t, address, true, &h);
	else if (path[0] == '@')
		return;
	else if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		fail(t, "cannot bind %s: there is a file of that name which is no socket; move it away, "
		     "or write another path", address);
	else if (!can_make(path, folder))
		fail(t, "cannot bind %s: cannot make a file in %s: %s", address, folder, strerror(errno));
}

/* ---- rows ---- */

static void try_listen(struct attempt *t, const char *value)
{
	struct taken one = { .v6only = true };
	char host[256], port[8];
	int rc;

	if (strncmp(value, "unix:", 5) == 0) {
		try_unix(t, value, value + 5);
		return;
	}
	if (!zg_endpoint_split(zg_str(value), host, port))
		return;
	rc = resolve(strcmp(host, "*") ? host : "0.0.0.0", port, AI_PASSIVE, AF_UNSPEC, &one);
	if (rc == 0)
		try_bind(t, value, &one);
	else
		fail(t, "cannot resolve %s: %s", value, gai_strerror(rc));
}

/* What is connected to may come later, so only its name is looked up. */
static void try_name(struct attempt *t, const char *address, const char *rest)
{
	char host[256], port[8];
	struct taken one;
	int rc;

	if (!zg_endpoint_split(zg_str(rest), host, port))
		return;
	rc = resolve(host, port, 0, AF_UNSPEC, &one);
	if (rc != 0)
		note(t, "warning: cannot resolve %s: %s; nobody is reached there until that changes",
		     address, gai_strerror(rc));
}

static void try_endpoint(struct attempt *t, const zg_endpoint_t *e)
{
	if (strncmp(e->address, "tcp://", 6) == 0)
		(e->bind ? try_tcp : try_name)(t, e->address, e->address + 6);
	else if (e->bind && strncmp(e->address, "ipc://", 6) == 0)
		try_unix(t, e->address, e->address + 6);
}

/* A file that the gateway appends to or writes anew. */
static void try_file(struct attempt *t, const char *path)
{
	char folder[4096];
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		fail(t, "cannot write %s: it is a folder; name a file in it", path);
	else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 && errno != ENOENT)
		fail(t, "cannot write %s: %s", path, strerror(errno));
	else if (lstat(path, &st) != 0 && !can_make(path, folder))
		fail(t, "cannot write %s: cannot make a file in %s: %s", path, folder, strerror(errno));
}

/* Whether a module writes in a folder is its own matter. */
static void try_folder(struct attempt *t, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) != 0)
		fail(t, "cannot read %s: %s", path, strerror(errno));
}

/* stderr, where a path could stand */
static bool is_word(const zg_directive_t *row, const char *value)
{
	for (size_t i = 0; row->choices && row->choices[i]; i++)
		if (strcmp(row->choices[i], value) == 0)
			return true;
	return false;
}

static void try_row(struct attempt *t)
{
	const void *at = (const char *)t->of + t->row->offset;
	const zg_endpoints_t *e = at;
	const char *const *text = at;

	t->item = 0;
	if (t->row->type == ZG_TYPE_SOCKET)
		for (; t->item < e->count; t->item++)
			try_endpoint(t, &e->item[t->item]);
	else if (t->row->type == ZG_TYPE_PATH && *text && !is_word(t->row, *text))
		(t->of == &t->conf->gateway ? try_file : try_folder)(t, *text);
}

static void try_rows(struct attempt *t, const zg_directive_t *rows, const void *of)
{
	t->of = of;
	for (t->row = rows; t->row && t->row->name; t->row++)
		try_row(t);
}

static void try_gateway(struct attempt *t)
{
	const zg_list_t *listen = &t->conf->gateway.listen;

	snprintf(t->section, sizeof t->section, "gateway");
	try_rows(t, zg_conf_gateway_rows, &t->conf->gateway);
	for (t->row = zg_conf_gateway_rows; t->row->offset != offsetof(zg_gateway_t, listen); t->row++)
		;
	for (t->item = 0; t->item < listen->count; t->item++)
		try_listen(t, listen->item[t->item]);
}

/* The process that the configuration's own pid file names, if it lives. */
static long running(const char *path)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	long pid = 0;

	if (f && (fscanf(f, "%ld", &pid) != 1 || pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno != EPERM)))
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}

unsigned zg_try(const zg_conf_t *conf, const zg_try_out_t *out)
{
	struct attempt t = { .conf = conf, .out = out, .gateway = running(conf->gateway.pid) };
	struct taken *k;

	try_gateway(&t);
	for (size_t i = 0; i < conf->services; i++) {
		snprintf(t.section, sizeof t.section, "%s", conf->service[i].module->name);
		try_rows(&t, conf->service[i].module->directives, conf->service[i].conf);
	}
	for (size_t i = 0; i < conf->locations; i++) {
		snprintf(t.section, sizeof t.section, "location %s", conf->location[i]->name);
		try_rows(&t, conf->location[i]->module->directives, conf->location[i]->conf);
	}
	while ((k = t.taken)) {
		t.taken = k->next;
		free(k);
	}
	return t.errors;
}
