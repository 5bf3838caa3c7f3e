/* conf: one checked configuration. Immutable once zg_conf_load has returned
 * it, and without live handles: every worker reads it, nobody writes. */
#ifndef ZG_ENGINE_CONF_H
#define ZG_ENGINE_CONF_H

#include "engine/directive.h"
#include "engine/format.h"
#include "engine/log.h"
#include "engine/module.h"

/* Methods as bits, for `methods`. */
enum {
	ZG_GET = 1, ZG_HEAD = 2, ZG_POST = 4, ZG_PUT = 8, ZG_DELETE = 16, ZG_PATCH = 32,
	ZG_OPTIONS = 64,
};
unsigned zg_method_bit(zg_str_t method); /* 0: none of these */
/* "GET, HEAD, POST" into out; returns out. */
const char *zg_method_list(unsigned bits, char out[64]);

typedef struct zg_gateway { /* [gateway] */
	zg_list_t listen, load_module, include;
	int64_t workers; /* 0: as many as there are processors (zg_conf_workers) */
	int64_t max_connections;
	bool master;
	int log_level;
	const char *error_log, *access_log, *access_format, *pid, *user, *group;
	uint64_t header_timeout, body_timeout, idle_timeout, shutdown_timeout;
	uint64_t max_header, max_body;
	/* made from them */
	const zg_format_t *format; /* of the access log */
} zg_gateway_t;

enum { ZG_OVERFLOW_DROP_OLDEST, ZG_OVERFLOW_DISCONNECT, ZG_OVERFLOW_CONFLATE };

struct zg_location { /* [location PATH] */
	const char *name;    /* as written: "/x" or "= /x" */
	zg_str_t path;       /* without the "=" and a trailing slash; "/" is "/" */
	bool exact;
	unsigned index;      /* in zg_conf_t.location */
	const zg_module_t *module;
	void *conf;
	/* directives of every location */
	const char *bridge;
	zg_list_t methods, origins;
	uint64_t max_body;
	zg_nets_t allow, deny;
	uint64_t ping, client_queue;
	int overflow;
	int64_t max_rate;
	/* made from them */
	unsigned method_bits;
	unsigned line;
	const char *file;
};

typedef struct zg_service { /* [NAME] */
	const zg_module_t *module;
	void *conf;
} zg_service_t;

typedef struct zg_conf {
	zg_gateway_t gateway;
	zg_location_t **location; /* longest path first, exact before prefix */
	size_t locations;
	zg_service_t *service;
	size_t services;
	const char *prefix, *file;
	zg_modules_t *modules;
	zg_pool_t *pool;
	struct zg_origin *origins; /* where each value stands (zg_conf_origin) */
} zg_conf_t;

/* How many workers run: `workers`, or for auto the processors this process may
 * use, 64 at most. */
unsigned zg_conf_workers(const zg_conf_t *conf);

typedef struct zg_conf_options {
	const char *prefix;      /* absolute, no trailing slash */
	const char *file;        /* absolute */
	const char *const *set;  /* of -g: "section.key=value", NULL-terminated, or NULL */
	bool faulty;             /* what has errors is returned all the same: to look at, never to run */
	/* called for every error, a whole sentence with FILE:LINE: [section] key: */
	void (*error)(void *ctx, const char *sentence);
	void *ctx;
} zg_conf_options_t;

/* NULL after at least one call of error; with `faulty` only if memory ran out. */
zg_conf_t *zg_conf_load(const zg_conf_options_t *options);
void zg_conf_free(zg_conf_t **conf);
/* The configuration in effect, as an INI file. */
int zg_conf_print(const zg_conf_t *conf, zg_buf_t *out);
/* Every directive with type, default, bounds and help; of one module, or "gateway",
 * "location", or all (NULL); or the variables of "access_format". -1: no such module. */
int zg_conf_list(const zg_modules_t *modules, const char *which, zg_buf_t *out);

/* What a counter's value is, in words: "now", "since the start". */
const char *zg_conf_counter_kind(const zg_counter_t *row);
/* Where a value stands, for a sentence about it: "conf/gateway.ini:12", "-g", or
 * for a default the file alone, into out; returns out. of: the struct that the
 * row fills; item: which of the values, where the row takes several. */
const char *zg_conf_origin(const zg_conf_t *conf, const zg_directive_t *row, const void *of,
                           size_t item, char out[512]);

extern const zg_directive_t zg_conf_gateway_rows[], zg_conf_location_rows[];

#endif
