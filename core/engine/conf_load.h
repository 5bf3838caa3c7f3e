/* conf_load: what the steps of zg_conf_load share while a configuration is
 * read, applied and checked. Private to core/engine/conf*.c. */
#ifndef ZG_ENGINE_CONF_LOAD_H
#define ZG_ENGINE_CONF_LOAD_H

#include "engine/conf.h"
#include "engine/ini.h"

#define ZG_CONF_SET "-g" /* the "file" of what the command line sets */

typedef enum zg_part_kind { ZG_PART_GATEWAY, ZG_PART_LOCATION, ZG_PART_SERVICE } zg_part_kind_t;

/* A section that is known, on its way into its structs. */
typedef struct zg_part {
	struct zg_part *next;
	zg_ini_section_t *raw;
	zg_part_kind_t kind;
	zg_location_t *location;   /* of ZG_PART_LOCATION */
	const zg_module_t *module; /* NULL: none, or an unknown bridge */
	void *conf;                /* the module's struct */
	unsigned errors;
} zg_part_t;

/* An endpoint that something binds. */
typedef struct zg_bound {
	struct zg_bound *next;
	const char *address;
	const zg_part_t *part;
	const zg_ini_entry_t *entry;
} zg_bound_t;

/* Where an entry's values stand; kept with the configuration. */
typedef struct zg_origin {
	struct zg_origin *next;
	const zg_directive_t *row;
	const void *of;
	size_t from, to; /* items */
	const char *file;
	unsigned line;
} zg_origin_t;

typedef struct zg_load {
	const zg_conf_options_t *options;
	zg_conf_t *conf;
	const char *label; /* of the file, in errors */
	zg_ini_t ini; /* of the files; section names are canonical after reading */
	zg_ini_t set; /* of -g, in the same form */
	zg_part_t *first, **end;
	zg_bound_t *bound;
	unsigned errors;
} zg_load_t;

/* conf_report.c */
void zg_conf_error(zg_load_t *l, const char *file, unsigned line, const char *section,
                   const char *key, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* At an entry of a part, or at its section for entry == NULL. */
void zg_conf_error_at(zg_load_t *l, const zg_part_t *part, const zg_ini_entry_t *entry,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* "conf/gateway.ini:12", or "-g", into out; returns out. */
const char *zg_conf_place(const char *file, unsigned line, char out[512]);
void zg_conf_no_memory(zg_load_t *l);

/* The candidate that a word was probably meant to be. */
typedef struct zg_suggest {
	zg_str_t word;
	const char *best; /* NULL: none is near */
	unsigned distance;
} zg_suggest_t;
void zg_suggest_add(zg_suggest_t *s, const char *candidate);
void zg_suggest_rows(zg_suggest_t *s, const zg_directive_t *rows);
/* `; did you mean "best"?` or otherwise, into out; returns out. */
const char *zg_suggest_text(const zg_suggest_t *s, const char *otherwise, char out[256]);

/* conf_read.c: files, includes and -g into l->ini. */
int zg_conf_read(zg_load_t *l);

/* conf_parts.c: sections into parts; loads modules on the way. */
void zg_conf_parts(zg_load_t *l);
const zg_directive_t *zg_conf_find_row(const zg_directive_t *rows, const char *name);

/* conf_apply.c: entries of a part into its structs. */
void zg_conf_apply(zg_load_t *l, zg_part_t *part);

/* conf_values.c: what a row's type cannot say of single values. Called after
 * an entry has been set; `from` is the count of items before it. */
void zg_conf_check_value(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *entry,
                         const zg_directive_t *row, void *conf, size_t from);

#endif
