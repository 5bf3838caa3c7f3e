#include "engine/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

const char *const zg_log_level_names[] = { "debug", "info", "warn", "error", "alert", NULL };

static atomic_int target = STDERR_FILENO;
static atomic_int threshold = ZG_LOG_INFO;
static _Thread_local const char *thread_name;

int zg_log_open(const char *path, zg_log_level_t level)
{
	int fd = STDERR_FILENO, old;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0)
			return -1;
	}
	old = atomic_exchange(&target, fd);
	if (old != STDERR_FILENO && old != fd)
		close(old);
	atomic_store(&threshold, (int)level);
	return 0;
}

void zg_log_thread(const char *name)
{
	thread_name = name;
}

int zg_log_on(zg_log_level_t level)
{
	return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

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

void zg_log_write(zg_log_level_t level, const char *format, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128];
	struct timespec ts;
	struct tm tm;
	size_t n;
	va_list ap;
	int saved = errno;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %-5s [%s] ",
	                      ts.tv_nsec / 1000000, zg_log_level_names[level],
	                      thread_name ? thread_name : "main");
	n += escape(line + n, sizeof line - n - 1, text);
	line[n++] = '\n';
	/* a log that cannot be written has nowhere to say so */
	if (write(atomic_load(&target), line, n) < 0)
		errno = saved;
	errno = saved;
}
