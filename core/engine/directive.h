/* directive: one typed row per directive. The row carries the name, the field
 * it fills, default, bounds and help; it parses (zg_directive_set), prints
 * (zg_directive_text) and lists itself. A struct that rows fill is zeroed by
 * the core and owned by the configuration, as is every string in it. */
#ifndef ZG_ENGINE_DIRECTIVE_H
#define ZG_ENGINE_DIRECTIVE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"
#include "base/str.h"
#include <stddef.h>
#include <stdint.h>

typedef enum zg_type {
	ZG_TYPE_MSEC,   /* uint64_t, milliseconds */
	ZG_TYPE_SIZE,   /* uint64_t, bytes        */
	ZG_TYPE_INT,    /* int64_t                */
	ZG_TYPE_BOOL,   /* bool                   */
	ZG_TYPE_STRING, /* const char *           */
	ZG_TYPE_PATH,   /* const char *, made absolute against the prefix */
	ZG_TYPE_ENUM,   /* int, an index into .choices */
	ZG_TYPE_LIST,   /* zg_list_t: words; repeatable */
	ZG_TYPE_SOCKET, /* zg_endpoints_t: connect|bind ENDPOINT…; repeatable */
	ZG_TYPE_NETS,   /* zg_nets_t: address blocks; repeatable */
} zg_type_t;

typedef struct zg_list {
	const char **item;
	size_t count;
} zg_list_t;

typedef struct zg_endpoint {
	bool bind;           /* else connect */
	const char *address; /* tcp:// ipc:// or inproc://, checked */
} zg_endpoint_t;

typedef struct zg_endpoints {
	zg_endpoint_t *item;
	size_t count;
} zg_endpoints_t;

typedef struct zg_nets {
	zg_net_t *item;
	size_t count;
} zg_nets_t;

typedef struct zg_directive {
	const char *name;
	zg_type_t type;
	size_t offset;
	const char *def;             /* as an operator would write it; NULL: none */
	const char *min, *max;       /* for numbers, in the same notation */
	const char *const *choices;  /* for ZG_TYPE_ENUM, NULL-terminated; for ZG_TYPE_INT, one
	                              * word that stands for 0; for ZG_TYPE_PATH, words that are
	                              * no path */
	bool required;
	bool fixed;                  /* read at start only: a reload that changes it starts the
	                              * location anew. Sockets are always */
	const char *doc;             /* one sentence */
} zg_directive_t;

#define ZG_ROW(st, field, ctype, t, ...)                                                   \
	{ .name = #field, .type = (t),                                                     \
	  .offset = offsetof(st, field) + 0 * sizeof(&((st *)0)->field == (ctype *)0),     \
	  __VA_ARGS__ }
#define ZG_MSEC(st, field, ...)   ZG_ROW(st, field, uint64_t, ZG_TYPE_MSEC, __VA_ARGS__)
#define ZG_SIZE(st, field, ...)   ZG_ROW(st, field, uint64_t, ZG_TYPE_SIZE, __VA_ARGS__)
#define ZG_INT(st, field, ...)    ZG_ROW(st, field, int64_t, ZG_TYPE_INT, __VA_ARGS__)
#define ZG_BOOL(st, field, ...)   ZG_ROW(st, field, bool, ZG_TYPE_BOOL, __VA_ARGS__)
#define ZG_STRING(st, field, ...) ZG_ROW(st, field, const char *, ZG_TYPE_STRING, __VA_ARGS__)
#define ZG_PATH(st, field, ...)   ZG_ROW(st, field, const char *, ZG_TYPE_PATH, __VA_ARGS__)
#define ZG_ENUM(st, field, ...)   ZG_ROW(st, field, int, ZG_TYPE_ENUM, __VA_ARGS__)
#define ZG_LIST(st, field, ...)   ZG_ROW(st, field, zg_list_t, ZG_TYPE_LIST, __VA_ARGS__)
#define ZG_SOCKET(st, field, ...) ZG_ROW(st, field, zg_endpoints_t, ZG_TYPE_SOCKET, __VA_ARGS__)
#define ZG_NETS(st, field, ...)   ZG_ROW(st, field, zg_nets_t, ZG_TYPE_NETS, __VA_ARGS__)
#define ZG_DIRECTIVE_END          { .name = NULL }

/* Memory that lives as long as one configuration. */
typedef struct zg_pool zg_pool_t;
zg_pool_t *zg_pool_new(void);
void zg_pool_free(zg_pool_t **pool);
/* Zeroed; NULL when out of memory. */
void *zg_pool_alloc(zg_pool_t *pool, size_t n);
char *zg_pool_strdup(zg_pool_t *pool, zg_str_t s);

/* Parses text into the row's field of the struct at conf; lists grow with
 * each call. prefix (for ZG_TYPE_PATH) ends in no slash. -1: err is a fragment
 * such as `"5x" is no time; write 250ms, 5s, 2m or 1h`. */
int zg_directive_set(const zg_directive_t *row, void *conf, zg_str_t text, const char *prefix,
                     zg_pool_t *pool, zg_err_t *err);
bool zg_directive_repeats(const zg_directive_t *row);
/* Appends the value in effect as `NAME = VALUE` lines. */
int zg_directive_text(const zg_directive_t *row, const void *conf, zg_buf_t *out);
/* What -L and the manual say of a row. Its type: "time", "none|http", "connect|bind
 * ENDPOINT…"; and what bounds it: "default 30s, 1ms to 1h", or nothing. */
int zg_directive_type(const zg_directive_t *row, zg_buf_t *out);
int zg_directive_bounds(const zg_directive_t *row, zg_buf_t *out);

#endif
