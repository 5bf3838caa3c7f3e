/* dice: random numbers that come again. The seed is the environment variable
 * ZG_TEST_SEED, or 1; AGREE names it with the step when a model disagrees. */
#ifndef ZG_TESTS_DICE_H
#define ZG_TESTS_DICE_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct dice {
	uint64_t seed, state, step;
} dice_t;

static inline dice_t dice_new(void)
{
	const char *text = getenv("ZG_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 1;

	return (dice_t){ .seed = seed, .state = seed };
}

/* 0 to below - 1; splitmix64 */
static inline uint64_t dice_roll(dice_t *d, uint64_t below)
{
	uint64_t z = (d->state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}

#define AGREE(dice, condition)                                                            \
	do { /* not ck_assert, which costs a write(2) each time */                        \
		if (!(condition))                                                         \
			ck_abort_msg("%s: ZG_TEST_SEED=%llu, step %llu", #condition,      \
			             (unsigned long long)(dice)->seed,                    \
			             (unsigned long long)(dice)->step);                   \
	} while (0)

#endif
