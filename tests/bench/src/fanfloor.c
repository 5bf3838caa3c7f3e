/* fanfloor: the least that a fan-out gateway can do. It answers WebSocket
 * handshakes without a look at them, receives from a SUB socket, and sends
 * whatever is pending to each client in one send(). It reads nothing from its
 * clients. One whose socket is full is waited for, and counted.
 * usage: fanfloor port endpoint(connect) */
#include "util.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <zmq.h>

#define BATCH (256u * 1024)
#define FRAME_MAX 65535u

static int fds[65536], nfds;
static uint64_t sends, waits;

static void upgrade(int lfd)
{
	static const char ok[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	                         "Connection: Upgrade\r\n"
	                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK), one = 1;

	if (fd < 0)
		return;
	if (nfds == 65536)
		die("fanfloor: too many clients");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	send(fd, ok, sizeof ok - 1, MSG_NOSIGNAL);
	fds[nfds++] = fd;
}

static size_t frame(unsigned char *b, const void *data, size_t n)
{
	size_t h = 2;

	b[0] = 0x81;
	if (n < 126) {
		b[1] = (unsigned char)n;
	} else {
		b[1] = 126;
		b[2] = (unsigned char)(n >> 8);
		b[3] = (unsigned char)n;
		h = 4;
	}
	memcpy(b + h, data, n);
	return h + n;
}

static void send_all(int fd, const unsigned char *b, size_t n)
{
	for (size_t o = 0; o < n;) {
		ssize_t r = send(fd, b + o, n - o, MSG_NOSIGNAL);

		sends++;
		if (r > 0) {
			o += (size_t)r;
		} else if (errno == EAGAIN) {
			struct pollfd p = { fd, POLLOUT, 0 };

			poll(&p, 1, 1000);
			waits++;
		} else {
			return; /* the client is gone */
		}
	}
}

static void broadcast(const unsigned char *b, size_t n)
{
	for (int i = 0; i < nfds; i++)
		send_all(fds[i], b, n);
}

/* Everything that the socket holds, in batches. */
static void drain(void *sub)
{
	static unsigned char batch[BATCH + FRAME_MAX + 4];
	size_t held = 0;
	zmq_msg_t m;

	zmq_msg_init(&m);
	while (zmq_msg_recv(&m, sub, ZMQ_DONTWAIT) >= 0) {
		if (zmq_msg_size(&m) > FRAME_MAX)
			die("fanfloor: a message of more than %u bytes", FRAME_MAX);
		held += frame(batch + held, zmq_msg_data(&m), zmq_msg_size(&m));
		if (held > BATCH) {
			broadcast(batch, held);
			held = 0;
		}
	}
	zmq_msg_close(&m);
	broadcast(batch, held);
}

static void quit(int sig)
{
	(void)sig;
	fprintf(stderr, "fanfloor: %llu sends, waited %llu times\n",
	        (unsigned long long)sends, (unsigned long long)waits);
	_exit(0);
}

static int listen_on(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&a, sizeof a) || listen(fd, 4096))
		die("fanfloor: listen on port %d: %s", port, strerror(errno));
	return fd;
}

static void *subscribe(const char *endpoint)
{
	void *sub = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
	int zero = 0;

	zmq_setsockopt(sub, ZMQ_RCVHWM, &zero, sizeof zero);
	zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
	if (zmq_connect(sub, endpoint))
		die("fanfloor: connect %s: %s", endpoint, zmq_strerror(errno));
	return sub;
}

static void watch(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
		die("fanfloor: epoll: %s", strerror(errno));
}

int main(int ac, char **av)
{
	int lfd, zfd, ep = epoll_create1(0);
	size_t size = sizeof zfd;
	void *sub;

	if (ac != 3)
		die("usage: fanfloor port endpoint");
	lfd = listen_on(atoi(av[1]));
	sub = subscribe(av[2]);
	zmq_getsockopt(sub, ZMQ_FD, &zfd, &size);
	signal(SIGTERM, quit);
	watch(ep, lfd);
	watch(ep, zfd);
	for (;;) {
		struct epoll_event ev[8];
		int n = epoll_wait(ep, ev, 8, -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == lfd)
				upgrade(lfd);
		drain(sub);
	}
}
