#include "base/buf.h"
#include "config.h"
#include "engine/conf.h"
#include "engine/log.h"
#include "front/inherit.h"
#include "gateway/control.h"
#include "gateway/master.h"
#include "gateway/options.h"
#include "gateway/privileges.h"
#include "gateway/tell.h"
#include "gateway/try.h"
#include "zmq/context.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- running ---- */

static zg_conf_t *take(zg_conf_t **conf)
{
	zg_conf_t *taken = *conf;

	*conf = NULL;
	return taken;
}

static int open_first(zg_given_t *given, zg_pid_t *pid, const zg_gateway_t *conf, zg_err_t *err)
{
	if (zg_pid_open(pid, conf->pid, err) != 0)
		return -1;
	return conf->pid && (given->control = zg_control_open(conf->pid, err)) < 0 ? -1 : 0;
}

/* What needs privileges, or is the outermost process's, is opened here. */
static int run(const zg_options_t *o, zg_conf_t *conf)
{
	zg_given_t given = { .control = -1, .master = -1 };
	zg_pid_t pid = { .fd = -1 };
	zg_err_t err;
	int rc = 1;

	zg_inherit_begin();
	if (zg_log_prepare(conf->gateway.error_log, conf->gateway.access_log,
	                   (zg_log_level_t)conf->gateway.log_level, &err) != 0) {
		fprintf(stderr, "zgate: %s\n", err.text);
		zg_conf_free(&conf);
		return 1;
	}
	zg_log_commit();
	if (zg_listen_open(&given.listeners, conf, &err) != 0 ||
	    open_first(&given, &pid, &conf->gateway, &err) != 0) {
		zg_log_fatal(err.text);
	} else if (conf->gateway.master) {
		rc = zg_master(o, take(&conf), &given, &pid);
	} else {
		zg_privileges_give_logs(&conf->gateway);
		if (zg_privileges_drop(&conf->gateway, &err) != 0)
			zg_log_fatal(err.text);
		else
			rc = zg_run(o, take(&conf), &given);
	}
	if (conf) { /* it came to nothing */
		zg_listen_close(&given.listeners);
		zg_conf_free(&conf);
	}
	if (pid.path)
		zg_control_remove(pid.path);
	zg_pid_close(&pid);
	if (given.control >= 0)
		close(given.control);
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
	case ZG_TELL: return zg_tell(o);
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

/* A standard descriptor that is closed would be the next socket's, and what is
 * written to the log with it. Read-only: that nothing is written there is said. */
static int fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -1 : close(fd);
}

int main(int argc, char **argv)
{
	zg_options_t o;
	int rc;

	if (fill_standard() != 0)
		return 1;
	rc = zg_options_parse(&o, argc, argv) == 0 ? act(&o) : 2;

	free(o.set);
	return rc;
}
