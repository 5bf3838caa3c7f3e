#include "suites.h"
#include "base/msg.h"

START_TEST(references)
{
	zg_msg_t *m = zg_msg_copy("abc", 3), *other, *none = NULL;

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->units, 1);
	ck_assert(zg_str_eq(zg_msg_str(m), ZG_STR("abc")));
	other = zg_msg_ref(m);
	zg_msg_unref(&m);
	ck_assert_ptr_null(m);
	ck_assert(zg_str_eq(zg_msg_str(other), ZG_STR("abc")));
	zg_msg_unref(&other);
	zg_msg_unref(&none);

	/* a library may write before the bytes */
	ck_assert_uint_eq(offsetof(zg_msg_t, data) - offsetof(zg_msg_t, pre), 16);
	m = zg_msg_copy(NULL, 0);
	ck_assert_uint_eq(m->len, 0);
	zg_msg_unref(&m);
	ck_assert_ptr_null(zg_msg_new(SIZE_MAX));
	ck_assert_ptr_null(zg_msg_new(SIZE_MAX - sizeof(zg_msg_t) + 1));
}
END_TEST

Suite *suite_msg(void)
{
	Suite *s = suite_create("msg");
	TCase *c = tcase_create("msg");

	tcase_add_test(c, references);
	suite_add_tcase(s, c);
	return s;
}
