/* wsload: many WebSocket subscribers in one thread.
 *
 * Opens -n connections to 127.0.0.1:-p and prints READY when all are upgraded.
 * Then it counts the data frames with a stamp, "@NS", in their first 128 bytes
 * and takes the latency from it: of every client, or of each eighth where there
 * are many, to stay cheap. It ends when the clients have their -e frames, or
 * nothing came for -q seconds after the first, or -t seconds after READY. */
#include "util.h"
#include <fcntl.h>
#include <getopt.h>
#include <sys/epoll.h>

#define RX_SIZE (1u << 20)
#define CONNECT_S 60
#define AT_ONCE 64 /* handshakes under way: less than any server's backlog */

struct client {
	int fd;
	int open; /* upgraded */
	int sampled;
	uint64_t frames;
	char *part; /* an incomplete frame or head */
	size_t part_len;
};

static struct client *cs;
static int nclients = 1, port, ep, opened, ready, closed;
static const char *path = "/";
static unsigned char *rx;
static uint64_t frames, other, first_at, last_at, expect;
static struct hist lat;

static void start_client(struct client *c, int index)
{
	struct sockaddr_in to = loopback(port), from = loopback(0);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	char h[1024];
	int one = 1, n;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("wsload: socket: %s", strerror(errno));
	/* one source address for 20000 clients, for want of ephemeral ports */
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / 20000));
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (bind(c->fd, (void *)&from, sizeof from) || connect(c->fd, (void *)&to, sizeof to))
		die("wsload: connect to port %d: %s", port, strerror(errno));
	n = snprintf(h, sizeof h,
	             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
	             "Connection: Upgrade\r\nOrigin: http://127.0.0.1:%d\r\n"
	             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	             "Sec-WebSocket-Version: 13\r\n\r\n", path, port, port);
	if (send(c->fd, h, (size_t)n, MSG_NOSIGNAL) != n)
		die("wsload: send: %s", strerror(errno));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e))
		die("wsload: epoll: %s", strerror(errno));
}

/* Control frames only: up to 125 bytes. */
static void send_pong(int fd, const void *data, size_t len)
{
	unsigned char f[2 + 4 + 125] = { 0x80 | 10, (unsigned char)(0x80 | len) }; /* the mask is 0 */

	if (len > 125)
		return;
	memcpy(f + 6, data, len);
	send(fd, f, 6 + len, MSG_NOSIGNAL);
}

static void drop(struct client *c)
{
	if (!c->open)
		die("wsload: a connection was closed during the handshake");
	close(c->fd);
	closed++;
}

/* Returns the length of the answer's head, 0 if it is incomplete. */
static size_t upgraded(struct client *c, unsigned char *b, size_t n)
{
	unsigned char *end = memmem(b, n, "\r\n\r\n", 4);

	if (!end)
		return 0;
	if (n < 12 || memcmp(b, "HTTP/1.1 101", 12))
		die("wsload: refused: %.*s", (int)(n < 600 ? n : 600), b);
	c->open = 1;
	ready++;
	return (size_t)(end + 4 - b);
}

static void count_frame(struct client *c, const unsigned char *data, size_t len, uint64_t now)
{
	const unsigned char *at = memchr(data, '@', len < 128 ? len : 128);
	uint64_t sent = 0;

	if (!at) {
		other++;
		return;
	}
	frames++;
	c->frames++;
	if (!first_at)
		first_at = now;
	last_at = now;
	if (!c->sampled)
		return;
	while (++at < data + len && *at >= '0' && *at <= '9')
		sent = sent * 10 + (uint64_t)(*at - '0');
	if (sent && sent < now)
		hist_add(&lat, now - sent);
}

/* One frame at b[0..n); returns its length, 0 if it is incomplete. */
static size_t take_frame(struct client *c, const unsigned char *b, size_t n, uint64_t now)
{
	size_t head = 2, len;

	if (n < 2)
		return 0;
	len = b[1] & 127;
	if (len >= 126) {
		head += len == 126 ? 2 : 8;
		if (n < head)
			return 0;
		len = 0;
		for (size_t i = 2; i < head; i++)
			len = len << 8 | b[i];
	}
	if (len > RX_SIZE / 2)
		die("wsload: a frame of %zu bytes", len);
	if (n < head + len)
		return 0;
	if ((b[0] & 15) <= 2)
		count_frame(c, b + head, len, now);
	else if ((b[0] & 15) == 9)
		send_pong(c->fd, b + head, len);
	return head + len;
}

static void readable(struct client *c)
{
	size_t have = c->part_len, used = 0, n;
	uint64_t now;
	ssize_t r;

	if (have)
		memcpy(rx, c->part, have);
	r = recv(c->fd, rx + have, RX_SIZE - have, 0);
	if (r <= 0) {
		if (r == 0 || errno != EAGAIN)
			drop(c);
		return;
	}
	have += (size_t)r;
	now = now_ns();
	if (!c->open)
		used = upgraded(c, rx, have);
	while (c->open && (n = take_frame(c, rx + used, have - used, now)))
		used += n;
	c->part_len = have - used;
	if (c->part_len) {
		c->part = need(realloc(c->part, c->part_len));
		memcpy(c->part, rx + used, c->part_len);
	}
}

/* One turn of the loop. */
static void turn(void)
{
	struct epoll_event ev[256];
	int n;

	while (opened < nclients && opened - ready < AT_ONCE) {
		start_client(&cs[opened], opened);
		opened++;
	}
	n = epoll_wait(ep, ev, 256, 50);
	for (int i = 0; i < n; i++)
		readable(ev[i].data.ptr);
}

static void connect_all(void)
{
	uint64_t start = now_ns();

	for (; ready < nclients; turn())
		if (now_ns() - start > CONNECT_S * 1000000000ull)
			die("wsload: only %d of %d connected in %d s", ready, nclients, CONNECT_S);
	printf("READY %d in %.2f s\n", ready, (double)(now_ns() - start) / 1e9);
	fflush(stdout);
}

static void listen_to(double cap, double quiet)
{
	for (uint64_t start = now_ns();; turn()) {
		uint64_t now = now_ns();

		if ((double)(now - start) > cap * 1e9)
			return;
		if (expect && frames >= expect * (uint64_t)nclients)
			return;
		if (expect && last_at && now > last_at && (double)(now - last_at) > quiet * 1e9)
			return;
		if (closed == nclients)
			return;
	}
}

static void report(void)
{
	uint64_t least = UINT64_MAX, most = 0;
	double span = (double)(last_at - first_at) / 1e9;

	for (int i = 0; i < nclients; i++) {
		least = cs[i].frames < least ? cs[i].frames : least;
		most = cs[i].frames > most ? cs[i].frames : most;
	}
	printf("clients=%d frames=%llu other=%llu closed=%d perclient=%llu..%llu "
	       "span_s=%.3f rate=%.0f p50_ms=%.3f p99_ms=%.3f\n",
	       ready, (unsigned long long)frames, (unsigned long long)other, closed,
	       (unsigned long long)least, (unsigned long long)most, span,
	       span > 0 ? (double)frames / span : 0, hist_ms(&lat, 0.50), hist_ms(&lat, 0.99));
}

int main(int ac, char **av)
{
	double cap = 30, quiet = 3;
	int o;

	while ((o = getopt(ac, av, "p:u:n:t:e:q:")) != -1) {
		switch (o) {
		case 'p': port = atoi(optarg); break;
		case 'u': path = optarg; break;
		case 'n': nclients = atoi(optarg); break;
		case 't': cap = atof(optarg); break;
		case 'e': expect = strtoull(optarg, NULL, 10); break;
		case 'q': quiet = atof(optarg); break;
		default: port = 0; optind = ac; break;
		}
	}
	if (!port || nclients < 1)
		die("usage: wsload -p port [-u path] [-n clients] [-t cap_s] "
		    "[-e frames for each client] [-q quiet_s]");
	rx = need(malloc(RX_SIZE));
	cs = need(calloc((size_t)nclients, sizeof *cs));
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < nclients; i++)
		cs[i].sampled = nclients < 256 || i % 8 == 0;
	connect_all();
	listen_to(cap, quiet);
	report();
	return 0;
}
