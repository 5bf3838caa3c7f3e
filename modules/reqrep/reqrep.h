/* reqrep: what the files of this module share. One struct reqrep per instance,
 * all on its worker's thread: at the location's home if it binds, else on every
 * worker, each with connections of its own. */
#ifndef REQREP_H
#define REQREP_H

#include "zgate.h"

enum { REQREP_ENVELOPE_NONE, REQREP_ENVELOPE_HTTP };

struct reqrep_conf {
	zg_endpoints_t req;
	uint64_t timeout, max_reply;
	int64_t queue;
	int envelope;
	const char *content_type;
};

/* Beside the core's (engine/worker.h): why requests were refused or failed. */
struct reqrep_counts {
	uint64_t worker_lost, no_worker, queue_full, bad_replies;
	uint64_t late_replies, malformed_replies;
	uint64_t waiting, outstanding, abandoned;
};

/* Of the location, whichever worker has them. */
struct reqrep_shared {
	_Atomic uint64_t jobs; /* all there are, at most conf->queue */
};

/* A request from its arrival to its outcome. When its client leaves, or has
 * been told that time is up, while a worker has it, the rest of it stays until
 * the worker answers, is lost, or `timeout` has passed (again): the worker is
 * still busy, and what it is busy with counts against `queue`. */
struct reqrep_job {
	zg_link_t link;            /* in reqrep.waiting or in its backend's held */
	zg_timeq_entry_t deadline;
	uint64_t timeout;          /* ms: it is told of at the deadline */
	zg_request_t *req;         /* NULL: nobody waits for the reply any more */
	struct reqrep_backend *at; /* who has it; NULL: it waits */
	uint64_t id;               /* what the worker knows it by */
};

enum reqrep_peer { REQREP_UNKNOWN, REQREP_ONE_AT_A_TIME, REQREP_ASYNC };

/* A DEALER and the workers behind it: those at one connecting endpoint, or
 * all that connect to the bound ones. */
struct reqrep_backend {
	struct reqrep *r;
	zg_socket_t *socket;
	const char *address;   /* NULL: bound */
	zg_link_t held;        /* jobs sent and not answered, oldest first */
	unsigned holding;      /* how many */
	unsigned stray;        /* of them, those that a lost peer probably had */
	unsigned window;       /* how many there may be */
	unsigned peers;
	enum reqrep_peer kind;
	bool full;             /* EAGAIN: wait for writable */
	uint64_t since;        /* ns: when the work now being measured began */
	uint64_t service;      /* ns a reply, smoothed; 0: not measured yet */
	uint64_t replies;      /* since then */
};

struct reqrep {
	zg_instance_t *in;
	const struct reqrep_conf *conf;
	struct reqrep_counts *counts;
	struct reqrep_shared *shared;
	zg_slots_t slots;         /* ids of the jobs that workers have */
	zg_link_t waiting;        /* jobs, in the order of arrival */
	zg_timeq_t deadlines;
	zg_timer_t *timer;
	bool timer_set;
	zg_timer_t *settle;       /* runs while requests wait for workers yet to come */
	zg_defer_t turn;          /* once after a turn in which something changed */
	zg_link_t spare;          /* freed jobs, to be used again */
	unsigned spares;
	zg_buf_t scratch;         /* the head being built */
	unsigned peers;           /* of all backends */
	zg_endpoint_t *endpoint;  /* conf->req, the bound ones first */
	size_t backends, next;    /* next: where the round robin goes on */
	struct reqrep_backend backend[];
};

/* queue.c: jobs, and which worker gets them when */

/* Takes the request in, or answers it 503. */
void reqrep_accept(struct reqrep *r, zg_request_t *req);
/* The client is gone. */
void reqrep_forget(struct reqrep *r, struct reqrep_job *job);
/* The job that id names if b has it: it is over, and freed. Returns its
 * request through req (NULL: nobody waits). false: b has no such job. */
bool reqrep_finish(struct reqrep_backend *b, uint64_t id, zg_request_t **req);
/* The peers of b changed. */
void reqrep_peers_changed(struct reqrep_backend *b, int change);
void reqrep_turn(void *r);    /* zg_fn, of reqrep.turn */
void reqrep_expire(void *r);  /* zg_fn, of reqrep.timer */
void reqrep_settle(void *r);  /* zg_fn, of reqrep.settle */
/* `timeout` has changed. */
void reqrep_timeout_changed(struct reqrep *r);
/* Frees every job; requests are gone already. */
void reqrep_queue_free(struct reqrep *r);

/* window.c: how much a worker may hold */

/* `queue` has changed. */
void reqrep_window_resize(struct reqrep_backend *b);
/* Its peers changed: nothing is known of them. */
void reqrep_window_reset(struct reqrep_backend *b);
/* It did not answer in time: what was measured no longer holds. */
void reqrep_window_shrink(struct reqrep_backend *b);
/* A message is about to be sent to b. */
void reqrep_window_sent(struct reqrep_backend *b);
/* A reply came from b; inside the message callback. */
void reqrep_window_replied(struct reqrep_backend *b);
/* At the end of the turn. */
void reqrep_window_measure(struct reqrep_backend *b);
bool reqrep_window_open(const struct reqrep_backend *b);

/* envelope.c: what goes to workers and what comes from them */

/* Fills the frames after id and delimiter, at most 2; the head's bytes are in
 * r->scratch until the next call. Their number, -1: out of memory. */
int reqrep_envelope_request(struct reqrep *r, const zg_request_t *req, zg_str_t *frame);
/* Answers the request with the frames after id and delimiter, and counts it. */
void reqrep_envelope_reply(struct reqrep *r, zg_request_t *req, const zg_str_t *frame,
                           size_t frames);
/* Answers 502 because of what the worker replied, and counts it. */
void reqrep_envelope_bad(struct reqrep *r, zg_request_t *req, const char *why);

/* head.c: the reply head of `envelope = http` */

typedef struct reqrep_head {
	unsigned status;
	const char *content_type; /* NULL: none given */
	void *json;               /* holds the strings */
} reqrep_head_t;

#define REQREP_HEAD_MAX 65536 /* bytes of a reply's head */

/* Reads the head and adds its header fields to the answer. -1: err says what
 * the worker's author has to change; the request has no field added. */
int reqrep_head_apply(reqrep_head_t *h, zg_str_t text, zg_request_t *req, zg_err_t *err);
void reqrep_head_free(reqrep_head_t *h);

#endif
