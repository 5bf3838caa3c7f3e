#include "base/unit.h"
#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* largest first: the first that divides a value gives its shortest notation */
static const struct unit times[] = {
	{ "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit sizes[] = {
	{ "g", 1u << 30 }, { "m", 1u << 20 }, { "k", 1u << 10 }, { "", 1 },
};

/* Takes the digits off the front; false if there are none or too many. */
static bool cut_digits(zg_str_t *s, uint64_t *n)
{
	size_t i = 0;

	*n = 0;
	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
		if (__builtin_mul_overflow(*n, 10, n) ||
		    __builtin_add_overflow(*n, (uint64_t)(s->p[i] - '0'), n))
			return false;
	if (!i)
		return false;
	*s = zg_str_n(s->p + i, s->n - i);
	return true;
}

static bool parse(zg_str_t s, const struct unit *units, size_t count, uint64_t *value)
{
	uint64_t n;

	if (!cut_digits(&s, &n))
		return false;
	for (size_t i = 0; i < count; i++)
		if (zg_str_eq(s, zg_str(units[i].suffix)))
			return !__builtin_mul_overflow(n, units[i].factor, value);
	return false;
}

static void text(uint64_t value, const struct unit *u, char out[32])
{
	while (value % u->factor)
		u++;
	snprintf(out, 32, "%" PRIu64 "%s", value / u->factor, u->suffix);
}

int zg_unit_msec(zg_str_t s, uint64_t *ms, zg_err_t *err)
{
	if (!parse(s, times, ZG_COUNT_OF(times), ms))
		return zg_err(err, "expected a time such as 250ms, 5s, 2m or 1h");
	return 0;
}

int zg_unit_size(zg_str_t s, uint64_t *bytes, zg_err_t *err)
{
	if (!parse(s, sizes, ZG_COUNT_OF(sizes), bytes))
		return zg_err(err, "expected a size such as 512, 64k, 10m or 1g");
	return 0;
}

int zg_unit_int(zg_str_t s, int64_t *n, zg_err_t *err)
{
	bool minus = zg_str_starts(s, ZG_STR("-"));
	uint64_t digits;

	if (minus)
		s = zg_str_n(s.p + 1, s.n - 1);
	if (!cut_digits(&s, &digits) || s.n || digits > (uint64_t)INT64_MAX + minus)
		return zg_err(err, "expected a whole number");
	*n = minus ? (int64_t)-digits : (int64_t)digits;
	return 0;
}

int zg_unit_bool(zg_str_t s, bool *b, zg_err_t *err)
{
	bool yes = zg_str_eq(s, ZG_STR("yes"));

	if (!yes && !zg_str_eq(s, ZG_STR("no")))
		return zg_err(err, "expected yes or no");
	*b = yes;
	return 0;
}

void zg_unit_msec_text(uint64_t ms, char out[32])
{
	/* nought divides by everything; seconds are what a reader expects */
	text(ms, ms ? times : &times[2], out);
}

void zg_unit_size_text(uint64_t bytes, char out[32])
{
	text(bytes, bytes ? sizes : &sizes[3], out);
}
