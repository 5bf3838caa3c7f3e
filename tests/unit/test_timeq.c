#include "suites.h"
#include "dice.h"
#include "base/timeq.h"

#define ENTRIES 50

/* The model: every entry's deadline in an array, 0 for none, and when it was
 * armed, since of equal deadlines the one armed first comes first. */
struct model {
	uint64_t due[ENTRIES], armed[ENTRIES];
};

static int earliest(const struct model *m)
{
	int first = -1;

	for (int i = 0; i < ENTRIES; i++)
		if (m->due[i] && (first < 0 || m->due[i] < m->due[first] ||
		                  (m->due[i] == m->due[first] && m->armed[i] < m->armed[first])))
			first = i;
	return first;
}

START_TEST(agrees_with_model)
{
	dice_t dice = dice_new();
	zg_timeq_entry_t entries[ENTRIES];
	struct model m = { 0 };
	uint64_t now = 1000;
	zg_timeq_t q;

	zg_timeq_init(&q, 500);
	for (int i = 0; i < ENTRIES; i++)
		zg_timeq_entry_init(&entries[i]);
	for (; dice.step < 50000; dice.step++) {
		int i = (int)dice_roll(&dice, ENTRIES), first = earliest(&m);
		zg_timeq_entry_t *e = zg_timeq_first(&q);

		AGREE(&dice, e == (first < 0 ? NULL : &entries[first]));
		AGREE(&dice, zg_timeq_armed(&entries[i]) == (m.due[i] != 0));
		switch (dice_roll(&dice, 4)) {
		case 0:
			zg_timeq_arm(&q, &entries[i], now);
			m.due[i] = now + 500;
			m.armed[i] = dice.step;
			break;
		case 1:
			zg_timeq_disarm(&entries[i]);
			m.due[i] = 0;
			break;
		case 2:
			e = zg_timeq_pop(&q, now);
			if (first >= 0 && m.due[first] > now)
				first = -1;
			AGREE(&dice, e == (first < 0 ? NULL : &entries[first]));
			if (e) {
				AGREE(&dice, e->due == m.due[first]);
				m.due[first] = 0;
			}
			break;
		case 3:
			now += dice_roll(&dice, 30);
			break;
		}
	}
}
END_TEST

Suite *suite_timeq(void)
{
	Suite *s = suite_create("timeq");
	TCase *c = tcase_create("timeq");

	tcase_add_test(c, agrees_with_model);
	suite_add_tcase(s, c);
	return s;
}
