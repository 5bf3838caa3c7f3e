#include "suites.h"
#include "base/err.h"
#include <string.h>

START_TEST(sentences)
{
	zg_err_t err;
	char big[2000];

	ck_assert_int_eq(zg_err(&err, "no such %s", "file"), -1);
	ck_assert_str_eq(err.text, "no such file");
	ck_assert_int_eq(zg_err_prefix(&err, "%s:%d", "gateway.ini", 7), -1);
	ck_assert_str_eq(err.text, "gateway.ini:7: no such file");
	ck_assert_int_eq(zg_err(NULL, "lost"), -1);
	ck_assert_int_eq(zg_err_prefix(NULL, "lost"), -1);

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	zg_err(&err, "%s", big);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	zg_err_prefix(&err, "where");
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_int_eq(strncmp(err.text, "where: xxx", 10), 0);
	zg_err_prefix(&err, "%s", big);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

Suite *suite_err(void)
{
	Suite *s = suite_create("err");
	TCase *c = tcase_create("err");

	tcase_add_test(c, sentences);
	suite_add_tcase(s, c);
	return s;
}
