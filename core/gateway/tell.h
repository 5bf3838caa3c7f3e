/* tell: `zgate -s`: asks the running gateway, prints what it answers. */
#ifndef ZG_GATEWAY_TELL_H
#define ZG_GATEWAY_TELL_H

#include "gateway/options.h"

/* The exit code. Waits for the outcome: of a reload, and until a gateway that is
 * to stop has ended. */
int zg_tell(const zg_options_t *o);

#endif
