#include "base/form.h"

#define BOUNDARY_MAX 70
#define LINES_MAX    16
#define BLOCK_MAX    8192 /* the header lines of one part */

/* tchar, RFC 9110, 5.6.2 */
static bool is_token(char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

/* bchars, RFC 2046, 5.1.1 */
static bool is_boundary(char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return true;
	return c && strchr("'()+_,-./:=? ", c);
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static zg_str_t skip(zg_str_t s, size_t n)
{
	return zg_str_n(s.p + n, s.n - n);
}

static zg_str_t cut_token(zg_str_t *rest)
{
	zg_str_t token = zg_str_n(rest->p, 0);

	while (token.n < rest->n && is_token(rest->p[token.n]))
		token.n++;
	*rest = skip(*rest, token.n);
	return token;
}

/* Takes a quoted-string (RFC 9110, 5.6.4), without its quotes but with its
 * backslashes. */
static bool cut_quoted(zg_str_t *rest, zg_str_t *value)
{
	size_t i = 1;

	while (i < rest->n && rest->p[i] != '"') {
		i += rest->p[i] == '\\';
		if (i >= rest->n || is_control(rest->p[i]))
			return false;
		i++;
	}
	if (i >= rest->n)
		return false;
	*value = zg_str_n(rest->p + 1, i - 1);
	*rest = skip(*rest, i + 1);
	return true;
}

/* Takes the next ";name=value" parameter: 1, 0 at the end, -1 if malformed. */
static int next_param(zg_str_t *rest, zg_str_t *name, zg_str_t *value)
{
	*rest = zg_str_trim(*rest);
	if (!rest->n)
		return 0;
	if (rest->p[0] != ';')
		return -1;
	*rest = zg_str_trim(skip(*rest, 1));
	if (!rest->n)
		return 0; /* "a; " is common enough */
	*name = cut_token(rest);
	if (!name->n || !rest->n || rest->p[0] != '=')
		return -1;
	*rest = skip(*rest, 1);
	if (rest->n && rest->p[0] == '"')
		return cut_quoted(rest, value) ? 1 : -1;
	*value = cut_token(rest);
	return value->n ? 1 : -1;
}

/* Cuts "type/subtype" off its parameters. */
static zg_str_t cut_type(zg_str_t *s)
{
	const char *end = s->n ? memchr(s->p, ';', s->n) : NULL;
	zg_str_t type = *s;

	*s = ZG_STR_NONE;
	if (end) {
		*s = zg_str_n(end, type.n - (size_t)(end - type.p));
		type.n -= s->n;
	}
	return zg_str_trim(type);
}

bool zg_form_is(zg_str_t content_type)
{
	return zg_str_ieq(cut_type(&content_type), ZG_STR("multipart/form-data"));
}

static int find_boundary(zg_str_t content_type, zg_str_t *boundary)
{
	zg_str_t rest = content_type, name, value;
	int more;

	*boundary = ZG_STR_NONE;
	if (!zg_str_ieq(cut_type(&rest), ZG_STR("multipart/form-data")))
		return -1;
	while ((more = next_param(&rest, &name, &value)) > 0) {
		if (!zg_str_ieq(name, ZG_STR("boundary")))
			continue;
		if (boundary->p)
			return -1;
		*boundary = value;
	}
	if (more < 0 || !boundary->n || boundary->n > BOUNDARY_MAX ||
	    boundary->p[boundary->n - 1] == ' ')
		return -1;
	for (size_t i = 0; i < boundary->n; i++)
		if (!is_boundary(boundary->p[i]))
			return -1;
	return 0;
}

int zg_form_begin(zg_form_t *f, zg_str_t content_type, zg_str_t body, zg_err_t *err)
{
	zg_str_t boundary, first;

	*f = (zg_form_t){ 0 };
	if (find_boundary(content_type, &boundary) < 0)
		return zg_err(err, "Content-Type is not multipart/form-data with one valid boundary");
	memcpy(f->delimiter, "\r\n--", 4);
	memcpy(f->delimiter + 4, boundary.p, boundary.n);
	f->delimiter_len = 4 + boundary.n;
	/* the first delimiter has no line end before it: no preamble is taken */
	first = zg_str_n(f->delimiter + 2, f->delimiter_len - 2);
	if (!zg_str_starts(body, first))
		return zg_err(err, "the form does not begin with its boundary");
	f->rest = skip(body, first.n);
	return 0;
}

static int disposition(zg_form_part_t *part, zg_str_t value, zg_err_t *err)
{
	zg_str_t name;
	int more;

	if (part->name.p)
		return zg_err(err, "a part with two Content-Disposition lines");
	if (!zg_str_ieq(cut_type(&value), ZG_STR("form-data")))
		return zg_err(err, "a part whose Content-Disposition is not form-data");
	for (;;) {
		zg_str_t text, *slot;

		more = next_param(&value, &name, &text);
		if (more <= 0)
			break;
		/* RFC 7578, 4.2: not to be used; passed over, a file would turn into a field */
		if (zg_str_ieq(name, ZG_STR("filename*")))
			return zg_err(err, "a part with filename*, which forms do not have");
		slot = zg_str_ieq(name, ZG_STR("name")) ? &part->name
		     : zg_str_ieq(name, ZG_STR("filename")) ? &part->filename : NULL;
		if (!slot)
			continue;
		if (slot->p)
			return zg_err(err, "a part with two names or two filenames");
		*slot = text;
	}
	if (more < 0 || !part->name.p)
		return zg_err(err, "a part whose Content-Disposition is malformed or has no name");
	return 0;
}

static int header_line(zg_form_part_t *part, zg_str_t line, zg_err_t *err)
{
	zg_str_t rest = line, name = cut_token(&rest), value;

	if (!name.n || !rest.n || rest.p[0] != ':')
		return zg_err(err, "a part with a malformed header line");
	for (size_t i = 0; i < rest.n; i++)
		if (is_control(rest.p[i]))
			return zg_err(err, "a part with a control byte in a header line");
	value = zg_str_trim(skip(rest, 1));
	if (zg_str_ieq(name, ZG_STR("Content-Disposition")))
		return disposition(part, value, err);
	if (zg_str_ieq(name, ZG_STR("Content-Type"))) {
		if (part->content_type.p)
			return zg_err(err, "a part with two Content-Type lines");
		part->content_type = value;
	}
	return 0;
}

/* Takes the header lines of a part and the empty line that ends them. */
static int header_block(zg_form_t *f, zg_form_part_t *part, zg_err_t *err)
{
	size_t left = f->rest.n < BLOCK_MAX ? f->rest.n : BLOCK_MAX;

	for (unsigned lines = 0; lines <= LINES_MAX; lines++) {
		const char *end = left ? memmem(f->rest.p, left, "\r\n", 2) : NULL;
		zg_str_t line;

		if (!end)
			return zg_err(err, "a part whose header does not end, or is too long");
		line = zg_str_n(f->rest.p, (size_t)(end - f->rest.p));
		f->rest = skip(f->rest, line.n + 2);
		left -= line.n + 2;
		if (!line.n)
			return 0;
		if (header_line(part, line, err) < 0)
			return -1;
	}
	return zg_err(err, "a part with too many header lines");
}

static int next_part(zg_form_t *f, zg_form_part_t *part, zg_err_t *err)
{
	const char *end;

	if (zg_str_starts(f->rest, ZG_STR("--"))) {
		zg_str_t after = skip(f->rest, 2);

		if (after.n && !zg_str_eq(after, ZG_STR("\r\n")))
			return zg_err(err, "bytes after the end of the form");
		f->rest = ZG_STR_NONE;
		return 0;
	}
	if (!zg_str_starts(f->rest, ZG_STR("\r\n")))
		return zg_err(err, "a boundary that is not followed by a line end");
	f->rest = skip(f->rest, 2);
	if (header_block(f, part, err) < 0)
		return -1;
	if (!part->name.p)
		return zg_err(err, "a part without Content-Disposition");
	end = f->rest.n ? memmem(f->rest.p, f->rest.n, f->delimiter, f->delimiter_len) : NULL;
	if (!end)
		return zg_err(err, "the form ends before its closing boundary");
	part->body = zg_str_n(f->rest.p, (size_t)(end - f->rest.p));
	f->rest = skip(f->rest, part->body.n + f->delimiter_len);
	return 1;
}

int zg_form_next(zg_form_t *f, zg_form_part_t *part, zg_err_t *err)
{
	int more;

	*part = (zg_form_part_t){ 0 };
	if (!f->rest.p)
		return 0;
	more = next_part(f, part, err);
	if (more < 0)
		f->rest = ZG_STR(""); /* and malformed it stays */
	return more;
}
