/* limits: what the process may have of memory and descriptors. */
#ifndef ZG_GATEWAY_LIMITS_H
#define ZG_GATEWAY_LIMITS_H

#include "engine/conf.h"

void zg_limits_keep_memory(void);
/* As many descriptors as the configuration may need, if we may have them. */
void zg_limits_raise_descriptors(const zg_conf_t *conf);

#endif
