#include "suites.h"
#include "base/utf8.h"
#include "engine/format.h"
#include <stdio.h>
#include <stdlib.h>

static char line[ZG_FORMAT_LINE + 1];

/* The line of a format, without its end. */
static const char *written(const char *format, const zg_access_t *a)
{
	zg_pool_t *pool = zg_pool_new();
	zg_str_t unknown;
	zg_err_t err = { "" };
	const zg_format_t *f = zg_format_compile(zg_str(format), pool, &err, &unknown);
	size_t n;

	ck_assert_msg(f != NULL, "%s: %s", format, err.text);
	n = zg_format_write(f, a, line);
	ck_assert_uint_le(n, ZG_FORMAT_LINE);
	ck_assert_int_eq(line[n - 1], '\n');
	ck_assert_ptr_null(memchr(line, '\n', n - 1));
	line[n - 1] = '\0';
	zg_pool_free(&pool);
	return line;
}

static zg_access_t example(void)
{
	zg_access_t a = zg_access_none;

	a.remote_addr = ZG_STR("10.0.0.1");
	a.method = ZG_STR("GET");
	a.uri = ZG_STR("/a/b?c=d&e");
	a.protocol = ZG_STR("HTTP/1.1");
	a.user_agent = ZG_STR("x\"\\\n\x7f\xe9y");
	a.status = 200;
	a.bytes = 1234567890123;
	a.request_time = 12000034;
	a.waiting_time = 0;
	a.at = (struct timespec){ 1896177600, 45600000 };
	return a;
}

START_TEST(texts)
{
	zg_access_t a = example();

	setenv("TZ", "XYZ-1", 1);
	ck_assert_str_eq(written("combined", &a),
	                 "10.0.0.1 - - [01/Feb/2030:13:00:00 +0100] \"GET /a/b?c=d&e HTTP/1.1\" 200 "
	                 "1234567890123 \"-\" \"x\\x22\\x5C\\x0A\\x7F\\xE9y\"");
	ck_assert_str_eq(written("$path|$query|${status}0|$request_time|$waiting_time|$worker_time", &a),
	                 "/a/b|c=d&e|2000|12.000034|0.000000|-");
	ck_assert_str_eq(written("a $msec $time_iso8601 b", &a),
	                 "a 1896177600.045 2030-02-01T12:00:00.045Z b");
	a.uri = ZG_STR("/?");
	ck_assert_str_eq(written("$path$query", &a), "/-");
	ck_assert_str_eq(written("$request $path $query $ws_sent", &zg_access_none), "- - - -");
}
END_TEST

START_TEST(json)
{
	zg_access_t a = example();

	a.referer = ZG_STR("\xc3\xa9\xff\"\\\x01\xed\xa0\x80");
	ck_assert_ptr_nonnull(strstr(written("json", &a), "\"referer\":\"\xc3\xa9\xef\xbf\xbd\\\"\\\\"
	                             "\\u0001\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","));
	ck_assert(zg_utf8_valid(zg_str(line)));
	ck_assert_ptr_nonnull(strstr(line, "\"status\":200,\"outcome\":null,\"bytes\":1234567890123,"));
	ck_assert_ptr_nonnull(strstr(line, "\"request_time\":12.000034,\"waiting_time\":0.000000,"
	                             "\"worker_time\":null,"));
	ck_assert_int_eq(line[strlen(line) - 1], '}');
}
END_TEST

/* However long the values are, the line ends, and what is not a client's is whole. */
START_TEST(long_values)
{
	zg_access_t a = example();
	size_t n = 100000;
	char *much = malloc(n);

	memset(much, '\1', n);
	a.uri = a.host = a.referer = a.user_agent = a.method = a.location = zg_str_n(much, n);
	written("json", &a);
	ck_assert_ptr_nonnull(strstr(line, "\"request_time\":12.000034,"));
	ck_assert_int_eq(line[strlen(line) - 1], '}');
	memset(much, 'u', n);
	ck_assert_uint_eq(strlen(written("$uri", &a)), ZG_FORMAT_TEXT + 3);
	ck_assert_str_eq(line + ZG_FORMAT_TEXT - 1, "u...");
	written("$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri $status", &a);
	ck_assert_str_eq(line + strlen(line) - 7, "... 200");
	free(much);
}
END_TEST

/* Every variable has help, works in a format of its own, and stands for itself. */
START_TEST(every_variable)
{
	zg_access_t a = example();

	for (const zg_format_var_t *v = zg_format_vars; v->name; v++) {
		char format[64];

		ck_assert_uint_gt(strlen(v->doc), 5);
		snprintf(format, sizeof format, "<$%s>", v->name);
		ck_assert_int_gt((int)strlen(written(format, &zg_access_none)), 2);
		ck_assert_int_eq(written(format, &a)[0], '<');
	}
}
END_TEST

START_TEST(mistakes)
{
	static const struct {
		const char *format, *error, *unknown;
	} rows[] = {
		{ "common", "\"common\" is no format", "common" },
		{ "$status $stat", "there is no variable $stat", "stat" },
		{ "${statuss}", "there is no variable $statuss", "statuss" },
		{ "$status $", "has a \"$\" without a name; write e.g. $status", "" },
		{ "${status", "has a \"$\" without a name; write e.g. $status", "" },
		{ "${}", "has a \"$\" without a name; write e.g. $status", "" },
		{ "$Status", "has a \"$\" without a name; write e.g. $status", "" },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		zg_pool_t *pool = zg_pool_new();
		zg_str_t unknown;
		zg_err_t err;

		ck_assert_ptr_null(zg_format_compile(zg_str(rows[i].format), pool, &err, &unknown));
		ck_assert_str_eq(err.text, rows[i].error);
		ck_assert(zg_str_eq(unknown, zg_str(rows[i].unknown)));
		zg_pool_free(&pool);
	}
}
END_TEST

Suite *suite_format(void)
{
	Suite *s = suite_create("format");
	TCase *c = tcase_create("format");

	tcase_add_test(c, texts);
	tcase_add_test(c, json);
	tcase_add_test(c, long_values);
	tcase_add_test(c, every_variable);
	tcase_add_test(c, mistakes);
	suite_add_tcase(s, c);
	return s;
}
