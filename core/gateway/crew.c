#include "gateway/crew.h"

#include "engine/log.h"
#include "engine/worker.h"
#include "front/gate.h"
#include "front/http.h"
#include "front/wsfront.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_LOOK_MS 20
#define STOP_MS       250 /* for WebSockets to be told, on a quick stop */

struct zg_crew {
	zg_worker_t w;
	zg_gate_t *gate;
	const zg_listeners_t *listeners;
	zg_loop_t *main_loop;
	zg_crew_events_t events;
	pthread_t thread;
	zg_post_t post[8];
	unsigned posts, asks;
	zg_timer_t *drain_timer;
	uint64_t drain_until;
	bool quick; /* requests in flight are not waited for */
	zg_location_counts_t *counts; /* of all locations */
	zg_common_t common;
	zg_worker_t *mate[1];
	zg_err_t err;
};

/* ---- instances ---- */

static void instance_free(zg_instance_t *in)
{
	if (!in)
		return;
	free(in->counts);
	free(in);
}

static zg_instance_t *instance_new(zg_crew_t *crew, const zg_module_t *module, const void *conf)
{
	zg_instance_t *in = calloc(1, sizeof *in);

	if (!in || !(in->counts = calloc(1, module->counts_size + 1))) {
		free(in);
		return NULL;
	}
	in->module = module;
	in->conf = conf;
	in->name = module->name;
	in->loop = crew->w.loop;
	in->worker = &crew->w;
	zg_list_init(&in->link);
	zg_list_append(&crew->w.instances, &in->link);
	zg_list_init(&in->sockets);
	zg_list_init(&in->clients);
	return in;
}

static int instance_start(zg_instance_t *in, zg_err_t *err)
{
	if (!in->module->start || in->module->start(in, err) == 0)
		return 0;
	return zg_err_prefix(err, in->location ? "[location %s]" : "[%s]", in->name);
}

/* Makes and starts the instances of all sections. What was started when one
 * fails is stopped by instances_stop. */
static int instances_start(zg_crew_t *crew, zg_err_t *err)
{
	const zg_conf_t *conf = crew->w.conf;
	zg_instance_t *in;

	crew->w.location = calloc(conf->locations + 1, sizeof *crew->w.location);
	crew->w.service = calloc(conf->services + 1, sizeof *crew->w.service);
	crew->counts = calloc(conf->locations + 1, sizeof *crew->counts);
	if (!crew->w.location || !crew->w.service || !crew->counts)
		return zg_err(err, "out of memory");
	for (size_t i = 0; i < conf->locations + conf->services; i++) {
		bool serves = i < conf->locations;
		size_t k = serves ? i : i - conf->locations;
		const zg_location_t *loc = serves ? conf->location[k] : NULL;

		in = serves ? instance_new(crew, loc->module, loc->conf)
		            : instance_new(crew, conf->service[k].module, conf->service[k].conf);
		if (!in)
			return zg_err(err, "out of memory");
		if (serves) {
			in->location = loc;
			in->name = loc->name;
			in->common = &crew->counts[k];
		}
		if (instance_start(in, err) != 0) {
			instance_free(in);
			return -1;
		}
		(serves ? crew->w.location : crew->w.service)[k] = in;
	}
	return 0;
}

static void instances_each(zg_crew_t *crew, void (*fn)(zg_instance_t *in))
{
	for (size_t i = 0; crew->w.location && i < crew->w.conf->locations; i++)
		if (crew->w.location[i])
			fn(crew->w.location[i]);
	for (size_t i = 0; crew->w.service && i < crew->w.conf->services; i++)
		if (crew->w.service[i])
			fn(crew->w.service[i]);
}

static void instance_drain(zg_instance_t *in)
{
	if (in->module->drain)
		in->module->drain(in);
}

static void instance_stop(zg_instance_t *in)
{
	if (in->module->stop)
		in->module->stop(in);
}

/* ---- the thread ---- */

static int open_all(zg_crew_t *crew, zg_err_t *err)
{
	zg_worker_t *w = &crew->w;

	if (!(w->loop = zg_loop_new(err)) || !(w->http = zg_http_new(w, err)) ||
	    !(w->ws = zg_wsfront_new(w, err)) || instances_start(crew, err) != 0 ||
	    !(crew->gate = zg_gate_new(w, crew->listeners, err)))
		return -1;
	crew->common.started = zg_loop_now(w->loop);
	return 0;
}

static void close_all(zg_crew_t *crew)
{
	zg_worker_t *w = &crew->w;

	w->draining = true;
	if (crew->gate)
		zg_gate_stop_accepting(crew->gate);
	zg_http_free(&w->http);
	if (w->ws && w->location)
		zg_wsfront_forget(w->ws);
	instances_each(crew, instance_stop);
	zg_gate_free(&crew->gate);
	zg_timer_remove(&crew->drain_timer);
	if (w->ws)
		zg_wsfront_stop(w->ws);
	/* libwebsockets' handles and work on the thread pool end here */
	if (w->loop)
		zg_loop_end(w->loop);
	zg_wsfront_free(&w->ws);
	zg_loop_free(&w->loop);
	instances_each(crew, instance_free);
	free(w->location);
	free(w->service);
	free(crew->counts);
}

static void tell_ready(void *ctx)
{
	zg_crew_t *crew = ctx;

	crew->events.ready(crew->events.ctx);
}

static void tell_failed(void *ctx)
{
	zg_crew_t *crew = ctx;

	crew->events.failed(crew->events.ctx, crew->err.text);
}

static void tell_ended(void *ctx)
{
	zg_crew_t *crew = ctx;

	crew->events.ended(crew->events.ctx);
}

static void *thread_main(void *arg)
{
	zg_crew_t *crew = arg;
	zg_loop_t *loop;

	zg_log_thread(crew->w.name);
	if (open_all(crew, &crew->err) != 0) {
		zg_loop_post(crew->main_loop, &crew->post[crew->posts++ % 4], tell_failed, crew);
	} else {
		loop = crew->w.loop;
		zg_loop_post(crew->main_loop, &crew->post[crew->posts++ % 4], tell_ready, crew);
		zg_loop_run(loop);
	}
	close_all(crew);
	zg_loop_post(crew->main_loop, &crew->post[crew->posts++ % 4], tell_ended, crew);
	return NULL;
}

zg_crew_t *zg_crew_start(const zg_conf_t *conf, const zg_listeners_t *listeners, void *zmq,
                         zg_loop_t *main_loop, const zg_crew_events_t *events, zg_err_t *err)
{
	zg_crew_t *crew = calloc(1, sizeof *crew);
	sigset_t all, before;
	int rc;

	if (!crew) {
		zg_err(err, "out of memory");
		return NULL;
	}
	crew->w.conf = conf;
	crew->w.common = &crew->common;
	crew->mate[0] = &crew->w;
	crew->w.mate = crew->mate;
	crew->w.mates = 1;
	zg_list_init(&crew->w.instances);
	crew->w.zmq = zmq;
	snprintf(crew->w.name, sizeof crew->w.name, "worker %u", crew->w.index);
	crew->listeners = listeners;
	crew->main_loop = main_loop;
	crew->events = *events;
	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&crew->thread, NULL, thread_main, crew);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		zg_err(err, "cannot make a thread: %s", strerror(rc));
		free(crew);
		return NULL;
	}
	return crew;
}

/* ---- ending: these run on the worker's thread ---- */

static uint64_t websockets_open(const zg_crew_t *crew)
{
	uint64_t n = 0;

	for (size_t i = 0; i < crew->w.conf->locations; i++)
		n += crew->counts[i].ws_open;
	return n;
}

static void look_if_drained(void *ctx)
{
	zg_crew_t *crew = ctx;
	unsigned requests = zg_http_in_flight(crew->w.http);
	uint64_t sockets = websockets_open(crew);

	if (sockets + (crew->quick ? 0 : requests) > 0 &&
	    zg_loop_now(crew->w.loop) < crew->drain_until) {
		zg_timer_set(crew->drain_timer, DRAIN_LOOK_MS);
		return;
	}
	if (requests + sockets > 0)
		zg_warn("%u requests in flight are answered 503, %llu WebSockets are cut off", requests,
		        (unsigned long long)sockets);
	zg_loop_stop(crew->w.loop);
}

static void end_within(zg_crew_t *crew, uint64_t ms)
{
	uint64_t until = zg_loop_now(crew->w.loop) + ms;

	if (!crew->w.draining) {
		crew->w.draining = true;
		crew->drain_until = until;
		zg_gate_stop_accepting(crew->gate);
		instances_each(crew, instance_drain);
		zg_wsfront_drain(crew->w.ws);
		zg_http_drain(crew->w.http);
		crew->drain_timer = zg_timer_add(crew->w.loop, look_if_drained, crew);
	}
	if (until < crew->drain_until)
		crew->drain_until = until;
	if (crew->drain_timer)
		look_if_drained(crew);
	else
		zg_loop_stop(crew->w.loop);
}

static void stop(void *ctx)
{
	zg_crew_t *crew = ctx;

	crew->quick = true;
	end_within(crew, STOP_MS);
}

static void drain(void *ctx)
{
	zg_crew_t *crew = ctx;

	end_within(crew, crew->w.conf->gateway.shutdown_timeout);
}

void zg_crew_stop(zg_crew_t *crew)
{
	zg_loop_post(crew->w.loop, &crew->post[4 + crew->asks++ % 4], stop, crew);
}

void zg_crew_drain(zg_crew_t *crew)
{
	zg_loop_post(crew->w.loop, &crew->post[4 + crew->asks++ % 4], drain, crew);
}

void zg_crew_free(zg_crew_t **crew)
{
	if (!*crew)
		return;
	pthread_join((*crew)->thread, NULL);
	free(*crew);
	*crew = NULL;
}
