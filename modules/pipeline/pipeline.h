/* pipeline: uploads to PUSH, results from PULL. One instance's state and what
 * its files share: pipeline.c (the module, GET and the stream of results),
 * upload.c (requests into the queue, the queue into PUSH), meta.c (the JSON
 * head of framing = meta), job.c (ids, and what became of each). All on the
 * instance's thread; nothing blocks. There is one instance, at the location's
 * home, unless `push` only connects and there is no `pull`: then every worker has
 * one, and they share the limits of the queue. */
#ifndef ZG_PIPELINE_H
#define ZG_PIPELINE_H

#include "zgate.h"

/* ---- configuration and counters ---- */

enum { PIPELINE_BODY, PIPELINE_ID, PIPELINE_META };

struct pipeline_conf {
	zg_endpoints_t push, pull;
	int framing;
	int64_t queue;
	uint64_t queue_size;
	uint64_t results;
	uint64_t results_size;
};

struct pipeline_counts {
	uint64_t uploads, queued, queued_bytes, handed_over;
	uint64_t refused_no_worker, refused_full;
	uint64_t results, duplicate_results, unmatched_results, unheard_results;
	uint64_t pending, kept_bytes, expired, evicted;
	uint64_t discarded_at_stop;
};

/* Of all instances together: what waits in their queues. */
struct pipeline_shared {
	_Atomic uint64_t uploads, bytes;
};

/* ---- job.c ---- */

#define ZG_JOB_ID  28     /* characters of an id */
#define ZG_JOB_MAX 100000 /* uploads whose outcome is remembered */

typedef struct zg_jobs {
	zg_map_t map;        /* id to its job */
	zg_timeq_t timeouts; /* of all jobs */
	zg_link_t done;      /* those with a result, oldest first */
	zg_timer_t *timer;
	zg_loop_t *loop;
	uint64_t issued, max_bytes;
	unsigned char salt[16]; /* so that no other instance's ids look like this one's */
	struct pipeline_counts *counts;
} zg_jobs_t;

typedef enum zg_job_state {
	ZG_JOB_UNKNOWN, /* never issued */
	ZG_JOB_GONE,    /* issued, but no longer (or never) remembered */
	ZG_JOB_PENDING,
	ZG_JOB_DONE,
} zg_job_state_t;

int zg_job_init(zg_jobs_t *j, zg_loop_t *loop, const struct pipeline_conf *conf,
                struct pipeline_counts *counts, zg_err_t *err);
void zg_job_free(zg_jobs_t *j);
/* `results` and `results_size` have changed. */
void zg_job_reload(zg_jobs_t *j, const struct pipeline_conf *conf);
/* Issues the next id, NUL-terminated. */
void zg_job_id(zg_jobs_t *j, char out[ZG_JOB_ID + 1]);
/* Remembers an id as pending. -1: errno ENOSPC (too many are pending) or ENOMEM. */
int zg_job_add(zg_jobs_t *j, const char *id);
/* Forgets it, if it is there. */
void zg_job_remove(zg_jobs_t *j, const char *id);
/* A result came: keeps the parts, joined, for its id. Counts what it is. */
void zg_job_finish(zg_jobs_t *j, zg_str_t id, const zg_str_t *part, size_t parts);
/* *result is set when DONE, borrowed. */
zg_job_state_t zg_job_find(const zg_jobs_t *j, zg_str_t id, const zg_msg_t **result);

/* ---- meta.c ---- */

/* What is uploaded: a request's body, or one file of a form. */
struct pipeline_file {
	zg_str_t body, filename, content_type; /* p == NULL: not told */
};

/* Appends {"id","filename","content_type","bytes","sha256"}. -1: errno EMSGSIZE
 * (over b's cap) or ENOMEM. */
int zg_meta_add(zg_buf_t *b, const char *id, const struct pipeline_file *file);

/* ---- upload.c ---- */

struct pipeline {
	zg_instance_t *in;
	const struct pipeline_conf *conf;
	struct pipeline_counts *counts;
	struct pipeline_shared *shared;
	uint64_t max_frame; /* of a result; libzmq takes another only when it connects or binds */
	zg_socket_t *push, *pull;
	bool by_id;      /* results are kept for GET PATH/ID */
	zg_link_t queue; /* uploads that PUSH has not taken; counts say how many */
	zg_jobs_t jobs;
	zg_fanout_t stream;
};

/* Queues all that a POST or PUT carries, or nothing, and answers. */
void zg_upload_take(struct pipeline *p, zg_request_t *req);
/* Hands over what PUSH takes. */
void zg_upload_flush(struct pipeline *p);
/* Frees the queue; returns how many uploads were in it. */
uint64_t zg_upload_discard(struct pipeline *p);

#endif
