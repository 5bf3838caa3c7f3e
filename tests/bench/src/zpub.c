/* zpub: publishes COUNT messages "A @NS xxx…" of SIZE bytes at RATE a second on
 * a PUB socket that it binds.
 *
 * It starts once somebody has subscribed and no further subscription came for
 * half a second: a gateway that backs off between attempts to connect takes a
 * while to find the endpoint, and what is published before that is lost. The
 * socket is an XPUB only to see the subscriptions.
 * usage: zpub endpoint count size rate(0=max) */
#include "util.h"
#include <zmq.h>

#define FIRST_MS 10000
#define OTHERS_MS 500

static void await_subscribers(void *s)
{
	zmq_pollitem_t item = { .socket = s, .events = ZMQ_POLLIN };
	char buf[256];
	int patience = FIRST_MS;

	while (zmq_poll(&item, 1, patience) > 0) {
		zmq_recv(s, buf, sizeof buf, 0);
		patience = OTHERS_MS;
	}
	if (patience == FIRST_MS)
		die("zpub: nobody subscribed within %d s", FIRST_MS / 1000);
}

int main(int ac, char **av)
{
	struct pace pace;
	void *ctx, *s;
	char *msg;
	int zero = 0;

	if (ac != 5)
		die("usage: zpub endpoint count size rate(0=max)");
	pace = pace_parse(av + 2);
	msg = need(malloc(pace.size + STAMP_MAX));
	ctx = zmq_ctx_new();
	s = zmq_socket(ctx, ZMQ_XPUB);
	zmq_setsockopt(s, ZMQ_SNDHWM, &zero, sizeof zero);
	if (zmq_bind(s, av[1]))
		die("zpub: bind %s: %s", av[1], zmq_strerror(errno));
	await_subscribers(s);
	for (long i = 0; i < pace.count; i++) {
		size_t n = stamp(msg, pace.size, "A ", pace_wait(&pace, i));

		if (zmq_send(s, msg, n, 0) < 0)
			die("zpub: send: %s", zmq_strerror(errno));
	}
	fprintf(stderr, "zpub: sent %ld in %.3f s\n", pace.count, (double)(now_ns() - pace.start) / 1e9);
	zmq_close(s); /* lingers until everything is on the wire */
	zmq_ctx_term(ctx);
	free(msg);
	return 0;
}
