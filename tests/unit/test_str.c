#include "suites.h"
#include "base/str.h"

static void ck_str(zg_str_t got, const char *want)
{
	ck_assert_msg(zg_str_eq(got, zg_str(want)), "got \"%.*s\", want \"%s\"", ZG_STR_ARG(got),
	              want);
}

START_TEST(compare)
{
	ck_assert(zg_str_eq(ZG_STR_NONE, ZG_STR("")));
	ck_assert(zg_str_eq(ZG_STR("a\0b"), ZG_STR("a\0b")));
	ck_assert(!zg_str_eq(ZG_STR("a\0b"), ZG_STR("a\0c")));
	ck_assert(zg_str_ieq(ZG_STR("Content-Type"), ZG_STR("cONTENT-tYPE")));
	ck_assert(!zg_str_ieq(ZG_STR("a\0b"), ZG_STR("a\0c")));
	/* neighbours of the letters, and Latin-1, have no case */
	ck_assert(!zg_str_ieq(ZG_STR("@[`{"), ZG_STR("`{@[")));
	ck_assert(!zg_str_ieq(ZG_STR("\xc4"), ZG_STR("\xe4")));
	ck_assert(zg_str_starts(ZG_STR("abc"), ZG_STR("ab")));
	ck_assert(zg_str_starts(ZG_STR("abc"), ZG_STR_NONE));
	ck_assert(!zg_str_starts(ZG_STR("ab"), ZG_STR("abc")));
}
END_TEST

START_TEST(trim_and_cut)
{
	zg_str_t rest = ZG_STR("a,,b"), piece;

	ck_str(zg_str_trim(ZG_STR(" \t a b\t ")), "a b");
	ck_str(zg_str_trim(ZG_STR(" \t ")), "");
	ck_str(zg_str_trim(ZG_STR_NONE), "");
	ck_str(zg_str_trim(ZG_STR("\na ")), "\na");

	ck_assert(zg_str_cut(&rest, ',', &piece));
	ck_str(piece, "a");
	ck_assert(zg_str_cut(&rest, ',', &piece));
	ck_str(piece, "");
	ck_assert(zg_str_cut(&rest, ',', &piece));
	ck_str(piece, "b");
	ck_assert(!zg_str_cut(&rest, ',', &piece));
	ck_assert(!zg_str_cut(&rest, ',', &piece));

	rest = ZG_STR("a,");
	ck_assert(zg_str_cut(&rest, ',', &piece));
	ck_str(piece, "a");
	ck_assert(!zg_str_cut(&rest, ',', &piece));
	rest = ZG_STR_NONE;
	ck_assert(!zg_str_cut(&rest, ',', &piece));
}
END_TEST

START_TEST(tokens)
{
	static const struct {
		const char *list, *token;
		bool has;
	} rows[] = {
		{ "close", "close", true },
		{ "Keep-Alive, UPGRADE", "upgrade", true },
		{ " , ,\tclose\t, x", "close", true },
		{ "closed", "close", false },
		{ "not close", "close", false },
		{ "close;q=1", "close", false },
		{ "", "close", false },
		{ ",,", "close", false },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++)
		ck_assert_msg(zg_str_has_token(zg_str(rows[i].list), zg_str(rows[i].token)) ==
		              rows[i].has, "%s in \"%s\"", rows[i].token, rows[i].list);
}
END_TEST

START_TEST(distance)
{
	char a[100], b[100];

	ck_assert_uint_eq(zg_str_distance(ZG_STR("kitten"), ZG_STR("sitting")), 3);
	ck_assert_uint_eq(zg_str_distance(ZG_STR("sitting"), ZG_STR("kitten")), 3);
	ck_assert_uint_eq(zg_str_distance(ZG_STR("flaw"), ZG_STR("lawn")), 2);
	ck_assert_uint_eq(zg_str_distance(ZG_STR("listen"), ZG_STR("listen")), 0);
	ck_assert_uint_eq(zg_str_distance(ZG_STR_NONE, ZG_STR("abc")), 3);
	ck_assert_uint_eq(zg_str_distance(ZG_STR("abc"), ZG_STR_NONE), 3);
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	ck_assert_uint_eq(zg_str_distance(zg_str_n(a, 100), zg_str_n(b, 100)), 63);
	ck_assert_uint_eq(zg_str_distance(zg_str_n(a, 100), ZG_STR_NONE), 63);
}
END_TEST

Suite *suite_str(void)
{
	Suite *s = suite_create("str");
	TCase *c = tcase_create("str");

	tcase_add_test(c, compare);
	tcase_add_test(c, trim_and_cut);
	tcase_add_test(c, tokens);
	tcase_add_test(c, distance);
	suite_add_tcase(s, c);
	return s;
}
