#include "zmq/context.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#define SOCKETS_MAX 8192 /* a zg_socket_t takes three */

void *zg_context_new(zg_err_t *err)
{
	void *context = zmq_ctx_new();

	if (!context) {
		zg_err(err, "cannot make a ZeroMQ context: %s", zmq_strerror(zmq_errno()));
		return NULL;
	}
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
	return context;
}

void zg_context_free(void **context)
{
	if (*context)
		while (zmq_ctx_term(*context) != 0 && zmq_errno() == EINTR)
			;
	*context = NULL;
}

const char *zg_context_version(char out[32])
{
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	snprintf(out, 32, "%d.%d.%d", major, minor, patch);
	return out;
}
