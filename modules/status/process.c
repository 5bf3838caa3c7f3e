#include "status.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* These files are the kernel's answers, not a disk's: reading does not wait. */

static uint64_t process_memory(void)
{
	unsigned long total, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_descriptors(void)
{
	struct stat st;
	uint64_t n = 0;
	DIR *dir;

	/* Linux 6.2 and later give the number as the folder's size */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* without the one that counted */
}

status_process_t status_process_read(const zg_worker_t *w)
{
	const zg_common_t *c = w->common;
	uint64_t now = zg_loop_now(w->loop), configured = c->configured;
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return (status_process_t){
		.pid = (int)getpid(),
		/* another thread's clock may have been read a moment later */
		.uptime_ms = now > c->started ? now - c->started : 0,
		.configured_ms = now > configured ? now - configured : 0,
		.reloads = c->reloads,
		.reloads_failed = c->reloads_failed,
		.draining = c->draining,
		.memory_bytes = process_memory(),
		.descriptors = process_descriptors(),
		.descriptors_max = limit.rlim_cur,
	};
}
