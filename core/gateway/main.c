#include "base/buf.h"
#include "config.h"
#include "engine/conf.h"
#include "engine/log.h"
#include "front/listen.h"
#include "gateway/crew.h"
#include "gateway/notify.h"
#include "gateway/options.h"
#include "zmq/context.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PRINT_MAX (4u << 20)

struct gateway {
	zg_conf_t *conf;
	zg_listeners_t listeners;
	zg_loop_t *loop;
	zg_signal_t *signal[4];
	zg_crew_t *crew;
	void *zmq;
	bool ready, failed;
	int asked; /* the signal that ends it */
};

/* ---- commands that print ---- */

static void print_error(void *ctx, const char *sentence)
{
	(void)ctx;
	fprintf(stderr, "%s\n", sentence);
}

static zg_conf_t *load(const zg_options_t *o)
{
	return zg_conf_load(&(zg_conf_options_t){
		.prefix = o->prefix, .file = o->file, .set = o->set, .error = print_error });
}

static int print_conf(const zg_conf_t *conf)
{
	zg_buf_t out = ZG_BUF(PRINT_MAX);
	int rc = zg_conf_print(conf, &out);

	fwrite(out.data, 1, out.len, stdout);
	zg_buf_free(&out);
	return rc == 0 ? 0 : 1;
}

static int print_list(const char *which)
{
	zg_modules_t modules = { 0 };
	zg_buf_t out = ZG_BUF(PRINT_MAX);
	zg_err_t err;
	int rc = 0;

	for (size_t i = 0; zg_modules_static[i] && rc == 0; i++)
		rc = zg_modules_add(&modules, zg_modules_static[i], NULL, "built in", &err);
	if (rc != 0)
		fprintf(stderr, "zgate: %s\n", err.text);
	else if ((rc = zg_conf_list(&modules, which, &out)) != 0)
		fprintf(stderr, "zgate: there is no module \"%s\"; `zgate -L` lists all\n", which);
	else
		fwrite(out.data, 1, out.len, stdout);
	zg_buf_free(&out);
	return rc == 0 ? 0 : 1;
}

static void print_build(void)
{
	char zmq[32];

	printf("zgate " ZG_VERSION "\nbuilt with " ZG_COMPILER "\nlibraries: " ZG_LIBRARIES
	       "\nZeroMQ in use: %s\nconfigured with: %s\nmodules:",
	       zg_context_version(zmq), *ZG_CONFIGURE_ARGS ? ZG_CONFIGURE_ARGS : "(no options)");
	for (size_t i = 0; zg_modules_static[i]; i++)
		printf(" %s", zg_modules_static[i]->name);
	printf("\n");
}

/* ---- running ---- */

static void end_crew(struct gateway *g)
{
	zg_notify("STOPPING=1");
	if (g->asked == SIGQUIT)
		zg_crew_drain(g->crew);
	else
		zg_crew_stop(g->crew);
}

static void on_ready(void *ctx)
{
	struct gateway *g = ctx;

	g->ready = true;
	if (g->asked) { /* while it was starting */
		end_crew(g);
		return;
	}
	for (size_t i = 0; i < g->listeners.count; i++)
		zg_info("ready: listening on %s", g->listeners.item[i].text);
	zg_notify("READY=1");
}

static void on_failed(void *ctx, const char *why)
{
	struct gateway *g = ctx;

	g->failed = true;
	zg_error("%s", why);
}

static void on_ended(void *ctx)
{
	struct gateway *g = ctx;

	zg_loop_stop(g->loop);
}

static void on_signal(void *ctx, int number)
{
	struct gateway *g = ctx;

	if (g->asked && number == SIGQUIT)
		return;
	zg_info("%s: %s", number == SIGQUIT ? "SIGQUIT" : number == SIGINT ? "SIGINT" : "SIGTERM",
	        number == SIGQUIT ? "finishing what has begun" : "stopping");
	g->asked = number;
	if (g->ready)
		end_crew(g);
}

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

static int watch_signals(struct gateway *g)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ZG_COUNT_OF(numbers); i++)
		if (!(g->signal[i] = zg_signal_add(g->loop, numbers[i], on_signal, g)))
			return -1;
	return 0;
}

static int open_gateway(struct gateway *g, zg_err_t *err)
{
	const zg_crew_events_t events = {
		.ready = on_ready, .failed = on_failed, .ended = on_ended, .ctx = g };

	if (!(g->loop = zg_loop_new(err)) || zg_listen_open(&g->listeners, g->conf, err) != 0 ||
	    write_pid(g->conf->gateway.pid, err) != 0 || !(g->zmq = zg_context_new(err)))
		return -1;
	if (watch_signals(g) != 0)
		return zg_err(err, "cannot watch signals: %s", strerror(errno));
	g->crew = zg_crew_start(g->conf, &g->listeners, g->zmq, g->loop, &events, err);
	return g->crew ? 0 : -1;
}

static int run(zg_conf_t *conf)
{
	struct gateway g = { .conf = conf };
	zg_err_t err;
	int rc = 1;

	if (zg_log_open(conf->gateway.error_log, (zg_log_level_t)conf->gateway.log_level) != 0) {
		fprintf(stderr, "zgate: error_log: cannot open %s: %s\n", conf->gateway.error_log,
		        strerror(errno));
		return 1;
	}
	keep_memory();
	raise_descriptors(conf);
	if (open_gateway(&g, &err) != 0) {
		zg_error("%s", err.text);
	} else {
		zg_loop_run(g.loop);
		rc = g.failed ? 1 : 0;
	}
	zg_crew_free(&g.crew);
	for (size_t i = 0; i < ZG_COUNT_OF(g.signal); i++)
		zg_signal_remove(&g.signal[i]);
	zg_loop_free(&g.loop);
	zg_context_free(&g.zmq);
	zg_listen_close(&g.listeners);
	if (conf->gateway.pid && rc == 0)
		unlink(conf->gateway.pid);
	if (rc == 0)
		zg_info("stopped");
	return rc;
}

static int act(const zg_options_t *o)
{
	zg_conf_t *conf;
	int rc;

	switch (o->action) {
	case ZG_HELP: zg_options_help(); return 0;
	case ZG_VERSION_SHORT: puts("zgate " ZG_VERSION); return 0;
	case ZG_VERSION_LONG: print_build(); return 0;
	case ZG_LIST: return print_list(o->list);
	default: break;
	}
	if (!(conf = load(o)))
		return 1;
	if (o->action == ZG_TEST) {
		printf("%s: the configuration is good\n", o->file);
		rc = 0;
	} else {
		rc = o->action == ZG_PRINT ? print_conf(conf) : run(conf);
	}
	zg_conf_free(&conf);
	return rc;
}

int main(int argc, char **argv)
{
	zg_options_t o;
	int rc = zg_options_parse(&o, argc, argv) == 0 ? act(&o) : 2;

	free(o.set);
	return rc;
}
