#include "gateway/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long read_id(int fd)
{
	char text[24] = "";

	return pread(fd, text, sizeof text - 1, 0) > 0 ? atol(text) : 0;
}

/* The lock belongs to the open file, so a child that inherits it keeps it too. */
static int lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &l);
}

/* Whether the file under this name is still the one that was opened: who had it
 * may have removed it in between. */
static bool is_there(const char *path, int fd)
{
	struct stat a, b;

	return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int open_locked(const char *path, long *other)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

		*other = 0;
		if (fd < 0)
			return -1;
		if (lock(fd) != 0) {
			int error = errno;

			if (error == EAGAIN || error == EACCES)
				*other = read_id(fd);
			close(fd);
			errno = error;
			return -1;
		}
		if (is_there(path, fd))
			return fd;
		close(fd);
	}
}

int zg_pid_open(zg_pid_t *p, const char *path, zg_err_t *err)
{
	char text[24];
	long other;
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	*p = (zg_pid_t){ .fd = -1 };
	if (!path)
		return 0;
	if ((p->fd = open_locked(path, &other)) < 0) {
		if (other)
			return zg_err(err, "pid: %s belongs to process %ld, a zgate that runs; stop it "
			              "(zgate -s stop), or give this one another file", path, other);
		return zg_err(err, "pid: cannot write %s: %s", path, strerror(errno));
	}
	if (!(p->path = strdup(path)))
		errno = ENOMEM;
	if (p->path && ftruncate(p->fd, 0) == 0 && pwrite(p->fd, text, (size_t)n, 0) == n)
		return 0;
	zg_err(err, "pid: cannot write %s: %s", path, strerror(errno));
	unlink(path);
	zg_pid_forget(p);
	return -1;
}

void zg_pid_close(zg_pid_t *p)
{
	if (p->path && unlink(p->path) != 0 && ftruncate(p->fd, 0) != 0) {
		/* it is not locked any more, which says it as well */
	}
	zg_pid_forget(p);
}

void zg_pid_forget(zg_pid_t *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->path);
	*p = (zg_pid_t){ .fd = -1 };
}

zg_pid_state_t zg_pid_look(const char *path, long *id)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool locked;

	*id = 0;
	if (fd < 0)
		return ZG_PID_UNKNOWN;
	*id = read_id(fd);
	locked = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
	close(fd);
	return locked ? ZG_PID_RUNS : ZG_PID_STALE;
}
