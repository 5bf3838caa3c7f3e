#include "suites.h"
#include "base/target.h"
#include <stdlib.h>

START_TEST(split)
{
	static const struct {
		const char *target, *path, *query; /* path NULL: refused; query NULL: none */
	} rows[] = {
		{ "/", "/", NULL },
		{ "/a/b?x=1&y", "/a/b", "x=1&y" },
		{ "/a?", "/a", "" },
		{ "/a?b?c", "/a", "b?c" },
		{ "/?", "/", "" },
		{ "//host/a", "//host/a", NULL },
		{ "http://host", "/", NULL },
		{ "HTTP://host:80/a?b", "/a", "b" },
		{ "https://host?b", "/", "b" },
		{ "ws://host/chat", "/chat", NULL },
		{ "wss://host/", "/", NULL },
		{ "http://", "/", NULL }, /* that an authority is missing is head's to say */
		{ "", NULL, NULL },
		{ "*", NULL, NULL },
		{ "host:443", NULL, NULL },
		{ "ftp://host/a", NULL, NULL },
		{ "http:/host", NULL, NULL },
		{ "a/b", NULL, NULL },
		{ "?a", NULL, NULL },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		zg_str_t path, query;
		bool ok = zg_target_split(zg_str(rows[i].target), &path, &query);

		ck_assert_msg(ok == (rows[i].path != NULL), "%s", rows[i].target);
		if (!ok)
			continue;
		ck_assert_msg(zg_str_eq(path, zg_str(rows[i].path)), "%s", rows[i].target);
		ck_assert_msg(zg_str_eq(query, zg_str(rows[i].query)), "%s", rows[i].target);
		ck_assert_msg(!query.p == !rows[i].query, "%s", rows[i].target);
	}
	ck_assert(!zg_target_split(ZG_STR_NONE, &(zg_str_t){ 0 }, &(zg_str_t){ 0 }));
}
END_TEST

START_TEST(normal)
{
	static const struct {
		const char *path, *want; /* NULL: refused */
	} rows[] = {
		{ "/", "/" },
		{ "/a/b", "/a/b" },
		{ "/a/", "/a/" },
		{ "//a///b//", "/a/b/" },
		{ "/./a/./b/.", "/a/b/" },
		{ "/a/..", "/" },
		{ "/a/../", "/" },
		{ "/a/b/../c", "/a/c" },
		{ "/a/b/..", "/a/" },
		{ "/a/b/../../c", "/c" },
		{ "/a//../b", "/b" },
		{ "/.a/..b/c../...", "/.a/..b/c../..." },
		{ "/%61%2F%62", "/a/b" },
		{ "/%2e/a/%2E%2e/b", "/b" },
		{ "/a%2f..%2fb", "/b" },
		{ "/%2561", "/%61" }, /* decoded once only */
		{ "/a+b", "/a+b" },
		{ "/%C3%a4", "/\xc3\xa4" },
		{ "/%3f%23", "/?#" },
		{ "", NULL },
		{ "a", NULL },
		{ "%2fa", NULL },
		{ "/..", NULL },
		{ "/../a", NULL },
		{ "//..", NULL },
		{ "/a/../..", NULL },
		{ "/%2e%2e/a", NULL },
		{ "/a%2f%2e%2e%2f..", NULL },
		{ "/%00", NULL },
		{ "/a%00b", NULL },
		{ "/%", NULL },
		{ "/%4", NULL },
		{ "/%4g", NULL },
		{ "/%g4", NULL },
		{ "/%%41", NULL },
		{ "/% 41", NULL },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		size_t n = strlen(rows[i].path);
		char *out = malloc(n + 1);
		long len = zg_target_normal(zg_str(rows[i].path), out);

		if (!rows[i].want) {
			ck_assert_msg(len == -1, "%s gives %ld", rows[i].path, len);
		} else {
			ck_assert_msg(len == (long)strlen(rows[i].want), "%s gives %ld", rows[i].path, len);
			ck_assert_str_eq(out, rows[i].want);
		}
		free(out);
	}
}
END_TEST

START_TEST(query)
{
	zg_str_t rest = ZG_STR("a=1&&b&=x&c=%41+b=2&"), name, value;
	static const char *const want[][2] = { { "a", "1" }, { "b", NULL }, { "", "x" },
	                                       { "c", "%41+b=2" } };
	char out[32];

	for (size_t i = 0; i < ZG_COUNT_OF(want); i++) {
		ck_assert(zg_target_param(&rest, &name, &value));
		ck_assert(zg_str_eq(name, zg_str(want[i][0])));
		ck_assert(zg_str_eq(value, zg_str(want[i][1])) && !value.p == !want[i][1]);
	}
	ck_assert(!zg_target_param(&rest, &name, &value));

	ck_assert_int_eq(zg_target_decode(value, out), 5);
	ck_assert_str_eq(out, "A b=2");
	ck_assert_int_eq(zg_target_decode(ZG_STR("%2b%00%20"), out), 3);
	ck_assert_mem_eq(out, "+\0 ", 4);
	ck_assert_int_eq(zg_target_decode(ZG_STR_NONE, out), 0);
	ck_assert_int_eq(zg_target_decode(ZG_STR("a%"), out), -1);
	ck_assert_int_eq(zg_target_decode(ZG_STR("%2x"), out), -1);
}
END_TEST

Suite *suite_target(void)
{
	Suite *s = suite_create("target");
	TCase *c = tcase_create("target");

	tcase_add_test(c, split);
	tcase_add_test(c, normal);
	tcase_add_test(c, query);
	suite_add_tcase(s, c);
	return s;
}
