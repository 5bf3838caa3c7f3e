#include "gateway/limits.h"

#include <malloc.h>
#include <sys/resource.h>

/* Bodies and frames of some 64 KiB come and go with every request: without this
 * glibc gives their memory back to the kernel each time and faults it in anew. */
void zg_limits_keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
}

void zg_limits_raise_descriptors(const zg_conf_t *conf)
{
	struct rlimit r;
	rlim_t want = (rlim_t)conf->gateway.max_connections + 1024;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	if (r.rlim_cur < want) {
		r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur < want)
		zg_warn("max_connections = %lld needs %llu descriptors, the limit is %llu: accepting "
		        "will pause before that many are open (ulimit -n, LimitNOFILE=)",
		        (long long)conf->gateway.max_connections, (unsigned long long)want,
		        (unsigned long long)r.rlim_cur);
}
