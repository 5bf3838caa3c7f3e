/* Files, includes and -g into one raw tree with canonical section names. */
#include "engine/conf_load.h"
#include <glob.h>
#include <stdio.h>

#define INCLUDE_DEPTH_MAX 8

static void on_ini_error(void *ctx, const char *file, unsigned line, const char *section,
                         const char *key, const char *text)
{
	zg_conf_error(ctx, file, line, section, key, "%s", text);
}

/* "location = /x/" and "location =/x" are both "location = /x"; any other name
 * is what it is. NULL: out of memory. */
static const char *canonical(zg_pool_t *pool, zg_str_t name)
{
	zg_str_t path = name, word = ZG_STR("location");
	bool exact;
	char *out;

	if (!zg_str_starts(name, word) || name.n == word.n || !strchr(" \t=", name.p[word.n]))
		return zg_pool_strdup(pool, name);
	path = zg_str_trim(zg_str_n(name.p + word.n, name.n - word.n));
	exact = path.n && path.p[0] == '=';
	if (exact)
		path = zg_str_trim(zg_str_n(path.p + 1, path.n - 1));
	if (path.n > 1 && path.p[path.n - 1] == '/' && !strchr("/ \t", path.p[path.n - 2]))
		path.n--;
	out = zg_pool_alloc(pool, path.n + sizeof("location = "));
	if (out)
		sprintf(out, "location %s%.*s", exact ? "= " : "", ZG_STR_ARG(path));
	return out;
}

/* As the operator knows it: without the prefix if it lies under that. */
static const char *label_of(zg_load_t *l, const char *path)
{
	size_t n = strlen(l->options->prefix);

	if (!strncmp(path, l->options->prefix, n) && path[n] == '/' && path[n + 1])
		path += n + 1;
	return zg_pool_strdup(l->conf->pool, zg_str(path));
}

/* The last '.' before the '=' parts section and key. In "location = /x.key=…"
 * the first '=' is the section's. */
static bool split_set(zg_str_t text, zg_str_t *section, zg_str_t *key, zg_str_t *value)
{
	size_t from = 0, equals, dot;
	zg_str_t word = ZG_STR("location");

	if (zg_str_starts(text, word)) {
		from = word.n;
		while (from < text.n && text.p[from] == ' ')
			from++;
		from = from < text.n && text.p[from] == '=' ? from + 1 : 0;
	}
	for (equals = from; equals < text.n && text.p[equals] != '='; equals++)
		;
	for (dot = equals; dot > 0 && text.p[dot - 1] != '.'; dot--)
		;
	if (equals == text.n || dot < 2)
		return false;
	*section = zg_str_trim(zg_str_n(text.p, dot - 1));
	*key = zg_str_trim(zg_str_n(text.p + dot, equals - dot));
	*value = zg_str_trim(zg_str_n(text.p + equals + 1, text.n - equals - 1));
	return section->n > 0 && key->n > 0;
}

static zg_ini_section_t *find_section(const zg_ini_t *ini, const char *name)
{
	zg_ini_section_t *s = ini->first;

	while (s && strcmp(s->name, name))
		s = s->next;
	return s;
}

/* -g may say what a file could: -T has to be able to print it. */
static const char *wrong_value(zg_str_t key, zg_str_t value)
{
	if (!value.n)
		return "has no value";
	if (key.n + strlen(" = ") + value.n > ZG_INI_LINE_MAX)
		return "the value is longer than a line of a file can be";
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t')
			return "the value holds a control byte; remove it";
		else if (value.p[i] == ';' && (!i || value.p[i - 1] == ' ' || value.p[i - 1] == '\t'))
			return "the value cannot hold a semicolon after a blank: a comment begins there";
	return NULL;
}

static int add_set(zg_load_t *l, const char *text)
{
	zg_str_t section, key, value;
	const char *name, *wrong;
	zg_ini_section_t *s;

	if (!split_set(zg_str(text), &section, &key, &value)) {
		zg_conf_error(l, ZG_CONF_SET, 0, NULL, NULL, "\"%s\" is no setting; write "
		              "section.key=value, e.g. gateway.listen=127.0.0.1:0 or "
		              "\"location /x.timeout=5s\"", text);
		return 0;
	}
	name = canonical(l->conf->pool, section);
	if (!name)
		return -1;
	wrong = wrong_value(key, value);
	if (wrong) {
		char k[64];

		snprintf(k, sizeof(k), "%.*s", ZG_STR_ARG(key));
		zg_conf_error(l, ZG_CONF_SET, 0, name, k, "%s", wrong);
		return 0;
	}
	s = find_section(&l->set, name);
	if (!s)
		s = zg_ini_add_section(&l->set, zg_str(name), ZG_CONF_SET, 0);
	return s && zg_ini_add_entry(l->conf->pool, s, key, value, ZG_CONF_SET, 0) ? 0 : -1;
}

static int read_file(zg_load_t *l, const char *path, unsigned depth,
                     const zg_ini_section_t *by_section, const zg_ini_entry_t *by);

static bool has_wildcard(zg_str_t s)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr("*?[", s.p[i]))
			return true;
	return false;
}

static int include_glob(zg_load_t *l, zg_str_t word, unsigned depth,
                        const zg_ini_section_t *section, const zg_ini_entry_t *e)
{
	zg_str_t prefix = zg_str(l->options->prefix);
	char *pattern = zg_pool_alloc(l->conf->pool, prefix.n + word.n + 2);
	glob_t found;
	int rc;

	if (!pattern)
		return -1;
	if (word.p[0] == '/')
		sprintf(pattern, "%.*s", ZG_STR_ARG(word));
	else
		sprintf(pattern, "%s/%.*s", prefix.p, ZG_STR_ARG(word));
	rc = glob(pattern, 0, NULL, &found); /* sorted */
	if (rc == GLOB_NOSPACE)
		return -1;
	if (rc == GLOB_ABORTED)
		zg_conf_error(l, e->file, e->line, section->name, e->name, "cannot read %s", pattern);
	if (rc == GLOB_NOMATCH && !has_wildcard(word))
		zg_conf_error(l, e->file, e->line, section->name, e->name, "there is no file %s",
		              pattern);
	if (rc)
		return 0;
	for (size_t i = 0; i < found.gl_pathc && !rc; i++)
		rc = read_file(l, found.gl_pathv[i], depth + 1, section, e);
	globfree(&found);
	return rc;
}

static int include_entry(zg_load_t *l, const zg_ini_section_t *section, const zg_ini_entry_t *e,
                         unsigned depth)
{
	zg_str_t text = zg_str(e->value);

	while (text.n) {
		size_t n = strcspn(text.p, " \t,");

		if (n && include_glob(l, zg_str_n(text.p, n), depth, section, e) < 0)
			return -1;
		n += n < text.n;
		text = zg_str_n(text.p + n, text.n - n);
	}
	return 0;
}

static int include_section(zg_load_t *l, const zg_ini_section_t *s, unsigned depth)
{
	for (const zg_ini_entry_t *e = s->first; e; e = e->next)
		if (!strcmp(e->name, "include") && include_entry(l, s, e, depth) < 0)
			return -1;
	return 0;
}

static bool sets_include(const zg_load_t *l)
{
	const zg_ini_section_t *set = find_section(&l->set, "gateway");

	return set && zg_ini_find(set, "include");
}

/* -1: out of memory. Anything else that is wrong has been reported. by: the
 * `include` that asked for it, NULL for the file of -c. */
static int read_file(zg_load_t *l, const char *path, unsigned depth,
                     const zg_ini_section_t *by_section, const zg_ini_entry_t *by)
{
	zg_ini_section_t **from = l->ini.end, **to;
	const char *label = label_of(l, path);
	zg_err_t err;

	if (!label)
		return -1;
	if (depth > INCLUDE_DEPTH_MAX) {
		zg_conf_error(l, by->file, by->line, by_section->name, by->name, "%s is included %u "
		              "levels deep, at most %d can be; does a file include itself?", label,
		              depth, INCLUDE_DEPTH_MAX);
		return 0;
	}
	if (zg_ini_read(&l->ini, path, label, &err) < 0)
		zg_conf_error(l, label, 0, NULL, NULL, "%s%s%s%s", err.text,
		              by ? "" : "; name another file with -c",
		              by || label[0] == '/' ? "" : " or another prefix with -p; this one is ",
		              by || label[0] == '/' ? "" : l->options->prefix);
	to = l->ini.end;
	for (; from != to; from = &(*from)->next) {
		if (!((*from)->name = canonical(l->conf->pool, zg_str((*from)->name))))
			return -1;
		if (!strcmp((*from)->name, "gateway") && !sets_include(l) &&
		    include_section(l, *from, depth) < 0)
			return -1;
	}
	return 0;
}

/* [gateway] may stand in several files: from here on there is one. */
static int merge_gateway(zg_load_t *l)
{
	zg_ini_section_t *gateway = find_section(&l->ini, "gateway"), **at;

	if (!gateway)
		return zg_ini_add_section(&l->ini, ZG_STR("gateway"), ZG_CONF_SET, 0) ? 0 : -1;
	at = &gateway->next;
	while (*at) {
		zg_ini_section_t *s = *at;

		if (strcmp(s->name, "gateway")) {
			at = &s->next;
			continue;
		}
		*gateway->end = s->first;
		if (s->first)
			gateway->end = s->end;
		*at = s->next;
	}
	l->ini.end = at;
	return 0;
}

/* What -g says takes the place of all that the files say of that key. */
static int merge_set(zg_load_t *l)
{
	for (const zg_ini_section_t *s = l->set.first; s; s = s->next) {
		zg_ini_section_t *to = find_section(&l->ini, s->name);

		if (!to)
			to = zg_ini_add_section(&l->ini, zg_str(s->name), ZG_CONF_SET, 0);
		if (!to)
			return -1;
		for (const zg_ini_entry_t *e = s->first; e; e = e->next)
			zg_ini_remove(to, e->name);
		for (const zg_ini_entry_t *e = s->first; e; e = e->next)
			if (!zg_ini_add_entry(l->conf->pool, to, zg_str(e->name), zg_str(e->value),
			                      ZG_CONF_SET, 0))
				return -1;
	}
	return 0;
}

int zg_conf_read(zg_load_t *l)
{
	const zg_ini_section_t *set;

	zg_ini_init(&l->ini, l->conf->pool, on_ini_error, l);
	zg_ini_init(&l->set, l->conf->pool, on_ini_error, l);
	for (const char *const *text = l->options->set; text && *text; text++)
		if (add_set(l, *text) < 0)
			return -1;
	l->label = l->options->file ? label_of(l, l->options->file) : ZG_CONF_SET;
	if (!l->label)
		return -1;
	if (l->options->file && read_file(l, l->options->file, 0, NULL, NULL) < 0)
		return -1;
	set = find_section(&l->set, "gateway");
	if (set && include_section(l, set, 0) < 0)
		return -1;
	return merge_gateway(l) < 0 || merge_set(l) < 0 ? -1 : 0;
}
