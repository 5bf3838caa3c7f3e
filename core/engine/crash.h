/* crash: what is still done when the process crashes: the log thread gets a moment
 * to write the lines that were handed over; then the signal does what it would
 * have done without this. */
#ifndef ZG_ENGINE_CRASH_H
#define ZG_ENGINE_CRASH_H

#include <signal.h>

/* Main thread, while the log thread runs. */
void zg_crash_watch(void);
void zg_crash_unwatch(void);
/* Leaves the signals of a crash deliverable in a mask for pthread_sigmask: a
 * thread that blocks them is killed without this. */
void zg_crash_spare(sigset_t *mask);

#endif
