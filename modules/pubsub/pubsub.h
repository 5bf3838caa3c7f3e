/* pubsub: what the files of this module share.
 *
 * Every worker has a struct pubsub with the clients it serves. The location's
 * home has a struct hub besides: the ZeroMQ sockets, the numbering of messages,
 * what is kept of them. A worker asks its hub for topics and for what its
 * clients missed; the hub sends it the messages it asked for. Between two
 * workers this goes by letters, which arrive in the order they were sent; at
 * home the same functions are called at once. So whatever the worker, a client
 * gets every message once and in the hub's order. */
#ifndef PUBSUB_H
#define PUBSUB_H

#include "zgate.h"

#define PUBSUB_TOPIC_MAX    512    /* bytes of a topic that a client names */
#define PUBSUB_TOPICS_MAX   100000 /* distinct topics that the clients of a worker have */
#define PUBSUB_RAW_MAX      256    /* topics of one client: in a query, */
#define PUBSUB_V1_MAX       4096   /* over zgate.v1 and ZWS2.0 */
#define PUBSUB_SHARED_MAX   256    /* a client with more topics shares its group with nobody */
#define PUBSUB_WATCH_MAX    64     /* topics whose presence one client watches */
#define PUBSUB_FRAMES_MAX   64     /* the most that a ZeroMQ socket of the gateway delivers */
#define PUBSUB_CURSOR_SIZE  64     /* "EPOCH-SEQUENCE-LISTENED" and a NUL */

enum { PUBSUB_SINGLE, PUBSUB_MULTIPART };

struct pubsub_conf {
	zg_endpoints_t sub, pub;
	zg_list_t topics;
	int framing;
	zg_list_t publish_topics;
	bool publish_required;
	const char *history;
	bool last_value;
	uint64_t history_size;
	/* made of history */
	uint64_t history_count, history_ms;
};

struct pubsub_counts {
	uint64_t received, unmatched, undelivered, published, publish_failed, errors;
	uint64_t subscriptions, clients;
	uint64_t kept, kept_bytes, resumed, replayed, missed, worker_dropped, conflated;
};

/* In family->shared. */
struct pubsub_shared {
	_Atomic uint64_t epoch; /* of the cursors; never 0 once an instance has started */
};

/* ---- messages (event.c) ---- */

/* A place in what came: the number of the newest message, and how often the hub had
 * begun to listen to a prefix by then. The latter tells whether a topic has been
 * listened to since that place without a break. */
struct pubsub_place {
	uint64_t seq, listened;
};

/* A message as it came, with its place. */
struct pubsub_message {
	struct pubsub_place at;
	const zg_str_t *frame;
	size_t frames;
};

/* The same, kept: for other workers, or for those who come later. */
struct pubsub_event {
	_Atomic unsigned refs;
	struct pubsub_message m;
	uint64_t at;  /* ms, when it came */
	size_t bytes; /* of memory */
	zg_str_t frame[];
};
struct pubsub_event *pubsub_event_new(const struct pubsub_message *m, uint64_t now);
struct pubsub_event *pubsub_event_ref(struct pubsub_event *e);
void pubsub_event_unref(struct pubsub_event *e); /* any thread */
/* Its topic: the first frame of several, else what stands before the first blank. */
zg_str_t pubsub_topic_of(const struct pubsub_message *m);

/* A place in the sequence of messages, as clients name it. */
void pubsub_cursor_text(const zg_instance_t *in, struct pubsub_place at,
                        char out[PUBSUB_CURSOR_SIZE]);
/* Where to resume. -1: that is no cursor. *ours: it is of this epoch; else *at is 0. */
int pubsub_cursor_parse(const zg_instance_t *in, zg_str_t text, struct pubsub_place *at, bool *ours);

/* ---- topics and groups (topic.c, group.c) ---- */

/* A topic that clients of a worker asked for, kept once. */
struct pubsub_topic {
	size_t refs;     /* sets and asks that have it */
	size_t wanted;   /* of these, for how many the hub has to send it */
	size_t clients;  /* that receive it */
	bool held;       /* while what is offered changes */
	size_t len;
	char text[];
};

/* Topics, each once, sorted by address: equal sets have equal bytes. */
struct pubsub_set {
	struct pubsub_topic **item;
	size_t n;
};

enum pubsub_encoding {
	PUBSUB_RAW,      /* WebSocket without subprotocol */
	PUBSUB_V1,       /* zgate.v1 */
	PUBSUB_ZWS,      /* ZWS2.0 */
	PUBSUB_SSE,      /* events that carry what PUBSUB_RAW would */
	PUBSUB_SSE_JSON, /* events that carry what PUBSUB_V1 would */
	PUBSUB_POLL,     /* what PUBSUB_V1 would, for one answer */
	PUBSUB_ENCODINGS
};

/* The clients that receive the same bytes: those with the same encoding and
 * the same topics. A message is matched and encoded for the group, once. */
struct pubsub_group {
	zg_link_t link;               /* p->all_groups */
	zg_fanout_t fanout;
	uint64_t stamp;               /* of the last message it got */
	uint64_t first;               /* number of the first message in the burst */
	enum pubsub_encoding encoding;
	bool deflates;                /* large messages are compressed */
	struct pubsub_set topics;
	/* What the trie holds as subscribers: the addresses of these pointers, so
	 * that "everything", where that stands for each of the configured
	 * prefixes, and one of these prefixes by name come and go apart. */
	struct pubsub_group *by_name, *by_all;
};

struct pubsub_client {
	zg_ws_t *ws;
	enum pubsub_encoding encoding;
	struct pubsub_group *group;  /* NULL: none yet */
	unsigned errors;             /* in a row */
	/* what it has asked for and does not receive yet (resume.c) */
	struct pubsub_set asked;
	struct pubsub_set wants;     /* as the hub knows it: "everything" may be several */
	size_t wanted;               /* how many of these it was told of */
	struct pubsub_ask *ask;      /* with the hub */
	bool op;                     /* by an operation of zgate.v1; else by its query */
	char *op_id;                 /* JSON, to answer with; NULL: none */
	bool joining, paused, resumes, foreign, latest;
	struct pubsub_place since;
	zg_defer_t again;
	zg_link_t publications;      /* with the hub */
	unsigned watches;            /* of presence */
	struct poll *poll;           /* whose answer it gathers; or NULL */
	/* overflow = conflate (lag.c): how many messages it did not take, after which */
	uint64_t lagged, lag_after;
	struct pubsub_zws *zws;      /* zws.c */
};

struct pubsub {
	zg_instance_t *in;
	const struct pubsub_conf *conf;
	struct pubsub_counts *counts;
	struct hub *hub;         /* NULL: another worker is the home */
	bool publishes;
	zg_trie_t *trie;         /* prefix -> group */
	zg_map_t topics, groups; /* text -> topic; encoding and set -> group */
	zg_link_t all_groups;
	zg_link_t watches;       /* of presence */
	zg_timer_t *look_around; /* while there are any; made when first needed */
	struct keep *newest;     /* of each topic; NULL: overflow is not conflate */
	struct pubsub_set offered; /* the configured prefixes */
	uint64_t stamp;          /* of the message being delivered */
	struct pubsub_place at;  /* as far as this worker knows */
	size_t publishing;       /* bytes on their way to the hub */
	zg_buf_t json, sse, joined, deflated, out;
	zg_deflate_t deflate;
	zg_timeq_t asks;         /* zws.c */
	zg_timer_t *ask_timer;
	struct pubsub_set wanted; /* room for PUBSUB_V1_MAX; see group.c */
};

/* One reference more. NULL: errno ENOSPC or ENOMEM. */
struct pubsub_topic *pubsub_topic_ref(struct pubsub *p, zg_str_t text);
void pubsub_topic_unref(struct pubsub *p, struct pubsub_topic *t);
/* The hub is to send its messages, from now on / as far as this caller goes no
 * longer. -1: errno. */
int pubsub_topic_want(struct pubsub *p, struct pubsub_topic *t);
void pubsub_topic_unwant(struct pubsub *p, struct pubsub_topic *t);
static inline zg_str_t pubsub_topic_text(const struct pubsub_topic *t)
{
	return zg_str_n(t->text, t->len);
}
/* "" is everything that the configuration offers. */
bool pubsub_means_offer(const struct pubsub *p, const struct pubsub_topic *t);
/* Whether the configuration lets clients subscribe to it. */
bool pubsub_allowed(const struct pubsub *p, zg_str_t topic);

/* To change what a client receives: begin, add and drop, settle; settle always
 * has to follow. */

/* Begins with what the client has now. */
void pubsub_want(struct pubsub *p, const struct pubsub_client *c);
/* -1: errno ENOSPC (too many topics) or ENOMEM. */
int pubsub_want_add(struct pubsub *p, zg_str_t topic);
void pubsub_want_drop(struct pubsub *p, zg_str_t topic);
/* From now on the client receives what was wanted. What was received before has
 * been sent. -1: as above, and the client receives what it did before. */
int pubsub_settle(struct pubsub *p, struct pubsub_client *c);
void pubsub_leave(struct pubsub *p, struct pubsub_client *c);
/* Whether the client receives that message already. */
bool pubsub_receives(const struct pubsub *p, const struct pubsub_client *c, zg_str_t first_frame);
/* Other prefixes are offered: "everything" means those now. */
void pubsub_offer(struct pubsub *p, const zg_list_t *prefixes);

/* ---- encoding (message.c) ---- */

/* To all clients of this worker that have its topic; whether there was one. */
bool pubsub_deliver(struct pubsub *p, const struct pubsub_message *m);
/* Keeps it for those that lag (conflate only); e is m, or NULL: not made yet. */
void pubsub_lag_note(struct pubsub *p, const struct pubsub_message *m, struct pubsub_event *e);
/* Appends it, encoded for the client. -1: out of memory. */
int pubsub_encode(struct pubsub *p, const struct pubsub_client *c, const struct pubsub_message *m,
                  zg_burst_t *to);
/* What tells a client that messages are missing: how many, or (known false) that
 * this cannot be known, as the gateway has started since. NULL: this encoding has
 * no way to tell, or out of memory. */
zg_msg_t *pubsub_gap(enum pubsub_encoding encoding, uint64_t missed, bool known);
/* Gives back what large messages have left. */
void pubsub_forget_large(zg_buf_t *b);
/* Appends bytes in base64, in quotes. */
int pubsub_add_base64(zg_buf_t *b, zg_str_t data);

/* ---- the home (hub.c) ---- */

struct hub;
struct links;
struct pubsub_ask;

/* At home only. -1: err says why; p->hub is to be closed all the same. */
int pubsub_hub_open(struct pubsub *p, zg_err_t *err);
void pubsub_hub_close(struct hub **h);
/* history and last_value have changed. */
void pubsub_hub_reload(struct hub *h);
/* By the configured framing. 0, or -1 and errno: EACCES (not in publish_topics),
 * EHOSTUNREACH (nobody subscribes, and publish_required), EAGAIN (ZeroMQ takes no
 * more), ENOMEM. */
int pubsub_hub_publish(struct hub *h, zg_str_t topic, zg_str_t data);
/* The same with these frames as they are. */
int pubsub_hub_publish_frames(struct hub *h, const zg_str_t *frame, size_t frames);
/* A worker wants a prefix, or no longer. 0, or -1 and errno. */
int pubsub_hub_add(struct hub *h, zg_str_t prefix);
void pubsub_hub_remove(struct hub *h, zg_str_t prefix);
void pubsub_hub_answer(struct hub *h, struct pubsub_ask *ask);
struct links *pubsub_hub_links(struct hub *h);

/* ---- what the home keeps (keep.c) ---- */

struct keep;
/* head: the newest message's number. counts may be NULL. Keeps values until
 * pubsub_keep_reload says otherwise. */
struct keep *pubsub_keep_new(zg_instance_t *in, struct pubsub_counts *counts, uint64_t head);
void pubsub_keep_free(struct keep **k);
void pubsub_keep_reload(struct keep *k);
/* Takes over a reference. */
void pubsub_keep_add(struct keep *k, struct pubsub_event *e);
void pubsub_keep_value(struct keep *k, struct pubsub_event *e);
/* A message could not be kept: nothing up to it is. */
void pubsub_keep_lost(struct keep *k, uint64_t seq);
/* Calls fn for the values newer than `since`, the newest first, until it says
 * false. */
void pubsub_keep_newer(const struct keep *k, uint64_t since,
                       bool (*fn)(void *ctx, struct pubsub_event *e), void *ctx);
/* Fills in the answer; head is the place of the newest message. */
void pubsub_keep_answer(struct keep *k, struct pubsub_place head, struct pubsub_ask *ask);

/* ---- the way to the home and back (link.c) ---- */

/* This worker wants a prefix, or no longer. 0, or -1 and errno. */
int pubsub_hub_want(struct pubsub *p, zg_str_t prefix);
void pubsub_hub_unwant(struct pubsub *p, zg_str_t prefix);

/* What a client missed: asked of the hub, answered with a piece of it. */
struct pubsub_ask {
	zg_letter_t letter;
	struct pubsub_client *client; /* the worker's: NULL if it has gone */
	unsigned from;                /* worker */
	bool resumes, foreign, latest; /* what to give: after `since`; or the last values */
	struct pubsub_place since;
	size_t topics;
	/* the answer */
	struct pubsub_event **event;
	size_t events;
	uint64_t missed;  /* messages after `since` that are not kept any more; not all of them
	                   * need be of these topics */
	bool unknown;     /* how many were missed cannot be known */
	bool more;        /* ask again, after upto */
	struct pubsub_place upto;
	zg_str_t topic[]; /* the texts follow */
};
/* pubsub_answered follows, perhaps during the call. */
void pubsub_hub_ask(struct pubsub *p, struct pubsub_ask *ask);
void pubsub_ask_free(struct pubsub_ask *ask);

/* From a client, on its way to the hub. */
struct pubsub_publication {
	zg_letter_t letter;
	zg_link_t link;               /* client->publications */
	struct pubsub_client *client; /* the worker's: NULL if it has gone */
	unsigned from;
	char *id;                     /* JSON, to answer with; NULL: none */
	bool as_it_is;                /* without an answer; else frame is topic and data */
	int rc;
	size_t bytes, frames;
	zg_str_t frame[];             /* their bytes follow */
};
/* 0: published; 1: pubsub_v1_published follows; -1: errno as of
 * pubsub_hub_publish. id is copied. */
int pubsub_publish(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, zg_str_t data,
                   const char *id);
/* The same with up to PUBSUB_FRAMES_MAX frames as they are. What cannot be published is
 * counted; a client that may not is closed. */
void pubsub_publish_frames(struct pubsub *p, struct pubsub_client *c, const zg_str_t *frame,
                           size_t frames);

/* The home's: to the other workers that want it. */
struct links *pubsub_links_new(struct pubsub *p);
void pubsub_links_free(struct links **l);
int pubsub_links_add(struct links *l, unsigned worker, zg_str_t prefix);
void pubsub_links_remove(struct links *l, unsigned worker, zg_str_t prefix);
/* Whether another worker wants it; *event is made when first needed. */
bool pubsub_links_send(struct links *l, const struct pubsub_message *m, struct pubsub_event **event);

/* ---- clients (resume.c, v1.c) ---- */

struct pubsub_begin {
	bool resumes;   /* after since; else with the last values, or what comes */
	bool foreign;   /* its cursor is not of this epoch */
	struct pubsub_place since;
};
/* Asks for topics (the set is taken over); the client is not read until it has
 * joined. */
void pubsub_join(struct pubsub *p, struct pubsub_client *c, struct pubsub_set topics,
                 struct pubsub_begin begin);
/* The answer is in it. Takes it over. */
void pubsub_answered(struct pubsub *p, struct pubsub_ask *ask);
/* What was sent has left: goes on with what it missed. */
void pubsub_resume_more(struct pubsub *p, struct pubsub_client *c);
void pubsub_resume_init(struct pubsub_client *c);
void pubsub_resume_forget(struct pubsub *p, struct pubsub_client *c);
/* lag.c: the newest of each topic to clients that are too slow for all. */
void pubsub_lag(struct pubsub *p, struct pubsub_client *c, uint64_t messages);
void pubsub_lag_catch_up(struct pubsub *p, struct pubsub_client *c);
/* -1: out of memory. */
int pubsub_lag_reload(struct pubsub *p);
/* n messages did not reach this worker. */
void pubsub_tell_missed(struct pubsub *p, uint64_t n);

void pubsub_set_free(struct pubsub *p, struct pubsub_set *s);
int pubsub_set_add(struct pubsub *p, struct pubsub_set *s, zg_str_t topic);

#define PUBSUB_V1_NAME     "zgate.v1"
/* What is no subprotocol of WebSocket has a name for the front all the same. */
#define PUBSUB_EVENTS      "event stream"
#define PUBSUB_EVENTS_JSON "event json"
#define PUBSUB_ANSWER      "answer"

void pubsub_v1_message(struct pubsub *p, struct pubsub_client *c, zg_str_t data, bool text);
/* The client has joined. why: errno, 0: it worked. */
void pubsub_v1_joined(struct pubsub *p, struct pubsub_client *c, int why);
void pubsub_v1_published(struct pubsub *p, struct pubsub_client *c, const char *id, int why);
void pubsub_v1_presence(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, size_t n,
                        const char *id);

/* ---- requests that wait; at home ---- */

/* What req->ctx of a request points to while it waits. */
struct pubsub_waiting {
	void (*cancel)(struct pubsub_waiting *w); /* the request is forgotten */
};

/* poll.c: a GET that waits for messages. */
void pubsub_poll(struct pubsub *p, zg_request_t *req);
/* What gathers its answer is being closed. */
void pubsub_poll_lost(struct poll *poll);
/* presence.c: who has which topic. */
void pubsub_presence(struct pubsub *p, zg_request_t *req);
/* The client is told how many have the topic, now (with id) and when it changes.
 * -1: errno ENOSPC or ENOMEM. */
int pubsub_watch(struct pubsub *p, struct pubsub_client *c, zg_str_t topic, const char *id);
void pubsub_unwatch(struct pubsub *p, struct pubsub_client *c, zg_str_t topic);
void pubsub_unwatch_all(struct pubsub *p, struct pubsub_client *c);
/* What such an errno means, as a sentence without its period. */
const char *pubsub_why_not(int why);

/* ---- what a request asks for (query.c) ---- */

/* -1: the answer is in no. */
int pubsub_check_query(struct pubsub *p, const zg_request_t *req, zg_refusal_t *no);
/* -1: that is no cursor. */
int pubsub_begin_of(const struct pubsub *p, const zg_request_t *req, struct pubsub_begin *begin);
/* Adds to the set; without topics in the query, everything or nothing. -1: errno. */
int pubsub_topics_of(struct pubsub *p, enum pubsub_encoding encoding, const zg_request_t *req,
                     struct pubsub_set *set);
/* By the name that the front has for it; -1: there is none. */
int pubsub_encoding_of(zg_str_t protocol);
/* The module's stream hook. */
const char *pubsub_stream(const zg_instance_t *in, const zg_request_t *req);

/* ---- ZWS2.0 (zws.c) ---- */

#define PUBSUB_ZWS_NAME "ZWS2.0"
#define PUBSUB_ZWS_HEAD 11 /* bytes before a frame: the WebSocket's header and the flags */

/* Once a worker. -1: out of memory. */
int pubsub_zws_start(struct pubsub *p);
void pubsub_zws_stop(struct pubsub *p);
/* has_topics: the query names some. -1: out of memory. */
int pubsub_zws_open(struct pubsub_client *c, bool has_topics);
void pubsub_zws_message(struct pubsub *p, struct pubsub_client *c, zg_str_t data, bool text);
void pubsub_zws_close(struct pubsub_client *c);
/* A WebSocket message for each frame, to be sent as ZG_WS_BYTES: two parts for each,
 * of which the first is in head. Returns how many parts. */
size_t pubsub_zws_encode(const struct pubsub_message *m, zg_str_t part[2 * PUBSUB_FRAMES_MAX],
                         unsigned char head[PUBSUB_FRAMES_MAX][PUBSUB_ZWS_HEAD]);

#endif
