/* The parts of the status module. They read what the worker has; the rows of
 * the counters' tables decide what is shown, so nothing here names a counter. */
#ifndef STATUS_H
#define STATUS_H

#include "zgate.h"

typedef struct status_process {
	int pid;
	uint64_t uptime_ms, memory_bytes, descriptors, descriptors_max;
} status_process_t;

/* process.c: what the kernel says of this process; 0 where it says nothing. */
status_process_t status_process_read(const zg_worker_t *w);

/* Both -1 when the text is too long or memory has run out. */

/* json.c: the whole document. */
int status_json_write(const zg_worker_t *w, zg_buf_t *out);
/* metrics.c: Prometheus' text format, version 0.0.4. */
int status_metrics_write(const zg_worker_t *w, zg_buf_t *out);

/* The locations, then the services, by number; NULL behind the last. */
static inline const zg_instance_t *status_instance(const zg_worker_t *w, size_t i)
{
	size_t locations = w->conf->locations;

	if (i < locations)
		return w->location[i];
	return i - locations < w->conf->services ? w->service[i - locations] : NULL;
}

#endif
