/* log: the error log, one line a call. Any thread; never blocks once the log
 * thread runs (engine/logfile.h), never allocates. Control bytes in a line are
 * shown as \xNN: what clients send cannot forge lines. `alert` is for what must
 * never happen; tests fail on it.
 *
 * What repeats is held back: of one text 20 lines are shown in five seconds, of
 * one call 100; a line says how many more there were. Debug lines and alerts are
 * all shown. */
#ifndef ZG_ENGINE_LOG_H
#define ZG_ENGINE_LOG_H

#include "base/err.h"
#include <stdbool.h>

typedef enum zg_log_level {
	ZG_LOG_DEBUG,
	ZG_LOG_INFO,
	ZG_LOG_WARN,
	ZG_LOG_ERROR,
	ZG_LOG_ALERT,
} zg_log_level_t;

extern const char *const zg_log_level_names[]; /* NULL-terminated, for the directive */

/* Where the error log (NULL: standard error) and the access log (NULL: there is
 * none) go, and the least level shown. Prepared, they take effect with the
 * commit; until the first: standard error, info. -1: a file cannot be opened,
 * nothing has changed. Main thread. */
int zg_log_prepare(const char *error_log, const char *access_log, zg_log_level_t level,
                   zg_err_t *err);
void zg_log_commit(void);
void zg_log_abort(void);
/* What stands in brackets on this thread's lines, e.g. "worker 0"; borrowed. The
 * system shows the thread under that name too. */
void zg_log_thread(const char *name);
int zg_log_on(zg_log_level_t level);
void zg_log_write(zg_log_level_t level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What keeps zgate from starting: an error, and also on standard error if the log
 * is elsewhere, where who has started it looks. */
void zg_log_fatal(const char *sentence);

/* For the log thread: tells how often lines were repeated whose time has come,
 * or all. Whether some are left. */
typedef enum zg_log_which { ZG_LOG_DUE, ZG_LOG_ALL } zg_log_which_t;
bool zg_log_tick(zg_log_which_t which);

#define zg_log(level, ...) (zg_log_on(level) ? zg_log_write((level), __VA_ARGS__) : (void)0)
#define zg_debug(...) zg_log(ZG_LOG_DEBUG, __VA_ARGS__)
#define zg_info(...)  zg_log(ZG_LOG_INFO, __VA_ARGS__)
#define zg_warn(...)  zg_log(ZG_LOG_WARN, __VA_ARGS__)
#define zg_error(...) zg_log(ZG_LOG_ERROR, __VA_ARGS__)
#define zg_alert(...) zg_log(ZG_LOG_ALERT, __VA_ARGS__)

#endif
