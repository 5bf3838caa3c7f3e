/* context: the process's one ZeroMQ context, made after any fork. Any thread. */
#ifndef ZG_ZMQ_CONTEXT_H
#define ZG_ZMQ_CONTEXT_H

#include "base/err.h"

void *zg_context_new(zg_err_t *err);
/* Blocks until every socket is closed and has sent what it lingers for. */
void zg_context_free(void **context);
/* "4.3.4", of the library that runs. */
const char *zg_context_version(char out[32]);

#endif
