#include "gateway/holder.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An address as IPv6 has it, so that there is one kind to compare. */
struct place {
	struct in6_addr host;
	unsigned port;
};

static struct place place_of(const struct sockaddr *addr)
{
	const struct sockaddr_in6 *v6 = (const void *)addr;
	const struct sockaddr_in *v4 = (const void *)addr;
	struct place p = { .port = ntohs(v4->sin_port) };

	if (addr->sa_family == AF_INET6)
		return (struct place){ v6->sin6_addr, ntohs(v6->sin6_port) };
	p.host.s6_addr[10] = p.host.s6_addr[11] = 0xff;
	memcpy(&p.host.s6_addr[12], &v4->sin_addr, 4);
	return p;
}

static bool is_any(const struct in6_addr *host)
{
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff };

	return IN6_IS_ADDR_UNSPECIFIED(host) || memcmp(host, any4, 16) == 0;
}

static bool overlap(const struct place *a, const struct place *b)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(&a->host);

	if (a->port != b->port)
		return false;
	if (memcmp(&a->host, &b->host, 16) == 0)
		return true;
	/* [::] takes IPv4 in as well, unless its socket says otherwise, which
	 * cannot be seen from here */
	if (v4 != IN6_IS_ADDR_V4MAPPED(&b->host))
		return IN6_IS_ADDR_UNSPECIFIED(v4 ? &b->host : &a->host);
	return is_any(&a->host) || is_any(&b->host);
}

bool zg_holder_overlap(const struct sockaddr *a, const struct sockaddr *b)
{
	struct place x = place_of(a), y = place_of(b);

	return overlap(&x, &y);
}

/* ---- processes ---- */

static long parent_of(long pid)
{
	char path[64], line[512], *end;
	long parent = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	if (!(f = fopen(path, "re")))
		return 0;
	/* "PID (NAME) STATE PARENT": the name may hold anything, even ")" */
	if (fgets(line, sizeof line, f) && (end = strrchr(line, ')')) && strlen(end) > 4)
		parent = strtol(end + 4, NULL, 10);
	fclose(f);
	return parent;
}

/* The master and what it runs are one gateway. */
static bool is_gateway(long pid, long gateway)
{
	return gateway && (pid == gateway || parent_of(pid) == gateway ||
	                   (pid > 1 && parent_of(gateway) == pid));
}

static void fill(zg_holder_t *h, long pid, long gateway)
{
	char path[64];
	FILE *f;

	h->pid = pid;
	h->running = is_gateway(pid, gateway);
	snprintf(h->name, sizeof h->name, "a process");
	snprintf(path, sizeof path, "/proc/%ld/comm", pid);
	if (!(f = fopen(path, "re")))
		return;
	if (fgets(h->name, sizeof h->name, f))
		h->name[strcspn(h->name, "\n")] = '\0';
	fclose(f);
}

static bool has_open(long pid, unsigned long inode)
{
	char path[64], wanted[48], what[64];
	const struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
	snprintf(path, sizeof path, "/proc/%ld/fd", pid);
	if (!(d = opendir(path)))
		return false;
	while (!found && (e = readdir(d))) {
		n = readlinkat(dirfd(d), e->d_name, what, sizeof what - 1);
		what[n > 0 ? n : 0] = '\0';
		found = strcmp(what, wanted) == 0;
	}
	closedir(d);
	return found;
}

/* Whoever has the socket open; the gateway, if it is among them. */
static void find_process(unsigned long inode, long gateway, zg_holder_t *h)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;

	while (d && !h->running && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && has_open(atol(e->d_name), inode))
			fill(h, atol(e->d_name), gateway);
	if (d)
		closedir(d);
}

/* ---- sockets ---- */

/* "0100007F:1F90", or four such words for IPv6: each in this machine's order. */
static bool parse_place(const char *hex, unsigned port, struct place *p)
{
	size_t words = strlen(hex) / 8;
	uint32_t word[4];

	if (words != 1 && words != 4)
		return false;
	for (size_t i = 0; i < words; i++)
		if (sscanf(hex + 8 * i, "%8x", &word[i]) != 1)
			return false;
	*p = (struct place){ .port = port };
	if (words == 4) {
		memcpy(&p->host, word, 16);
	} else {
		p->host.s6_addr[10] = p->host.s6_addr[11] = 0xff;
		memcpy(&p->host.s6_addr[12], word, 4);
	}
	return true;
}

static bool search_tcp(const char *table, const struct place *wanted, long gateway, zg_holder_t *h)
{
	FILE *f = fopen(table, "re");
	char line[512], hex[40];
	unsigned port, state;
	unsigned long inode;
	bool found = false;
	struct place at;

	while (f && !h->running && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%*d: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
		           hex, &port, &state, &inode) != 4 || state != 0x0a /* LISTEN */)
			continue;
		if (!parse_place(hex, port, &at) || !overlap(&at, wanted))
			continue;
		found = true;
		find_process(inode, gateway, h);
	}
	if (f)
		fclose(f);
	return found;
}

bool zg_holder_tcp(const struct sockaddr *addr, long gateway, zg_holder_t *h)
{
	struct place wanted = place_of(addr);
	bool found;

	*h = (zg_holder_t){ 0 };
	found = search_tcp("/proc/net/tcp", &wanted, gateway, h);
	return search_tcp("/proc/net/tcp6", &wanted, gateway, h) || found;
}

bool zg_holder_unix(const char *path, long gateway, zg_holder_t *h)
{
	FILE *f = fopen("/proc/net/unix", "re");
	unsigned long flags, inode;
	char line[512];
	bool found = false;
	int at;

	*h = (zg_holder_t){ 0 };
	while (f && !h->running && fgets(line, sizeof line, f)) {
		at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*[^:]: %*x %*x %lx %*x %*x %lu %n", &flags, &inode, &at) != 2 || !at ||
		    !(flags & 0x10000) /* it listens */ || strcmp(line + at, path) != 0)
			continue;
		found = true;
		find_process(inode, gateway, h);
	}
	if (f)
		fclose(f);
	return found;
}
