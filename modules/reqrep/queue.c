#include "reqrep.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SPARES_MAX 1024 /* freed jobs that are kept */
#define SETTLE_MS  50   /* between two looks whether workers may still come */
#define WHERE_MAX  512  /* bytes of an endpoint in a message */

/* ---- jobs ---- */

static struct reqrep_job *job_new(struct reqrep *r, zg_request_t *req)
{
	struct reqrep_job *job;

	if (zg_list_empty(&r->spare)) {
		job = malloc(sizeof *job);
		if (!job)
			return NULL;
	} else {
		job = ZG_CONTAINER(r->spare.next, struct reqrep_job, link);
		zg_list_remove(&job->link);
		r->spares--;
	}
	*job = (struct reqrep_job){ .req = req, .timeout = r->conf->timeout };
	zg_timeq_entry_init(&job->deadline);
	zg_list_append(&r->waiting, &job->link);
	r->counts->waiting++;
	req->ctx = job;
	return job;
}

/* The job is over, whatever the outcome: takes it out of everything. */
static void job_free(struct reqrep *r, struct reqrep_job *job)
{
	struct reqrep_backend *b = job->at;

	zg_list_remove(&job->link);
	zg_timeq_disarm(&job->deadline);
	if (b) {
		zg_slots_take(&r->slots, job->id);
		b->holding--;
		if (b->stray > b->holding)
			b->stray = b->holding;
		if (job->req)
			r->counts->outstanding--;
		else
			r->counts->abandoned--;
	} else {
		r->counts->waiting--;
	}
	r->shared->jobs--;
	if (r->spares < SPARES_MAX) {
		zg_list_append(&r->spare, &job->link);
		r->spares++;
	} else {
		free(job);
	}
}

/* Its client is gone, or has its answer, but the worker still has it. */
static void abandon(struct reqrep *r, struct reqrep_job *job)
{
	job->req = NULL;
	r->counts->outstanding--;
	r->counts->abandoned++;
}

static void list_free(zg_link_t *list)
{
	ZG_LIST_EACH(it, list)
		free(ZG_CONTAINER(it, struct reqrep_job, link));
	zg_list_init(list);
}

void reqrep_queue_free(struct reqrep *r)
{
	list_free(&r->spare);
	list_free(&r->waiting);
	for (size_t i = 0; i < r->backends; i++)
		list_free(&r->backend[i].held);
}

/* ---- to the workers ---- */

/* The backend to send to: of those whose window is open the one that holds
 * least, in turn among equals. NULL: none. */
static struct reqrep_backend *pick(struct reqrep *r)
{
	struct reqrep_backend *best = NULL;

	for (size_t n = 0, i = r->next; n < r->backends; n++, i++) {
		struct reqrep_backend *b;

		if (i >= r->backends)
			i = 0;
		b = &r->backend[i];
		if (reqrep_window_open(b) && (!best || b->holding < best->holding))
			best = b;
	}
	if (best)
		r->next = (size_t)(best - r->backend) + 1;
	return best;
}

/* 0, or -1 and errno EAGAIN or ENOMEM: the job waits on. */
static int job_send(struct reqrep *r, struct reqrep_backend *b, struct reqrep_job *job)
{
	zg_str_t frame[4];
	uint64_t id;
	int n = reqrep_envelope_request(r, job->req, frame + 2);

	id = n < 0 ? 0 : zg_slots_put(&r->slots, job);
	if (id == 0) {
		errno = ENOMEM;
		return -1;
	}
	frame[0] = zg_str_n(&id, sizeof id);
	frame[1] = ZG_STR_NONE;
	reqrep_window_sent(b);
	if (zg_socket_send(b->socket, frame, (size_t)n + 2) != 0) {
		zg_slots_take(&r->slots, id);
		return -1;
	}
	zg_request_handed(job->req);
	job->id = id;
	job->at = b;
	zg_list_remove(&job->link);
	zg_list_append(&b->held, &job->link);
	b->holding++;
	r->counts->waiting--;
	r->counts->outstanding++;
	return 0;
}

static void dispatch(struct reqrep *r)
{
	while (!zg_list_empty(&r->waiting)) {
		struct reqrep_backend *b = pick(r);

		if (!b)
			return;
		if (job_send(r, b, ZG_CONTAINER(r->waiting.next, struct reqrep_job, link)) == 0)
			continue;
		if (errno != EAGAIN)
			return; /* no memory: whatever happens next tries again */
		b->full = true;
	}
}

void reqrep_turn(void *ctx)
{
	struct reqrep *r = ctx;

	for (size_t i = 0; i < r->backends; i++)
		reqrep_window_measure(&r->backend[i]);
	dispatch(r);
}

/* ---- from the clients ---- */

/* Where b's workers are, for messages. */
static const char *where(const struct reqrep_backend *b, char out[WHERE_MAX])
{
	zg_socket_info_t info;
	const char *text = b->address;

	if (!text) {
		zg_socket_describe(b->socket, &info);
		text = strncmp(info.endpoints, "bind ", 5) == 0 ? info.endpoints + 5 : info.endpoints;
	}
	snprintf(out, WHERE_MAX, "%.*s", WHERE_MAX - 1, text);
	return out;
}

static void refuse_without_worker(struct reqrep *r, zg_request_t *req)
{
	char text[1024] = "";
	size_t used = 0;

	for (size_t i = 0; i < r->backends && used < sizeof text; i++) {
		char at[WHERE_MAX];

		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "; " : "",
		                         zg_socket_nobody(r->backend[i].socket, at, sizeof at));
	}
	r->counts->no_worker++;
	zg_request_problem(req, 503, "No worker is connected: %s.", text);
}

/* A reload has begun with these sockets a moment ago: workers may be coming. */
static bool settling(const struct reqrep *r)
{
	for (size_t i = 0; i < r->backends; i++)
		if (zg_socket_settling(r->backend[i].socket))
			return true;
	return false;
}

void reqrep_settle(void *ctx)
{
	struct reqrep *r = ctx;

	if (r->peers > 0)
		return;
	if (settling(r)) {
		zg_timer_set(r->settle, SETTLE_MS);
		return;
	}
	while (!zg_list_empty(&r->waiting)) {
		struct reqrep_job *job = ZG_CONTAINER(r->waiting.next, struct reqrep_job, link);
		zg_request_t *req = job->req;

		job_free(r, job);
		refuse_without_worker(r, req);
	}
}

void reqrep_accept(struct reqrep *r, zg_request_t *req)
{
	struct reqrep_job *job;

	if (r->peers == 0 && !settling(r)) {
		refuse_without_worker(r, req);
		return;
	}
	if (++r->shared->jobs > (uint64_t)r->conf->queue) {
		r->shared->jobs--;
		r->counts->queue_full++;
		zg_request_problem(req, 503, "The queue is full: %" PRId64 " requests wait for workers "
		                   "or are with them.", r->conf->queue);
		return;
	}
	job = job_new(r, req);
	if (!job) {
		r->shared->jobs--;
		r->counts->queue_full++;
		zg_request_problem(req, 503, "The gateway is out of memory.");
		return;
	}
	zg_timeq_arm(&r->deadlines, &job->deadline, zg_loop_now(r->in->loop));
	if (!r->timer_set) {
		zg_timer_set(r->timer, r->conf->timeout);
		r->timer_set = true;
	}
	if (r->peers == 0)
		zg_timer_set(r->settle, SETTLE_MS);
	dispatch(r);
}

void reqrep_forget(struct reqrep *r, struct reqrep_job *job)
{
	if (job->at)
		abandon(r, job);
	else
		job_free(r, job);
}

/* ---- outcomes ---- */

bool reqrep_finish(struct reqrep_backend *b, uint64_t id, zg_request_t **req)
{
	struct reqrep_job *job = zg_slots_get(&b->r->slots, id);

	if (!job || job->at != b)
		return false;
	*req = job->req;
	job_free(b->r, job);
	return true;
}

/* A REP that has not answered is still busy: until it does, or for as long
 * again, it gets nothing more, which would only be late as well. */
static bool still_busy(const struct reqrep_job *job)
{
	return job->at && job->req && job->at->kind != REQREP_ASYNC;
}

static void time_out(struct reqrep *r, struct reqrep_job *job, uint64_t now)
{
	struct reqrep_backend *b = job->at;
	zg_request_t *req = job->req;
	uint64_t ms = job->timeout;
	const char *unit = ms % 1000 ? "ms" : "s";
	char at[WHERE_MAX];

	if (still_busy(job)) {
		abandon(r, job);
		zg_timeq_arm(&r->deadlines, &job->deadline, now);
	} else {
		if (b && b->stray > 0)
			b->stray--;
		job_free(r, job);
	}
	if (b)
		reqrep_window_shrink(b);
	if (!req)
		return;
	if (ms % 1000 == 0)
		ms /= 1000;
	if (b)
		zg_request_problem(req, 504, "The worker at %s did not answer in %" PRIu64 "%s.",
		                   where(b, at), ms, unit);
	else
		zg_request_problem(req, 504, "No worker took the request in %" PRIu64 "%s.", ms, unit);
}

static void set_timer(struct reqrep *r, uint64_t now)
{
	const zg_timeq_entry_t *e = zg_timeq_first(&r->deadlines);

	r->timer_set = e != NULL;
	if (e)
		zg_timer_set(r->timer, e->due > now ? e->due - now : 0);
}

void reqrep_expire(void *ctx)
{
	struct reqrep *r = ctx;
	uint64_t now = zg_loop_now(r->in->loop);
	zg_timeq_entry_t *e;

	while ((e = zg_timeq_pop(&r->deadlines, now)))
		time_out(r, ZG_CONTAINER(e, struct reqrep_job, deadline), now);
	set_timer(r, now);
	dispatch(r);
}

static void lower_timeouts(zg_link_t *jobs, uint64_t ms)
{
	ZG_LIST_EACH(it, jobs) {
		struct reqrep_job *job = ZG_CONTAINER(it, struct reqrep_job, link);

		if (job->timeout > ms)
			job->timeout = ms;
	}
}

/* A request that is here already has the shorter of both times from now on. */
void reqrep_timeout_changed(struct reqrep *r)
{
	uint64_t now = zg_loop_now(r->in->loop), ms = r->conf->timeout;

	if (ms == r->deadlines.span)
		return;
	zg_timeq_set_span(&r->deadlines, ms, now);
	lower_timeouts(&r->waiting, ms);
	for (size_t i = 0; i < r->backends; i++)
		lower_timeouts(&r->backend[i].held, ms);
	set_timer(r, now);
}

/* Nobody is left who could answer what b holds. */
static void lose_all(struct reqrep_backend *b)
{
	struct reqrep *r = b->r;
	char at[WHERE_MAX];

	where(b, at);
	while (!zg_list_empty(&b->held)) {
		struct reqrep_job *job = ZG_CONTAINER(b->held.next, struct reqrep_job, link);
		zg_request_t *req = job->req;

		job_free(r, job);
		if (!req)
			continue;
		r->counts->worker_lost++;
		zg_request_problem(req, 502, "The worker at %s went away while it had this request.",
		                   at);
	}
}

void reqrep_peers_changed(struct reqrep_backend *b, int change)
{
	unsigned before = b->peers;

	b->peers = zg_socket_peers(b->socket);
	b->r->peers = b->r->peers - before + b->peers;
	if (change < 0 && (b->peers == 0 || b->address))
		lose_all(b);
	else if (change < 0)
		/* a share of what is out will not be answered, but which cannot be
		 * told: it runs into its timeout and must not hold up the others */
		b->stray += (b->holding - b->stray + before - 1) / before;
	b->full = false;
	reqrep_window_reset(b);
	zg_defer(b->r->in->loop, &b->r->turn);
}
