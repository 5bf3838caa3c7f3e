/* format: what a line of the access log looks like. `combined`, `json` or a text
 * with variables is compiled once, with the configuration, into an array of
 * pieces; writing a line allocates nothing. What clients sent cannot forge lines
 * or fields: in a text, control bytes, quotes, backslashes and bytes over 0x7e
 * are \xNN; in JSON, bytes that are not UTF-8 are U+FFFD. Pure. */
#ifndef ZG_ENGINE_FORMAT_H
#define ZG_ENGINE_FORMAT_H

#include "engine/directive.h"
#include <time.h>

#define ZG_FORMAT_LINE 16384 /* bytes of a line at most */
#define ZG_FORMAT_TEXT 2048  /* of one variable's; longer ones are cut, "..." says so */

/* One request, refused head or WebSocket session. Absent: n == 0, or -1. */
typedef struct zg_access {
	zg_str_t remote_addr, request_id, method, uri, protocol, host, referer, user_agent;
	zg_str_t location, bridge, outcome, ws_protocol;
	int64_t remote_port, status, bytes, request_length, worker, pid;
	int64_t request_time, waiting_time, worker_time; /* us */
	int64_t ws_received, ws_sent, ws_dropped, ws_close_code;
	struct timespec at; /* its end */
} zg_access_t;

extern const zg_access_t zg_access_none; /* all absent */

/* The variables, by name; the table ends with a NULL name. */
typedef struct zg_format_var {
	const char *name, *doc;
	enum { ZG_VAR_TEXT, ZG_VAR_NUMBER, ZG_VAR_SECONDS, ZG_VAR_MADE } kind;
	size_t offset;                                /* of the first three */
	zg_str_t (*make)(const zg_access_t *a, char room[64]); /* of the last: n == 0: absent */
} zg_format_var_t;
extern const zg_format_var_t zg_format_vars[];

/* The formats that have names, NULL-terminated. */
extern const char *const zg_format_names[];

typedef struct zg_format zg_format_t;
/* Memory is the pool's. NULL: err is a fragment, and unknown, unless it is empty,
 * the word that is no variable (or no format, without a "$" in front). */
const zg_format_t *zg_format_compile(zg_str_t text, zg_pool_t *pool, zg_err_t *err,
                                     zg_str_t *unknown);
/* Whether host, referer or user_agent are in it. */
bool zg_format_has_fields(const zg_format_t *f);
/* Writes the line with its "\n" into out; its length. */
size_t zg_format_write(const zg_format_t *f, const zg_access_t *a, char out[ZG_FORMAT_LINE]);

#endif
