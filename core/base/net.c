#include "base/net.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 */

/* The raw bytes of an IP address, of IPv4 where it is one in IPv6's clothes.
 * Returns its family. */
static int address(const struct sockaddr *addr, const void **bytes, uint16_t *port)
{
	*bytes = NULL;
	*port = 0;
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

		*bytes = &in->sin_addr;
		*port = ntohs(in->sin_port);
		return AF_INET;
	}
	if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)addr;

		*bytes = &in->sin6_addr;
		*port = ntohs(in->sin6_port);
		if (memcmp(*bytes, mapped, sizeof(mapped)) != 0)
			return AF_INET6;
		*bytes = (const char *)*bytes + sizeof(mapped);
		return AF_INET;
	}
	return addr->sa_family;
}

static bool parse_bits(zg_str_t s, unsigned max, uint8_t *bits)
{
	unsigned n = 0;

	if (!s.n || s.n > 3)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.p[i] - '0');
	}
	*bits = (uint8_t)n;
	return n <= max;
}

static bool parse_ip(zg_str_t s, zg_net_t *net)
{
	const char *slash = memchr(s.p, '/', s.n);
	size_t n = slash ? (size_t)(slash - s.p) : s.n;
	char text[INET6_ADDRSTRLEN];
	unsigned max;

	if (n >= sizeof(text) || memchr(s.p, '\0', n))
		return false;
	memcpy(text, s.p, n);
	text[n] = '\0';
	net->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	max = net->family == AF_INET ? 32 : 128;
	net->bits = (uint8_t)max;
	if (inet_pton(net->family, text, net->bytes) != 1)
		return false;
	if (slash && !parse_bits(zg_str_n(slash + 1, s.n - n - 1), max, &net->bits))
		return false;
	if (net->family == AF_INET6 && net->bits >= 96 && memcmp(net->bytes, mapped, 12) == 0) {
		memmove(net->bytes, net->bytes + 12, 4);
		memset(net->bytes + 4, 0, 12);
		net->family = AF_INET;
		net->bits -= 96;
	}
	return true;
}

int zg_net_parse(zg_str_t s, zg_net_t *net, zg_err_t *err)
{
	*net = (zg_net_t){ 0 };
	if (zg_str_eq(s, ZG_STR("all")))
		return 0;
	if (zg_str_eq(s, ZG_STR("unix:"))) {
		net->family = AF_UNIX;
		return 0;
	}
	if (!s.n || !parse_ip(s, net))
		return zg_err(err, "expected an address or block such as 127.0.0.1, "
		              "10.0.0.0/8 or 2001:db8::/32, or unix: or all");
	return 0;
}

bool zg_net_has(const zg_net_t *net, const struct sockaddr *addr)
{
	const unsigned char *bytes;
	const void *raw;
	unsigned whole = net->bits / 8, mask = 0xff00u >> net->bits % 8 & 0xff;
	uint16_t port;

	if (net->family == 0)
		return true;
	if (address(addr, &raw, &port) != net->family)
		return false;
	if (net->family == AF_UNIX)
		return true;
	bytes = raw;
	if (memcmp(bytes, net->bytes, whole) != 0)
		return false;
	return !mask || ((bytes[whole] ^ net->bytes[whole]) & mask) == 0;
}

static const char *text_unix(const struct sockaddr *addr, socklen_t len, char out[128])
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)addr;
	size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t n = len > start ? len - start : 0;
	bool abstract;

	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	abstract = n > 1 && !un->sun_path[0]; /* unix(7): no file, the name follows a NUL */
	snprintf(out, 128, "unix:%s%.*s", abstract ? "@" : "", n ? (int)n - abstract : 0,
	         un->sun_path + abstract);
	return out;
}

const char *zg_net_text(const struct sockaddr *addr, socklen_t len, char out[128])
{
	char host[INET6_ADDRSTRLEN];
	const void *bytes;
	uint16_t port;
	int family = address(addr, &bytes, &port);

	if (family == AF_UNIX)
		return text_unix(addr, len, out);
	if ((family != AF_INET && family != AF_INET6) ||
	    !inet_ntop(family, bytes, host, sizeof(host)))
		snprintf(out, 128, "unknown");
	else
		snprintf(out, 128, family == AF_INET ? "%s:%u" : "[%s]:%u", host, port);
	return out;
}

const char *zg_net_host(const struct sockaddr *addr, char out[64])
{
	const void *bytes;
	uint16_t port;
	int family = address(addr, &bytes, &port);

	if (family == AF_UNIX)
		snprintf(out, 64, "unix:");
	else if ((family != AF_INET && family != AF_INET6) || !inet_ntop(family, bytes, out, 64))
		snprintf(out, 64, "unknown");
	return out;
}
