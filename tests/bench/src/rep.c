/* rep: a REP worker that answers every request with "World".
 * usage: rep endpoint */
#include "util.h"
#include <zmq.h>

int main(int ac, char **av)
{
	void *s;

	if (ac != 2)
		die("usage: rep endpoint");
	s = zmq_socket(zmq_ctx_new(), ZMQ_REP);
	if (zmq_bind(s, av[1]))
		die("rep: bind %s: %s", av[1], zmq_strerror(errno));
	for (;;) {
		int more;

		do {
			zmq_msg_t m;

			zmq_msg_init(&m);
			if (zmq_msg_recv(&m, s, 0) < 0)
				die("rep: receive: %s", zmq_strerror(errno));
			more = zmq_msg_more(&m);
			zmq_msg_close(&m);
		} while (more);
		zmq_send(s, "World", 5, 0);
	}
}
