/* socket: a ZeroMQ socket on the loop, with a monitor that knows its peers.
 * Non-blocking throughout; reading goes in bounded bursts, so that a busy
 * socket starves nobody. Belongs to the worker's thread. */
#ifndef ZG_ZMQ_SOCKET_H
#define ZG_ZMQ_SOCKET_H

#include "base/str.h"
#include "engine/directive.h"
#include "engine/module.h"

typedef struct zg_socket zg_socket_t;

typedef enum zg_socket_type {
	ZG_SOCKET_DEALER, ZG_SOCKET_ROUTER, ZG_SOCKET_REP, ZG_SOCKET_PUB, ZG_SOCKET_XPUB,
	ZG_SOCKET_SUB,
	ZG_SOCKET_PUSH, ZG_SOCKET_PULL, ZG_SOCKET_PAIR,
} zg_socket_type_t;

typedef struct zg_socket_options {
	const char *name;        /* the directive, for messages and status: "req" */
	zg_socket_type_t type;
	const zg_endpoint_t *endpoint;
	size_t endpoints;
	int send_hwm, receive_hwm; /* messages per peer; 0: 1000 */
	uint64_t max_message;    /* bytes of one incoming frame; a peer over it is cut off; 0: 1m */
	/* A whole message; frames are borrowed for the call. */
	void (*message)(void *ctx, zg_socket_t *s, const zg_str_t *frame, size_t frames);
	/* After a send failed with EAGAIN: sending may work again. Optional. */
	void (*writable)(void *ctx, zg_socket_t *s);
	/* peers changed; what arrived from a lost peer has been delivered before.
	 * change is 1 or -1. Optional. */
	void (*peers)(void *ctx, zg_socket_t *s, int change);
	void *ctx;
} zg_socket_options_t;

/* Opens, binds and connects everything. NULL: err names the endpoint and the
 * reason ("address already in use"). The strings of options are borrowed. An
 * address that a reload takes over from an instance which still has it
 * (worker->freed) is bound as soon as that one is stopped. */
zg_socket_t *zg_socket_open(zg_instance_t *in, const zg_socket_options_t *options, zg_err_t *err);
/* What is unsent lingers for linger_ms, then is dropped. Nulls the handle. */
void zg_socket_close(zg_socket_t **s, int linger_ms);
/* For a stop hook: how long what ZeroMQ has been given may still take to leave
 * without holding up the end. */
int zg_socket_linger(const zg_instance_t *in);
/* Sends one message, copying. 0, or -1: errno EAGAIN (no peer, or its queue
 * is full; nothing was sent) or ENOMEM. */
int zg_socket_send(zg_socket_t *s, const zg_str_t *frame, size_t frames);
/* SUB only. */
int zg_socket_subscribe(zg_socket_t *s, zg_str_t prefix);
int zg_socket_unsubscribe(zg_socket_t *s, zg_str_t prefix);
/* Stops and goes on delivering messages; ZeroMQ then holds its peers back. */
void zg_socket_pause(zg_socket_t *s);
void zg_socket_resume(zg_socket_t *s);
/* Peers whose handshake is complete. */
unsigned zg_socket_peers(const zg_socket_t *s);
/* A reload opened it a moment ago in place of one that had peers, and they have
 * not had the time to come: what needs one should wait rather than be refused. */
bool zg_socket_settling(const zg_socket_t *s);
/* The socket type the last message's peer announced ("REP", "ROUTER"); "" if
 * it did not. Inside the message callback only. */
const char *zg_socket_peer_type(const zg_socket_t *s);

typedef struct zg_socket_info {
	const char *name, *type;
	unsigned peers;
	uint64_t sent, received, discarded, disconnects, handshakes_failed;
	bool bound;              /* has a bound endpoint */
	char endpoints[512];     /* as opened: with the real port of a wildcard */
	char state[160];         /* one sentence: "1 peer connected", "nobody listens …" */
	char trouble[112];       /* of it, what is wrong beside the peers; "" for nothing */
} zg_socket_info_t;
void zg_socket_describe(const zg_socket_t *s, zg_socket_info_t *info);
/* Says `state` anew after peers have been added up. */
void zg_socket_say_peers(zg_socket_info_t *info);

/* In the order of how much they are worth telling. */
typedef enum zg_endpoint_state {
	ZG_ENDPOINT_CONNECTED,
	ZG_ENDPOINT_BOUND,            /* whoever is there: see peers */
	ZG_ENDPOINT_CONNECTING,       /* the first attempt is under way */
	ZG_ENDPOINT_HANDSHAKING,      /* somebody is there, and has not spoken ZeroMQ yet */
	ZG_ENDPOINT_LOST,             /* was connected; to be tried again */
	ZG_ENDPOINT_UNREACHABLE,      /* no such name, no way there, or no answer */
	ZG_ENDPOINT_REFUSED,          /* nobody listens there */
	ZG_ENDPOINT_HANDSHAKE_FAILED, /* whoever is there does not speak ZeroMQ with us */
	ZG_ENDPOINT_WRONG_TYPE,       /* a socket of a type that does not fit ours */
	ZG_ENDPOINT_STATES
} zg_endpoint_state_t;
/* "handshake_failed" */
const char *zg_endpoint_state_name(zg_endpoint_state_t state);

typedef struct zg_endpoint_info {
	char address[256];  /* as opened: with the real port of a wildcard */
	bool bound;
	zg_endpoint_state_t state;
	uint64_t since;     /* when the state began, by the loop's clock */
	unsigned peers;
	uint64_t attempts;  /* to connect that failed, since the last that did not */
	uint64_t disconnects, handshakes_failed;
	char text[160];     /* the state as a clause: "nobody listens there" */
} zg_endpoint_info_t;
size_t zg_socket_endpoints(const zg_socket_t *s);
void zg_socket_describe_endpoint(const zg_socket_t *s, size_t i, zg_endpoint_info_t *info);
/* Why nobody is there, for an answer of 503: every endpoint and its state, into
 * out (cut if too long); returns out. */
const char *zg_socket_nobody(const zg_socket_t *s, char *out, size_t size);
/* Walks an instance's sockets: start with NULL. */
zg_socket_t *zg_socket_next(const zg_instance_t *in, zg_socket_t *at);

#endif
