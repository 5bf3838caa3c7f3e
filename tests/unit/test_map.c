#include "suites.h"
#include "dice.h"
#include "base/map.h"
#include <errno.h>
#include <stdio.h>

#define KEYS 500
#define MAX  400

static zg_str_t key_of(size_t i, char text[32])
{
	/* one empty, the others with a NUL inside */
	int n = i ? snprintf(text, 32, "key%c%zu", '\0', i) : 0;

	return zg_str_n(text, (size_t)n);
}

static void check_walk(dice_t *dice, const zg_map_t *m, void *const value[KEYS])
{
	bool seen[KEYS] = { false };
	size_t walked = 0;

	for (zg_map_entry_t *e = zg_map_next(m, NULL); e; e = zg_map_next(m, e), walked++) {
		size_t i = (uintptr_t)e->value % KEYS;
		char text[32];

		AGREE(dice, value[i] == e->value && !seen[i]);
		AGREE(dice, zg_str_eq(key_of(i, text), zg_str_n(e->key, e->len)));
		seen[i] = true;
	}
	AGREE(dice, walked == m->count);
}

START_TEST(agrees_with_model)
{
	dice_t dice = dice_new();
	void *value[KEYS] = { NULL };
	zg_map_t m = { .max = MAX };
	size_t count = 0;

	for (; dice.step < 100000; dice.step++) {
		size_t i = dice_roll(&dice, KEYS);
		/* a value tells its key: the remainder by KEYS */
		void *v = (void *)(uintptr_t)(KEYS * (1 + dice_roll(&dice, 1000)) + i), *old = &m;
		char text[32];
		zg_str_t key = key_of(i, text);

		AGREE(&dice, zg_map_get(&m, key) == value[i]);
		if (dice_roll(&dice, 10) < (dice.step / 2000 % 2 ? 2u : 8u)) {
			int want = value[i] || count < MAX ? 0 : -1;

			AGREE(&dice, zg_map_put(&m, key, v, &old) == want);
			AGREE(&dice, want == 0 ? old == value[i] : errno == ENOSPC);
			if (want == 0) {
				count += !value[i];
				value[i] = v;
			}
		} else {
			AGREE(&dice, zg_map_del(&m, key) == value[i]);
			count -= value[i] != NULL;
			value[i] = NULL;
		}
		AGREE(&dice, m.count == count);
		if (dice_roll(&dice, 500) == 0)
			check_walk(&dice, &m, value);
	}
	for (zg_map_entry_t *e = zg_map_next(&m, NULL), *after; e; e = after) {
		after = zg_map_next(&m, e);
		if (dice_roll(&dice, 2))
			count -= zg_map_del(&m, zg_str_n(e->key, e->len)) != NULL;
	}
	AGREE(&dice, m.count == count);
	zg_map_free(&m);
	ck_assert_ptr_null(zg_map_get(&m, ZG_STR("key")));
	ck_assert_int_eq(zg_map_put(&m, ZG_STR("key"), &m, NULL), 0);
	ck_assert_ptr_eq(zg_map_get(&m, ZG_STR("key")), &m);
	zg_map_free(&m);
}
END_TEST

START_TEST(hash_spreads)
{
	unsigned bucket[256] = { 0 };

	for (uint32_t i = 0; i < 256 * 256; i++) {
		uint64_t hash = zg_map_hash(&i, sizeof(i));

		ck_assert(hash == zg_map_hash(&i, sizeof(i)));
		bucket[hash & 255]++;
	}
	for (int i = 0; i < 256; i++) /* 256 expected, with a deviation of 16 */
		ck_assert_msg(bucket[i] > 128 && bucket[i] < 384, "%u in one bucket", bucket[i]);
	ck_assert(zg_map_hash("\0", 1) != zg_map_hash("\0\0", 2));
}
END_TEST

Suite *suite_map(void)
{
	Suite *s = suite_create("map");
	TCase *c = tcase_create("map");

	tcase_add_test(c, agrees_with_model);
	tcase_add_test(c, hash_spreads);
	suite_add_tcase(s, c);
	return s;
}
