#include "base/str.h"

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool zg_str_ieq(zg_str_t a, zg_str_t b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower((unsigned char)a.p[i]) != lower((unsigned char)b.p[i]))
			return false;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

zg_str_t zg_str_trim(zg_str_t s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool zg_str_cut(zg_str_t *rest, char sep, zg_str_t *piece)
{
	const char *end;
	size_t used;

	if (!rest->n)
		return false;
	end = memchr(rest->p, sep, rest->n);
	*piece = zg_str_n(rest->p, end ? (size_t)(end - rest->p) : rest->n);
	used = piece->n + (end != NULL);
	*rest = zg_str_n(rest->p + used, rest->n - used);
	return true;
}

bool zg_str_has_token(zg_str_t list, zg_str_t token)
{
	zg_str_t piece;

	while (zg_str_cut(&list, ',', &piece))
		if (zg_str_ieq(zg_str_trim(piece), token))
			return true;
	return false;
}

#define DISTANCE_MAX 63

/* Wagner-Fischer with one row: row[j] is the distance between a's first i
 * bytes and b's first j. */
unsigned zg_str_distance(zg_str_t a, zg_str_t b)
{
	unsigned char row[DISTANCE_MAX + 1];

	a.n = a.n > DISTANCE_MAX ? DISTANCE_MAX : a.n;
	b.n = b.n > DISTANCE_MAX ? DISTANCE_MAX : b.n;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned char)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned best = diagonal + (a.p[i - 1] != b.p[j - 1]);

			diagonal = row[j];
			if (best > row[j] + 1u)
				best = row[j] + 1u;
			if (best > row[j - 1] + 1u)
				best = row[j - 1] + 1u;
			row[j] = (unsigned char)best;
		}
	}
	return row[b.n];
}
