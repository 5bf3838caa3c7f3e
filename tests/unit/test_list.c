#include "suites.h"
#include "base/list.h"

struct item {
	int number;
	zg_link_t link;
};

static int sum_in_order(zg_link_t *list)
{
	int sum = 0;

	ZG_LIST_EACH(it, list)
		sum = sum * 10 + ZG_CONTAINER(it, struct item, link)->number;
	return sum;
}

START_TEST(append_and_remove)
{
	struct item items[4];
	zg_link_t list;

	zg_list_init(&list);
	ck_assert(zg_list_empty(&list));
	ck_assert_int_eq(sum_in_order(&list), 0);
	for (int i = 0; i < 4; i++) {
		items[i].number = i + 1;
		zg_list_init(&items[i].link);
		zg_list_remove(&items[i].link); /* in no list: nothing happens */
		zg_list_append(&list, &items[i].link);
	}
	ck_assert_int_eq(sum_in_order(&list), 1234);
	zg_list_remove(&items[1].link);
	zg_list_remove(&items[1].link);
	ck_assert_int_eq(sum_in_order(&list), 134);
	zg_list_append(&list, &items[1].link);
	ck_assert_int_eq(sum_in_order(&list), 1342);
	ZG_LIST_EACH(it, &list)
		if (ZG_CONTAINER(it, struct item, link)->number != 3)
			zg_list_remove(it);
	ck_assert_int_eq(sum_in_order(&list), 3);
	zg_list_remove(&items[2].link);
	ck_assert(zg_list_empty(&list));
}
END_TEST

Suite *suite_list(void)
{
	Suite *s = suite_create("list");
	TCase *c = tcase_create("list");

	tcase_add_test(c, append_and_remove);
	suite_add_tcase(s, c);
	return s;
}
