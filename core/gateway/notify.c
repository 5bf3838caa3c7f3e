#include "gateway/notify.h"

#include "gateway/channel.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int through = -1;

void zg_notify_through(int channel)
{
	through = channel;
}

void zg_notify(const char *state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	int fd;

	if (n && through >= 0) {
		zg_channel_notify(through, state);
		return;
	}
	if (n < 2 || n >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0'; /* the abstract namespace */
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un, len) < 0) {
		/* systemd will say that it heard nothing */
	}
	close(fd);
}

void zg_notify_reloading(void)
{
	struct timespec t;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
	         (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	zg_notify(text);
}

void zg_notify_status(const char *format, ...)
{
	char text[300] = "STATUS=";
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + strlen(text), sizeof text - strlen(text), format, ap);
	va_end(ap);
	zg_notify(text);
}

uint64_t zg_notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long ms = usec ? atoll(usec) / 2000 : 0;

	/* it names the main process: this one, or the master */
	if (pid && atol(pid) != (long)(through < 0 ? getpid() : getppid()))
		return 0;
	return ms > 0 ? (uint64_t)ms : 0;
}
