/* demo: peers for every bridge inside the gateway's own process, so that all
 * of a page is alive before anybody has written a ZeroMQ program. They are
 * real sockets on real endpoints, and know nothing of the web. */
#include "demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct demo_conf {
	zg_endpoints_t rep, pub, pull, push, pair;
	uint64_t interval;
};

/* A message that could not be echoed yet. */
struct held {
	size_t frames;
	zg_str_t frame[]; /* their bytes follow */
};

struct demo {
	zg_instance_t *in;
	struct demo_counts *counts;
	zg_socket_t *rep, *pub, *pair;
	demo_worker_t *worker;
	struct held *held; /* while pair is paused */
	zg_timer_t *tick;
	uint64_t ticks;
	uint32_t random;
	int cents; /* the price of ACME */
};

static const zg_directive_t demo_directives[] = {
	ZG_SOCKET(struct demo_conf, rep, .doc = "A REP that answers each request with what it was told."),
	ZG_SOCKET(struct demo_conf, pub, .doc = "A PUB that publishes the time, two numbers and a price."),
	ZG_SOCKET(struct demo_conf, pull, .doc = "A PULL that takes uploads and hashes them."),
	ZG_SOCKET(struct demo_conf, push, .doc = "A PUSH for the results of what pull took."),
	ZG_SOCKET(struct demo_conf, pair, .doc = "A PAIR that sends back what it gets."),
	ZG_MSEC(struct demo_conf, interval, .def = "1s", .min = "1ms", .max = "1h",
	        .doc = "Time from one round of publishing to the next."),
	ZG_DIRECTIVE_END,
};

static const zg_counter_t demo_counters[] = {
	ZG_COUNTER(struct demo_counts, requests, "Requests that the REP answered."),
	ZG_COUNTER(struct demo_counts, published, "Messages that the PUB published."),
	ZG_COUNTER(struct demo_counts, uploads, "Uploads that the PULL received."),
	ZG_COUNTER(struct demo_counts, results, "Results that the PUSH sent."),
	ZG_COUNTER(struct demo_counts, echoed, "Messages that the PAIR sent back."),
	ZG_COUNTER(struct demo_counts, dropped, "Messages lost: out of memory, or the PAIR's peer left."),
	ZG_GAUGE(struct demo_counts, holding, "Uploads being hashed, or waiting for a PULL to take the result."),
	ZG_COUNTER_END,
};

static void demo_check(zg_check_t *check, void *ctx)
{
	const struct demo_conf *conf = ctx;

	if (conf->push.count > 0 && conf->pull.count == 0)
		zg_check_error(check, "push", "needs `pull`, whose results it sends");
}

/* ---- REP ---- */

/* A REP has to answer, or its peer waits for ever. */
static void demo_on_request(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct demo *d = ctx;
	zg_buf_t reply = ZG_BUF(SIZE_MAX / 2);
	zg_str_t answer = ZG_STR("World");
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < frames; i++)
		n += frame[i].n;
	if (n > 0) {
		rc = zg_buf_reserve(&reply, n + 10);
		if (rc == 0)
			rc = zg_buf_add(&reply, "You said: ", 10);
		for (size_t i = 0; i < frames && rc == 0; i++)
			rc = zg_buf_add_str(&reply, frame[i]);
		answer = rc == 0 ? zg_buf_str(&reply) : ZG_STR("The demo is out of memory.");
	}
	if (zg_socket_send(s, &answer, 1) == 0)
		d->counts->requests++;
	else
		d->counts->dropped++;
	zg_buf_free(&reply);
}

/* ---- PUB ---- */

static void demo_publish(struct demo *d, const char *message)
{
	zg_str_t frame = zg_str(message);

	if (zg_socket_send(d->pub, &frame, 1) == 0)
		d->counts->published++;
	else
		d->counts->dropped++;
}

/* A random walk between 50.00 and 200.00. */
static void demo_walk(struct demo *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 17;
	d->random ^= d->random << 5;
	d->cents += (int)(d->random % 201) - 100;
	if (d->cents < 5000)
		d->cents = 5000;
	if (d->cents > 20000)
		d->cents = 20000;
}

static void demo_on_tick(void *ctx)
{
	struct demo *d = ctx;
	const struct demo_conf *conf = d->in->conf;
	time_t now = time(NULL);
	struct tm tm = { 0 };
	char text[64];

	zg_timer_set(d->tick, conf->interval);
	localtime_r(&now, &tm);
	strftime(text, sizeof text, "clock %H:%M:%S", &tm);
	demo_publish(d, text);
	snprintf(text, sizeof text, "A %llu", (unsigned long long)d->ticks);
	demo_publish(d, text);
	snprintf(text, sizeof text, "B %llu", (unsigned long long)d->ticks);
	demo_publish(d, text);
	demo_walk(d);
	snprintf(text, sizeof text, "prices.ACME %d.%02d", d->cents / 100, d->cents % 100);
	demo_publish(d, text);
	d->ticks++;
}

/* ---- PAIR ---- */

static struct held *demo_hold(const zg_str_t *frame, size_t frames)
{
	size_t n = 0;
	struct held *h;
	char *at;

	for (size_t i = 0; i < frames; i++)
		n += frame[i].n;
	h = malloc(sizeof *h + frames * sizeof *frame + n);
	if (!h)
		return NULL;
	h->frames = frames;
	at = (char *)&h->frame[frames];
	for (size_t i = 0; i < frames; i++) {
		h->frame[i] = zg_str_n(at, frame[i].n);
		if (frame[i].n)
			memcpy(at, frame[i].p, frame[i].n);
		at += frame[i].n;
	}
	return h;
}

static void demo_release(struct demo *d)
{
	free(d->held);
	d->held = NULL;
	zg_socket_resume(d->pair);
}

/* What cannot be sent back yet is kept, and nothing more is taken until it
 * can: the peer is held back, nothing is lost. */
static void demo_on_pair(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames)
{
	struct demo *d = ctx;

	if (zg_socket_send(s, frame, frames) == 0) {
		d->counts->echoed++;
	} else if (!d->held && (d->held = demo_hold(frame, frames))) {
		zg_socket_pause(s);
	} else {
		d->counts->dropped++;
	}
}

static void demo_on_pair_writable(void *ctx, zg_socket_t *s)
{
	struct demo *d = ctx;

	if (!d->held || zg_socket_send(s, d->held->frame, d->held->frames) != 0)
		return;
	d->counts->echoed++;
	demo_release(d);
}

/* An echo is for who called, not for the next peer. */
static void demo_on_pair_peers(void *ctx, zg_socket_t *s, int change)
{
	struct demo *d = ctx;

	(void)s;
	if (change > 0 || !d->held)
		return;
	d->counts->dropped++;
	demo_release(d);
}

/* ---- opening and closing ---- */

static void demo_close(struct demo *d)
{
	if (d->held)
		d->counts->dropped++;
	zg_timer_remove(&d->tick);
	zg_socket_close(&d->rep, 0);
	zg_socket_close(&d->pub, 0);
	zg_socket_close(&d->pair, 0);
	demo_worker_close(&d->worker);
	free(d->held);
	free(d);
}

static int demo_open_pub(struct demo *d, const zg_endpoints_t *at, zg_err_t *err)
{
	d->pub = zg_socket_open(d->in, &(zg_socket_options_t){
		.name = "pub", .type = ZG_SOCKET_PUB,
		.endpoint = at->item, .endpoints = at->count }, err);
	if (!d->pub)
		return -1;
	d->tick = zg_timer_add(d->in->loop, demo_on_tick, d);
	if (!d->tick)
		return zg_err(err, "out of memory");
	demo_on_tick(d);
	return 0;
}

static int demo_open(struct demo *d, const struct demo_conf *conf, zg_err_t *err)
{
	if (conf->rep.count > 0) {
		d->rep = zg_socket_open(d->in, &(zg_socket_options_t){
			.name = "rep", .type = ZG_SOCKET_REP, .max_message = DEMO_MESSAGE_MAX,
			.message = demo_on_request, .ctx = d,
			.endpoint = conf->rep.item, .endpoints = conf->rep.count }, err);
		if (!d->rep)
			return -1;
	}
	if (conf->pair.count > 0) {
		d->pair = zg_socket_open(d->in, &(zg_socket_options_t){
			.name = "pair", .type = ZG_SOCKET_PAIR, .max_message = DEMO_MESSAGE_MAX,
			.message = demo_on_pair, .writable = demo_on_pair_writable,
			.peers = demo_on_pair_peers, .ctx = d,
			.endpoint = conf->pair.item, .endpoints = conf->pair.count }, err);
		if (!d->pair)
			return -1;
	}
	if (conf->pull.count > 0) {
		d->worker = demo_worker_open(d->in, &conf->pull, &conf->push, err);
		if (!d->worker)
			return -1;
	}
	return conf->pub.count > 0 ? demo_open_pub(d, &conf->pub, err) : 0;
}

static int demo_start(zg_instance_t *in, zg_err_t *err)
{
	struct demo *d = calloc(1, sizeof *d);

	if (!d)
		return zg_err(err, "out of memory");
	d->in = in;
	d->counts = in->counts;
	d->cents = 10000;
	d->random = (uint32_t)time(NULL) | 1;
	if (demo_open(d, in->conf, err) != 0) {
		demo_close(d);
		return -1;
	}
	in->state = d;
	return 0;
}

/* `interval`; the rest are sockets. */
static void demo_reload(zg_instance_t *in)
{
	struct demo *d = in->state;
	const struct demo_conf *conf = in->conf;

	if (d->tick)
		zg_timer_set(d->tick, conf->interval);
}

static void demo_stop(zg_instance_t *in)
{
	demo_close(in->state);
}

const zg_module_t ZG_MODULE(demo) = {
	.abi = ZG_MODULE_ABI,
	.name = "demo",
	.doc = "brings its own ZeroMQ peers, to try everything at once",
	.kind = ZG_SERVICE,
	.directives = demo_directives,
	.conf_size = sizeof(struct demo_conf),
	.counters = demo_counters,
	.counts_size = sizeof(struct demo_counts),
	.check = demo_check,
	.start = demo_start,
	.reload = demo_reload,
	.stop = demo_stop,
};
