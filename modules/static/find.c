/* Paths that strangers choose. The kernel keeps them below the root:
 * openat2(2) with RESOLVE_BENEATH refuses "..", absolute symbolic links and
 * every other way out while it walks, so that there is no moment between a
 * check and its use. */
#include "static.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ATTEMPTS 16

/* The C library has no wrapper. */
static int open_beneath(int root, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	/* EAGAIN: something was renamed meanwhile and the kernel cannot be sure */
	for (int i = 0; i < ATTEMPTS; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

int static_find_root(const char *path, zg_err_t *err)
{
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), probe;

	if (root < 0)
		return zg_err(err, "root: cannot open %s: %s", path, strerror(errno));
	probe = open_beneath(root, ".", O_PATH | O_DIRECTORY);
	if (probe < 0) {
		int why = errno;

		close(root);
		if (why == ENOSYS || why == EPERM)
			return zg_err(err, "root: this kernel or container does not offer openat2(2), "
			              "without which files cannot be served safely; it takes Linux 5.6");
		return zg_err(err, "root: cannot open %s: %s", path, strerror(why));
	}
	close(probe);
	return root;
}

bool static_find_hidden(zg_str_t path)
{
	zg_str_t part;

	while (zg_str_cut(&path, '/', &part))
		if (part.n && part.p[0] == '.')
			return true;
	return false;
}

static static_found_t found_error(int error)
{
	switch (error) {
	case EXDEV:
		return STATIC_OUTSIDE;
	case EACCES:
	case EPERM:
		return STATIC_FORBIDDEN;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
	case EINTR:
		return STATIC_BUSY;
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case EINVAL: /* a name that this file system cannot have */
	case EILSEQ:
	case ENXIO:  /* a socket, or a device without a driver */
	case ENODEV:
		return STATIC_NOTHING;
	default:
		return STATIC_BROKEN;
	}
}

static_found_t static_find_open(int root, const char *path, static_file_t *file)
{
	struct stat st;
	int error;

	/* without O_NONBLOCK, opening a FIFO waits for a writer */
	file->fd = open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0)
		return found_error(errno);
	error = fstat(file->fd, &st) == 0 ? 0 : errno;
	if (!error && S_ISREG(st.st_mode)) {
		file->size = (uint64_t)st.st_size;
		static_condition_etag(file, &st.st_mtim);
		return STATIC_FOUND;
	}
	close(file->fd);
	file->fd = -1;
	if (error)
		return found_error(error);
	return S_ISDIR(st.st_mode) ? STATIC_FOLDER : STATIC_NOTHING;
}

int static_find_read(int fd, uint64_t offset, size_t n, zg_buf_t *out)
{
	if (zg_buf_reserve(out, n) != 0)
		return -1;
	while (n > 0) {
		ssize_t got = pread(fd, out->data + out->len, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		out->len += (size_t)got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}
