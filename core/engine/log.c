#include "engine/log.h"

#include "base/clock.h"
#include "engine/logfile.h"
#include "engine/repeat.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define SAME_TEXT      20  /* lines shown in ZG_REPEAT_MS */
#define SAME_CALL      100

const char *const zg_log_level_names[] = { "debug", "info", "warn", "error", "alert", NULL };

static atomic_int threshold = ZG_LOG_INFO;
static zg_log_level_t prepared = ZG_LOG_INFO;
static _Thread_local const char *thread_name;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of repeats */
static zg_repeat_t repeats;

/* ---- targets and levels ---- */

int zg_log_prepare(const char *error_log, const char *access_log, zg_log_level_t level,
                   zg_err_t *err)
{
	if (zg_logfile_prepare(ZG_LOGFILE_ERROR, error_log, err) != 0 ||
	    zg_logfile_prepare(ZG_LOGFILE_ACCESS, access_log, err) != 0) {
		zg_logfile_abort();
		return -1;
	}
	prepared = level;
	return 0;
}

void zg_log_commit(void)
{
	zg_logfile_commit();
	atomic_store(&threshold, (int)prepared);
}

void zg_log_abort(void)
{
	zg_logfile_abort();
}

void zg_log_thread(const char *name)
{
	thread_name = name;
	if (name && gettid() != getpid())
		pthread_setname_np(pthread_self(), name);
}

int zg_log_on(zg_log_level_t level)
{
	return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* ---- lines ---- */

/* Copies in to out with control bytes as \xNN. Returns the length. */
static size_t escape(char *out, size_t room, const char *in)
{
	size_t n = 0;

	for (; *in && n + 5 < room; in++) {
		unsigned char c = (unsigned char)*in;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	return n;
}

static void put(zg_log_level_t level, const char *text)
{
	char line[LINE_MAX_BYTES + 128];
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %-5s [%s] ",
	                      ts.tv_nsec / 1000000, zg_log_level_names[level],
	                      thread_name ? thread_name : "main");
	n += escape(line + n, sizeof line - n - 1, text);
	line[n++] = '\n';
	zg_logfile_error(line, n);
}

/* ---- repeats ---- */

static void tell(const zg_repeat_slot_t *over, uint64_t now)
{
	char text[320];

	if (over->hidden == 0)
		return;
	snprintf(text, sizeof text, "%llu more lines like this in %llu s are not shown: %s",
	         (unsigned long long)over->hidden,
	         (unsigned long long)(now - over->since + 999) / 1000, over->text);
	put((zg_log_level_t)over->level, text);
}

/* A call of zg_log is known by its format, which is one string literal. */
static bool shows(zg_log_level_t level, const char *format, const char *text)
{
	uint64_t call = zg_repeat_key(zg_str_n(&format, sizeof format));
	zg_repeat_slot_t over[2] = { 0 };
	uint64_t now = zg_clock_ms();
	bool show, first;

	if (level == ZG_LOG_DEBUG || level == ZG_LOG_ALERT)
		return true;
	pthread_mutex_lock(&lock);
	first = repeats.hiding == 0;
	show = zg_repeat_shows(&repeats, call, SAME_CALL, (int)level, text, now, &over[0]);
	if (show && level >= ZG_LOG_WARN)
		show = zg_repeat_shows(&repeats, zg_repeat_key(zg_str(text)), SAME_TEXT, (int)level, text,
		                       now, &over[1]);
	pthread_mutex_unlock(&lock);
	tell(&over[0], now);
	tell(&over[1], now);
	if (!show && first)
		zg_logfile_wake(); /* it has to tell, even if this was the last */
	return show;
}

bool zg_log_tick(zg_log_which_t which)
{
	uint64_t now = zg_clock_ms();
	zg_repeat_slot_t over;
	bool more = true, left;

	while (more) {
		pthread_mutex_lock(&lock);
		more = zg_repeat_take(&repeats, which == ZG_LOG_ALL ? UINT64_MAX : now, &over);
		left = repeats.hiding > 0;
		pthread_mutex_unlock(&lock);
		if (more)
			tell(&over, now);
	}
	return left;
}

void zg_log_write(zg_log_level_t level, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (shows(level, format, text))
		put(level, text);
	errno = saved;
}

void zg_log_fatal(const char *sentence)
{
	char line[LINE_MAX_BYTES] = "zgate: ";
	size_t n = strlen(line);

	zg_error("%s", sentence);
	n += escape(line + n, sizeof line - n - 1, sentence);
	line[n++] = '\n';
	zg_logfile_elsewhere(line, n);
}
