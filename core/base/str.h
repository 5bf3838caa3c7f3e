/* str: a borrowed run of bytes. Nothing here allocates or is NUL-terminated
 * unless said so; a zg_str_t lives as long as what it points into. */
#ifndef ZG_BASE_STR_H
#define ZG_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct zg_str {
	const char *p;
	size_t n;
} zg_str_t;

#define ZG_STR(literal) ((zg_str_t){ (literal), sizeof(literal) - 1 })
#define ZG_STR_NONE     ((zg_str_t){ NULL, 0 })
#define ZG_COUNT_OF(a)  (sizeof(a) / sizeof(*(a)))
/* for printf("%.*s", ZG_STR_ARG(s)) */
#define ZG_STR_ARG(s)   (int)(s).n, (s).p ? (s).p : ""

static inline zg_str_t zg_str(const char *z)
{
	return (zg_str_t){ z, z ? strlen(z) : 0 };
}

static inline zg_str_t zg_str_n(const void *p, size_t n)
{
	return (zg_str_t){ p, n };
}

static inline bool zg_str_eq(zg_str_t a, zg_str_t b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII letters without regard to case, whatever the locale; NUL is a byte
 * like any other. */
bool zg_str_ieq(zg_str_t a, zg_str_t b);

static inline bool zg_str_starts(zg_str_t s, zg_str_t prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Without leading and trailing blanks and tabs. */
zg_str_t zg_str_trim(zg_str_t s);

/* Cuts the next piece off *rest at the first byte `sep`; false when *rest is
 * used up. "a,,b" gives "a", "", "b"; an empty string gives nothing, and so
 * does what follows a last separator: "a," gives "a". */
bool zg_str_cut(zg_str_t *rest, char sep, zg_str_t *piece);

/* Whether the comma-separated list of HTTP tokens (RFC 9110, 5.6.1) holds
 * `token`, without regard to case. */
bool zg_str_has_token(zg_str_t list, zg_str_t token);

/* Levenshtein distance, for "did you mean"; strings over 63 bytes are cut. */
unsigned zg_str_distance(zg_str_t a, zg_str_t b);

#endif
