/* Sections into parts: what each one is, and which module it belongs to. */
#include "engine/conf_load.h"
#include <stdio.h>

#define LOCATION_MAX 120 /* bytes of a path */

static zg_part_t *add_part(zg_load_t *l, zg_ini_section_t *raw, zg_part_kind_t kind)
{
	zg_part_t *part = zg_pool_alloc(l->conf->pool, sizeof(*part));

	if (!part) {
		zg_conf_no_memory(l);
		return NULL;
	}
	part->raw = raw;
	part->kind = kind;
	*l->end = part;
	l->end = &part->next;
	return part;
}

static const zg_part_t *find_part(const zg_load_t *l, const char *name)
{
	const zg_part_t *p = l->first;

	while (p && strcmp(p->raw->name, name))
		p = p->next;
	return p;
}

static void set_module(zg_load_t *l, zg_part_t *part, const zg_module_t *module)
{
	part->conf = zg_pool_alloc(l->conf->pool, module->conf_size);
	if (part->conf)
		part->module = module;
	else
		zg_conf_no_memory(l);
}

/* "demo, pair or reqrep" */
static void list_bridges(const zg_load_t *l, char *out, size_t size)
{
	const zg_modules_t *m = l->conf->modules;
	size_t left = 0, at = 0;

	for (size_t i = 0; i < m->count; i++)
		left += m->item[i]->kind == ZG_BRIDGE;
	snprintf(out, size, "none, since this zgate has no bridge");
	for (size_t i = 0; i < m->count && at < size; i++) {
		if (m->item[i]->kind != ZG_BRIDGE)
			continue;
		left--;
		at += (size_t)snprintf(out + at, size - at, "%s%s", m->item[i]->name,
		                       left > 1 ? ", " : left ? " or " : "");
	}
}

static void unknown_bridge(zg_load_t *l, zg_part_t *part, const zg_ini_entry_t *e)
{
	zg_suggest_t near = { .word = zg_str(e->value) };
	char known[512], otherwise[600], text[600];

	for (size_t i = 0; i < l->conf->modules->count; i++)
		if (l->conf->modules->item[i]->kind == ZG_BRIDGE)
			zg_suggest_add(&near, l->conf->modules->item[i]->name);
	list_bridges(l, known, sizeof(known));
	snprintf(otherwise, sizeof(otherwise), "; write %s", known);
	if (near.best)
		snprintf(text, sizeof(text), "; did you mean \"%s\"? There are %s", near.best, known);
	zg_conf_error_at(l, part, e, "\"%s\" is no bridge%s", e->value,
	                 near.best ? text : otherwise);
}

static void choose_bridge(zg_load_t *l, zg_part_t *part)
{
	const zg_ini_entry_t *e = zg_ini_find(part->raw, "bridge");
	const zg_module_t *module;
	char known[512];

	if (!e) {
		list_bridges(l, known, sizeof(known));
		zg_conf_error_at(l, part, NULL, "has no bridge; add `bridge = NAME`, where NAME is %s",
		                 known);
		return;
	}
	module = zg_modules_find(l->conf->modules, zg_str(e->value));
	if (module && module->kind != ZG_BRIDGE)
		zg_conf_error_at(l, part, e, "%s is a service, not a bridge; it has a section of its "
		                 "own, [%s]", module->name, module->name);
	else if (module)
		set_module(l, part, module);
	else
		unknown_bridge(l, part, e);
}

static bool has_escape(const char *path)
{
	for (; (path = strchr(path, '%')); path++)
		if (strspn(path + 1, "0123456789abcdefABCDEF") >= 2)
			return true;
	return false;
}

/* Requests are matched by their normalised, decoded path: what such a path
 * never looks like would never match. NULL: fine. */
static const char *wrong_path(const char *path)
{
	if (path[0] != '/')
		return "the path does not begin with \"/\"; write [location /path] or "
		       "[location = /path]";
	if (strlen(path) > LOCATION_MAX)
		return "the path is longer than 120 bytes";
	if (strpbrk(path, "?#"))
		return "a location is a path without a query; remove what begins with \"?\" or \"#\"";
	if (strstr(path, "//"))
		return "a path with \"//\" never matches; write one slash";
	if (path[1] && path[strlen(path) - 1] == '/') /* else it would have been dropped */
		return "the path has a blank before its last slash; remove both";
	for (const char *at = strstr(path, "/."); at; at = strstr(at + 1, "/."))
		if (strchr("/", at[2]) || (at[2] == '.' && strchr("/", at[3])))
			return "a path with \".\" or \"..\" in it never matches; write it without";
	for (const char *at = path; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f || *at == ']' ||
		    (*at == ';' && at[-1] == ' '))
			return "the path holds a byte that a section's name cannot have";
	if (has_escape(path))
		return "paths are matched decoded; write the character itself for its %XX";
	return NULL;
}

static void add_location(zg_load_t *l, zg_ini_section_t *raw, const char *name)
{
	const zg_part_t *first = find_part(l, raw->name);
	zg_part_t *part = add_part(l, raw, ZG_PART_LOCATION);
	zg_location_t *location = zg_pool_alloc(l->conf->pool, sizeof(*location));
	const char *wrong;
	char place[512];

	if (!part || !location) {
		if (part)
			zg_conf_no_memory(l);
		return;
	}
	location->name = name;
	location->exact = name[0] == '=';
	location->path = zg_str(location->exact ? name + 2 : name);
	location->file = raw->file;
	location->line = raw->line;
	part->location = location;
	wrong = wrong_path(location->path.p);
	if (wrong)
		zg_conf_error_at(l, part, NULL, "%s", wrong);
	else if (first)
		zg_conf_error_at(l, part, NULL, "there are two locations with this path; the first "
		                 "is at %s", zg_conf_place(first->raw->file, first->raw->line, place));
	choose_bridge(l, part);
}

/* The section is none that this zgate has. */
static void unknown_section(zg_load_t *l, const zg_ini_section_t *raw)
{
	zg_suggest_t whole = { .word = zg_str(raw->name) };
	zg_suggest_t word = { .word = zg_str_n(raw->name, strcspn(raw->name, " \t=/")) };
	const char *rest = raw->name + word.word.n;
	const zg_modules_t *m = l->conf->modules;
	char text[256], otherwise[256];

	rest += strspn(rest, " \t");
	zg_suggest_add(&whole, "gateway");
	zg_suggest_add(&word, "location");
	for (size_t i = 0; i < m->count; i++)
		if (m->item[i]->kind == ZG_SERVICE)
			zg_suggest_add(&whole, m->item[i]->name);
	snprintf(otherwise, sizeof(otherwise), "; write [gateway] or [location /path]");
	if (!*rest && word.best)
		snprintf(otherwise, sizeof(otherwise), "; did you mean \"location /\"?");
	else if ((*rest == '/' || *rest == '=') && (word.best || !word.word.n))
		snprintf(otherwise, sizeof(otherwise), "; did you mean \"location %.150s\"?", rest);
	zg_conf_error(l, raw->file, raw->line, raw->name, NULL, "unknown section%s",
	              zg_suggest_text(&whole, otherwise, text));
}

static void add_service(zg_load_t *l, zg_ini_section_t *raw)
{
	const zg_module_t *module = zg_modules_find(l->conf->modules, zg_str(raw->name));
	const zg_part_t *first = find_part(l, raw->name);
	zg_part_t *part;
	char place[512];

	if (!module) {
		unknown_section(l, raw);
		return;
	}
	if (module->kind != ZG_SERVICE) {
		zg_conf_error(l, raw->file, raw->line, raw->name, NULL, "%s is a bridge, which has no "
		              "section of its own; write [location /path] and `bridge = %s` in it",
		              module->name, module->name);
		return;
	}
	part = add_part(l, raw, ZG_PART_SERVICE);
	if (!part)
		return;
	if (first)
		zg_conf_error_at(l, part, NULL, "the section is given twice; the first is at %s",
		                 zg_conf_place(first->raw->file, first->raw->line, place));
	set_module(l, part, module);
}

/* [gateway] comes first: it says which modules there are. */
static void add_gateway(zg_load_t *l)
{
	zg_ini_section_t *s = l->ini.first;
	zg_part_t *part;

	while (s && strcmp(s->name, "gateway"))
		s = s->next;
	part = s ? add_part(l, s, ZG_PART_GATEWAY) : NULL;
	if (!part)
		return;
	zg_conf_apply(l, part);
	if (l->conf->gateway.group && !l->conf->gateway.user)
		zg_conf_error_at(l, part, zg_ini_find(part->raw, "group"), "needs `user` beside it");
}

void zg_conf_parts(zg_load_t *l)
{
	static const char location[] = "location ";

	l->end = &l->first;
	add_gateway(l);
	for (zg_ini_section_t *s = l->ini.first; s; s = s->next) {
		unsigned before = l->errors;
		zg_part_t **end = l->end;

		if (!strcmp(s->name, "gateway"))
			continue;
		if (!strncmp(s->name, location, sizeof(location) - 1))
			add_location(l, s, s->name + sizeof(location) - 1);
		else
			add_service(l, s);
		if (*end)
			(*end)->errors += l->errors - before;
	}
}
