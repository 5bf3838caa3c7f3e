/* logfile: where log lines go, and the one thread that writes them. A line is
 * put into a bounded ring and written by that thread, so that a full pipe or a
 * stuck disk holds up nobody else; a line that finds no room is dropped and
 * counted, and a line of the error log says how many were. Until the thread
 * runs, and when it has ended, lines of the error log are written at once.
 *
 * There are two files, each with what it is given by `prepare`. A ring belongs
 * to its maker, its lines keep their order. Lines survive a crash of the
 * process: the thread writes what is in the rings before the signal kills it. */
#ifndef ZG_ENGINE_LOGFILE_H
#define ZG_ENGINE_LOGFILE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum zg_logfile_id {
	ZG_LOGFILE_ERROR, /* standard error until another is committed */
	ZG_LOGFILE_ACCESS,
	ZG_LOGFILES,
} zg_logfile_id_t;

/* What a path may be instead, NULL-terminated: "stderr", "stdout". */
extern const char *const zg_logfile_words[];

/* All of these are the main thread's; opening a file may block. */

/* Opens what is to be written to from the commit on; what is open already under
 * that path stays. NULL: standard error, or, for the access log, nothing. -1: it
 * cannot be opened. */
int zg_logfile_prepare(zg_logfile_id_t id, const char *path, zg_err_t *err);
/* Lines added before it go to the old file, those after it to the new one. */
void zg_logfile_commit(void);
void zg_logfile_abort(void);
/* Opens every file again, under its path: after a rotation. -1: one of them
 * cannot be opened, which has been logged; it is written to as before. */
int zg_logfile_reopen(void);

/* Starts the thread; never before a fork. */
int zg_logfile_start(zg_err_t *err);
/* Everything is written, as far as it can be within a moment, and the thread
 * ends. Rings must have ended. */
void zg_logfile_stop(void);
/* Has the thread write at once; whether lines are left. Async-signal-safe; for a
 * process that crashes (engine/crash.h). */
bool zg_logfile_hurry(void);

/* ---- rings; any thread ---- */

typedef struct zg_logring zg_logring_t;
/* NULL: out of memory. */
zg_logring_t *zg_logring_new(zg_logfile_id_t id);
/* What is in it is still written. NULLs the handle. */
void zg_logring_end(zg_logring_t **r);
/* The line ends in "\n". -1: there was no room, it has been dropped. Never
 * blocks. Lines may wait half a second for others unless they are urgent. */
int zg_logring_add(zg_logring_t *r, const char *line, size_t n);
/* A line of the error log: urgent, and also before the thread runs. */
void zg_logfile_error(const char *line, size_t n);
/* A line for standard error, unless the error log is that. Main thread. */
void zg_logfile_elsewhere(const char *line, size_t n);
/* Has the thread look at what is due (zg_log_tick). */
void zg_logfile_wake(void);

#endif
