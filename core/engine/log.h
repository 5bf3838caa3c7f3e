/* log: one line a call, written with one write(2), so that threads do not
 * mix. Any thread. Control bytes in a line are shown as \xNN: what clients send
 * cannot forge lines. `alert` is for what must never happen; tests fail on it. */
#ifndef ZG_ENGINE_LOG_H
#define ZG_ENGINE_LOG_H

typedef enum zg_log_level {
	ZG_LOG_DEBUG,
	ZG_LOG_INFO,
	ZG_LOG_WARN,
	ZG_LOG_ERROR,
	ZG_LOG_ALERT,
} zg_log_level_t;

extern const char *const zg_log_level_names[]; /* NULL-terminated, for the directive */

/* Until this is called: standard error, level info. path NULL: standard
 * error. -1 and errno when the file cannot be opened; nothing changed. */
int zg_log_open(const char *path, zg_log_level_t level);
/* What stands in brackets on this thread's lines, e.g. "worker 0"; borrowed. */
void zg_log_thread(const char *name);
int zg_log_on(zg_log_level_t level);
void zg_log_write(zg_log_level_t level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define zg_log(level, ...) (zg_log_on(level) ? zg_log_write((level), __VA_ARGS__) : (void)0)
#define zg_debug(...) zg_log(ZG_LOG_DEBUG, __VA_ARGS__)
#define zg_info(...)  zg_log(ZG_LOG_INFO, __VA_ARGS__)
#define zg_warn(...)  zg_log(ZG_LOG_WARN, __VA_ARGS__)
#define zg_error(...) zg_log(ZG_LOG_ERROR, __VA_ARGS__)
#define zg_alert(...) zg_log(ZG_LOG_ALERT, __VA_ARGS__)

#endif
