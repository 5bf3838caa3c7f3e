#include "static.h"

#include <inttypes.h>
#include <stdio.h>

void static_condition_etag(static_file_t *file, const struct timespec *modified)
{
	struct tm tm = { 0 };

	file->modified = modified->tv_sec;
	snprintf(file->etag, sizeof file->etag, "\"%" PRIx64 "-%" PRIx64 "\"", file->size,
	         (uint64_t)modified->tv_sec * 1000000000u + (uint64_t)modified->tv_nsec);
	gmtime_r(&modified->tv_sec, &tm);
	strftime(file->date, sizeof file->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* The three forms of RFC 9110, 5.6.7. */
static bool parse_date(const char *text, time_t *out)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y",
	};

	for (size_t i = 0; i < ZG_COUNT_OF(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && *end == '\0') {
			*out = timegm(&tm);
			return true;
		}
	}
	return false;
}

/* Weak comparison, as If-None-Match wants it. Ours holds no comma, so cutting
 * others' in pieces at theirs cannot make one equal. */
static bool names_etag(const char *list, const char *etag)
{
	zg_str_t rest = zg_str(list), one;

	while (zg_str_cut(&rest, ',', &one)) {
		one = zg_str_trim(one);
		if (zg_str_starts(one, ZG_STR("W/")))
			one = zg_str_n(one.p + 2, one.n - 2);
		if (zg_str_eq(one, ZG_STR("*")) || zg_str_eq(one, zg_str(etag)))
			return true;
	}
	return false;
}

static bool unchanged(const static_file_t *file, const static_asked_t *asked)
{
	time_t since;

	if (asked->none_match) /* then If-Modified-Since is not looked at: RFC 9110, 13.1.3 */
		return names_etag(asked->none_match, file->etag);
	return asked->modified_since && parse_date(asked->modified_since, &since) &&
	       file->modified <= since;
}

/* Whether the client's part is of the file as it is: only then a range of it
 * may be added. Strong comparison; a date is that only when the file has been
 * left alone since (RFC 9110, 13.1.5 and 8.8.2.2). */
static bool same_file(const static_file_t *file, const char *if_range)
{
	time_t date;

	if (!if_range)
		return true;
	if (if_range[0] == '"' || zg_str_starts(zg_str(if_range), ZG_STR("W/")))
		return strcmp(if_range, file->etag) == 0;
	return parse_date(if_range, &date) && date == file->modified && time(NULL) > date + 1;
}

/* Reads a number off *text, at most UINT64_MAX; false if there is none. */
static bool cut_number(const char **text, uint64_t *n)
{
	const char *start = *text;

	for (*n = 0; **text >= '0' && **text <= '9'; ++*text) {
		unsigned digit = (unsigned)(**text - '0');

		*n = *n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *n * 10 + digit;
	}
	return *text > start;
}

/* One range gives 206 or 416. What is malformed, in another unit, or several
 * ranges may be answered with the whole file (RFC 9110, 14.2). */
static static_answer_t cut_range(const char *text, uint64_t size)
{
	const static_answer_t whole = { .status = 200, .size = size }, none = { .status = 416 };
	uint64_t first, last;
	bool has_first, has_last;

	if (!zg_str_ieq(zg_str_n(text, strnlen(text, 6)), ZG_STR("bytes=")))
		return whole;
	text += 6;
	has_first = cut_number(&text, &first);
	if (*text++ != '-')
		return whole;
	has_last = cut_number(&text, &last);
	if (*text != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
		return whole;
	if (!has_first) { /* the last so many bytes */
		if (last == 0)
			return none;
		if (size == 0)
			return whole; /* satisfiable, but no Content-Range could say it */
		first = last < size ? size - last : 0;
		has_last = false;
	}
	if (first >= size)
		return none;
	if (!has_last || last >= size)
		last = size - 1;
	return (static_answer_t){ .status = 206, .offset = first, .size = last - first + 1 };
}

static_answer_t static_condition_answer(const static_file_t *file, const static_asked_t *asked)
{
	if (unchanged(file, asked))
		return (static_answer_t){ .status = 304, .size = file->size };
	if (asked->range && same_file(file, asked->if_range))
		return cut_range(asked->range, file->size);
	return (static_answer_t){ .status = 200, .size = file->size };
}
