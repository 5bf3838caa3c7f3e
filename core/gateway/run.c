#include "gateway/run.h"

#include "base/buf.h"
#include "engine/log.h"
#include "engine/logfile.h"
#include "gateway/crew.h"
#include "gateway/notify.h"
#include "zmq/context.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUICK_MS 250 /* for clients to be told, on a quick stop */

struct gateway {
	const zg_options_t *options;
	zg_cycle_t *first, *cycle, *next; /* at the start; at work; being prepared */
	zg_listeners_t listeners, fresh;
	zg_loop_t *loop;
	zg_signal_t *signal[5];
	zg_crew_t *crew;
	void *zmq;
	zg_link_t dropped;  /* families that were given up */
	bool busy;          /* a step of the crew is under way, or several in a row */
	bool ready, failed;
	bool reload;        /* asked for, and not begun */
	bool ending;        /* has begun */
	int asked;          /* the signal that ends it; 0: none */
	unsigned errors;    /* in the configuration being read */
};

static void next(struct gateway *g);

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
	zg_crew_end(g->crew, ended);
}

static void closed(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	(void)why;
	zg_crew_step(g->crew, zg_hand_stop, stopped);
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
	zg_listen_close(&g->listeners);
	if (g->ready)
		zg_crew_step(g->crew, zg_hand_drain, drained);
	else
		drained(g, NULL);
}

static uint64_t end_ms(const struct gateway *g)
{
	return g->asked == SIGQUIT ? g->cycle->conf->gateway.shutdown_timeout : QUICK_MS;
}

static void begin_end(struct gateway *g)
{
	g->busy = g->ending = true;
	zg_notify("STOPPING=1");
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
	zg_crew_step(g->crew, zg_hand_pass, passed);
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

/* As many descriptors as the configuration may need, if we may have them. */
static void raise_descriptors(const zg_conf_t *conf)
{
	struct rlimit r;
	rlim_t want = (rlim_t)conf->gateway.max_connections + 1024;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	if (r.rlim_cur < want) {
		r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur < want)
		zg_warn("max_connections = %lld needs %llu descriptors, the limit is %llu: accepting "
		        "will pause before that many are open (ulimit -n, LimitNOFILE=)",
		        (long long)conf->gateway.max_connections, (unsigned long long)want,
		        (unsigned long long)r.rlim_cur);
}

static void tell_note(void *ctx, const char *sentence)
{
	(void)ctx;
	zg_warn("%s", sentence);
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
	for (size_t i = 0; i < g->cycle->drops; i++)
		zg_list_append(&g->dropped, &g->cycle->dropped[i]->link);
	g->cycle->drops = 0;
	if (!was) {
		g->first = g->cycle;
		g->first->refs++;
		g->ready = true;
		for (size_t i = 0; i < g->listeners.count; i++)
			zg_info("ready: listening on %s", g->listeners.item[i].text);
	} else {
		zg_listen_close_dropped(&g->listeners, &g->fresh);
		g->listeners = g->fresh;
		g->fresh = (zg_listeners_t){ 0 };
		zg_cycle_notes(g->first->conf, g->cycle->conf, tell_note, g);
		g->crew->common.reloads++;
		zg_info("reloaded");
		zg_cycle_unref(&was);
	}
	zg_notify("READY=1");
	next(g);
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
	g->crew->common.reloads_failed++;
	zg_notify("READY=1");
	next(g);
}

static void abort_cycle(struct gateway *g, const char *why)
{
	if (g->cycle)
		zg_error("not reloaded, everything stays as it was: %s", why);
	else
		zg_error("%s", why);
	zg_crew_step(g->crew, zg_hand_abort, aborted);
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
	raise_descriptors(g->next->conf);
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
		aborted(g, (zg_error("%s", why), why));
	else
		prepare(g);
}

/* ---- reload ---- */

static void on_conf_error(void *ctx, const char *sentence)
{
	struct gateway *g = ctx;

	g->errors++;
	zg_error("%s", sentence);
}

static void begin_reload(struct gateway *g)
{
	zg_conf_t *conf;
	zg_err_t err;

	g->busy = true;
	g->reload = false;
	g->errors = 0;
	zg_notify_reloading();
	conf = zg_conf_load(&(zg_conf_options_t){
		.prefix = g->options->prefix, .file = g->options->file, .set = g->options->set,
		.error = on_conf_error, .ctx = g });
	if (conf && zg_listen_renew(&g->fresh, &g->listeners, conf, &err) != 0) {
		zg_error("%s", err.text);
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
	zg_error("not reloaded, everything stays as it was");
	g->crew->common.reloads_failed++;
	zg_notify("READY=1");
	next(g);
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

/* ---- signals ---- */

static const struct {
	int number;
	const char *name, *what;
} signals[] = {
	{ SIGTERM, "SIGTERM", "stopping" }, { SIGINT, "SIGINT", "stopping" },
	{ SIGQUIT, "SIGQUIT", "finishing what has begun" }, { SIGHUP, "SIGHUP", "reloading" },
	{ SIGUSR1, "SIGUSR1", "opening the logs again" },
};

static void reopen_logs(void)
{
	zg_err_t err;

	if (zg_logfile_reopen(&err) == 0)
		zg_info("logs are open again");
	else
		zg_error("%s", err.text);
}

static void on_signal(void *ctx, int number)
{
	struct gateway *g = ctx;

	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		if (signals[i].number == number)
			zg_info("%s: %s", signals[i].name, signals[i].what);
	if (number == SIGUSR1) {
		reopen_logs();
		return;
	}
	if (number == SIGHUP) {
		g->reload = !g->asked;
	} else if (!g->asked || number != SIGQUIT) {
		g->asked = number;
		if (g->ending) {
			g->crew->end_ms = end_ms(g);
			zg_crew_hurry(g->crew);
		}
	}
	if (!g->busy)
		next(g);
}

static int watch_signals(struct gateway *g)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		if (!(g->signal[i] = zg_signal_add(g->loop, signals[i].number, on_signal, g)))
			return -1;
	return 0;
}

/* ---- from start to end ---- */

static int write_pid(const char *path, zg_err_t *err)
{
	FILE *f = path ? fopen(path, "we") : NULL;
	int rc;

	if (!path)
		return 0;
	rc = f ? fprintf(f, "%ld\n", (long)getpid()) : -1;
	if ((f && fclose(f) != 0) || rc < 0)
		return zg_err(err, "pid: cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* Bodies and frames of some 64 KiB come and go with every request: without this
 * glibc gives their memory back to the kernel each time and faults it in anew. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
}

static int start(struct gateway *g, zg_conf_t *conf, zg_err_t *err)
{
	unsigned workers = zg_conf_workers(conf);

	if (!(g->next = zg_cycle_new(conf, NULL, workers)))
		return zg_err(err, "out of memory");
	if (!(g->loop = zg_loop_new(err)) || write_pid(conf->gateway.pid, err) != 0 ||
	    !(g->zmq = zg_context_new(err)) ||
	    !(g->crew = zg_crew_new(workers, g->zmq, g->loop, err)))
		return -1;
	g->crew->ctx = g;
	g->crew->rested = rested;
	g->crew->cycle = g->next;
	g->busy = true;
	if (watch_signals(g) != 0)
		return zg_err(err, "cannot watch signals");
	return 0;
}

static void free_rest(struct gateway *g)
{
	sigset_t all;

	/* one that comes now changes nothing any more */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	zg_crew_free(&g->crew);
	for (size_t i = 0; i < ZG_COUNT_OF(g->signal); i++)
		zg_signal_remove(&g->signal[i]);
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

int zg_run(const zg_options_t *o, zg_conf_t *conf, zg_listeners_t *listeners)
{
	struct gateway g = { .options = o, .listeners = *listeners };
	char *pid = conf->gateway.pid ? strdup(conf->gateway.pid) : NULL;
	zg_err_t err;

	zg_list_init(&g.dropped);
	keep_memory();
	raise_descriptors(conf);
	if (zg_logfile_start(&err) != 0)
		zg_warn("%s: lines are written by those who have them", err.text);
	if (start(&g, conf, &err) != 0) {
		g.failed = true;
		zg_error("%s", err.text);
		if (g.crew)
			stopped(&g, NULL);
	} else {
		zg_crew_step(g.crew, zg_hand_open, opened);
	}
	if (g.crew)
		zg_loop_run(g.loop);
	free_rest(&g);
	if (pid && !g.failed)
		unlink(pid);
	free(pid);
	if (!g.failed)
		zg_info("stopped");
	zg_logfile_stop();
	return g.failed ? 1 : 0;
}
