/* One worker's part in the steps of the crew; all on the worker's thread. */
#include "engine/log.h"
#include "front/access.h"
#include "front/gate.h"
#include "front/http.h"
#include "front/stream.h"
#include "front/wsfront.h"
#include "gateway/crew.h"
#include "zmq/socket.h"
#include <stdlib.h>

#define LOOK_MS  10  /* between two looks whether what is given up has come to rest */
#define QUIET_MS 500 /* at the end, for clients with open connections to ask once more */

/* ---- instances ---- */

static void instance_free(zg_instance_t *in)
{
	zg_list_remove(&in->link);
	free(in->counts);
	free(in->common);
	free(in);
}

/* Where a family's code runs: everywhere, or at its home only. */
static bool runs_here(const zg_family_t *f, const zg_worker_t *w)
{
	return f->placement != ZG_AT_HOME || f->home == w->index;
}

static void point(zg_instance_t *in, const zg_section_t *s)
{
	in->location = s->location;
	in->conf = s->conf;
	in->name = s->location ? s->location->name : in->module->name;
}

static zg_instance_t *instance_new(zg_worker_t *w, const zg_section_t *s)
{
	zg_family_t *f = &s->kin->family;
	zg_instance_t *in = calloc(1, sizeof *in);

	if (!in)
		return NULL;
	in->module = f->module;
	in->family = f;
	in->shared = f->shared;
	in->loop = w->loop;
	in->worker = w;
	zg_list_init(&in->sockets);
	zg_list_init(&in->clients);
	zg_list_init(&in->link);
	zg_list_append(&w->instances, &in->link);
	point(in, s);
	zg_timeq_init(&in->pings, s->location ? s->location->ping : 0);
	in->counts = calloc(1, in->module->counts_size + 1);
	in->common = calloc(1, sizeof *in->common);
	if (in->counts && in->common)
		return in;
	instance_free(in);
	return NULL;
}

static int instance_start(zg_worker_t *w, const zg_section_t *s, zg_instance_t **to, zg_err_t *err)
{
	zg_family_t *f = &s->kin->family;
	zg_instance_t *in = instance_new(w, s);

	if (!in)
		return zg_err(err, "out of memory");
	if (runs_here(f, w)) {
		if (f->module->start && f->module->start(in, err) != 0) {
			zg_err_prefix(err, in->location ? "[location %s]" : "[%s]", in->name);
			instance_free(in);
			return -1;
		}
		in->started = true;
	}
	f->member[w->index] = *to = in;
	return 0;
}

static void instance_stop(zg_instance_t *in)
{
	if (in->started && in->module->stop)
		in->module->stop(in);
	in->started = false;
	in->family->member[in->worker->index] = NULL;
}

/* ---- what comes to rest ---- */

static uint64_t pending(const zg_instance_t *in)
{
	return in->started && in->module->pending ? in->module->pending(in) : 0;
}

static void tell_rested(void *ctx)
{
	zg_hand_t *h = ctx;

	h->crew->rested(h->crew->ctx);
}

/* A member has nothing more to do; with the last one the family can go. */
static void rest(zg_hand_t *h, zg_instance_t *in)
{
	zg_kin_t *k = ZG_CONTAINER(in->family, zg_kin_t, family);

	in->resting = true;
	if (--k->busy == 0)
		zg_loop_post(h->crew->main_loop, &k->rested, tell_rested, h);
}

/* Its time is up. */
static void tell_left(const zg_instance_t *in)
{
	uint64_t left = pending(in);

	if (in->common->in_flight + in->common->ws_open + left > 0)
		zg_warn("%s: time is up: %llu requests in flight are answered 503, %llu WebSockets are cut "
		        "off, %llu messages that ZeroMQ has not taken are discarded", in->name,
		        (unsigned long long)in->common->in_flight,
		        (unsigned long long)in->common->ws_open, (unsigned long long)left);
}

static void cut_off(zg_hand_t *h, zg_instance_t *in)
{
	tell_left(in);
	zg_http_give_up(h->w.http, in, "this location was changed or removed");
	zg_wsfront_forget(h->w.ws, in);
}

/* Whether any instance that was given up still works. */
static bool look_at_dropped(zg_hand_t *h)
{
	uint64_t now = zg_loop_now(h->w.loop);
	bool busy = false;

	ZG_LIST_EACH(l, &h->w.instances) {
		zg_instance_t *in = ZG_CONTAINER(l, zg_instance_t, link);

		if (!in->dropped_until || in->resting)
			continue;
		if (now >= in->dropped_until)
			cut_off(h, in);
		if (in->common->in_flight + in->common->ws_open + pending(in) == 0 ||
		    now >= in->dropped_until + LOOK_MS)
			rest(h, in);
		else
			busy = true;
	}
	return busy;
}

/* Whether requests, WebSockets or messages are still under way anywhere. */
static bool look_at_all(zg_hand_t *h)
{
	uint64_t n = 0;

	ZG_LIST_EACH(l, &h->w.instances) {
		zg_instance_t *in = ZG_CONTAINER(l, zg_instance_t, link);

		n += in->common->in_flight + in->common->ws_open + pending(in);
	}
	if (n > 0 && zg_loop_now(h->w.loop) < h->leave_until)
		return true;
	ZG_LIST_EACH(l, &h->w.instances)
		tell_left(ZG_CONTAINER(l, zg_instance_t, link));
	return false;
}

/* Whether somebody is being served, or may be about to ask: a client that keeps its
 * connection is told by the next answer that it ends, so those that go on asking get
 * one; closing under a request that is on its way would lose it. */
static bool clients_are_there(const zg_hand_t *h)
{
	uint64_t now = zg_loop_now(h->w.loop), ms = h->crew->end_ms / 2;
	bool quiet = now >= h->left_at + (ms < QUIET_MS ? ms : QUIET_MS);

	if (now >= h->leave_until)
		return false;
	if (!quiet && (zg_http_connected(h->w.http) || zg_gate_waits(h->w.gate)))
		return true;
	return zg_http_busy(h->w.http) > 0 || zg_gate_busy(h->w.gate) > 0 ||
	       zg_wsfront_lingers(h->w.ws);
}

static void shut_fronts(zg_hand_t *h)
{
	zg_worker_t *w = &h->w;
	unsigned n = w->http ? zg_http_busy(w->http) : 0;

	h->shut = true;
	if (n > 0)
		zg_warn("time is up: %u connections are closed in the middle of a request or its answer",
		        n);
	if (w->http)
		zg_http_close(w->http);
	if (w->ws)
		zg_wsfront_forget(w->ws, NULL);
	zg_gate_free(&w->gate);
}

/* Whether the fronts are still needed, here or by those who visit. */
static bool look_at_fronts(zg_hand_t *h)
{
	if (!h->shut && h->w.gate && clients_are_there(h))
		return true;
	if (!h->shut)
		shut_fronts(h);
	return zg_http_away(h->w.http) > 0 || h->w.tours > 0;
}

static void look(void *ctx)
{
	zg_hand_t *h = ctx;
	bool busy = look_at_dropped(h);

	if (h->leaving) {
		if (look_at_all(h)) {
			busy = true;
		} else {
			h->leaving = false;
			zg_hand_done(h);
		}
	}
	if (h->closing) {
		if (look_at_fronts(h)) {
			busy = true;
		} else {
			h->closing = false;
			zg_hand_done(h);
		}
	}
	if (busy)
		zg_timer_set(h->look, LOOK_MS);
}

/* ---- the steps ---- */

static void fail(zg_hand_t *h)
{
	h->failed = true;
	zg_hand_done(h);
}

void zg_hand_open(void *hand)
{
	zg_hand_t *h = hand;
	zg_worker_t *w = &h->w;

	w->conf = h->crew->cycle->conf;
	if (!(h->look = zg_timer_add(w->loop, look, h)))
		zg_err(&h->err, "out of memory");
	if (!h->look || !(w->http = zg_http_new(w, &h->err)) || zg_wsfront_open(w, &h->err) != 0 ||
	    !(w->streams = zg_streams_new(w, &h->err)) ||
	    !(w->gate = zg_gate_new(w, &h->err))) {
		fail(h);
		return;
	}
	zg_hand_done(h);
}

void zg_hand_prepare(void *hand)
{
	zg_hand_t *h = hand;
	const zg_cycle_t *c = h->crew->cycle;

	if (!(h->fresh = calloc(c->sections + 1, sizeof *h->fresh))) {
		zg_err(&h->err, "out of memory");
		fail(h);
		return;
	}
	if (zg_access_open(&h->w, c->conf, &h->err) != 0) {
		fail(h);
		return;
	}
	h->w.freed = &c->freed;
	for (size_t i = 0; i < c->sections; i++)
		if (c->section[i].fate == ZG_START &&
		    instance_start(&h->w, &c->section[i], &h->fresh[i], &h->err) != 0) {
			fail(h);
			return;
		}
	zg_hand_done(h);
}

void zg_hand_abort(void *hand)
{
	zg_hand_t *h = hand;

	for (size_t i = 0; h->fresh && i < h->crew->cycle->sections; i++)
		if (h->fresh[i]) {
			instance_stop(h->fresh[i]);
			instance_free(h->fresh[i]);
		}
	free(h->fresh);
	h->fresh = NULL;
	h->w.freed = NULL;
	zg_hand_done(h);
}

/* What did not change stays with the configuration it has, for what the module may
 * have kept of it is told to nobody. */
static void keep(zg_instance_t *in, const zg_section_t *s)
{
	if (s->fate != ZG_RELOAD)
		return;
	point(in, s);
	if (in->location)
		zg_timeq_set_span(&in->pings, in->location->ping, zg_loop_now(in->loop));
	if (in->started && in->module->reload)
		in->module->reload(in);
}

static void drop(zg_hand_t *h, zg_instance_t *in)
{
	in->dropped_until = zg_loop_now(h->w.loop) + h->w.conf->gateway.shutdown_timeout;
	if (in->started && in->module->drain)
		in->module->drain(in);
	zg_wsfront_close(h->w.ws, in, "this location was changed or removed",
	                 h->w.conf->gateway.shutdown_timeout / 2);
}

void zg_hand_commit(void *hand)
{
	zg_hand_t *h = hand;
	zg_worker_t *w = &h->w;
	const zg_cycle_t *c = h->crew->cycle;
	zg_instance_t **was = w->location, **fresh = h->fresh;

	w->conf = c->conf;
	for (size_t i = 0; i < c->sections; i++) {
		if (c->section[i].fate == ZG_START)
			continue;
		fresh[i] = c->section[i].kin->family.member[w->index];
		keep(fresh[i], &c->section[i]);
	}
	w->location = fresh;
	w->service = fresh + c->conf->locations;
	h->fresh = NULL;
	w->freed = NULL;
	free(was);
	for (size_t i = 0; i < c->drops; i++)
		drop(h, c->dropped[i]->family.member[w->index]);
	zg_http_reload(w);
	zg_wsfront_reload(w->ws);
	if (zg_gate_reload(w->gate, h->crew->listeners, &h->err) != 0)
		zg_error("%s", h->err.text);
	look(h);
	zg_hand_done(h);
}

void zg_hand_bury(void *hand)
{
	zg_hand_t *h = hand;

	for (size_t i = 0; i < h->crew->buries; i++) {
		zg_instance_t *in = h->crew->bury[i]->family.member[h->w.index];

		instance_stop(in);
		instance_free(in);
	}
	zg_hand_done(h);
}

void zg_hand_hurry(zg_hand_t *h)
{
	uint64_t until = zg_loop_now(h->w.loop) + h->crew->end_ms;

	if (until >= h->leave_until || h->shut)
		return;
	h->leave_until = until;
	if (!h->leaving && !h->closing)
		return;
	zg_wsfront_close(h->w.ws, NULL, "the gateway is stopping", 0);
	look(h);
}

void zg_hand_refuse(void *hand)
{
	zg_hand_t *h = hand;

	h->w.draining = true;
	if (h->w.gate)
		zg_gate_stop_accepting(h->w.gate);
	zg_hand_done(h);
}

void zg_hand_drain(void *hand)
{
	zg_hand_t *h = hand;
	uint64_t ms = h->crew->end_ms;

	h->leaving = true;
	h->left_at = zg_loop_now(h->w.loop);
	h->leave_until = h->left_at + ms;
	ZG_LIST_EACH(l, &h->w.instances) {
		zg_instance_t *in = ZG_CONTAINER(l, zg_instance_t, link);

		if (in->started && in->module->drain)
			in->module->drain(in);
	}
	zg_wsfront_close(h->w.ws, NULL, "the gateway is stopping", ms / 2);
	look(h);
}

void zg_hand_close(void *hand)
{
	zg_hand_t *h = hand;

	h->closing = true;
	if (h->look)
		look(h);
	else
		zg_hand_done(h);
}

void zg_hand_stop(void *hand)
{
	zg_hand_t *h = hand;

	h->w.end_at = h->leave_until ? h->leave_until : zg_loop_now(h->w.loop);
	ZG_LIST_EACH(l, &h->w.instances)
		instance_stop(ZG_CONTAINER(l, zg_instance_t, link));
	zg_hand_done(h);
}

void zg_hand_end(zg_hand_t *h)
{
	zg_worker_t *w = &h->w;

	zg_timer_remove(&h->look);
	zg_http_free(&w->http);
	zg_streams_free(&w->streams);
	if (w->ws)
		zg_wsfront_stop(w->ws);
	/* libwebsockets' handles and work on the thread pool end here */
	zg_loop_end(w->loop);
	zg_wsfront_free(&w->ws);
	zg_access_close(w);
	ZG_LIST_EACH(l, &w->instances)
		instance_free(ZG_CONTAINER(l, zg_instance_t, link));
	free(w->location);
	free(h->fresh);
}
