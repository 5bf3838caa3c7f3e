#include "base/target.h"

bool zg_target_absolute(zg_str_t target, zg_str_t *authority, zg_str_t *rest)
{
	static const char *const schemes[] = { "http://", "https://", "ws://", "wss://" };

	for (size_t i = 0; i < ZG_COUNT_OF(schemes); i++) {
		size_t n = strlen(schemes[i]), end;

		if (target.n < n || !zg_str_ieq(zg_str_n(target.p, n), zg_str(schemes[i])))
			continue;
		for (end = n; end < target.n; end++)
			if (target.p[end] == '/' || target.p[end] == '?')
				break;
		*authority = zg_str_n(target.p + n, end - n);
		*rest = zg_str_n(target.p + end, target.n - end);
		return true;
	}
	return false;
}

bool zg_target_split(zg_str_t target, zg_str_t *path, zg_str_t *query)
{
	zg_str_t authority;
	const char *mark;

	if (!zg_str_starts(target, ZG_STR("/")) &&
	    !zg_target_absolute(target, &authority, &target))
		return false;
	mark = target.n ? memchr(target.p, '?', target.n) : NULL;
	*path = target;
	*query = ZG_STR_NONE;
	if (mark) {
		path->n = (size_t)(mark - target.p);
		*query = zg_str_n(mark + 1, target.n - path->n - 1);
	}
	if (!path->n) /* RFC 9110, 4.2.3: an empty path is "/" */
		*path = ZG_STR("/");
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte, or one escape, off the front of s; its value, or -1. */
static int cut_byte(zg_str_t *s)
{
	size_t n = s->p[0] == '%' ? 3 : 1;
	int byte = (unsigned char)s->p[0];

	if (n == 3) {
		int high = s->n >= 3 ? hex_digit(s->p[1]) : -1;
		int low = s->n >= 3 ? hex_digit(s->p[2]) : -1;

		if (high < 0 || low < 0)
			return -1;
		byte = high << 4 | low;
	}
	*s = zg_str_n(s->p + n, s->n - n);
	return byte;
}

/* Resolves the decoded path p in place. What was written always ends with the
 * '/' before the segment at hand, so that "." writes nothing and ".." takes
 * one segment back. */
static long resolve(char *p, size_t n)
{
	size_t out = 1, at = 1;

	while (at < n) {
		const char *slash = memchr(p + at, '/', n - at);
		size_t end = slash ? (size_t)(slash - p) : n;
		zg_str_t segment = zg_str_n(p + at, end - at);

		at = end + (slash != NULL);
		if (segment.n == 0 || zg_str_eq(segment, ZG_STR(".")))
			continue;
		if (zg_str_eq(segment, ZG_STR(".."))) {
			if (out == 1)
				return -1;
			for (out--; p[out - 1] != '/';)
				out--;
			continue;
		}
		memmove(p + out, segment.p, segment.n);
		out += segment.n;
		if (slash)
			p[out++] = '/';
	}
	p[out] = '\0';
	return (long)out;
}

long zg_target_normal(zg_str_t path, char *out)
{
	size_t n = 0;

	if (!zg_str_starts(path, ZG_STR("/")))
		return -1;
	/* decoded first: an encoded dot or slash must not slip past as text */
	while (path.n) {
		int byte = cut_byte(&path);

		if (byte <= 0)
			return -1;
		out[n++] = (char)byte;
	}
	return resolve(out, n);
}

long zg_target_decode(zg_str_t s, char *out)
{
	size_t n = 0;

	while (s.n) {
		bool plus = s.p[0] == '+';
		int byte = cut_byte(&s);

		if (byte < 0)
			return -1;
		out[n++] = plus ? ' ' : (char)byte;
	}
	out[n] = '\0';
	return (long)n;
}

bool zg_target_param(zg_str_t *rest, zg_str_t *name, zg_str_t *value)
{
	const char *equals;
	zg_str_t pair;

	do
		if (!zg_str_cut(rest, '&', &pair))
			return false;
	while (!pair.n);
	equals = memchr(pair.p, '=', pair.n);
	*name = pair;
	*value = ZG_STR_NONE;
	if (equals) {
		name->n = (size_t)(equals - pair.p);
		*value = zg_str_n(equals + 1, pair.n - name->n - 1);
	}
	return true;
}
