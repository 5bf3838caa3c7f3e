/* ini: the raw tree of a gateway.ini: sections and entries as they stand in
 * the file, each with its place. inih splits names from values; a reader of
 * our own in front of it judges every raw line, because inih 55 by itself
 * takes the tail of a long line for a new directive, cuts long section names,
 * reports no line numbers and is silent about empty sections. */
#ifndef ZG_ENGINE_INI_H
#define ZG_ENGINE_INI_H

#include "engine/directive.h"

#define ZG_INI_LINE_MAX 198 /* bytes; INI_MAX_LINE holds "\n" and NUL too */
#define ZG_INI_NAME_MAX 49  /* bytes of a key that inih keeps whole */

typedef struct zg_ini_entry {
	struct zg_ini_entry *next;
	const char *name, *value;
	const char *file;
	unsigned line;  /* 0: not of a file */
	bool continued; /* an indented line that goes on with the entry before it */
} zg_ini_entry_t;

typedef struct zg_ini_section {
	struct zg_ini_section *next;
	const char *name; /* what stands in the brackets, trimmed */
	const char *file;
	unsigned line;
	zg_ini_entry_t *first, **end;
} zg_ini_section_t;

/* Reports what is wrong; line 0: the file itself, section and key may be NULL. */
typedef void (*zg_ini_error_fn)(void *ctx, const char *file, unsigned line, const char *section,
                                const char *key, const char *text);

typedef struct zg_ini {
	zg_pool_t *pool;
	zg_ini_section_t *first, **end;
	zg_ini_error_fn error;
	void *ctx;
} zg_ini_t;

void zg_ini_init(zg_ini_t *ini, zg_pool_t *pool, zg_ini_error_fn error, void *ctx);
/* Appends the file's sections. label names it in errors and is borrowed. Wrong
 * lines are reported and left out. -1: the file could not be read (err says
 * why; nothing was reported for that). */
int zg_ini_read(zg_ini_t *ini, const char *path, const char *label, zg_err_t *err);
/* Appends an empty section; NULL when out of memory. name is copied. */
zg_ini_section_t *zg_ini_add_section(zg_ini_t *ini, zg_str_t name, const char *file,
                                     unsigned line);
/* Appends an entry; NULL when out of memory. Strings are copied. */
zg_ini_entry_t *zg_ini_add_entry(zg_pool_t *pool, zg_ini_section_t *section, zg_str_t name,
                                 zg_str_t value, const char *file, unsigned line);
/* The section's first entry of that name, NULL if there is none. */
zg_ini_entry_t *zg_ini_find(const zg_ini_section_t *section, const char *name);
/* Removes every entry of that name. */
void zg_ini_remove(zg_ini_section_t *section, const char *name);

#endif
