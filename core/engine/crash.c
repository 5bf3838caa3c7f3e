#include "engine/crash.h"

#include "base/str.h"
#include "engine/logfile.h"
#include <time.h>

#define WAIT_MS 50 /* a log that takes nothing holds up no restart */

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction before[ZG_COUNT_OF(signals)];

/* Async-signal-safe, as is all that it calls. */
static void on_crash(int number, siginfo_t *info, void *context)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	(void)context;
	for (int i = 0; i < WAIT_MS && zg_logfile_hurry(); i++)
		nanosleep(&ms, NULL);
	zg_crash_unwatch();
	if (info->si_code <= 0) /* else it comes again by itself */
		raise(number);
}

void zg_crash_spare(sigset_t *mask)
{
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		sigdelset(mask, signals[i]);
}

void zg_crash_watch(void)
{
	struct sigaction how = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO };

	sigfillset(&how.sa_mask);
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		sigaction(signals[i], &how, &before[i]);
}

void zg_crash_unwatch(void)
{
	for (size_t i = 0; i < ZG_COUNT_OF(signals); i++)
		sigaction(signals[i], &before[i], NULL);
}
