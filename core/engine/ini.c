#include "engine/ini.h"
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an indented line would go on with. */
enum before {
	BEFORE_NOTHING,
	BEFORE_ENTRY,
	BEFORE_REFUSED, /* a line with an error: its continuations go with it */
};

struct reader {
	zg_ini_t *ini;
	FILE *f;
	const char *file;
	unsigned line;
	char raw[ZG_INI_LINE_MAX + 1]; /* the line's first bytes */
	size_t len;                    /* all of its bytes, without the line end */
	zg_ini_section_t *section;     /* NULL: none yet, or one that was refused */
	bool section_refused;
	enum before before;
	bool continued;                /* the line inih has now is indented */
	bool no_memory;
};

void zg_ini_init(zg_ini_t *ini, zg_pool_t *pool, zg_ini_error_fn error, void *ctx)
{
	*ini = (zg_ini_t){ .pool = pool, .error = error, .ctx = ctx };
	ini->end = &ini->first;
}

zg_ini_section_t *zg_ini_add_section(zg_ini_t *ini, zg_str_t name, const char *file, unsigned line)
{
	zg_ini_section_t *s = zg_pool_alloc(ini->pool, sizeof(*s));

	if (!s || !(s->name = zg_pool_strdup(ini->pool, name)))
		return NULL;
	s->file = file;
	s->line = line;
	s->end = &s->first;
	*ini->end = s;
	ini->end = &s->next;
	return s;
}

zg_ini_entry_t *zg_ini_add_entry(zg_pool_t *pool, zg_ini_section_t *section, zg_str_t name,
                                 zg_str_t value, const char *file, unsigned line)
{
	zg_ini_entry_t *e = zg_pool_alloc(pool, sizeof(*e));

	if (!e || !(e->name = zg_pool_strdup(pool, name)) ||
	    !(e->value = zg_pool_strdup(pool, value)))
		return NULL;
	e->file = file;
	e->line = line;
	*section->end = e;
	section->end = &e->next;
	return e;
}

zg_ini_entry_t *zg_ini_find(const zg_ini_section_t *section, const char *name)
{
	zg_ini_entry_t *e = section->first;

	while (e && strcmp(e->name, name))
		e = e->next;
	return e;
}

void zg_ini_remove(zg_ini_section_t *section, const char *name)
{
	zg_ini_entry_t **at = &section->first;

	while (*at)
		if (!strcmp((*at)->name, name))
			*at = (*at)->next;
		else
			at = &(*at)->next;
	section->end = at;
}

__attribute__((format(printf, 2, 3)))
static void complain(struct reader *r, const char *format, ...)
{
	zg_err_t text;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text.text, sizeof(text.text), format, ap);
	va_end(ap);
	r->ini->error(r->ini->ctx, r->file, r->line, NULL, NULL, text.text);
}

/* One raw line of any length in bounded memory; false at the end. */
static bool next_line(struct reader *r)
{
	int c = getc(r->f), last = 0;

	if (c == EOF)
		return false;
	r->line++;
	r->len = 0;
	for (; c != EOF && c != '\n'; last = c, c = getc(r->f)) {
		if (r->len < sizeof(r->raw))
			r->raw[r->len] = (char)c;
		r->len++;
	}
	r->len -= last == '\r';
	return true;
}

/* A comment begins at a semicolon after a blank. inih 55 knows that too, but
 * not in indented lines, so it is cut off here. */
static zg_str_t without_comment(zg_str_t s)
{
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] == ';' && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return zg_str_trim(zg_str_n(s.p, i));
	return zg_str_trim(s);
}

static bool is_name(zg_str_t s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-'))
			return false;
	}
	return s.n > 0;
}

/* What stands before the first "=": no name if there is none. */
static zg_str_t name_of(zg_str_t s)
{
	const char *equals = memchr(s.p, '=', s.n);

	return equals ? zg_str_trim(zg_str_n(s.p, (size_t)(equals - s.p))) : ZG_STR_NONE;
}

static bool judge_section(struct reader *r, zg_str_t s)
{
	const char *end;
	zg_str_t name, rest;

	r->before = BEFORE_NOTHING;
	r->section = NULL;
	r->section_refused = true;
	s = without_comment(s);
	end = memchr(s.p, ']', s.n);
	if (!end) {
		complain(r, "`%.*s` has no closing bracket; write [gateway] or [location /path]",
		         ZG_STR_ARG(s));
		return false;
	}
	name = zg_str_trim(zg_str_n(s.p + 1, (size_t)(end - s.p - 1)));
	rest = zg_str_n(end + 1, (size_t)(s.p + s.n - end - 1));
	if (rest.n) {
		complain(r, "`%.*s` stands behind the section's bracket; give it a line of its own",
		         ZG_STR_ARG(zg_str_trim(rest)));
		return false;
	}
	if (!name.n) {
		complain(r, "the section has no name; write [gateway] or [location /path]");
		return false;
	}
	r->section = zg_ini_add_section(r->ini, name, r->file, r->line);
	r->section_refused = r->no_memory = !r->section;
	return true;
}

static bool judge_entry(struct reader *r, zg_str_t s)
{
	zg_str_t name;

	r->before = BEFORE_REFUSED;
	s = without_comment(s);
	name = name_of(s);
	if (!memchr(s.p, '=', s.n))
		complain(r, "`%.*s` has no \"=\"; write `name = value`", ZG_STR_ARG(s));
	else if (!is_name(name))
		complain(r, "\"%.*s\" is no name of a directive; write `name = value`",
		         ZG_STR_ARG(name));
	else if (name.n > ZG_INI_NAME_MAX)
		complain(r, "\"%.*s\" is longer than any directive's name", ZG_STR_ARG(name));
	else if (!r->section && !r->section_refused)
		complain(r, "\"%.*s\" stands before the first section; put [gateway] or "
		         "[location /path] above it", ZG_STR_ARG(name));
	if (!is_name(name) || name.n > ZG_INI_NAME_MAX || !r->section)
		return false;
	r->before = BEFORE_ENTRY;
	return true;
}

/* inih takes any indented line for more of the value before it. */
static bool judge_indented(struct reader *r, zg_str_t s)
{
	zg_str_t name = name_of(s);

	if (s.p[0] == '[' && memchr(s.p, ']', s.n)) {
		complain(r, "the section `%.*s` is indented, which makes it more of the value above; "
		         "remove the blanks before it", ZG_STR_ARG(without_comment(s)));
		r->section = NULL;
		r->section_refused = true;
		r->before = BEFORE_REFUSED;
		return false;
	}
	if (is_name(name)) {
		complain(r, "\"%.*s\" is indented, which makes it more of the value above; remove the "
		         "blanks before it", ZG_STR_ARG(name));
		return false;
	}
	if (r->before == BEFORE_NOTHING)
		complain(r, "the line is indented, but there is no value above that it could go on "
		         "with; remove the blanks before it");
	return r->continued = r->before == BEFORE_ENTRY;
}

static bool judge_bytes(struct reader *r)
{
	if (r->len > ZG_INI_LINE_MAX) {
		complain(r, "the line has %zu bytes, at most %d can be read; give a list over several "
		         "lines by repeating the directive", r->len, ZG_INI_LINE_MAX);
		return false;
	}
	for (size_t i = 0; i < r->len; i++) {
		unsigned char c = (unsigned char)r->raw[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			complain(r, "byte %zu of the line is the control byte 0x%02x; remove it", i + 1, c);
			return false;
		}
	}
	return true;
}

/* Whether inih may have the line. */
static bool judge(struct reader *r, zg_str_t s)
{
	zg_str_t t = zg_str_trim(s);

	r->continued = false;
	if (!t.n || t.p[0] == ';' || t.p[0] == '#')
		return false;
	if (t.p > s.p)
		return judge_indented(r, t);
	return t.p[0] == '[' ? judge_section(r, t) : judge_entry(r, t);
}

/* fgets for inih. A line it must not have is an empty one to it; a section is
 * named "s", since we keep its name and inih would cut it. */
static char *read_line(char *out, int size, void *stream)
{
	struct reader *r = stream;
	zg_str_t s, t;

	if (r->no_memory || !next_line(r))
		return NULL;
	out[0] = '\0';
	if (!judge_bytes(r)) {
		r->before = BEFORE_REFUSED;
		if (r->raw[0] == '[') { /* what follows is not the last section's */
			r->section = NULL;
			r->section_refused = true;
		}
		return out;
	}
	s = zg_str_n(r->raw, r->len);
	if (r->line == 1 && zg_str_starts(s, ZG_STR("\xef\xbb\xbf")))
		s = zg_str_n(s.p + 3, s.n - 3);
	if (judge(r, s) && s.n < (size_t)size) {
		t = without_comment(zg_str_trim(s));
		s.n = (size_t)(t.p + t.n - s.p); /* keeping the blanks in front */
		if (s.p[0] == '[')
			s = ZG_STR("[s]");
		memcpy(out, s.p, s.n);
		out[s.n] = '\0';
	}
	return out;
}

/* inih calls it while the line that read_line gave last is still r's. */
static int on_entry(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	zg_ini_entry_t *e;

	(void)section; /* ours is whole */
	if (!r->section)
		return 1;
	/* "name =;x": to inih no comment, to everybody else one */
	if (!value || !*value || *value == ';') {
		r->ini->error(r->ini->ctx, r->file, r->line, r->section->name, name,
		              "has no value; give it one or remove the line");
		r->before = BEFORE_REFUSED;
		return 1;
	}
	e = zg_ini_add_entry(r->ini->pool, r->section, zg_str(name), zg_str(value), r->file, r->line);
	if (!e) {
		r->no_memory = true;
		return 0;
	}
	e->continued = r->continued;
	return 1;
}

static int parse(struct reader *r, zg_err_t *err)
{
	struct stat st;
	int rc;

	if (fstat(fileno(r->f), &st) == 0 && S_ISDIR(st.st_mode))
		return zg_err(err, "is a directory, not a file");
	rc = ini_parse_stream(read_line, r, on_entry, r);
	if (ferror(r->f))
		return zg_err(err, "cannot read: %s", strerror(errno));
	if (r->no_memory || rc < 0)
		return zg_err(err, "out of memory");
	/* every line that inih gets was judged: this would be a disagreement */
	if (rc > 0)
		return zg_err(err, "line %d cannot be understood", rc);
	return 0;
}

/* A FIFO that nobody writes holds up no reload: it is empty. */
static FILE *open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *f = fd >= 0 && fcntl(fd, F_SETFL, 0) == 0 ? fdopen(fd, "r") : NULL;

	if (!f && fd >= 0)
		close(fd);
	return f;
}

int zg_ini_read(zg_ini_t *ini, const char *path, const char *label, zg_err_t *err)
{
	struct reader r = { .ini = ini, .file = label };
	int rc;

	r.f = open_file(path);
	if (!r.f)
		return zg_err(err, "cannot open: %s", strerror(errno));
	rc = parse(&r, err);
	fclose(r.f);
	return rc;
}
