#include "suites.h"
#include "dice.h"
#include "base/ring.h"
#include <errno.h>

#define MODEL_MAX 100

/* The model: an array, shifted at every pop. */
struct model {
	zg_msg_t *m[MODEL_MAX];
	size_t count, bytes;
};

static void model_shift(struct model *model)
{
	model->bytes -= model->m[0]->len;
	zg_msg_unref(&model->m[0]);
	model->count--;
	memmove(model->m, model->m + 1, model->count * sizeof(*model->m));
}

static void push(dice_t *dice, zg_ring_t *r, struct model *model)
{
	zg_msg_t *m = zg_msg_new(dice_roll(dice, dice_roll(dice, 10) ? 30 : 1200));
	uint64_t dropped = 77, units = 0;
	int status;

	ck_assert_ptr_nonnull(m);
	m->units = (uint32_t)dice_roll(dice, 5);
	model->m[model->count] = zg_msg_ref(m); /* the array has one slot to spare */
	errno = 0;
	status = zg_ring_push(r, m, &dropped);
	if (m->len > r->max_bytes) {
		AGREE(dice, status == -1 && errno == EMSGSIZE);
	} else if (r->policy == ZG_RING_REFUSE &&
	           (model->count == r->max_count || model->bytes + m->len > r->max_bytes)) {
		AGREE(dice, status == -1 && errno == EAGAIN);
	} else {
		AGREE(dice, status == 0);
		model->bytes += m->len;
		model->count++;
		while (model->count > r->max_count || model->bytes > r->max_bytes) {
			units += model->m[0]->units;
			model_shift(model);
		}
		AGREE(dice, dropped == units);
		return;
	}
	AGREE(dice, dropped == 0 && m->refs == 2);
	zg_msg_unref(&model->m[model->count]);
	zg_msg_unref(&m);
}

static void pop(dice_t *dice, zg_ring_t *r, struct model *model)
{
	zg_msg_t *m = zg_ring_pop(r);

	AGREE(dice, m == (model->count ? model->m[0] : NULL));
	if (!m)
		return;
	AGREE(dice, m->refs == 2);
	zg_msg_unref(&m);
	model_shift(model);
}

static void clear(dice_t *dice, zg_ring_t *r, struct model *model)
{
	uint64_t units = 0;

	for (size_t i = 0; i < model->count; i++)
		units += model->m[i]->units;
	AGREE(dice, zg_ring_clear(r) == units);
	while (model->count) {
		AGREE(dice, model->m[0]->refs == 1);
		model_shift(model);
	}
}

START_TEST(agrees_with_model)
{
	dice_t dice = dice_new();
	struct model model = { .count = 0 };
	zg_ring_t r;

	zg_ring_init(&r, 1000, MODEL_MAX - 1 - (uint32_t)_i * 40, (zg_ring_policy_t)(_i % 2));
	for (; dice.step < 50000; dice.step++) {
		/* phases that fill and phases that drain */
		if (dice_roll(&dice, 10) < (dice.step / 200 % 2 ? 3u : 7u))
			push(&dice, &r, &model);
		else
			pop(&dice, &r, &model);
		if (!dice_roll(&dice, 1000))
			clear(&dice, &r, &model);
		AGREE(&dice, r.count == model.count && r.bytes == model.bytes);
		AGREE(&dice, zg_ring_peek(&r) == (model.count ? model.m[0] : NULL));
		AGREE(&dice, r.size <= r.max_count && (r.count > 0) == (r.slot != NULL));
	}
	clear(&dice, &r, &model);
	ck_assert_ptr_null(r.slot);
}
END_TEST

START_TEST(nothing_fits)
{
	zg_msg_t *m = zg_msg_copy("abc", 3), *empty = zg_msg_new(0);
	zg_ring_t r;

	zg_ring_init(&r, 1000, 0, ZG_RING_DROP_OLDEST);
	ck_assert_int_eq(zg_ring_push(&r, m, NULL), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	zg_ring_init(&r, 0, 1, ZG_RING_DROP_OLDEST);
	ck_assert_int_eq(zg_ring_push(&r, m, NULL), -1);
	ck_assert_int_eq(zg_ring_push(&r, empty, NULL), 0);
	ck_assert_uint_eq(zg_ring_clear(&r), 1);
	zg_msg_unref(&m);
}
END_TEST

Suite *suite_ring(void)
{
	Suite *s = suite_create("ring");
	TCase *c = tcase_create("ring");

	tcase_add_loop_test(c, agrees_with_model, 0, 4);
	tcase_add_test(c, nothing_fits);
	suite_add_tcase(s, c);
	return s;
}
