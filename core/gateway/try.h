/* try: what a start would open, tried for a moment and let go: `zgate -t`. It
 * takes nobody's connections, since it binds and does not listen, and leaves
 * every file as it was. What the running gateway of this configuration has is
 * no mistake. Blocks while names are resolved. */
#ifndef ZG_GATEWAY_TRY_H
#define ZG_GATEWAY_TRY_H

#include "engine/conf.h"

typedef struct zg_try_out {
	/* a whole sentence with FILE:LINE: [section] key: */
	void (*error)(void *ctx, const char *sentence); /* the start would fail */
	void (*note)(void *ctx, const char *sentence);  /* worth knowing */
	void *ctx;
} zg_try_out_t;

/* How many errors there are. */
unsigned zg_try(const zg_conf_t *conf, const zg_try_out_t *out);

#endif
