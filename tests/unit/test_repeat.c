#include "suites.h"
#include "dice.h"
#include "engine/repeat.h"
#include <stdlib.h>

START_TEST(holds_back)
{
	static zg_repeat_t t;
	zg_repeat_slot_t over;
	uint64_t key = zg_repeat_key(ZG_STR("the worker is gone"));

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(zg_repeat_shows(&t, key, 3, 2, "gone", 1000 + (uint64_t)i, &over), i < 3);
		ck_assert_uint_eq(over.hidden, 0);
	}
	ck_assert_uint_eq(t.hiding, 1);
	ck_assert(!zg_repeat_take(&t, 1000 + ZG_REPEAT_MS - 1, &over));
	/* the next one begins a new span, and says what the old one hid */
	ck_assert(zg_repeat_shows(&t, key, 3, 2, "gone", 1000 + ZG_REPEAT_MS, &over));
	ck_assert_uint_eq(over.hidden, 7);
	ck_assert_str_eq(over.text, "gone");
	ck_assert_uint_eq(t.hiding, 0);
}
END_TEST

START_TEST(tells_in_time)
{
	static zg_repeat_t t;
	zg_repeat_slot_t over;

	for (int i = 0; i < 5; i++)
		zg_repeat_shows(&t, 7, 1, 3, "x", 0, &over);
	ck_assert(zg_repeat_take(&t, ZG_REPEAT_MS, &over));
	ck_assert_uint_eq(over.hidden, 4);
	ck_assert_int_eq(over.level, 3);
	ck_assert(!zg_repeat_take(&t, UINT64_MAX, &over));
	ck_assert_uint_eq(t.hiding, 0);
}
END_TEST

/* Whatever comes: each line is shown, or told of exactly once. */
START_TEST(loses_no_count)
{
	static zg_repeat_t t;
	dice_t dice = dice_new();
	uint64_t now = 1, shown = 0, told = 0, lines = 0;
	zg_repeat_slot_t over;

	for (; dice.step < 50000; dice.step++) {
		now += dice_roll(&dice, 40);
		if (dice_roll(&dice, 20) == 0) {
			if (zg_repeat_take(&t, now, &over))
				told += over.hidden;
			continue;
		}
		lines++;
		shown += zg_repeat_shows(&t, 1 + dice_roll(&dice, 400), 2, 1, "text", now, &over);
		told += over.hidden;
	}
	while (zg_repeat_take(&t, UINT64_MAX, &over))
		told += over.hidden;
	AGREE(&dice, shown + told == lines);
	AGREE(&dice, t.hiding == 0);
}
END_TEST

Suite *suite_repeat(void)
{
	Suite *s = suite_create("repeat");
	TCase *c = tcase_create("repeat");

	tcase_add_test(c, holds_back);
	tcase_add_test(c, tells_in_time);
	tcase_add_test(c, loses_no_count);
	suite_add_tcase(s, c);
	return s;
}
