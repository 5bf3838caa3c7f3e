/* context: the process's one ZeroMQ context, made after any fork. Any thread. */
#ifndef ZG_ZMQ_CONTEXT_H
#define ZG_ZMQ_CONTEXT_H

#include "base/err.h"

void *zg_context_new(zg_err_t *err);
/* A socket was closed for the process's end and lingers for so many ms. */
void zg_context_expect(int linger_ms);
/* Every socket has been closed. Blocks until what they linger for has left, or
 * the time that was expected for it is over: then says so and leaves the rest. */
void zg_context_free(void **context);
/* "4.3.4", of the library that runs. */
const char *zg_context_version(char out[32]);

#endif
