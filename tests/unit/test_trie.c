#include "suites.h"
#include "dice.h"
#include "base/trie.h"
#include <errno.h>

#define SUBSCRIBERS 40
#define PAIRS       400
#define PREFIX_MAX  24

/* The model: a plain array of pairs. */
struct pair {
	char text[PREFIX_MAX];
	size_t n;
	int subscriber;
};

struct model {
	struct pair pair[PAIRS];
	size_t count;
	int calls[SUBSCRIBERS]; /* that a match makes */
	char last[PREFIX_MAX];  /* prefix that a walk showed */
	size_t last_len, walked;
	bool wrong;
};

static char people[SUBSCRIBERS];

static zg_str_t prefix_of(const struct pair *p)
{
	return zg_str_n(p->text, p->n);
}

static size_t subscribers_of(const struct model *m, zg_str_t prefix)
{
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		n += zg_str_eq(prefix_of(&m->pair[i]), prefix);
	return n;
}

static size_t prefixes_of(const struct model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++) {
		bool first = true;

		for (size_t j = 0; j < i && first; j++)
			first = !zg_str_eq(prefix_of(&m->pair[i]), prefix_of(&m->pair[j]));
		n += first;
	}
	return n;
}

static struct pair *find(struct model *m, const struct pair *p)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->pair[i].subscriber == p->subscriber &&
		    zg_str_eq(prefix_of(&m->pair[i]), prefix_of(p)))
			return &m->pair[i];
	return NULL;
}

static void on_match(void *ctx, void *subscriber)
{
	struct model *m = ctx;

	m->calls[(char *)subscriber - people]++;
}

static void on_prefix(void *ctx, zg_str_t prefix, size_t subscribers)
{
	struct model *m = ctx;
	size_t n = m->last_len < prefix.n ? m->last_len : prefix.n;
	int order = memcmp(m->last, prefix.n ? prefix.p : "", n);

	m->wrong |= m->walked && (order > 0 || (order == 0 && m->last_len >= prefix.n));
	m->wrong |= subscribers != subscribers_of(m, prefix);
	if (prefix.n)
		memcpy(m->last, prefix.p, prefix.n);
	m->last_len = prefix.n;
	m->walked++;
}

/* Words made of few letters, so that they share beginnings; bytes on both
 * sides of 0x80, for the order, and NUL. */
static struct pair random_pair(dice_t *dice)
{
	static const char letters[] = { 'a', 'b', '\0', (char)0xff };
	struct pair p = { .n = dice_roll(dice, dice_roll(dice, 3) ? 5 : PREFIX_MAX) };

	for (size_t i = 0; i < p.n; i++)
		p.text[i] = letters[dice_roll(dice, dice_roll(dice, 8) ? 2 : 4)];
	p.subscriber = (int)dice_roll(dice, SUBSCRIBERS);
	return p;
}

static void check_match(dice_t *dice, const zg_trie_t *t, struct model *m)
{
	struct pair topic = random_pair(dice);

	memset(m->calls, 0, sizeof(m->calls));
	zg_trie_match(t, prefix_of(&topic), on_match, m);
	for (size_t i = 0; i < m->count; i++)
		if (zg_str_starts(prefix_of(&topic), prefix_of(&m->pair[i])))
			m->calls[m->pair[i].subscriber]--;
	for (size_t i = 0; i < SUBSCRIBERS; i++)
		AGREE(dice, m->calls[i] == 0);
}

static void check_walk(dice_t *dice, const zg_trie_t *t, struct model *m)
{
	m->walked = m->last_len = 0;
	zg_trie_each(t, on_prefix, m);
	AGREE(dice, !m->wrong);
	AGREE(dice, m->walked == prefixes_of(m) && m->walked == zg_trie_prefixes(t));
}

static void add(dice_t *dice, zg_trie_t *t, struct model *m, size_t max)
{
	struct pair p = random_pair(dice);
	bool fresh = subscribers_of(m, prefix_of(&p)) == 0;
	int want = fresh;

	if (m->count == PAIRS)
		return;
	if (fresh && zg_trie_prefixes(t) == max)
		want = -1;
	errno = 0;
	AGREE(dice, zg_trie_add(t, prefix_of(&p), people + p.subscriber) == want);
	AGREE(dice, want >= 0 || errno == ENOSPC);
	if (want >= 0 && !find(m, &p))
		m->pair[m->count++] = p;
}

static void del(dice_t *dice, zg_trie_t *t, struct model *m)
{
	struct pair p = random_pair(dice), *at;
	int want = -1;

	if (m->count && dice_roll(dice, 4))
		p = m->pair[dice_roll(dice, m->count)];
	at = find(m, &p);
	if (at) {
		*at = m->pair[--m->count];
		want = subscribers_of(m, prefix_of(&p)) == 0;
	}
	AGREE(dice, zg_trie_remove(t, prefix_of(&p), people + p.subscriber) == want);
}

START_TEST(agrees_with_model)
{
	static struct model m;
	dice_t dice = dice_new();
	size_t max = 150;
	zg_trie_t *t = zg_trie_new(max);

	memset(&m, 0, sizeof(m));
	ck_assert_ptr_nonnull(t);
	for (; dice.step < 40000; dice.step++) {
		if (dice_roll(&dice, 10) < (dice.step / 2000 % 2 ? 2u : 8u))
			add(&dice, t, &m, max);
		else
			del(&dice, t, &m);
		check_match(&dice, t, &m);
		if (dice_roll(&dice, 50) == 0)
			check_walk(&dice, t, &m);
	}
	while (m.count)
		del(&dice, t, &m);
	check_walk(&dice, t, &m);
	ck_assert_uint_eq(zg_trie_prefixes(t), 0);
	for (int i = 0; i < 100; i++)
		add(&dice, t, &m, max);
	zg_trie_free(&t);
	ck_assert_ptr_null(t);
	zg_trie_free(&t);
}
END_TEST

/* A crowd that joins one topic and leaves in the order it came, then in the
 * other: over in a blink, or the test's timeout says that it is quadratic. */
START_TEST(crowd_leaves)
{
	enum { CROWD = 100000 };
	zg_trie_t *t = zg_trie_new(1);
	char *crowd = malloc(CROWD);

	for (int backwards = 0; backwards < 2; backwards++) {
		for (int i = 0; i < CROWD; i++)
			ck_assert_int_eq(zg_trie_add(t, ZG_STR("topic"), crowd + i), i == 0);
		for (int i = 0; i < CROWD; i++)
			ck_assert_int_eq(zg_trie_remove(t, ZG_STR("topic"),
			                                crowd + (backwards ? CROWD - 1 - i : i)),
			                 i == CROWD - 1);
	}
	ck_assert_uint_eq(zg_trie_prefixes(t), 0);
	free(crowd);
	zg_trie_free(&t);
}
END_TEST

Suite *suite_trie(void)
{
	Suite *s = suite_create("trie");
	TCase *c = tcase_create("trie");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, agrees_with_model);
	tcase_add_test(c, crowd_leaves);
	suite_add_tcase(s, c);
	return s;
}
