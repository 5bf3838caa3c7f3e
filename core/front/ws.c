#include "front/ws_client.h"

#include "base/utf8.h"
#include "front/access.h"
#include "front/request.h"
#include <stdio.h>
#include <stdlib.h>

#define REASON_MAX  123   /* bytes (RFC 6455, 5.5) */
#define QUEUE_COUNT 65536 /* messages queued for one client, beside the bytes */

/* ---- frames ---- */

size_t zg_ws_head_size(zg_ws_type_t type, size_t n)
{
	return type == ZG_WS_BYTES ? 0 : n < 126 ? 2 : n < 65536 ? 4 : 10;
}

size_t zg_ws_head(unsigned char *out, zg_ws_type_t type, size_t n)
{
	static const unsigned char first[] = {
		[ZG_WS_TEXT] = 0x81, [ZG_WS_BINARY] = 0x82,
		[ZG_WS_TEXT_DEFLATED] = 0xc1, [ZG_WS_BINARY_DEFLATED] = 0xc2,
	};

	if (type == ZG_WS_BYTES)
		return 0;
	out[0] = first[type]; /* FIN, RSV1 and the opcode */
	if (n < 126) {
		out[1] = (unsigned char)n;
		return 2;
	}
	if (n < 65536) {
		out[1] = 126;
		out[2] = (unsigned char)(n >> 8);
		out[3] = (unsigned char)n;
		return 4;
	}
	out[1] = 127;
	for (int i = 0; i < 8; i++)
		out[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
	return 10;
}

zg_msg_t *zg_ws_encode(zg_ws_type_t type, const zg_str_t *parts, size_t n)
{
	size_t len = 0, at;
	zg_msg_t *m;

	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	if (!(m = zg_msg_new(zg_ws_head_size(type, len) + len)))
		return NULL;
	at = zg_ws_head(m->data, type, len);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(m->data + at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return m;
}

zg_ws_type_t zg_ws_type_of(const zg_str_t *parts, size_t n)
{
	/* a character split over two parts makes it binary */
	for (size_t i = 0; i < n; i++)
		if (!zg_utf8_valid(parts[i]))
			return ZG_WS_BINARY;
	return ZG_WS_TEXT;
}

/* ---- sending ---- */

void zg_ws_client_kill(zg_ws_client_t *c)
{
	c->dead = true;
	if (c->open)
		c->carrier->kill(c);
}

static uint64_t now_us(const zg_ws_client_t *c)
{
	return zg_loop_now(c->pub.to->loop) * 1000;
}

static void write_frames(zg_ws_client_t *c, const zg_msg_t *m)
{
	int64_t rate = c->pub.to->location->max_rate;
	uint64_t now;

	c->carrier->write(c, m->data, m->len);
	if (rate == 0)
		return;
	now = now_us(c);
	c->free_at = (c->free_at > now ? c->free_at : now) + m->units * 1000000 / (uint64_t)rate;
}

/* max_rate: it has been sent as much as it may until then. */
static bool limited(const zg_ws_client_t *c)
{
	return c->pub.to->location->max_rate > 0 && !c->closing && c->free_at > now_us(c);
}

static bool blocked(const zg_ws_client_t *c)
{
	return c->carrier->blocked(c) || limited(c);
}

static void want_writable(zg_ws_client_t *c)
{
	if (c->waits_writable || c->dead || !c->open)
		return;
	c->waits_writable = true;
	if (limited(c))
		zg_wsfront_arm_limit(c);
	else
		c->carrier->want_writable(c);
}

void zg_ws_client_unlimit(zg_ws_client_t *c)
{
	if (!c->waits_writable)
		return;
	c->waits_writable = false;
	want_writable(c);
}

static void account(zg_ws_client_t *c, size_t before)
{
	c->pub.to->common->ws_queued_bytes += c->queue.bytes - before;
}

/* The client is to hear that messages are missing, before the next one. */
static void tell_gap(zg_ws_client_t *c)
{
	zg_instance_t *in = c->pub.to;
	uint64_t missed = c->missed;
	zg_msg_t *m;

	c->missed = 0;
	if (!in->module->ws_gap || !(m = in->module->ws_gap(in, &c->pub, missed)))
		return;
	write_frames(c, m);
	zg_msg_unref(&m);
}

static void pump(zg_ws_client_t *c)
{
	size_t before = c->queue.bytes;
	zg_msg_t *m;

	/* what is missing at the end is told, too: there may be no next message */
	while (!c->dead && (c->missed || zg_ring_peek(&c->queue)) && !blocked(c)) {
		if (c->missed) {
			tell_gap(c);
			continue;
		}
		m = zg_ring_pop(&c->queue);
		write_frames(c, m);
		zg_ws_client_sent(c, m->units);
		zg_msg_unref(&m);
	}
	account(c, before);
}

static void too_slow(zg_ws_client_t *c)
{
	size_t before = c->queue.bytes;
	uint64_t dropped = zg_ring_clear(&c->queue);

	c->pub.to->common->ws_slow_closed++;
	zg_ws_client_dropped(c, dropped);
	c->missed += dropped; /* told before the close */
	account(c, before);
	zg_ws_close(&c->pub, 1008, "too slow: the queue for this client is full");
}

int zg_ws_send(zg_ws_t *ws, zg_msg_t *m)
{
	zg_ws_client_t *c = zg_ws_client(ws);
	size_t before = c->queue.bytes;
	uint64_t dropped = 0;

	if (c->closing || c->dead || !c->open)
		return -1;
	if (!zg_ring_peek(&c->queue) && !blocked(c)) {
		if (c->missed)
			tell_gap(c);
		if (!blocked(c) && !c->dead) {
			write_frames(c, m);
			zg_ws_client_sent(c, m->units);
			if (blocked(c))
				want_writable(c); /* the module hears when it has left */
			return 0;
		}
	}
	if (zg_ring_push(&c->queue, zg_msg_ref(m), &dropped) != 0) {
		/* what is queued goes with it, so that the gap stands where it belongs */
		if (ws->to->location->overflow != ZG_OVERFLOW_DISCONNECT)
			dropped = zg_ring_clear(&c->queue);
		account(c, before);
		zg_ws_client_dropped(c, m->units + dropped);
		c->missed += m->units + dropped;
		m->refs--; /* the caller still holds one */
		if (ws->to->location->overflow == ZG_OVERFLOW_DISCONNECT)
			too_slow(c);
		else
			want_writable(c);
		return -1;
	}
	zg_ws_client_dropped(c, dropped);
	c->missed += dropped;
	account(c, before);
	want_writable(c);
	return 0;
}

void zg_ws_fan(zg_ws_t *ws, zg_msg_t *m)
{
	zg_ws_client_t *c = zg_ws_client(ws);
	zg_instance_t *in = ws->to;

	if (in->location->overflow != ZG_OVERFLOW_CONFLATE || !in->module->ws_lag ||
	    (!c->lags && zg_ws_idle(ws)) || c->closing || c->dead || !c->open) {
		zg_ws_send(ws, m);
		return;
	}
	c->lags = true;
	in->module->ws_lag(in, ws, m->units);
	want_writable(c);
}

void zg_ws_caught_up(zg_ws_t *ws)
{
	zg_ws_client(ws)->lags = false;
}

int zg_ws_send_bytes(zg_ws_t *ws, zg_ws_type_t type, zg_str_t data)
{
	zg_msg_t *m = zg_ws_encode(type, &data, 1);
	int rc = m ? zg_ws_send(ws, m) : -1;

	zg_msg_unref(&m);
	return rc;
}

void zg_ws_missed(zg_ws_t *ws, uint64_t n)
{
	zg_ws_client(ws)->missed += n;
	zg_ws_client_dropped(zg_ws_client(ws), n);
	want_writable(zg_ws_client(ws));
}

bool zg_ws_idle(const zg_ws_t *ws)
{
	const zg_ws_client_t *c = ZG_CONTAINER(ws, const zg_ws_client_t, pub);

	return !zg_ring_peek(&c->queue) && (!c->open || !blocked(c));
}

void zg_ws_close(zg_ws_t *ws, unsigned code, const char *reason)
{
	zg_ws_client_t *c = zg_ws_client(ws);

	if (c->closing || c->dead || !c->open)
		return;
	c->closing = true;
	c->close_code = (uint16_t)code;
	c->close_reason = strdup(reason);
	if (c->close_reason && strlen(c->close_reason) > REASON_MAX)
		c->close_reason[REASON_MAX] = '\0';
	zg_wsfront_arm_end(c);
	c->waits_writable = false;
	want_writable(c);
}

void zg_ws_pause(zg_ws_t *ws)
{
	zg_ws_client_t *c = zg_ws_client(ws);

	c->paused = true;
	if (c->open)
		c->carrier->read(c, false);
}

void zg_ws_resume(zg_ws_t *ws)
{
	zg_ws_client_t *c = zg_ws_client(ws);

	c->paused = c->waits_pong = false;
	if (c->open)
		c->carrier->read(c, true);
}

/* ---- from opening to closing ---- */

void zg_ws_client_limit(zg_ws_client_t *c)
{
	const zg_location_t *loc = c->pub.to->location;

	c->rx.cap = loc->max_body > c->rx.len ? loc->max_body : c->rx.len;
	c->queue.max_bytes = loc->client_queue;
	c->queue.policy = loc->overflow == ZG_OVERFLOW_DISCONNECT ? ZG_RING_REFUSE
	                                                          : ZG_RING_DROP_OLDEST;
}

zg_ws_client_t *zg_ws_client_new(struct zg_wsfront *f, const zg_carrier_t *carrier,
                                 const zg_request_t *req)
{
	zg_ws_client_t *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->pub.to = req->to;
	c->front = f;
	c->carrier = carrier;
	zg_list_init(&c->pub.link);
	zg_list_init(&c->member);
	zg_timeq_entry_init(&c->ping);
	zg_timeq_entry_init(&c->end);
	zg_timeq_entry_init(&c->limit);
	c->rx = ZG_BUF(0);
	zg_ring_init(&c->queue, 0, QUEUE_COUNT, ZG_RING_REFUSE);
	zg_ws_client_limit(c);
	snprintf(c->pub.protocol, sizeof c->pub.protocol, "%.*s", ZG_STR_ARG(req->protocol));
	return c;
}

void zg_ws_client_opened(zg_ws_client_t *c, const zg_request_t *req)
{
	zg_instance_t *in = c->pub.to;

	c->open = true;
	zg_list_append(&in->clients, &c->member);
	in->common->ws_opened++;
	in->common->ws_open++;
	zg_wsfront_arm_ping(c);
	in->module->ws_open(in, &c->pub, req);
}

bool zg_ws_client_writable(zg_ws_client_t *c)
{
	zg_instance_t *in = c->pub.to;
	bool had = zg_ring_peek(&c->queue) != NULL || c->waits_writable;

	c->waits_writable = false;
	pump(c);
	if (c->dead)
		return false;
	if (zg_ring_peek(&c->queue) || blocked(c)) {
		want_writable(c);
		return false;
	}
	if (c->closing)
		return true;
	if (had && in->module->ws_writable)
		in->module->ws_writable(in, &c->pub);
	return false;
}

void zg_ws_client_closed(zg_ws_client_t *c)
{
	zg_instance_t *in = c->pub.to;
	size_t bytes = c->queue.bytes;
	uint64_t left;

	c->open = false;
	c->carrier->detach(c);
	zg_timeq_disarm(&c->ping);
	zg_timeq_disarm(&c->end);
	zg_timeq_disarm(&c->limit);
	in->module->ws_close(in, &c->pub);
	zg_list_remove(&c->member);
	zg_list_remove(&c->pub.link);
	in->common->ws_open--;
	left = zg_ring_clear(&c->queue);
	c->dropped += left;
	in->common->ws_dropped_left += left;
	in->common->ws_queued_bytes -= bytes;
	zg_buf_free(&c->rx);
	zg_access_session_end(c, &c->session);
	free(c->close_reason);
	free(c);
}
