#include "gateway/orders.h"

#include "engine/log.h"
#include "gateway/channel.h"
#include <signal.h>

static const struct {
	int number;
	const char *name, *what;
} signals[] = {
	{ SIGTERM, "SIGTERM", "stopping" }, { SIGINT, "SIGINT", "stopping" },
	{ SIGQUIT, "SIGQUIT", "finishing what has begun" }, { SIGHUP, "SIGHUP", "reloading" },
	{ SIGUSR1, "SIGUSR1", "reopening the logs" },
};
_Static_assert(ZG_COUNT_OF(signals) == ZG_COUNT_OF(((zg_orders_t *)0)->signal), "one for each");

/* who NULL: the signal itself. */
static const char *give(zg_orders_t *o, int number, const char *who)
{
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		if (signals[i].number == number)
			zg_info("%s: %s", who ? who : signals[i].name, signals[i].what);
	return o->obey(o->ctx, number);
}

static void on_signal(void *ctx, int number)
{
	zg_orders_t *o = ctx;
	const char *why = give(o, number, NULL);

	if (number == SIGUSR1)
		zg_control_answer(o->control, why);
}

static const char *on_command(void *ctx, int number)
{
	zg_orders_t *o = ctx;

	if (number != SIGUSR1 || o->master < 0)
		return give(o, number, "zgate -s");
	/* the master may open what this process may not; the signal comes from it then */
	zg_channel_reopen(o->master);
	return zg_control_later;
}

int zg_orders_watch(zg_orders_t *o, zg_loop_t *loop, const zg_given_t *given,
                    const char *(*obey)(void *ctx, int signal), void *ctx)
{
	sigset_t set;

	*o = (zg_orders_t){ .master = given->master, .obey = obey, .ctx = ctx };
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++) {
		sigaddset(&set, signals[i].number);
		if (!(o->signal[i] = zg_signal_add(loop, signals[i].number, on_signal, o)))
			return -1;
	}
	o->control = zg_control_new(loop, given->control, on_command, o);
	/* a master has them blocked */
	return pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void zg_orders_end(zg_orders_t *o)
{
	zg_control_free(&o->control);
	for (size_t i = 0; i < ZG_COUNT_OF(o->signal); i++)
		zg_signal_remove(&o->signal[i]);
}
