/* module: what a module is. One exported descriptor with designated
 * initialisers; a static module's is named zg_module_NAME, a dynamic (.so)
 * one's zg_module. Modules keep no mutable globals: what they configure is in
 * a struct that the core allocates and fills (conf), what they run with is in
 * an instance, of which every worker has its own. */
#ifndef ZG_ENGINE_MODULE_H
#define ZG_ENGINE_MODULE_H

#include "base/list.h"
#include "base/msg.h"
#include "base/timeq.h"
#include "engine/counter.h"
#include "engine/directive.h"
#include "engine/loop.h"

#define ZG_MODULE_ABI 2

/* The name of a module's descriptor: configure builds .so modules with
 * -DZG_DYNAMIC. */
#ifdef ZG_DYNAMIC
#define ZG_MODULE(name) zg_module
#else
#define ZG_MODULE(name) zg_module_##name
#endif

typedef struct zg_request zg_request_t;   /* front/request.h */
typedef struct zg_refusal zg_refusal_t;
typedef struct zg_ws zg_ws_t;             /* front/ws.h */
typedef struct zg_worker zg_worker_t;     /* engine/worker.h */
typedef struct zg_location zg_location_t; /* engine/conf.h */
typedef struct zg_check zg_check_t;
typedef struct zg_instance zg_instance_t;
typedef struct zg_family zg_family_t;     /* engine/worker.h */

typedef enum zg_module_kind {
	ZG_BRIDGE,  /* serves locations that say `bridge = NAME` */
	ZG_SERVICE, /* configured by one section of its own, [NAME]; serves no clients */
} zg_module_kind_t;

/* Where a section's instances work when there are several workers. Whatever it
 * is, the module's code runs on one thread per instance and sees no other. */
typedef enum zg_placement {
	/* One on each worker, which know nothing of each other. */
	ZG_EVERYWHERE,
	/* One in all, at the section's home, a worker that the core picks: the core
	 * brings every request and WebSocket there, whichever worker accepted it. For
	 * what can have one owner only, such as a bound endpoint. */
	ZG_AT_HOME,
	/* One on each worker for its WebSockets; requests are brought to the home's.
	 * They work together by zg_instance_send (engine/worker.h). */
	ZG_WITH_HOME,
} zg_placement_t;

typedef struct zg_module {
	uint32_t abi; /* ZG_MODULE_ABI */
	const char *name, *doc;
	zg_module_kind_t kind;
	const zg_directive_t *directives; /* rows over conf_size bytes; may be NULL */
	size_t conf_size;
	const zg_counter_t *counters;     /* rows over counts_size bytes; may be NULL */
	size_t counts_size;
	const char *methods;              /* default of `methods`, e.g. "POST" */
	size_t shared_size;               /* of in->shared */
	zg_placement_t placement;
	zg_placement_t (*place)(const void *conf); /* if it depends on that; optional, pure */

	/* Main thread, while a configuration is checked; must not open anything.
	 * Says what is wrong with zg_check_error. */
	void (*check)(zg_check_t *check, void *conf);

	/* All below: on the worker's thread; must not block. */

	/* Opens what the instance needs and sets in->state. -1: err says why, with
	 * the endpoint; the gateway does not start. stop is not called then. */
	int (*start)(zg_instance_t *in, zg_err_t *err);
	/* A whole request, its body included. The module owns it until it calls
	 * exactly one of zg_request_reply… and zg_request_problem, at once or later. */
	void (*request)(zg_instance_t *in, zg_request_t *req);
	/* A request that is not answered yet has lost its client (or the gateway
	 * stops): forget it; it is gone after this call. */
	void (*cancel)(zg_instance_t *in, zg_request_t *req);
	/* Whether a WebSocket may open; called for every correct handshake. 0, or
	 * zg_refuse(no, status, …). NULL: this module has no WebSocket. */
	int (*handshake)(zg_instance_t *in, const zg_request_t *req, zg_refusal_t *no);
	/* Whether a GET is to be answered with a stream of events: the name of what it
	 * speaks, or NULL. If so, it is taken where it came in, whatever the placement;
	 * handshake is called with that name as its protocol, then ws_open, and so on.
	 * Optional. */
	const char *(*stream)(const zg_instance_t *in, const zg_request_t *req);
	/* The WebSocket is open; req is the handshake, valid during the call. */
	void (*ws_open)(zg_instance_t *in, zg_ws_t *ws, const zg_request_t *req);
	/* A whole message from the client, borrowed. */
	void (*ws_message)(zg_instance_t *in, zg_ws_t *ws, zg_str_t data, bool text);
	/* What was queued for the client has left; send again. Optional. */
	void (*ws_writable)(zg_instance_t *in, zg_ws_t *ws);
	/* Messages were dropped because this client is slow: return the message to
	 * send before the next one (ownership passes), or NULL. Optional. */
	zg_msg_t *(*ws_gap)(zg_instance_t *in, zg_ws_t *ws, uint64_t missed);
	/* With overflow = conflate: a fan-out had messages for this client, which is too
	 * slow for them; they are not kept. From then on, until zg_ws_caught_up, all of
	 * the fan-out's come here. When the client takes something again (ws_writable),
	 * the module sends it the newest. Optional. */
	void (*ws_lag)(zg_instance_t *in, zg_ws_t *ws, uint64_t messages);
	/* The client is gone; forget ws. */
	void (*ws_close)(zg_instance_t *in, zg_ws_t *ws);
	/* No new work will come; what is in flight goes on. Optional, idempotent. */
	void (*drain)(zg_instance_t *in);
	/* What it accepted and ZeroMQ has not taken yet; a drain waits until it is 0.
	 * Optional. */
	uint64_t (*pending)(const zg_instance_t *in);
	/* The operator changed directives that are not `fixed`: in->conf and
	 * in->location are new from now on; nothing of the old ones may be kept.
	 * Optional: without it a change of the module's own directives starts the
	 * instance anew. Never fails. */
	void (*reload)(zg_instance_t *in);
	/* Close everything. Requests and WebSockets are gone already. Never fails. */
	void (*stop)(zg_instance_t *in);
} zg_module_t;

/* A location (or service) at work on one worker. */
struct zg_instance {
	const zg_module_t *module;
	const zg_location_t *location; /* NULL for a service */
	const char *name;              /* "/prices", or the service's name; for messages */
	const void *conf;              /* the module's struct, immutable */
	void *state;                   /* the module's */
	void *counts;                  /* the module's counters, zeroed */
	struct zg_location_counts *common; /* the core's counters of this location */
	zg_loop_t *loop;
	zg_worker_t *worker;
	zg_family_t *family;           /* its siblings on the other workers */
	void *shared;                  /* module->shared_size bytes that all of them share, zeroed
	                                * at first: for atomics only */
	zg_link_t sockets; /* of the ZeroMQ sockets it opened (zmq/socket.h) */
	zg_link_t clients; /* of its open WebSockets (front/ws.h) */
	zg_link_t link;    /* worker->instances */
	zg_timeq_t pings;  /* the WebSocket front's */
	bool started;      /* false: a stub, the home works for it */
	/* the crew's: a reload gave it up; until when it may work on, ms; 0: it is at work */
	uint64_t dropped_until;
	bool resting;
};

/* Only inside a check hook: reports that the directive of this section
 * (NULL: the section itself) is wrong; the core adds file, line and section. */
void zg_check_error(zg_check_t *check, const char *directive, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The location being checked; NULL for a service. */
const zg_location_t *zg_check_location(const zg_check_t *check);

/* Registration, one for static and dynamic modules: the list grows by those
 * that have this ABI and a free name. Main thread only. */
extern const zg_module_t *const zg_modules_static[]; /* generated by configure */
typedef struct zg_modules {
	const zg_module_t *item[64];
	void *handle[64]; /* of dlopen; NULL for static ones */
	size_t count;
} zg_modules_t;
int zg_modules_add(zg_modules_t *m, const zg_module_t *module, void *handle, const char *from,
                   zg_err_t *err);
int zg_modules_load(zg_modules_t *m, const char *path, zg_err_t *err);
const zg_module_t *zg_modules_find(const zg_modules_t *m, zg_str_t name);
void zg_modules_unload(zg_modules_t *m);

#endif
