/* pubsub: what the files of this module share. One struct pubsub per worker
 * and location; everything runs on that worker's thread. */
#ifndef PUBSUB_H
#define PUBSUB_H

#include "zgate.h"

#define PUBSUB_TOPIC_MAX    512    /* bytes of a topic that a client names */
#define PUBSUB_TOPICS_MAX   100000 /* distinct topics that the clients of a location have */
#define PUBSUB_RAW_MAX      256    /* topics of one client: in a query, */
#define PUBSUB_V1_MAX       4096   /* over zgate.v1 */
#define PUBSUB_SHARED_MAX   256    /* a client with more topics shares its group with nobody */

enum { PUBSUB_SINGLE, PUBSUB_MULTIPART };

struct pubsub_conf {
	zg_endpoints_t sub, pub;
	zg_list_t topics;
	int framing;
};

struct pubsub_counts {
	uint64_t received, unmatched, undelivered, published, publish_failed, errors;
	uint64_t subscriptions, clients;
};

/* A topic that clients asked for, kept once. */
struct pubsub_topic {
	size_t refs; /* sets that it is in */
	size_t len;
	char text[];
};

/* Topics, each once, sorted by address: equal sets have equal bytes. */
struct pubsub_set {
	struct pubsub_topic **item;
	size_t n;
};

enum pubsub_encoding { PUBSUB_RAW, PUBSUB_V1 };

/* The clients that receive the same bytes: those with the same encoding and
 * the same topics. A message is matched and encoded for the group, once. */
struct pubsub_group {
	zg_fanout_t fanout;
	uint64_t stamp;               /* of the last message it got */
	enum pubsub_encoding encoding;
	struct pubsub_set topics;
	/* What the trie holds as subscribers: the addresses of these pointers, so
	 * that "everything", where that stands for each of the configured
	 * prefixes, and one of these prefixes by name come and go apart. */
	struct pubsub_group *by_name, *by_all;
};

struct pubsub_client {
	zg_ws_t *ws;
	enum pubsub_encoding encoding;
	struct pubsub_group *group; /* NULL: none yet */
	unsigned errors;            /* in a row */
};

struct pubsub {
	zg_instance_t *in;
	const struct pubsub_conf *conf;
	struct pubsub_counts *counts;
	zg_socket_t *sub, *pub;  /* pub: NULL if not configured */
	zg_trie_t *trie;         /* prefix -> group */
	zg_map_t topics, groups; /* text -> topic; encoding and set -> group */
	uint64_t stamp;          /* of the message being delivered */
	zg_buf_t json, joined, out;
	struct pubsub_set wanted; /* room for PUBSUB_V1_MAX; see group.c */
};

/* group.c: who receives what. To change what a client receives: begin, add and
 * drop, settle; settle always has to follow. */

/* Begins with what the client has now. */
void pubsub_want(struct pubsub *p, const struct pubsub_client *c);
/* -1: errno ENOSPC (too many topics) or ENOMEM. */
int pubsub_want_add(struct pubsub *p, zg_str_t topic);
void pubsub_want_drop(struct pubsub *p, zg_str_t topic);
/* From now on the client receives what was wanted; upstream subscriptions
 * are made and given up. What was received before has been sent. -1: as
 * above, and the client receives what it did before. */
int pubsub_settle(struct pubsub *p, struct pubsub_client *c);
void pubsub_leave(struct pubsub *p, struct pubsub_client *c);
/* Whether the configuration lets clients subscribe to it. */
bool pubsub_allowed(const struct pubsub *p, zg_str_t topic);

/* message.c: what comes from and goes to ZeroMQ */

/* The message hook of the sub socket. */
void pubsub_received(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames);
/* By the configured framing. 0, or -1: nothing was sent. Counts. */
int pubsub_publish(struct pubsub *p, zg_str_t topic, zg_str_t data);
/* As it is, in one frame. */
int pubsub_publish_raw(struct pubsub *p, zg_str_t data);
/* Appends bytes in base64, in quotes. */
int pubsub_add_base64(zg_buf_t *b, zg_str_t data);

/* v1.c: the subprotocol zgate.v1 */

#define PUBSUB_V1_NAME "zgate.v1"

void pubsub_v1_open(struct pubsub *p, struct pubsub_client *c, zg_str_t topic);
void pubsub_v1_message(struct pubsub *p, struct pubsub_client *c, zg_str_t data, bool text);
zg_msg_t *pubsub_v1_gap(uint64_t missed);

#endif
