#include "suites.h"
#include "dice.h"
#include "base/slots.h"

#define MAX 300
#define OLD 1000

START_TEST(agrees_with_model)
{
	static int values[MAX];
	dice_t dice = dice_new();
	uint64_t ids[MAX] = { 0 }, old[OLD] = { 0 };
	size_t used = 0, olds = 0;
	zg_slots_t s;

	zg_slots_init(&s, MAX);
	for (; dice.step < 100000; dice.step++) {
		size_t i = dice_roll(&dice, MAX);

		if (!ids[i]) {
			ids[i] = zg_slots_put(&s, &values[i]);
			AGREE(&dice, ids[i] != 0);
			for (size_t j = 0; j < MAX; j++)
				AGREE(&dice, j == i || ids[j] != ids[i]);
			used++;
		} else if (dice_roll(&dice, 3) == 0 || dice.step / 5000 % 2) {
			AGREE(&dice, zg_slots_take(&s, ids[i]) == &values[i]);
			AGREE(&dice, zg_slots_take(&s, ids[i]) == NULL);
			old[olds++ % OLD] = ids[i];
			ids[i] = 0;
			used--;
		} else {
			AGREE(&dice, zg_slots_get(&s, ids[i]) == &values[i]);
		}
		AGREE(&dice, s.used == used && s.size <= MAX);
		/* ids of the past, and bits that nobody was given */
		AGREE(&dice, zg_slots_get(&s, old[dice_roll(&dice, OLD)]) == NULL);
		AGREE(&dice, zg_slots_get(&s, dice_roll(&dice, UINT64_MAX)) == NULL);
		AGREE(&dice, zg_slots_take(&s, dice_roll(&dice, UINT32_MAX)) == NULL);
	}
	for (size_t i = 0; i < MAX; i++)
		AGREE(&dice, ids[i] || zg_slots_put(&s, &values[i]));
	AGREE(&dice, zg_slots_put(&s, &values[0]) == 0);
	zg_slots_free(&s);
	ck_assert_ptr_null(zg_slots_get(&s, 1));
}
END_TEST

START_TEST(generations_wrap)
{
	uint64_t id, first;
	zg_slots_t s;
	int value;

	zg_slots_init(&s, 1);
	first = zg_slots_put(&s, &value);
	ck_assert(first != 0 && zg_slots_put(&s, &value) == 0);
	zg_slots_take(&s, first);
	s.slot[0].generation = UINT32_MAX;
	id = zg_slots_put(&s, &value);
	ck_assert_ptr_eq(zg_slots_take(&s, id), &value);
	id = zg_slots_put(&s, &value);
	ck_assert(id != 0 && zg_slots_get(&s, id) == &value);
	zg_slots_free(&s);
	zg_slots_init(&s, 0);
	ck_assert(zg_slots_put(&s, &value) == 0);
	zg_slots_free(&s);
}
END_TEST

Suite *suite_slots(void)
{
	Suite *s = suite_create("slots");
	TCase *c = tcase_create("slots");

	tcase_add_test(c, agrees_with_model);
	tcase_add_test(c, generations_wrap);
	suite_add_tcase(s, c);
	return s;
}
