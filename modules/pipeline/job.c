#include "pipeline.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define SEQUENCE_DIGITS 12 /* of an id; the rest are the tag */

struct job {
	zg_timeq_entry_t timeout;
	zg_link_t done;   /* in zg_jobs.done; in no list while pending */
	zg_msg_t *result; /* NULL while pending */
	char id[ZG_JOB_ID];
};

/* ---- ids ---- */

/* The map's hash is SipHash under the process's own random key: without that
 * key nobody can tell the tag of a number. */
static uint64_t tag_of(const zg_jobs_t *j, uint64_t sequence)
{
	unsigned char in[sizeof j->salt + sizeof sequence];

	memcpy(in, j->salt, sizeof j->salt);
	memcpy(in + sizeof j->salt, &sequence, sizeof sequence);
	return zg_map_hash(in, sizeof in);
}

void zg_job_id(zg_jobs_t *j, char out[ZG_JOB_ID + 1])
{
	uint64_t sequence = ++j->issued & 0xffffffffffff;

	snprintf(out, ZG_JOB_ID + 1, "%012" PRIx64 "%016" PRIx64, sequence, tag_of(j, sequence));
}

static bool hex(const char *p, size_t n, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		const char *digits = "0123456789abcdef", *at = p[i] ? strchr(digits, p[i]) : NULL;

		if (!at)
			return false;
		*value = *value << 4 | (uint64_t)(at - digits);
	}
	return true;
}

static bool was_issued(const zg_jobs_t *j, zg_str_t id)
{
	uint64_t sequence, tag;

	return id.n == ZG_JOB_ID && hex(id.p, SEQUENCE_DIGITS, &sequence) &&
	       hex(id.p + SEQUENCE_DIGITS, ZG_JOB_ID - SEQUENCE_DIGITS, &tag) &&
	       tag == tag_of(j, sequence);
}

/* ---- the table ---- */

static zg_str_t key_of(const struct job *job)
{
	return zg_str_n(job->id, ZG_JOB_ID);
}

static void forget(zg_jobs_t *j, struct job *job)
{
	if (job->result)
		j->counts->kept_bytes -= job->result->len;
	else
		j->counts->pending--;
	zg_map_del(&j->map, key_of(job));
	zg_timeq_disarm(&job->timeout);
	zg_list_remove(&job->done);
	zg_msg_unref(&job->result);
	free(job);
}

/* Drops the oldest result. false: there is none. */
static bool evict(zg_jobs_t *j)
{
	if (zg_list_empty(&j->done))
		return false;
	forget(j, ZG_CONTAINER(j->done.next, struct job, done));
	j->counts->evicted++;
	return true;
}

static void set_timer(zg_jobs_t *j, uint64_t now)
{
	const zg_timeq_entry_t *first = zg_timeq_first(&j->timeouts);

	if (first)
		zg_timer_set(j->timer, first->due > now ? first->due - now : 1);
}

static void on_timer(void *ctx)
{
	zg_jobs_t *j = ctx;
	uint64_t now = zg_loop_now(j->loop);
	zg_timeq_entry_t *e;

	while ((e = zg_timeq_pop(&j->timeouts, now))) {
		forget(j, ZG_CONTAINER(e, struct job, timeout));
		j->counts->expired++;
	}
	set_timer(j, now);
}

/* The timer is set for the first entry only: whoever comes later finds it
 * running, and one that is early sets itself again. */
static void arm(zg_jobs_t *j, struct job *job)
{
	uint64_t now = zg_loop_now(j->loop);
	bool first = !zg_timeq_first(&j->timeouts);

	zg_timeq_arm(&j->timeouts, &job->timeout, now);
	if (first)
		set_timer(j, now);
}

int zg_job_add(zg_jobs_t *j, const char *id)
{
	struct job *job;

	if (j->map.count >= j->map.max)
		evict(j);
	if (!(job = calloc(1, sizeof *job)))
		return -1;
	memcpy(job->id, id, ZG_JOB_ID);
	zg_timeq_entry_init(&job->timeout);
	zg_list_init(&job->done);
	if (zg_map_put(&j->map, key_of(job), job, NULL) < 0) {
		free(job);
		return -1;
	}
	arm(j, job);
	j->counts->pending++;
	return 0;
}

void zg_job_remove(zg_jobs_t *j, const char *id)
{
	struct job *job = zg_map_get(&j->map, zg_str_n(id, ZG_JOB_ID));

	if (job)
		forget(j, job);
}

/* ---- results ---- */

static void keep(zg_jobs_t *j, struct job *job, const zg_str_t *part, size_t parts)
{
	zg_msg_t *m = NULL;
	size_t size = 0, at = 0;

	for (size_t i = 0; i < parts; i++)
		size += part[i].n;
	if (size <= j->max_bytes) {
		while (j->counts->kept_bytes + size > j->max_bytes)
			evict(j);
		m = zg_msg_new(size);
	}
	if (!m) {
		zg_warn("the result of upload %.*s, %zu bytes, %s", ZG_JOB_ID, job->id, size,
		        size > j->max_bytes ? "is larger than results_size and is not kept"
		                            : "was dropped: out of memory");
		forget(j, job);
		j->counts->evicted++;
		return;
	}
	for (size_t i = 0; i < parts; i++) {
		if (part[i].n)
			memcpy(m->data + at, part[i].p, part[i].n);
		at += part[i].n;
	}
	job->result = m;
	j->counts->pending--;
	j->counts->kept_bytes += size;
	zg_list_append(&j->done, &job->done);
	arm(j, job);
}

void zg_job_finish(zg_jobs_t *j, zg_str_t id, const zg_str_t *part, size_t parts)
{
	struct job *job = zg_map_get(&j->map, id);

	if (!job)
		j->counts->unmatched_results++;
	else if (job->result)
		j->counts->duplicate_results++;
	else
		keep(j, job, part, parts);
}

zg_job_state_t zg_job_find(const zg_jobs_t *j, zg_str_t id, const zg_msg_t **result)
{
	const struct job *job = zg_map_get(&j->map, id);

	if (!job)
		return was_issued(j, id) ? ZG_JOB_GONE : ZG_JOB_UNKNOWN;
	*result = job->result;
	return job->result ? ZG_JOB_DONE : ZG_JOB_PENDING;
}

/* ---- from start to stop ---- */

int zg_job_init(zg_jobs_t *j, zg_loop_t *loop, const struct pipeline_conf *conf,
                struct pipeline_counts *counts, zg_err_t *err)
{
	*j = (zg_jobs_t){
		.map = { .max = ZG_JOB_MAX }, .loop = loop, .max_bytes = conf->results_size,
		.counts = counts,
	};
	zg_timeq_init(&j->timeouts, conf->results);
	zg_list_init(&j->done);
	if (getrandom(j->salt, sizeof j->salt, 0) != (ssize_t)sizeof j->salt)
		return zg_err(err, "no random bytes for job ids: %s", strerror(errno));
	if (!(j->timer = zg_timer_add(loop, on_timer, j)))
		return zg_err(err, "out of memory");
	return 0;
}

void zg_job_reload(zg_jobs_t *j, const struct pipeline_conf *conf)
{
	uint64_t now = zg_loop_now(j->loop);

	j->max_bytes = conf->results_size;
	while (j->counts->kept_bytes > j->max_bytes && evict(j))
		;
	if (conf->results == j->timeouts.span)
		return;
	zg_timeq_set_span(&j->timeouts, conf->results, now);
	set_timer(j, now);
}

void zg_job_free(zg_jobs_t *j)
{
	for (zg_map_entry_t *e = zg_map_next(&j->map, NULL), *next; e; e = next) {
		next = zg_map_next(&j->map, e);
		forget(j, e->value);
	}
	zg_map_free(&j->map);
	zg_timer_remove(&j->timer);
}
