/* net: an address block such as 10.0.0.0/8, ::1, or unix:, for allow and deny.
 * IPv4-mapped IPv6 addresses count as IPv4. */
#ifndef ZG_BASE_NET_H
#define ZG_BASE_NET_H

#include "base/err.h"
#include "base/str.h"
#include <stdint.h>
#include <sys/socket.h>

typedef struct zg_net {
	unsigned char bytes[16];
	uint8_t bits;   /* of the prefix */
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX, or 0 for "all" */
} zg_net_t;

int zg_net_parse(zg_str_t s, zg_net_t *net, zg_err_t *err);
bool zg_net_has(const zg_net_t *net, const struct sockaddr *addr);
/* "127.0.0.1:8080", "[::1]:80", "unix:/path" into out; returns out. */
const char *zg_net_text(const struct sockaddr *addr, socklen_t len, char out[128]);
/* The host alone, without the port: "127.0.0.1", "::1", "unix:". */
const char *zg_net_host(const struct sockaddr *addr, char out[64]);

#endif
