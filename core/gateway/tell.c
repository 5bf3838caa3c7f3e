#include "gateway/tell.h"

#include "base/buf.h"
#include "engine/conf.h"
#include "gateway/control.h"
#include "gateway/pid.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ERRORS_MAX (64u << 10)
#define ANSWER_S   60        /* a gateway that does not answer hangs */
#define STOP_S     15
#define QUIT_S     (10 * 60 + STOP_S) /* shutdown_timeout is 10m at most */
#define LOOK_MS    20

/* ---- which one ---- */

static void on_error(void *ctx, const char *sentence)
{
	zg_buf_printf(ctx, "%s\n", sentence);
}

/* Where it says that it runs, even if the file has become wrong since. */
static zg_conf_t *find(const zg_options_t *o)
{
	zg_buf_t errors = ZG_BUF(ERRORS_MAX);
	zg_conf_t *conf = zg_conf_load(&(zg_conf_options_t){
		.prefix = o->prefix, .file = o->file, .set = o->set, .faulty = true, .error = on_error,
		.ctx = &errors });

	if (!conf || !conf->gateway.pid) {
		if (errors.len)
			fwrite(errors.data, 1, errors.len, stderr);
		else
			fprintf(stderr, "zgate: -s finds the running zgate by its pid file: set `pid = FILE` in "
			        "[gateway] of %s and start zgate again\n", o->file);
		zg_conf_free(&conf);
	}
	zg_buf_free(&errors);
	return conf;
}

static int reach(const char *path, long *id)
{
	int fd;

	switch (zg_pid_look(path, id)) {
	case ZG_PID_UNKNOWN:
		if (errno == ENOENT)
			fprintf(stderr, "zgate: none runs: there is no pid file %s\n", path);
		else
			fprintf(stderr, "zgate: the pid file %s cannot be read: %s\n", path, strerror(errno));
		return -1;
	case ZG_PID_STALE:
		if (*id)
			fprintf(stderr, "zgate: none runs: the pid file %s is stale, process %ld that it names "
			        "is no zgate any more\n", path, *id);
		else
			fprintf(stderr, "zgate: none runs: the pid file %s is stale\n", path);
		return -1;
	case ZG_PID_RUNS: break;
	}
	if ((fd = zg_control_connect(path)) < 0)
		fprintf(stderr, "zgate: process %ld cannot be asked at %s.ctl: %s\n", *id, path,
		        strerror(errno));
	return fd;
}

/* ---- asking ---- */

/* 0, 1: the outcome; -1: go on. */
static int on_line(const char *line)
{
	if (strncmp(line, "note ", 5) == 0)
		printf("zgate: %s\n", line + 5);
	else if (strncmp(line, "error ", 6) == 0)
		fprintf(stderr, "zgate: %s\n", line + 6);
	else
		return strcmp(line, "ok") == 0 ? 0 : 1;
	return -1;
}

static int read_answer(int fd, long id)
{
	struct timeval patience = { .tv_sec = ANSWER_S };
	FILE *f = fdopen(fd, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n = -1;
	int rc = -1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	while (f && rc < 0 && (errno = 0, n = getline(&line, &room, f)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		rc = on_line(line);
	}
	if (rc < 0 && errno == EAGAIN)
		fprintf(stderr, "zgate: process %ld has not answered for %d s\n", id, ANSWER_S);
	else if (rc < 0)
		fprintf(stderr, "zgate: process %ld ended before it had answered\n", id);
	free(line);
	if (f)
		fclose(f);
	return rc < 0 ? 1 : rc;
}

static int wait_end(const char *path, long id, int seconds)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };
	long now;

	for (int left = seconds * (1000 / LOOK_MS); left > 0; left--) {
		if (zg_pid_look(path, &now) != ZG_PID_RUNS || now != id)
			return 0;
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "zgate: process %ld has not ended in %d s\n", id, seconds);
	return 1;
}

int zg_tell(const zg_options_t *o)
{
	zg_conf_t *conf = find(o);
	int number = zg_control_signal(o->tell), fd = -1, rc = 1;
	long id;

	if (!conf)
		return 1;
	if ((fd = reach(conf->gateway.pid, &id)) >= 0) {
		/* one that has gone in the meantime answers nothing, which is told */
		if (dprintf(fd, "%s\n", o->tell) < 0)
			shutdown(fd, SHUT_RDWR);
		rc = read_answer(fd, id);
	}
	if (rc == 0 && (number == SIGTERM || number == SIGQUIT))
		rc = wait_end(conf->gateway.pid, id, number == SIGQUIT ? QUIT_S : STOP_S);
	zg_conf_free(&conf);
	return rc;
}
