/* deflate: permessage-deflate (RFC 7692), as far as it is ours. libwebsockets
 * inflates what clients send; what goes out is compressed here, once for all
 * clients that share a message, so without context takeover. */
#ifndef ZG_FRONT_DEFLATE_H
#define ZG_FRONT_DEFLATE_H

#include "base/buf.h"
#include <stdbool.h>

/* A smaller message is sent as it is: it would hardly shrink. */
#define ZG_DEFLATE_MIN 1024

/* Whether a Sec-WebSocket-Extensions line offers it with parameters that we can
 * keep (RFC 7692, 5.1 and 7.1): a smaller window than 32 KiB is not one. */
bool zg_deflate_offered(zg_str_t line);
/* What compresses; made when first needed, of one thread. Zero-initialise. */
typedef struct zg_deflate {
	void *z;
} zg_deflate_t;
void zg_deflate_free(zg_deflate_t *d);
/* The compressed message of the parts' bytes, in place of what out held. false: it
 * did not get smaller, or out of memory. */
bool zg_deflate_message(zg_deflate_t *d, const zg_str_t *parts, size_t n, zg_buf_t *out);

#endif
