/* httppub: publishes COUNT messages "@NS xxx…" of SIZE bytes at RATE a second by
 * POST on one keep-alive connection, one request outstanding.
 * usage: httppub port path count size rate(0=max) */
#include "util.h"

static int dial(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (void *)&a, sizeof a))
		die("httppub: connect to port %d: %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* One request and its answer, which is so small that one read holds it. */
static int post(int fd, const char *req, size_t n)
{
	char answer[65536];
	ssize_t r;

	if (send(fd, req, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("httppub: send: %s", strerror(errno));
	r = recv(fd, answer, sizeof answer, 0);
	if (r < 10)
		die("httppub: the connection was closed");
	return !memcmp(answer, "HTTP/1.1 2", 10);
}

int main(int ac, char **av)
{
	struct pace pace;
	char *body, *req;
	long bad = 0;
	size_t room;
	int fd;

	if (ac != 6)
		die("usage: httppub port path count size rate(0=max)");
	pace = pace_parse(av + 3);
	room = pace.size + strlen(av[2]) + 256;
	body = need(malloc(pace.size + STAMP_MAX));
	req = need(malloc(room));
	fd = dial(atoi(av[1]));
	for (long i = 0; i < pace.count; i++) {
		size_t n = stamp(body, pace.size, "", pace_wait(&pace, i));
		int h = snprintf(req, room, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
		                 "Content-Length: %zu\r\n\r\n%.*s", av[2], n, (int)n, body);

		bad += !post(fd, req, (size_t)h);
	}
	fprintf(stderr, "httppub: sent %ld in %.3f s, %ld not 2xx\n", pace.count,
	        (double)(now_ns() - pace.start) / 1e9, bad);
	close(fd);
	free(body);
	free(req);
	return bad != 0;
}
