#include "gateway/run.h"

#include "base/buf.h"
#include "engine/log.h"
#include "engine/logfile.h"
#include "gateway/channel.h"
#include "gateway/crew.h"
#include "gateway/limits.h"
#include "gateway/notify.h"
#include "gateway/orders.h"
#include "gateway/watchdog.h"
#include "zmq/context.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define QUICK_MS 250 /* for clients to be told, on a quick stop */

struct gateway {
	const zg_options_t *options;
	zg_cycle_t *first, *cycle, *next; /* at the start; at work; being prepared */
	zg_listeners_t listeners, fresh;
	zg_loop_t *loop;
	const zg_given_t *given;
	zg_orders_t orders;
	zg_watchdog_t *watchdog;
	zg_crew_t *crew;
	void *zmq;
	zg_link_t dropped;  /* families that were given up */
	bool busy;          /* a step of the crew is under way, or several in a row */
	bool ready, failed;
	bool reload;        /* asked for, and not begun */
	bool ending;        /* has begun */
	int asked;          /* the signal that ends it; 0: none */
};

static void next(struct gateway *g);
static void end_reload(struct gateway *g, const char *why);

/* ---- the end ---- */

static void ended(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_loop_stop(g->loop);
}

static void stopped(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_watchdog_stop(g->watchdog);
	zg_crew_end(g->crew, ended);
}

/* No instance writes letters any more; a loop must not end before they are in. */
static void silent(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_pass(g->crew, stopped);
}

static void closed(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_step(g->crew, zg_hand_stop, silent);
}

static void drained(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_step(g->crew, zg_hand_close, closed);
}

static void refused(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	if (g->asked)
		zg_channel_ending(g->given->master);
	zg_listen_close(&g->listeners);
	if (g->ready)
		zg_crew_step(g->crew, zg_hand_drain, drained);
	else
		drained(g, NULL);
}

static uint64_t end_ms(const struct gateway *g)
{
	return g->asked == SIGQUIT && g->cycle ? g->cycle->conf->gateway.shutdown_timeout : QUICK_MS;
}

static void begin_end(struct gateway *g)
{
	g->busy = g->ending = true;
	zg_notify(g->asked == SIGQUIT ? "STOPPING=1\nSTATUS=finishing what has begun"
	                              : "STOPPING=1\nSTATUS=stopping");
	end_reload(g, "the gateway is stopping");
	g->crew->common.draining = true;
	g->crew->end_ms = end_ms(g);
	zg_crew_step(g->crew, zg_hand_refuse, refused);
}

/* ---- what was given up ---- */

static void passed(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	for (size_t i = 0; i < g->crew->buries; i++) {
		zg_list_remove(&g->crew->bury[i]->link);
		zg_kin_free(g->crew->bury[i]);
	}
	free(g->crew->bury);
	g->crew->bury = NULL;
	g->crew->buries = 0;
	next(g);
}

static void buried(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_pass(g->crew, passed);
}

/* Those that have come to rest; false: none. */
static bool begin_bury(struct gateway *g)
{
	size_t n = 0;

	ZG_LIST_EACH(l, &g->dropped)
		n += ZG_CONTAINER(l, zg_kin_t, link)->busy == 0;
	if (n == 0 || !(g->crew->bury = calloc(n, sizeof *g->crew->bury)))
		return false;
	ZG_LIST_EACH(l, &g->dropped)
		if (ZG_CONTAINER(l, zg_kin_t, link)->busy == 0 && g->crew->buries < n)
			g->crew->bury[g->crew->buries++] = ZG_CONTAINER(l, zg_kin_t, link);
	g->busy = true;
	zg_crew_step(g->crew, zg_hand_bury, buried);
	return true;
}

static void rested(void *ctx)
{
	struct gateway *g = ctx;

	if (!g->busy)
		next(g);
}

/* ---- a cycle ---- */

static void tell_note(void *ctx, const char *sentence)
{
	struct gateway *g = ctx;

	zg_warn("%s", sentence);
	zg_control_tell(g->orders.control, "note", sentence);
}

static void tell_ready(struct gateway *g)
{
	const zg_listeners_t *l = &g->listeners;

	zg_notify("READY=1");
	zg_notify_status("serving at %s%s, workers: %u, reloads: %llu", l->count ? l->item[0].text : "",
	                 l->count > 1 ? " and more" : "", g->crew->hands,
	                 (unsigned long long)g->crew->common.reloads);
}

/* Every worker serves the new cycle. */
static void committed(void *ctx, const char *why)
{
	struct gateway *g = ctx;
	zg_cycle_t *was = g->cycle;

	(void)why;
	g->cycle = g->next;
	g->next = NULL;
	zg_log_commit(); /* no worker writes by the old configuration any more */
	zg_cycle_settle(g->cycle);
	g->crew->common.configured = zg_loop_now(g->loop);
	for (size_t i = 0; i < g->cycle->drops; i++)
		zg_list_append(&g->dropped, &g->cycle->dropped[i]->link);
	g->cycle->drops = 0;
	if (was) {
		zg_listen_close_dropped(&g->listeners, &g->fresh);
		g->listeners = g->fresh;
		g->fresh = (zg_listeners_t){ 0 };
	}
	/* the master first: who reads the log may rely on it */
	zg_channel_at_work(g->given->master, &g->listeners, g->cycle->conf);
	if (!was) {
		g->first = g->cycle;
		g->first->refs++;
		g->ready = true;
		for (size_t i = 0; i < g->listeners.count; i++)
			zg_info("ready: listening on %s", g->listeners.item[i].text);
	} else {
		zg_cycle_notes(g->first->conf, g->cycle->conf, tell_note, g);
		g->crew->common.reloads++;
		zg_info("reloaded");
		zg_control_finish(g->orders.control, "ok");
		zg_cycle_unref(&was);
	}
	tell_ready(g);
	next(g);
}

/* To the log, and to whoever asked for the reload. */
static void tell_error(void *ctx, const char *sentence)
{
	struct gateway *g = ctx;

	zg_error("%s", sentence);
	zg_control_tell(g->orders.control, "error", sentence);
}

static void not_reloaded(struct gateway *g)
{
	tell_error(g, "not reloaded, everything stays as it was");
	g->crew->common.reloads_failed++;
	zg_control_finish(g->orders.control, "failed");
	zg_notify("READY=1\nSTATUS=the last reload failed, the log says why; serving as before");
}

static void aborted(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_cycle_abort(&g->next);
	if (!g->cycle) { /* it was the first */
		g->failed = true;
		begin_end(g);
		return;
	}
	zg_listen_close_dropped(&g->fresh, &g->listeners);
	g->fresh = (zg_listeners_t){ 0 };
	not_reloaded(g);
	next(g);
}

/* Letters of the instances that were stopped again may still be under way. */
static void withdrawn(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_pass(g->crew, aborted);
}

static void abort_cycle(struct gateway *g, const char *why)
{
	if (g->cycle)
		tell_error(g, why);
	else
		zg_log_fatal(why);
	zg_crew_step(g->crew, zg_hand_abort, withdrawn);
}

static void prepared(void *ctx, const char *why)
{
	struct gateway *g = ctx;
	const zg_gateway_t *conf = &g->next->conf->gateway;
	zg_err_t err;

	if (why) {
		abort_cycle(g, why);
		return;
	}
	if (zg_log_prepare(conf->error_log, conf->access_log, (zg_log_level_t)conf->log_level, &err) !=
	    0) {
		abort_cycle(g, err.text);
		return;
	}
	zg_limits_raise_descriptors(g->next->conf);
	g->crew->listeners = g->cycle ? &g->fresh : &g->listeners;
	zg_crew_step(g->crew, zg_hand_commit, committed);
}

static void prepare(struct gateway *g)
{
	g->crew->cycle = g->next;
	zg_crew_step(g->crew, zg_hand_prepare, prepared);
}

static void opened(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	if (why)
		aborted(g, (zg_log_fatal(why), why));
	else
		prepare(g);
}

/* ---- reload ---- */

static void begin_reload(struct gateway *g)
{
	zg_conf_t *conf;
	zg_err_t err;

	g->busy = true;
	g->reload = false;
	zg_control_begin(g->orders.control);
	zg_notify_reloading();
	conf = zg_conf_load(&(zg_conf_options_t){
		.prefix = g->options->prefix, .file = g->options->file, .set = g->options->set,
		.error = tell_error, .ctx = g });
	if (conf && zg_listen_renew(&g->fresh, &g->listeners, conf, g->crew->hands,
	                            &err) != 0) {
		tell_error(g, err.text);
		zg_conf_free(&conf);
	}
	if (conf)
		g->next = zg_cycle_new(conf, g->cycle, g->crew->hands);
	if (g->next) {
		prepare(g);
		return;
	}
	if (conf) { /* no memory for the cycle: it took the configuration along */
		zg_listen_close_dropped(&g->fresh, &g->listeners);
		g->fresh = (zg_listeners_t){ 0 };
	}
	not_reloaded(g);
	next(g);
}

/* Those who ask for one are told that none comes. */
static void end_reload(struct gateway *g, const char *why)
{
	zg_control_begin(g->orders.control);
	zg_control_tell(g->orders.control, "error", why);
	zg_control_finish(g->orders.control, "failed");
}

/* No step is under way: what is to be done now? */
static void next(struct gateway *g)
{
	g->busy = false;
	if (g->ending)
		return;
	if (g->asked)
		begin_end(g);
	else if (g->reload)
		begin_reload(g);
	else
		begin_bury(g);
}

/* ---- orders ---- */

static const char *reopen_logs(void)
{
	if (zg_logfile_reopen() == 0) {
		zg_info("logs are open again");
		return NULL;
	}
	return "a log cannot be opened again; error_log says which";
}

static const char *obey(void *ctx, int number)
{
	struct gateway *g = ctx;

	/* an end that has been asked for can only become quicker, and once */
	bool counts = number == SIGHUP ? !g->asked
	                               : !g->asked || (g->asked == SIGQUIT && number != SIGQUIT);

	if (number == SIGUSR1)
		return reopen_logs();
	if (!counts)
		return "the gateway is stopping, nothing changes";
	if (number == SIGHUP) {
		g->reload = true;
	} else {
		g->asked = number;
		if (g->ending) {
			g->crew->end_ms = end_ms(g);
			zg_crew_hurry(g->crew);
		}
	}
	if (!g->busy)
		next(g);
	return NULL;
}

/* ---- from start to end ---- */

static int start(struct gateway *g, zg_conf_t *conf, zg_err_t *err)
{
	unsigned workers = zg_conf_workers(conf);

	if (!(g->next = zg_cycle_new(conf, NULL, workers)))
		return zg_err(err, "out of memory");
	if (!(g->loop = zg_loop_new(err)) || !(g->zmq = zg_context_new(err)) ||
	    !(g->crew = zg_crew_new(workers, g->zmq, g->loop, err)))
		return -1;
	g->crew->ctx = g;
	g->crew->rested = rested;
	g->crew->cycle = g->next;
	g->busy = true;
	if (zg_orders_watch(&g->orders, g->loop, g->given, obey, g) != 0)
		return zg_err(err, "cannot watch signals");
	g->watchdog = zg_watchdog_new(g->crew);
	return 0;
}

static void free_rest(struct gateway *g)
{
	sigset_t all;

	/* one that comes now changes nothing any more */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	zg_crew_free(&g->crew);
	zg_watchdog_free(&g->watchdog);
	zg_orders_end(&g->orders);
	zg_loop_free(&g->loop);
	zg_context_free(&g->zmq);
	zg_listen_close(&g->listeners);
	ZG_LIST_EACH(l, &g->dropped)
		zg_kin_free(ZG_CONTAINER(l, zg_kin_t, link));
	if (g->cycle)
		zg_cycle_end(&g->cycle);
	if (g->next)
		zg_cycle_abort(&g->next);
	zg_cycle_unref(&g->first);
}

int zg_run(const zg_options_t *o, zg_conf_t *conf, const zg_given_t *given)
{
	struct gateway g = { .options = o, .listeners = given->listeners, .given = given };
	zg_err_t err;

	zg_list_init(&g.dropped);
	zg_limits_keep_memory();
	zg_limits_raise_descriptors(conf);
	if (zg_logfile_start(&err) != 0)
		zg_warn("%s: lines are written by those who have them", err.text);
	if (start(&g, conf, &err) != 0) {
		g.failed = true;
		zg_log_fatal(err.text);
		if (g.crew)
			stopped(&g, NULL);
	} else {
		zg_crew_step(g.crew, zg_hand_open, opened);
	}
	if (g.crew)
		zg_loop_run(g.loop);
	free_rest(&g);
	if (!g.failed)
		zg_info("stopped");
	zg_logfile_stop();
	return g.failed ? 1 : 0;
}
