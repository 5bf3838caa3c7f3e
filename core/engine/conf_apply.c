/* Entries of a part into its structs, by the rows of its tables. */
#include "engine/conf_load.h"
#include <stdio.h>

struct table {
	const zg_directive_t *rows; /* may be NULL */
	void *conf;
};

/* A location has the core's rows and its module's. */
static void tables_of(zg_load_t *l, const zg_part_t *part, struct table t[2])
{
	t[0] = t[1] = (struct table){ NULL, NULL };
	if (part->kind == ZG_PART_GATEWAY)
		t[0] = (struct table){ zg_conf_gateway_rows, &l->conf->gateway };
	if (part->kind == ZG_PART_LOCATION)
		t[0] = (struct table){ zg_conf_location_rows, part->location };
	if (part->module)
		t[1] = (struct table){ part->module->directives, part->conf };
}

const zg_directive_t *zg_conf_find_row(const zg_directive_t *rows, const char *name)
{
	for (; rows && rows->name; rows++)
		if (!strcmp(rows->name, name))
			return rows;
	return NULL;
}

/* The bridges that have a directive of that name, as "pipeline or reqrep". */
static unsigned owners(const zg_load_t *l, const char *name, char out[256])
{
	const zg_modules_t *m = l->conf->modules;
	unsigned found = 0;

	out[0] = '\0';
	for (size_t i = 0; i < m->count; i++) {
		size_t at = strlen(out);

		if (m->item[i]->kind == ZG_BRIDGE && zg_conf_find_row(m->item[i]->directives, name))
			snprintf(out + at, 256 - at, "%s%s", found++ ? " or " : "", m->item[i]->name);
	}
	return found;
}

/* Where a directive belongs that is right, but in the wrong place. */
static bool misplaced(zg_load_t *l, const zg_part_t *part, const zg_ini_entry_t *e)
{
	char which[256];

	if (part->kind != ZG_PART_GATEWAY && zg_conf_find_row(zg_conf_gateway_rows, e->name)) {
		zg_conf_error_at(l, part, e, "belongs in [gateway]");
		return true;
	}
	if (part->kind != ZG_PART_LOCATION &&
	    (zg_conf_find_row(zg_conf_location_rows, e->name) || owners(l, e->name, which))) {
		zg_conf_error_at(l, part, e, "belongs in a [location /path]");
		return true;
	}
	if (part->kind != ZG_PART_LOCATION || !owners(l, e->name, which))
		return false;
	if (part->module) /* else its bridge is what is wrong, and has been reported */
		zg_conf_error_at(l, part, e, "belongs to bridge = %s; this location is %s", which,
		                 part->module->name);
	return true;
}

static void unknown_directive(zg_load_t *l, const zg_part_t *part, const struct table t[2],
                              const zg_ini_entry_t *e)
{
	zg_suggest_t near = { .word = zg_str(e->name) };
	const zg_modules_t *m = l->conf->modules;
	char text[256], otherwise[256];

	if (misplaced(l, part, e))
		return;
	zg_suggest_rows(&near, t[0].rows);
	zg_suggest_rows(&near, t[1].rows);
	for (size_t i = 0; part->kind == ZG_PART_LOCATION && !part->module && i < m->count; i++)
		if (m->item[i]->kind == ZG_BRIDGE)
			zg_suggest_rows(&near, m->item[i]->directives);
	snprintf(otherwise, sizeof(otherwise), "; `zgate -L %s` lists what there is",
	         part->module ? part->module->name
	                      : part->kind == ZG_PART_GATEWAY ? "gateway" : "location");
	zg_conf_error_at(l, part, e, "unknown directive%s", zg_suggest_text(&near, otherwise, text));
}

/* Whether a directive that takes one value has had it. */
static bool repeated(zg_load_t *l, const zg_part_t *part, const zg_ini_entry_t *e,
                     const zg_directive_t *row)
{
	const zg_ini_entry_t *first = zg_ini_find(part->raw, e->name);
	char place[512];

	if (first == e || zg_directive_repeats(row))
		return false;
	if (e->continued)
		zg_conf_error_at(l, part, e, "takes one value, and the indented line is a second one; "
		                 "remove it, or the blanks before it");
	else
		zg_conf_error_at(l, part, e, "is given twice; the first is at %s",
		                 zg_conf_place(first->file, first->line, place));
	return true;
}

static size_t verb_length(const char *value)
{
	size_t n = strcspn(value, " \t,");

	return (n == 4 && !strncmp(value, "bind", n)) || (n == 7 && !strncmp(value, "connect", n))
	               ? n : 0;
}

/* An indented line of endpoints goes on with the verb of the line above. */
static zg_str_t with_verb(zg_load_t *l, const zg_ini_entry_t *e, const zg_directive_t *row,
                          zg_str_t *verb)
{
	size_t n = row->type == ZG_TYPE_SOCKET ? verb_length(e->value) : 0;
	zg_str_t text = zg_str(e->value);
	char *whole;

	if (n)
		*verb = zg_str_n(e->value, n);
	if (n || !e->continued || !verb->n || row->type != ZG_TYPE_SOCKET)
		return text;
	whole = zg_pool_alloc(l->conf->pool, verb->n + text.n + 2);
	if (!whole)
		return text;
	sprintf(whole, "%.*s %s", ZG_STR_ARG(*verb), text.p);
	return zg_str(whole);
}

static size_t items(const zg_directive_t *row, const void *conf)
{
	const char *at = (const char *)conf + row->offset;

	if (row->type == ZG_TYPE_LIST)
		return ((const zg_list_t *)at)->count;
	return row->type == ZG_TYPE_SOCKET ? ((const zg_endpoints_t *)at)->count : 0;
}

static void keep_origin(zg_load_t *l, const zg_ini_entry_t *e, const zg_directive_t *row,
                        const void *conf, size_t from)
{
	zg_origin_t *o = zg_pool_alloc(l->conf->pool, sizeof(*o));
	size_t to = items(row, conf);

	if (!o) {
		zg_conf_no_memory(l);
		return;
	}
	*o = (zg_origin_t){ l->conf->origins, row, conf, from, to ? to : 1, e->file, e->line };
	l->conf->origins = o;
}

static void apply_entry(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e, zg_str_t *verb)
{
	struct table t[2];
	const zg_directive_t *row = NULL;
	void *conf = NULL;
	size_t before;
	zg_str_t text;
	zg_err_t err;

	tables_of(l, part, t);
	for (size_t i = 0; i < ZG_COUNT_OF(t) && !row; i++) {
		row = zg_conf_find_row(t[i].rows, e->name);
		conf = t[i].conf;
	}
	if (!row) {
		/* its continuations would say the same again */
		if (!e->continued)
			unknown_directive(l, part, t, e);
		return;
	}
	if (repeated(l, part, e, row))
		return;
	text = with_verb(l, e, row, verb);
	before = items(row, conf);
	if (zg_directive_set(row, conf, text, l->options->prefix, l->conf->pool, &err) < 0)
		zg_conf_error_at(l, part, e, "%s", err.text);
	zg_conf_check_value(l, part, e, row, conf, before);
	keep_origin(l, e, row, conf, before);
}

static const char *example(const zg_directive_t *row)
{
	static const char *const of[] = {
		[ZG_TYPE_MSEC] = "5s", [ZG_TYPE_SIZE] = "64k", [ZG_TYPE_INT] = "1",
		[ZG_TYPE_BOOL] = "yes", [ZG_TYPE_STRING] = "TEXT", [ZG_TYPE_PATH] = "PATH",
		[ZG_TYPE_LIST] = "WORD", [ZG_TYPE_SOCKET] = "connect tcp://127.0.0.1:5555",
		[ZG_TYPE_NETS] = "127.0.0.1",
	};

	return row->type == ZG_TYPE_ENUM ? row->choices[0] : of[row->type];
}

static void missing(zg_load_t *l, const zg_part_t *part, const zg_directive_t *row)
{
	const zg_ini_entry_t *bridge = zg_ini_find(part->raw, "bridge");

	if (row->offset == offsetof(zg_location_t, bridge) && !part->module)
		return; /* reported when the bridge was looked for */
	zg_conf_error_at(l, part, part->kind == ZG_PART_LOCATION ? bridge : NULL,
	                 "%s needs %s`%s`: add e.g. `%s = %s`",
	                 part->module ? part->module->name : part->raw->name,
	                 row->type == ZG_TYPE_SOCKET ? "an endpoint for " : "", row->name, row->name,
	                 example(row));
}

static void apply_default(zg_load_t *l, zg_part_t *part, const zg_directive_t *row, void *conf)
{
	zg_err_t err;

	if (zg_ini_find(part->raw, row->name))
		return;
	if (row->required)
		missing(l, part, row);
	else if (row->def && zg_directive_set(row, conf, zg_str(row->def), l->options->prefix,
	                                      l->conf->pool, &err) < 0)
		zg_conf_error(l, part->raw->file, part->raw->line, part->raw->name, row->name,
		              "the default \"%s\" is wrong, which is an error of the program's: %s",
		              row->def, err.text);
}

void zg_conf_apply(zg_load_t *l, zg_part_t *part)
{
	unsigned before = l->errors;
	zg_str_t verb = ZG_STR_NONE;
	struct table t[2];

	for (const zg_ini_entry_t *e = part->raw->first; e; e = e->next)
		apply_entry(l, part, e, &verb);
	tables_of(l, part, t);
	for (size_t i = 0; i < ZG_COUNT_OF(t); i++)
		for (const zg_directive_t *row = t[i].rows; row && row->name; row++)
			apply_default(l, part, row, t[i].conf);
	part->errors += l->errors - before;
}
