#include "gateway/control.h"

#include "base/buf.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ASKERS   8
#define LATE_MS  5000     /* to say a command, and to take the answer */
#define RETRY_MS 100      /* when there is no descriptor left */
#define OUT_MAX  (64u << 10)
#define OUT_REST 16       /* for the outcome */

typedef enum state { ASKING, WAITING, SERVED, PUT_OFF, DONE } state_t;

typedef struct asker {
	zg_control_t *c;
	int fd;
	state_t state;
	zg_io_t *io;
	zg_timer_t *late;
	char line[16];
	size_t n;
	zg_buf_t out;
	size_t sent;
} asker_t;

struct zg_control {
	zg_loop_t *loop;
	int fd;
	zg_io_t *io;
	zg_timer_t *retry;
	const char *(*command)(void *ctx, int signal);
	void *ctx;
	asker_t *asker[ASKERS];
};

static const struct {
	const char *name;
	int signal;
} commands[] = {
	{ "stop", SIGTERM }, { "quit", SIGQUIT }, { "reload", SIGHUP }, { "reopen", SIGUSR1 },
};

const char zg_control_later[] = "later";

int zg_control_signal(const char *command)
{
	for (size_t i = 0; i < ZG_COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, command) == 0)
			return commands[i].signal;
	return 0;
}

/* ---- the socket ---- */

static int address(struct sockaddr_un *un, const char *pid)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (snprintf(un->sun_path, sizeof un->sun_path, "%s.ctl", pid) < (int)sizeof un->sun_path)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int zg_control_open(const char *pid, zg_err_t *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un un;

	/* the pid file is ours, so what lies here is of a zgate that has gone. The mode
	 * of the descriptor becomes the file's */
	if (fd >= 0 && address(&un, pid) == 0 && (unlink(un.sun_path) == 0 || errno == ENOENT) &&
	    fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&un, sizeof un) == 0 &&
	    listen(fd, ASKERS) == 0)
		return fd;
	zg_err(err, "pid: cannot open the control socket %s.ctl: %s", pid, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

void zg_control_remove(const char *pid)
{
	struct sockaddr_un un;

	if (address(&un, pid) == 0)
		unlink(un.sun_path);
}

int zg_control_connect(const char *pid)
{
	struct sockaddr_un un;
	int fd, error;

	if (address(&un, pid) != 0 || (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* ---- who asks ---- */

static void listen_again(void *ctx)
{
	zg_control_t *c = ctx;
	bool room = false;

	for (size_t i = 0; i < ASKERS; i++)
		room = room || !c->asker[i];
	if (c->io)
		zg_io_set(c->io, room ? ZG_IO_READ : 0);
}

static void asker_free(asker_t *a)
{
	zg_control_t *c = a->c;

	for (size_t i = 0; i < ASKERS; i++)
		if (c->asker[i] == a)
			c->asker[i] = NULL;
	zg_io_remove(&a->io);
	zg_timer_remove(&a->late);
	zg_buf_free(&a->out);
	close(a->fd);
	free(a);
	listen_again(c);
}

static void on_late(void *ctx)
{
	asker_free(ctx);
}

static void flush(asker_t *a)
{
	while (a->sent < a->out.len) {
		ssize_t n = send(a->fd, a->out.data + a->sent, a->out.len - a->sent,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			zg_io_set(a->io, ZG_IO_WRITE);
			return;
		}
		if (n < 0)
			break;
		a->sent += (size_t)n;
	}
	asker_free(a);
}

static void say(asker_t *a, const char *kind, const char *sentence)
{
	if (a->out.len + strlen(kind) + strlen(sentence) + 2 + OUT_REST <= OUT_MAX)
		zg_buf_printf(&a->out, "%s %s\n", kind, sentence); /* else the log alone has it */
}

static void finish(asker_t *a, const char *outcome)
{
	a->state = DONE;
	zg_buf_printf(&a->out, "%s\n", outcome);
	zg_timer_set(a->late, LATE_MS);
	flush(a);
}

static void answer(asker_t *a, const char *why)
{
	if (why)
		say(a, "error", why);
	finish(a, why ? "failed" : "ok");
}

/* It waits before it has asked: the reload may begin and end in the call, and the
 * asker with it. */
static void ask_reload(asker_t *a)
{
	zg_control_t *c = a->c;
	const char *why;

	a->state = WAITING;
	if (!(why = c->command(c->ctx, SIGHUP)))
		return;
	zg_control_begin(c);
	zg_control_tell(c, "error", why);
	zg_control_finish(c, "failed");
}

static void obey(asker_t *a)
{
	int number = zg_control_signal(a->line);
	const char *why;

	if (!number) {
		say(a, "error", "this zgate knows stop, quit, reload and reopen");
		finish(a, "failed");
		return;
	}
	zg_timer_clear(a->late);
	if (number == SIGHUP) {
		ask_reload(a);
		return;
	}
	why = a->c->command(a->c->ctx, number);
	if (why == zg_control_later)
		a->state = PUT_OFF;
	else
		answer(a, why);
}

static void on_asker(void *ctx, unsigned events)
{
	asker_t *a = ctx;
	char discard[64];
	ssize_t n;

	(void)events;
	if (a->state == DONE) {
		flush(a);
		return;
	}
	if (a->state != ASKING) { /* nothing more is expected, but it may leave */
		n = recv(a->fd, discard, sizeof discard, MSG_DONTWAIT);
	} else {
		n = recv(a->fd, a->line + a->n, sizeof a->line - 1 - a->n, MSG_DONTWAIT);
		a->n += n > 0 ? (size_t)n : 0;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		asker_free(a);
		return;
	}
	if (a->state != ASKING || (!memchr(a->line, '\n', a->n) && a->n < sizeof a->line - 1))
		return;
	a->line[strcspn(a->line, "\n")] = '\0';
	obey(a);
}

static void on_control(void *ctx, unsigned events)
{
	zg_control_t *c = ctx;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	asker_t *a = fd >= 0 ? calloc(1, sizeof *a) : NULL;

	(void)events;
	if (!a) {
		if (fd >= 0)
			close(fd);
		zg_io_set(c->io, 0);
		zg_timer_set(c->retry, RETRY_MS);
		return;
	}
	a->c = c;
	a->fd = fd;
	a->out = (zg_buf_t)ZG_BUF(OUT_MAX);
	for (size_t i = 0; i < ASKERS; i++)
		if (!c->asker[i]) {
			c->asker[i] = a;
			break;
		}
	a->io = zg_io_add(c->loop, fd, ZG_IO_READ, on_asker, a);
	a->late = zg_timer_add(c->loop, on_late, a);
	if (!a->io || !a->late) {
		asker_free(a);
		return;
	}
	zg_timer_set(a->late, LATE_MS);
	listen_again(c);
}

/* ---- the gateway's side ---- */

zg_control_t *zg_control_new(zg_loop_t *loop, int fd, const char *(*command)(void *ctx, int signal),
                             void *ctx)
{
	zg_control_t *c = fd >= 0 ? calloc(1, sizeof *c) : NULL;

	if (!c)
		return NULL;
	*c = (zg_control_t){ .loop = loop, .fd = fd, .command = command, .ctx = ctx };
	if (!(c->io = zg_io_add(loop, fd, ZG_IO_READ, on_control, c)) ||
	    !(c->retry = zg_timer_add(loop, listen_again, c)))
		zg_control_free(&c);
	return c;
}

void zg_control_free(zg_control_t **handle)
{
	zg_control_t *c = *handle;

	if (!c)
		return;
	*handle = NULL;
	zg_io_remove(&c->io);
	zg_timer_remove(&c->retry);
	for (size_t i = 0; i < ASKERS; i++)
		if (c->asker[i])
			asker_free(c->asker[i]);
	free(c);
}

void zg_control_begin(zg_control_t *c)
{
	for (size_t i = 0; c && i < ASKERS; i++)
		if (c->asker[i] && c->asker[i]->state == WAITING)
			c->asker[i]->state = SERVED;
}

void zg_control_tell(zg_control_t *c, const char *kind, const char *sentence)
{
	for (size_t i = 0; c && i < ASKERS; i++)
		if (c->asker[i] && c->asker[i]->state == SERVED)
			say(c->asker[i], kind, sentence);
}

void zg_control_finish(zg_control_t *c, const char *outcome)
{
	for (size_t i = 0; c && i < ASKERS; i++)
		if (c->asker[i] && c->asker[i]->state == SERVED)
			finish(c->asker[i], outcome);
}

void zg_control_answer(zg_control_t *c, const char *why)
{
	for (size_t i = 0; c && i < ASKERS; i++)
		if (c->asker[i] && c->asker[i]->state == PUT_OFF)
			answer(c->asker[i], why);
}
