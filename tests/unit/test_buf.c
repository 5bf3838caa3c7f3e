#include "suites.h"
#include "dice.h"
#include "base/buf.h"
#include <errno.h>

START_TEST(grows_to_cap)
{
	zg_buf_t b = ZG_BUF(100);
	char bytes[100];

	memset(bytes, 'x', sizeof(bytes));
	ck_assert_int_eq(zg_buf_add(&b, NULL, 0), 0);
	ck_assert_ptr_null(b.data);
	ck_assert_int_eq(zg_buf_add(&b, bytes, 60), 0);
	ck_assert_int_eq(zg_buf_add(&b, bytes, 40), 0);
	ck_assert_uint_le(b.room, 100);
	errno = 0;
	ck_assert_int_eq(zg_buf_add(&b, "y", 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(zg_buf_printf(&b, "y"), -1);
	ck_assert_int_eq(zg_buf_add_json(&b, ZG_STR("")), -1);
	ck_assert_uint_eq(b.len, 100);
	ck_assert(zg_str_eq(zg_buf_str(&b), zg_str_n(bytes, 100)));

	zg_buf_clear(&b);
	ck_assert_int_eq(zg_buf_printf(&b, "%s-%d", "abc", 42), 0);
	ck_assert(zg_str_eq(zg_buf_str(&b), ZG_STR("abc-42")));
	zg_buf_free(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.cap, 100);
	ck_assert_int_eq(zg_buf_add_str(&b, ZG_STR("again")), 0);
	zg_buf_free(&b);
}
END_TEST

START_TEST(printf_to_the_last_byte)
{
	zg_buf_t b = ZG_BUF(3);

	ck_assert_int_eq(zg_buf_printf(&b, "%s", "abc"), 0);
	ck_assert(zg_str_eq(zg_buf_str(&b), ZG_STR("abc")));
	ck_assert_int_eq(zg_buf_printf(&b, "%s", ""), 0);
	zg_buf_free(&b);
	b = ZG_BUF(0);
	ck_assert_int_eq(zg_buf_printf(&b, "%s", ""), 0);
	ck_assert_int_eq(zg_buf_add(&b, "a", 1), -1);
	zg_buf_free(&b);
}
END_TEST

START_TEST(sizes_that_overflow)
{
	zg_buf_t b = ZG_BUF(SIZE_MAX);

	ck_assert_int_eq(zg_buf_add(&b, "a", 1), 0);
	errno = 0;
	ck_assert_int_eq(zg_buf_reserve(&b, SIZE_MAX), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(zg_buf_reserve(&b, SIZE_MAX - 1), -1);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert(zg_str_eq(zg_buf_str(&b), ZG_STR("a")));
	zg_buf_free(&b);
}
END_TEST

START_TEST(json)
{
	zg_buf_t b = ZG_BUF(1000);
	static const char want[] =
		"\"plain \\\" \\\\ / \\b\\f\\n\\r\\t \\u0000\\u0001\\u001f\x7f \xc3\xa4 \xe2\x80\xa8\"";

	ck_assert_int_eq(zg_buf_add_json(&b, ZG_STR("plain \" \\ / \b\f\n\r\t \0\1\x1f\x7f "
	                                            "\xc3\xa4 \xe2\x80\xa8")), 0);
	ck_assert(zg_str_eq(zg_buf_str(&b), ZG_STR(want)));
	zg_buf_clear(&b);
	ck_assert_int_eq(zg_buf_add_json(&b, ZG_STR_NONE), 0);
	ck_assert(zg_str_eq(zg_buf_str(&b), ZG_STR("\"\"")));
	zg_buf_free(&b);

	b = ZG_BUF(7); /* "\u0000" takes 8 */
	ck_assert_int_eq(zg_buf_add_json(&b, ZG_STR("\0")), -1);
	ck_assert_uint_eq(b.len, 0);
	zg_buf_free(&b);
}
END_TEST

/* Random appends of all kinds against one flat array. */
START_TEST(agrees_with_model)
{
	static char want[5000];
	dice_t dice = dice_new();
	zg_buf_t b = ZG_BUF(sizeof(want));
	size_t len = 0;

	for (; dice.step < 20000; dice.step++) {
		char bytes[300];
		size_t n = dice_roll(&dice, dice_roll(&dice, 8) ? 40 : sizeof(bytes));
		bool printed = dice_roll(&dice, 2), fits = n <= sizeof(want) - len;

		memset(bytes, 'a' + (int)dice_roll(&dice, 26), sizeof(bytes));
		AGREE(&dice, (printed ? zg_buf_printf(&b, "%.*s", (int)n, bytes)
		                      : zg_buf_add(&b, bytes, n)) == (fits ? 0 : -1));
		if (fits) {
			memcpy(want + len, bytes, n);
			len += n;
		}
		AGREE(&dice, zg_str_eq(zg_buf_str(&b), zg_str_n(want, len)));
		AGREE(&dice, b.room <= b.cap);
		if (dice_roll(&dice, 60))
			continue;
		len = 0;
		if (dice_roll(&dice, 2))
			zg_buf_clear(&b);
		else
			zg_buf_free(&b);
	}
	zg_buf_free(&b);
}
END_TEST

Suite *suite_buf(void)
{
	Suite *s = suite_create("buf");
	TCase *c = tcase_create("buf");

	tcase_add_test(c, grows_to_cap);
	tcase_add_test(c, printf_to_the_last_byte);
	tcase_add_test(c, sizes_that_overflow);
	tcase_add_test(c, json);
	tcase_add_test(c, agrees_with_model);
	suite_add_tcase(s, c);
	return s;
}
