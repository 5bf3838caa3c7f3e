#include "engine/endpoint.h"
#include <arpa/inet.h>
#include <stdio.h>

#define UNIX_PATH_MAX 107 /* sockaddr_un.sun_path without its NUL */
#define INPROC_MAX    255

/* "HOST:PORT" into its parts; a host in brackets comes without them. */
struct hostport {
	zg_str_t host, port;
	bool v6;
};

static bool split(zg_str_t s, struct hostport *hp)
{
	const char *colon;

	*hp = (struct hostport){ .v6 = s.n && s.p[0] == '[' };
	if (hp->v6) {
		const char *end = memchr(s.p, ']', s.n);

		if (!end || end + 1 == s.p + s.n || end[1] != ':')
			return false;
		hp->host = zg_str_n(s.p + 1, (size_t)(end - s.p - 1));
		colon = end + 1;
	} else {
		colon = s.n ? memchr(s.p, ':', s.n) : NULL;
		if (!colon)
			return false;
		hp->host = zg_str_n(s.p, (size_t)(colon - s.p));
	}
	hp->port = zg_str_n(colon + 1, (size_t)(s.p + s.n - colon - 1));
	return hp->host.n > 0;
}

static bool is_port(zg_str_t s, unsigned lowest)
{
	unsigned port = 0;

	if (s.n < 1 || s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
	}
	return port >= lowest && port <= 65535;
}

/* A name, an IPv4 address or an interface. */
static bool is_name(zg_str_t s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '-' || c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= 253;
}

/* fe80::1%eth0: the zone is a matter of the system's. */
static bool is_v6(zg_str_t s)
{
	const char *zone = memchr(s.p, '%', s.n);
	char text[64];
	struct in6_addr a;

	if (zone) {
		zg_str_t name = zg_str_n(zone + 1, (size_t)(s.p + s.n - zone - 1));

		if (!is_name(name))
			return false;
		s.n = (size_t)(zone - s.p);
	}
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &a) == 1;
}

static bool is_star(zg_str_t s)
{
	return zg_str_eq(s, ZG_STR("*"));
}

static int check_tcp(zg_str_t s, zg_str_t rest, zg_endpoint_use_t use, zg_err_t *err)
{
	struct hostport hp;

	if (!split(rest, &hp))
		return zg_err(err, "`%.*s` has no port; write tcp://HOST:PORT, IPv6 in brackets",
		              ZG_STR_ARG(s));
	if (use == ZG_ENDPOINT_CONNECT && (is_star(hp.host) || is_star(hp.port)))
		return zg_err(err, "`%.*s` can be bound, but not connected to; name a host and a port",
		              ZG_STR_ARG(s));
	if (hp.v6 ? !is_v6(hp.host) : !is_star(hp.host) && !is_name(hp.host))
		return zg_err(err, "`%.*s`: \"%.*s\" is no host", ZG_STR_ARG(s), ZG_STR_ARG(hp.host));
	if (use == ZG_ENDPOINT_BIND && is_star(hp.port))
		return 0;
	if (!is_port(hp.port, use == ZG_ENDPOINT_BIND ? 0 : 1))
		return zg_err(err, "`%.*s`: \"%.*s\" is no port; write 1 to 65535%s", ZG_STR_ARG(s),
		              ZG_STR_ARG(hp.port),
		              use == ZG_ENDPOINT_BIND ? ", or * for any free one" : "");
	return 0;
}

int zg_endpoint_check(zg_str_t s, zg_endpoint_use_t use, zg_err_t *err)
{
	zg_str_t rest = s;

	if (zg_str_starts(s, ZG_STR("tcp://"))) {
		rest.p += 6;
		rest.n -= 6;
		return check_tcp(s, rest, use, err);
	}
	if (zg_str_starts(s, ZG_STR("ipc://")) && s.n > 6) {
		if (s.n - 6 > UNIX_PATH_MAX)
			return zg_err(err, "`%.*s`: the path has %zu bytes; a socket's has at most %d",
			              ZG_STR_ARG(s), s.n - 6, UNIX_PATH_MAX);
		if (use == ZG_ENDPOINT_CONNECT && zg_str_eq(s, ZG_STR("ipc://*")))
			return zg_err(err, "`ipc://*` can be bound, but not connected to; name a path");
		return 0;
	}
	if (zg_str_starts(s, ZG_STR("inproc://")) && s.n > 9) {
		if (s.n - 9 > INPROC_MAX)
			return zg_err(err, "`%.*s`: the name has over %d bytes", ZG_STR_ARG(s),
			              INPROC_MAX);
		return 0;
	}
	return zg_err(err, "`%.*s` is no endpoint; write tcp://HOST:PORT, ipc:///PATH or inproc://NAME",
	              ZG_STR_ARG(s));
}

bool zg_endpoint_is_wildcard(zg_str_t s)
{
	struct hostport hp;

	if (zg_str_eq(s, ZG_STR("ipc://*")))
		return true;
	if (!zg_str_starts(s, ZG_STR("tcp://")) || !split(zg_str_n(s.p + 6, s.n - 6), &hp))
		return false;
	for (size_t i = 0; i < hp.port.n; i++)
		if (hp.port.p[i] != '0')
			return is_star(hp.port);
	return true;
}

bool zg_endpoint_split(zg_str_t s, char host[256], char port[8])
{
	struct hostport hp;

	if (!split(s, &hp) || hp.host.n > 255 || hp.port.n > 7)
		return false;
	sprintf(host, "%.*s", ZG_STR_ARG(hp.host));
	sprintf(port, "%.*s", ZG_STR_ARG(hp.port));
	return true;
}

int zg_endpoint_check_listen(zg_str_t s, zg_err_t *err)
{
	struct hostport hp;

	if (zg_str_starts(s, ZG_STR("unix:"))) {
		if (s.n < 6 || s.p[5] != '/')
			return zg_err(err, "\"%.*s\": write unix:/PATH, with the whole path",
			              ZG_STR_ARG(s));
		if (s.n - 5 > UNIX_PATH_MAX)
			return zg_err(err, "\"%.*s\": the path has %zu bytes; a socket's has at most %d",
			              ZG_STR_ARG(s), s.n - 5, UNIX_PATH_MAX);
		return 0;
	}
	if (!split(s, &hp))
		return zg_err(err, "\"%.*s\" is no address; write 127.0.0.1:8080, *:8080, [::1]:8080 "
		              "or unix:/PATH", ZG_STR_ARG(s));
	if (hp.v6 ? !is_v6(hp.host) : !is_star(hp.host) && !is_name(hp.host))
		return zg_err(err, "\"%.*s\": \"%.*s\" is no host", ZG_STR_ARG(s), ZG_STR_ARG(hp.host));
	if (!is_port(hp.port, 0))
		return zg_err(err, "\"%.*s\": \"%.*s\" is no port; write 1 to 65535, or 0 for any free "
		              "one", ZG_STR_ARG(s), ZG_STR_ARG(hp.port));
	return 0;
}
