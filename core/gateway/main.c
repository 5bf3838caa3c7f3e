#include "base/buf.h"
#include "config.h"
#include "engine/conf.h"
#include "engine/log.h"
#include "front/listen.h"
#include "gateway/options.h"
#include "gateway/run.h"
#include "gateway/try.h"
#include "zmq/context.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINT_MAX (4u << 20)

/* ---- commands that print ---- */

static void print_error(void *ctx, const char *sentence)
{
	(void)ctx;
	fprintf(stderr, "%s\n", sentence);
}

static void print_note(void *ctx, const char *sentence)
{
	(void)ctx;
	printf("%s\n", sentence);
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

static int test(const zg_options_t *o, const zg_conf_t *conf)
{
	if (zg_try(conf, &(zg_try_out_t){ .error = print_error, .note = print_note }) > 0)
		return 1;
	printf("%s: the configuration is good\n", o->file);
	return 0;
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

static int run(const zg_options_t *o, zg_conf_t *conf)
{
	const zg_gateway_t *g = &conf->gateway;
	zg_listeners_t listeners;
	zg_err_t err;

	if (zg_log_prepare(g->error_log, g->access_log, (zg_log_level_t)g->log_level, &err) != 0) {
		fprintf(stderr, "zgate: %s\n", err.text);
		zg_conf_free(&conf);
		return 1;
	}
	zg_log_commit();
	if (zg_listen_open(&listeners, conf, &err) != 0) {
		zg_error("%s", err.text);
		zg_conf_free(&conf);
		return 1;
	}
	return zg_run(o, conf, &listeners);
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
		rc = test(o, conf);
	} else {
		if (o->action == ZG_RUN)
			return run(o, conf);
		rc = print_conf(conf);
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
