/* util: what the load generators and backends share. */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void sleep_until_ns(uint64_t due)
{
	struct timespec t = { (time_t)(due / 1000000000u), (long)(due % 1000000000u) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

__attribute__((noreturn, format(printf, 1, 2)))
static inline void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* NULL is the end: a tool without memory has nothing to measure. */
static inline void *need(void *memory)
{
	if (!memory)
		die("out of memory");
	return memory;
}

/* 127.0.0.1 is the only address that these tools talk to. */
static inline struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* Messages of one size at one rate, each stamped with the time it was due, so
 * that the latency of a publisher that is held up shows as well. */
struct pace {
	long count;
	size_t size;
	double rate; /* messages/s; 0: as fast as possible */
	uint64_t start;
};

static inline struct pace pace_parse(char **count_size_rate)
{
	struct pace p = { atol(count_size_rate[0]), (size_t)atol(count_size_rate[1]),
	                  atof(count_size_rate[2]), 0 };
	return p;
}

/* Waits until message i is due; returns when that was. */
static inline uint64_t pace_wait(struct pace *p, long i)
{
	uint64_t due;

	if (!p->start)
		p->start = now_ns();
	if (p->rate <= 0)
		return now_ns();
	due = p->start + (uint64_t)((double)i * 1e9 / p->rate);
	sleep_until_ns(due);
	return due;
}

/* Room that a message of a size needs: the stamp is written in any case. */
#define STAMP_MAX 64

/* Writes a message, PREFIX@NS xxxx…, of `size` bytes or of the stamp's length
 * where that is more; returns how many. wsload reads the time back. */
static inline size_t stamp(char *b, size_t size, const char *prefix, uint64_t ns)
{
	size_t n = (size_t)snprintf(b, STAMP_MAX, "%s@%llu ", prefix, (unsigned long long)ns);

	if (n >= size)
		return n;
	memset(b + n, 'x', size - n);
	return size;
}

/* Latencies in buckets of 10 us, up to 10 s. */
#define HIST_BUCKETS 1000000u

struct hist {
	uint64_t n;
	uint32_t b[HIST_BUCKETS];
};

static inline void hist_add(struct hist *h, uint64_t ns)
{
	uint64_t i = ns / 10000;

	h->b[i < HIST_BUCKETS ? i : HIST_BUCKETS - 1]++;
	h->n++;
}

static inline double hist_ms(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)((double)h->n * q), sum = 0;

	for (uint32_t i = 0; i < HIST_BUCKETS && h->n; i++) {
		sum += h->b[i];
		if (sum > want)
			return (i + 0.5) / 100.0;
	}
	return 0;
}

#endif
