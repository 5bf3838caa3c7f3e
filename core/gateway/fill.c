/* fill: the program that makes installed files of conf/(name).in while zgate is
 * built: from standard input to standard output, with what it finds between two @
 * put in: paths and numbers of this build, and for the manual every directive
 * and counter, from the same rows that the gateway reads. It is not part of it. */
#include "base/buf.h"
#include "config.h"
#include "engine/format.h"
#include "engine/worker.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX (4u << 20)

/* ---- mdoc(7) ---- */

/* Text as mdoc takes it: a backslash is written \e, and no locale matters. */
static void put_text(zg_buf_t *out, zg_str_t s)
{
	static const zg_str_t dots = { "…", sizeof "…" - 1 };

	while (s.n) {
		size_t n = zg_str_starts(s, dots) ? dots.n : 1;

		if (n > 1)
			zg_buf_printf(out, "...");
		else if (s.p[0] == '\\')
			zg_buf_printf(out, "\\e");
		else
			zg_buf_add(out, s.p, 1);
		s = zg_str_n(s.p + n, s.n - n);
	}
}

/* A line of text: none of its bytes is a request or a macro. Sentences end lines. */
static void put_line(zg_buf_t *out, zg_str_t s)
{
	if (s.n && strchr(".'", s.p[0]))
		zg_buf_printf(out, "\\&");
	put_text(out, s);
	zg_buf_printf(out, "\n");
}

static void put_doc(zg_buf_t *out, const char *doc)
{
	const char *end;

	for (; doc && (end = strstr(doc, ". ")); doc = end + 2)
		put_line(out, zg_str_n(doc, (size_t)(end + 1 - doc)));
	if (doc && *doc)
		put_line(out, zg_str(doc));
}

/* What may be no whole sentence, as one. */
static void put_fragment(zg_buf_t *out, zg_str_t s)
{
	if (!s.n)
		return;
	zg_buf_printf(out, "%c", toupper((unsigned char)s.p[0]));
	put_text(out, zg_str_n(s.p + 1, s.n - 1));
	zg_buf_printf(out, "%s\n", s.p[s.n - 1] == '.' ? "" : ".");
}

/* One argument of a macro: in quotes, and none is the name of another macro. */
static void put_argument(zg_buf_t *out, zg_str_t s)
{
	zg_buf_printf(out, " \"\\&");
	put_text(out, s);
	zg_buf_printf(out, "\"");
}

static void begin_list(zg_buf_t *out)
{
	zg_buf_printf(out, ".Bl -tag -width Ds\n");
}

static void end_list(zg_buf_t *out)
{
	zg_buf_printf(out, ".El\n");
}

/* ---- tables ---- */

static void put_bounds(zg_buf_t *out, const zg_directive_t *row)
{
	zg_buf_t bounds = ZG_BUF(1024);

	if (zg_directive_bounds(row, &bounds) == 0)
		put_fragment(out, zg_buf_str(&bounds));
	zg_buf_free(&bounds);
}

/* again: what a reload does that changes a row of the fixed kind. */
static void put_rows(zg_buf_t *out, const zg_directive_t *rows, const char *again)
{
	if (!rows || !rows->name)
		return;
	begin_list(out);
	for (; rows->name; rows++) {
		zg_buf_t type = ZG_BUF(1024);

		zg_directive_type(rows, &type);
		zg_buf_printf(out, ".It Ic");
		put_argument(out, zg_str(rows->name));
		zg_buf_printf(out, " No = Ar");
		put_argument(out, zg_buf_str(&type));
		zg_buf_printf(out, "\n");
		put_doc(out, rows->doc);
		put_bounds(out, rows);
		if (rows->fixed)
			put_line(out, zg_str(again));
		zg_buf_free(&type);
	}
	end_list(out);
}

static void put_counters(zg_buf_t *out, const zg_counter_t *rows)
{
	if (!rows || !rows->name)
		return;
	begin_list(out);
	for (; rows->name; rows++) {
		zg_buf_printf(out, ".It Va");
		put_argument(out, zg_str(rows->name));
		zg_buf_printf(out, " Pq %s\n", zg_conf_counter_kind(rows));
		put_doc(out, rows->doc);
	}
	end_list(out);
}

static void put_variables(zg_buf_t *out)
{
	begin_list(out);
	for (const zg_format_var_t *v = zg_format_vars; v->name; v++) {
		zg_buf_printf(out, ".It Va");
		put_argument(out, zg_str(v->name));
		zg_buf_printf(out, "\n");
		put_doc(out, v->doc);
	}
	end_list(out);
}

static const char anew[] = "A reload that changes it starts the section anew.";

static void put_gateway(zg_buf_t *out)
{
	put_rows(out, zg_conf_gateway_rows, "Changes only when zgate is started again.");
}

static void put_location(zg_buf_t *out)
{
	put_rows(out, zg_conf_location_rows, anew);
}

static void put_location_counters(zg_buf_t *out)
{
	put_counters(out, zg_location_counter_rows);
}

static void put_worker_counters(zg_buf_t *out)
{
	put_counters(out, zg_worker_counter_rows);
}

static void put_module(zg_buf_t *out, const zg_module_t *m)
{
	zg_buf_printf(out, m->kind == ZG_BRIDGE ? ".Ss bridge = %s\n" : ".Ss %s, a section of its own\n", m->name);
	put_fragment(out, zg_str(m->doc));
	if (m->methods)
		zg_buf_printf(out, ".Pp\nMethods, if\n.Ic methods\ndoes not say: %s.\n", m->methods);
	put_rows(out, m->directives, anew);
	if (m->counters && m->counters->name) {
		zg_buf_printf(out, ".Pp\nIt counts:\n");
		put_counters(out, m->counters);
	}
}

static void put_modules(zg_buf_t *out)
{
	for (const zg_module_t *const *m = zg_modules_static; *m; m++)
		put_module(out, *m);
}

/* ---- single values ---- */

static void put_prefix(zg_buf_t *out)
{
	zg_buf_printf(out, "%s", ZG_PREFIX);
}

static void put_version(zg_buf_t *out)
{
	zg_buf_printf(out, "%s", ZG_VERSION);
}

static void put_abi(zg_buf_t *out)
{
	zg_buf_printf(out, "%d", ZG_MODULE_ABI);
}

static const struct {
	const char *name;
	void (*put)(zg_buf_t *out);
} values[] = {
	{ "prefix", put_prefix },
	{ "version", put_version },
	{ "abi", put_abi },
	{ "gateway", put_gateway },
	{ "location", put_location },
	{ "location_counters", put_location_counters },
	{ "worker_counters", put_worker_counters },
	{ "modules", put_modules },
	{ "variables", put_variables },
};

/* ---- the file ---- */

static bool put_value(zg_buf_t *out, zg_str_t name)
{
	for (size_t i = 0; i < ZG_COUNT_OF(values); i++)
		if (zg_str_eq(zg_str(values[i].name), name)) {
			values[i].put(out);
			return true;
		}
	return false;
}

/* "@name@" is a value; any other @ stands for itself. */
static int fill_line(zg_buf_t *out, const char *line)
{
	const char *at;

	for (; (at = strchr(line, '@')); line = at) {
		size_t n = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");

		zg_buf_add(out, line, (size_t)(at - line));
		if (!n || at[n + 1] != '@') {
			zg_buf_add(out, at++, 1);
			continue;
		}
		if (!put_value(out, zg_str_n(at + 1, n))) {
			fprintf(stderr, "fill: there is no value @%.*s@\n", (int)n, at + 1);
			return -1;
		}
		at += n + 2;
		if (*at == '\n' && out->len && out->data[out->len - 1] == '\n')
			at++; /* a value of whole lines */
	}
	return zg_buf_add(out, line, strlen(line));
}

int main(void)
{
	zg_buf_t out = ZG_BUF(OUT_MAX);
	char *line = NULL;
	size_t room = 0;
	int rc = 0;

	while (rc == 0 && getline(&line, &room, stdin) > 0)
		rc = fill_line(&out, line);
	if (rc == 0 && (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
		rc = -1;
	free(line);
	zg_buf_free(&out);
	return rc == 0 ? 0 : 1;
}
