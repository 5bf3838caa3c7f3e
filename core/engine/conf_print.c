/* The configuration in effect (-T), and the list of all directives (-L). */
#include "engine/conf_load.h"
#include "engine/worker.h"

#define WIDTH  80
#define INDENT "      "

static int print_rows(const zg_directive_t *rows, const void *conf, zg_buf_t *out)
{
	/* what the included files say is printed: to include them again would give
	 * everything twice */
	const zg_directive_t *include = zg_conf_find_row(zg_conf_gateway_rows, "include");

	for (; rows && rows->name; rows++)
		if (rows != include && zg_directive_text(rows, conf, out) < 0)
			return -1;
	return 0;
}

int zg_conf_print(const zg_conf_t *conf, zg_buf_t *out)
{
	if (zg_buf_printf(out, "[gateway]\n") < 0 ||
	    print_rows(zg_conf_gateway_rows, &conf->gateway, out) < 0)
		return -1;
	for (size_t i = 0; i < conf->services; i++) {
		const zg_service_t *s = &conf->service[i];

		if (zg_buf_printf(out, "\n[%s]\n", s->module->name) < 0 ||
		    print_rows(s->module->directives, s->conf, out) < 0)
			return -1;
	}
	for (size_t i = 0; i < conf->locations; i++) {
		const zg_location_t *l = conf->location[i];

		if (zg_buf_printf(out, "\n[location %s]\n", l->name) < 0 ||
		    print_rows(zg_conf_location_rows, l, out) < 0 ||
		    print_rows(l->module->directives, l->conf, out) < 0)
			return -1;
	}
	return 0;
}

/* A sentence over as many lines as it takes. */
static int list_doc(const char *doc, zg_buf_t *out)
{
	zg_str_t rest = zg_str(doc ? doc : ""), word;
	size_t column = 0;

	while (zg_str_cut(&rest, ' ', &word)) {
		bool fits = column && column + 1 + word.n <= WIDTH - (sizeof(INDENT) - 1);

		if (zg_buf_printf(out, "%s%.*s", fits ? " " : column ? "\n" INDENT : INDENT,
		                  ZG_STR_ARG(word)) < 0)
			return -1;
		column = fits ? column + 1 + word.n : word.n;
	}
	return zg_buf_printf(out, "\n");
}

/* "  timeout = time    (default 30s, 1ms to 1h)" and its sentence below. */
static int list_row(const zg_directive_t *row, zg_buf_t *out)
{
	zg_buf_t bounds = ZG_BUF(1024);
	bool done = zg_directive_bounds(row, &bounds) == 0 &&
	            zg_buf_printf(out, "  %-16s = ", row->name) == 0 &&
	            zg_directive_type(row, out) == 0 &&
	            (!bounds.len || zg_buf_printf(out, "  (%.*s)", ZG_STR_ARG(zg_buf_str(&bounds))) == 0) &&
	            zg_buf_printf(out, "\n") == 0 && list_doc(row->doc, out) == 0;

	zg_buf_free(&bounds);
	return done ? 0 : -1;
}

static int list_rows(const zg_directive_t *rows, zg_buf_t *out)
{
	for (; rows && rows->name; rows++)
		if (list_row(rows, out) < 0)
			return -1;
	return 0;
}

const char *zg_conf_counter_kind(const zg_counter_t *row)
{
	return row->kind == ZG_KIND_LIMIT ? "the limit"
	       : row->kind == ZG_KIND_GAUGE ? "now" : "since the start";
}

static int list_counters(const zg_counter_t *rows, zg_buf_t *out)
{
	if (!rows || !rows->name)
		return 0;
	if (zg_buf_printf(out, "\n  counts, as /status shows them:\n") < 0)
		return -1;
	for (; rows->name; rows++)
		if (zg_buf_printf(out, "  %-16s   %s\n", rows->name, zg_conf_counter_kind(rows)) < 0 ||
		    list_doc(rows->doc, out) < 0)
			return -1;
	return 0;
}

static int list_variables(zg_buf_t *out)
{
	if (zg_buf_printf(out, "access_format = combined|json|text with variables\n"
	                  INDENT "A variable is written $name or ${name}; it is - where there is none.\n\n") < 0)
		return -1;
	for (const zg_format_var_t *v = zg_format_vars; v->name; v++)
		if (zg_buf_printf(out, "  $%s\n", v->name) < 0 || list_doc(v->doc, out) < 0)
			return -1;
	return 0;
}

static int list_module(const zg_module_t *m, zg_buf_t *out)
{
	int rc = m->kind == ZG_BRIDGE
	                 ? zg_buf_printf(out, "[location /path]  bridge = %s\n", m->name)
	                 : zg_buf_printf(out, "[%s]\n", m->name);

	if (rc < 0 || list_doc(m->doc, out) < 0)
		return -1;
	if (m->methods && zg_buf_printf(out, INDENT "Methods: %s.\n", m->methods) < 0)
		return -1;
	if (m->directives && m->directives->name &&
	    (zg_buf_printf(out, "\n") < 0 || list_rows(m->directives, out) < 0))
		return -1;
	return list_counters(m->counters, out);
}

int zg_conf_list(const zg_modules_t *modules, const char *which, zg_buf_t *out)
{
	const zg_module_t *one;

	if (which && !strcmp(which, "access_format"))
		return list_variables(out);
	if (!which || !strcmp(which, "gateway"))
		if (zg_buf_printf(out, "[gateway]\n" INDENT "The process, its addresses and limits.\n\n") < 0 ||
		    list_rows(zg_conf_gateway_rows, out) < 0)
			return -1;
	if (!which || !strcmp(which, "location"))
		if (zg_buf_printf(out, "%s[location /path], [location = /path]\n" INDENT
		                  "A path and all below it, or with \"=\" that path alone.\n\n",
		                  which ? "" : "\n") < 0 ||
		    list_rows(zg_conf_location_rows, out) < 0 ||
		    list_counters(zg_location_counter_rows, out) < 0)
			return -1;
	for (size_t i = 0; !which && i < modules->count; i++)
		if (zg_buf_printf(out, "\n") < 0 || list_module(modules->item[i], out) < 0)
			return -1;
	if (!which || !strcmp(which, "gateway") || !strcmp(which, "location"))
		return 0;
	one = zg_modules_find(modules, zg_str(which));
	return one ? list_module(one, out) : -1;
}
