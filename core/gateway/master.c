#include "gateway/master.h"

#include "engine/log.h"
#include "engine/logfile.h"
#include "gateway/channel.h"
#include "gateway/notify.h"
#include "gateway/privileges.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEADY_MS  5000 /* a child that worked that long is not crashing at once */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 8000

struct master {
	const zg_options_t *options;
	zg_conf_t *good;       /* what was seen to work; at first, what there is */
	zg_given_t given;      /* the listeners are held */
	zg_listeners_t fresh;  /* on their way from the child */
	zg_pid_t *pid;
	int signals, channel;
	pid_t child;           /* 0: none runs */
	unsigned born, crashes;
	uint64_t worked;       /* since when it is at work, ms; 0: it is not yet */
	uint64_t due;          /* when the next is born */
	bool told, ever, fall_back, over;
	int code;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int prepare_logs(const zg_gateway_t *conf)
{
	zg_err_t err;

	if (zg_log_prepare(conf->error_log, conf->access_log, (zg_log_level_t)conf->log_level, &err) != 0) {
		zg_error("%s", err.text);
		return -1;
	}
	zg_log_commit();
	return 0;
}

/* ---- in the child ---- */

static void on_conf_error(void *ctx, const char *sentence)
{
	(void)ctx;
	zg_error("%s", sentence);
}

/* The configuration of a child that is not the first. */
static void choose_conf(struct master *m, zg_conf_t **conf)
{
	zg_conf_t *now = m->fall_back ? NULL : zg_conf_load(&(zg_conf_options_t){
		.prefix = m->options->prefix, .file = m->options->file, .set = m->options->set,
		.error = on_conf_error });

	if (!now) {
		zg_warn("starting with the configuration that worked before");
		return;
	}
	zg_conf_free(conf);
	*conf = now;
}

static int renew(struct master *m, zg_conf_t *conf)
{
	zg_listeners_t now, *held = &m->given.listeners;
	zg_err_t err;

	if (prepare_logs(&conf->gateway) != 0)
		return -1;
	if (zg_listen_renew(&now, held, conf, zg_conf_workers(conf), &err) != 0) {
		zg_error("%s", err.text);
		return -1;
	}
	zg_listen_close_dropped(held, &now);
	*held = now;
	return 0;
}

/* The kernel forgets this when the user changes, so it is said twice. */
static bool follow(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	return getppid() == parent; /* else it has died before */
}

static int be_child(struct master *m, pid_t parent)
{
	zg_conf_t *conf = m->good;
	zg_err_t err;
	int rc = -1;

	zg_log_thread(NULL);
	zg_info("process %ld starts", (long)getpid());
	close(m->signals);
	zg_pid_forget(m->pid);
	for (size_t i = 0; i < m->given.listeners.count; i++)
		m->given.listeners.item[i].lent = true;
	zg_notify_through(m->given.master);
	if (m->born > 1)
		choose_conf(m, &conf);
	if (follow(parent) && (m->born == 1 || renew(m, conf) == 0)) {
		if ((rc = zg_privileges_drop(&conf->gateway, &err)) != 0)
			zg_log_fatal(err.text);
		else if (!follow(parent))
			rc = -1;
	}
	if (rc == 0)
		return zg_run(m->options, conf, &m->given);
	zg_listen_close(&m->given.listeners);
	zg_conf_free(&conf);
	return 1;
}

/* ---- a child's life, as the master sees it ---- */

static void crashed(struct master *m, const char *how)
{
	uint64_t delay;

	if (m->worked && now_ms() - m->worked >= STEADY_MS)
		m->crashes = 0;
	/* the first is forgiven */
	delay = m->crashes == 0 ? 0 : BACKOFF_MS << (m->crashes < 6 ? m->crashes - 1 : 5);
	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	m->crashes++;
	m->fall_back = !m->worked;
	m->due = now_ms() + delay;
	if (delay)
		zg_error("the gateway, process %ld, %s%s; the next starts in %llu ms", (long)m->child, how,
		         m->worked ? "" : " before it was ready", (unsigned long long)delay);
	else
		zg_error("the gateway, process %ld, %s; the next starts at once", (long)m->child, how);
	zg_notify_status("the gateway %s; the next starts in %llu ms", how, (unsigned long long)delay);
}

/* What it was becomes known: of a child that has ended, or could not be born. */
static void lost(struct master *m, const char *how, int code)
{
	if (m->told || !m->ever || code == 0) {
		if (code)
			zg_error("the gateway, process %ld, %s; the master ends with it", (long)m->child, how);
		m->over = true;
		m->code = code;
	} else {
		crashed(m, how);
	}
	m->child = 0;
}

/* 1: this is the child. */
static int spawn(struct master *m)
{
	int end[2] = { -1, -1 };

	m->worked = 0;
	if (zg_channel_new(end) != 0 || (m->child = fork()) < 0) {
		close(end[0]);
		close(end[1]);
		lost(m, "could not be started, there is no memory or descriptor for it", 1);
		return 0;
	}
	m->born++;
	if (m->child == 0) {
		close(end[0]);
		m->given.master = end[1];
		return 1;
	}
	close(end[1]);
	m->channel = end[0];
	return 0;
}

/* The child works with these: they are held from now on. */
static void hold(struct master *m)
{
	zg_listeners_t *held = &m->given.listeners, *fresh = &m->fresh;

	for (size_t i = 0; i < held->count; i++)
		for (size_t k = 0; k < fresh->count; k++)
			if (strcmp(held->item[i].where, fresh->item[k].where) == 0)
				held->item[i].lent = true; /* its path stays */
	zg_listen_close(held);
	*held = *fresh;
	*fresh = (zg_listeners_t){ 0 };
}


/* The configuration it works with, which the file may not hold any more. */
static void remember(struct master *m, int text)
{
	char path[32];
	zg_conf_t *now;

	snprintf(path, sizeof path, "/proc/self/fd/%d", text);
	now = zg_conf_load(&(zg_conf_options_t){ .prefix = m->options->prefix, .file = path,
	                                         .error = on_conf_error });
	if (!now)
		return;
	zg_conf_free(&m->good);
	m->good = now;
	prepare_logs(&now->gateway);
	zg_privileges_give_logs(&now->gateway);
}

static void at_work(struct master *m, int text)
{
	hold(m);
	if (text >= 0) {
		remember(m, text);
		close(text);
	}
	if (!m->worked)
		m->worked = now_ms();
	m->ever = true;
}

static void reopen(struct master *m)
{
	zg_logfile_reopen();
	zg_privileges_give_logs(&m->good->gateway);
	if (m->child)
		kill(m->child, SIGUSR1);
}

static void hear(struct master *m)
{
	char text[ZG_CHANNEL_TEXT];
	int conf;

	while (m->channel >= 0)
		switch (zg_channel_read(m->channel, &m->fresh, text, &conf)) {
		case ZG_SAID_NOTHING: return;
		case ZG_SAID_LISTENER: break;
		case ZG_SAID_AT_WORK: at_work(m, conf); break;
		case ZG_SAID_ENDING:
			m->told = true;
			zg_listen_close(&m->given.listeners);
			break;
		case ZG_SAID_REOPEN: reopen(m); break;
		case ZG_SAID_NOTIFY: zg_notify(text); break;
		case ZG_SAID_GOODBYE:
			close(m->channel);
			m->channel = -1;
			zg_listen_close(&m->fresh);
			break;
		}
}

static void reap(struct master *m)
{
	char how[64];
	int status, code;

	if (!m->child || waitpid(m->child, &status, WNOHANG) != m->child)
		return;
	hear(m); /* its last words */
	if (WIFSIGNALED(status)) {
		snprintf(how, sizeof how, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
		code = 128 + WTERMSIG(status);
	} else {
		snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(status));
		code = WEXITSTATUS(status);
	}
	lost(m, how, code);
}

/* ---- signals ---- */

static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD };

static void on_signal(struct master *m, int number)
{
	switch (number) {
	case SIGCHLD: reap(m); return;
	case SIGUSR1: reopen(m); return;
	case SIGHUP: break; /* the next child reads the file anyway */
	default: m->told = true;
	}
	if (m->child)
		kill(m->child, number);
	else
		m->over = m->told;
}

/* They stay blocked from here on, in the child until it watches them itself: none
 * is lost. */
static int watch_signals(struct master *m)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the master's own life ---- */

/* Until something is due; -1: nothing is. While no child is there to say so, the
 * master tells systemd that it is alive. */
static int timeout(const struct master *m)
{
	uint64_t now = now_ms(), watchdog = zg_notify_watchdog_ms();
	uint64_t left = m->due > now ? m->due - now : 0;

	if (m->child)
		return -1;
	if (watchdog && watchdog < left) {
		zg_notify("WATCHDOG=1");
		left = watchdog;
	}
	return (int)left;
}

static void wait_and_see(struct master *m)
{
	struct pollfd p[] = { { .fd = m->signals, .events = POLLIN },
	                      { .fd = m->channel, .events = POLLIN } };
	struct signalfd_siginfo s;

	if (poll(p, 2, timeout(m)) < 0 && errno != EINTR)
		zg_error("poll: %s", strerror(errno));
	if (p[1].revents)
		hear(m);
	while (p[0].revents && read(m->signals, &s, sizeof s) == sizeof s)
		on_signal(m, (int)s.ssi_signo);
}

int zg_master(const zg_options_t *o, zg_conf_t *conf, zg_given_t *given, zg_pid_t *pid)
{
	struct master m = { .options = o, .good = conf, .given = *given, .pid = pid, .channel = -1 };
	pid_t self = getpid();

	zg_log_thread("master");
	zg_privileges_give_logs(&conf->gateway);
	if (watch_signals(&m) < 0) {
		zg_error("cannot watch signals: %s", strerror(errno));
		m.over = true;
		m.code = 1;
	}
	while (!m.over) {
		if (!m.child && now_ms() >= m.due && spawn(&m))
			return be_child(&m, self);
		wait_and_see(&m);
	}
	zg_listen_close(&m.given.listeners);
	zg_listen_close(&m.fresh);
	zg_conf_free(&m.good);
	close(m.channel);
	close(m.signals);
	zg_info("the master ends");
	return m.code;
}
