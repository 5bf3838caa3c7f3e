/* memory: what the containers do when there is none. Their sources are
 * compiled in a second time, under other names and with an allocator that
 * fails when told to; nothing may change when a call fails. SipHash is here
 * too, since its key is private. */
#include "suites.h"
#include "dice.h"
#include <errno.h>
#include <stdbool.h>

static unsigned fuse; /* the allocation that fails, counted down; 0: none */

static bool fails(void)
{
	return fuse && --fuse == 0;
}

#define malloc(size)            (fails() ? NULL : malloc(size))
#define calloc(count, size)     (fails() ? NULL : calloc(count, size))
#define realloc(p, size)        (fails() ? NULL : realloc(p, size))
#define reallocarray(p, n, size) (fails() ? NULL : reallocarray(p, n, size))

#define zg_trie_new      test_trie_new
#define zg_trie_free     test_trie_free
#define zg_trie_add      test_trie_add
#define zg_trie_remove   test_trie_remove
#define zg_trie_match    test_trie_match
#define zg_trie_each     test_trie_each
#define zg_trie_prefixes test_trie_prefixes
#include "base/trie.c"

#define zg_map_get  test_map_get
#define zg_map_put  test_map_put
#define zg_map_del  test_map_del
#define zg_map_next test_map_next
#define zg_map_free test_map_free
#define zg_map_hash test_map_hash
#include "base/map.c"

#define grow          ring_grow
#define zg_ring_init  test_ring_init
#define zg_ring_push  test_ring_push
#define zg_ring_peek  test_ring_peek
#define zg_ring_pop   test_ring_pop
#define zg_ring_clear test_ring_clear
#include "base/ring.c"

struct sum {
	uint64_t hash;
	size_t calls;
};

static void on_prefix(void *ctx, zg_str_t prefix, size_t subscribers)
{
	struct sum *sum = ctx;

	for (size_t i = 0; i < prefix.n; i++)
		sum->hash = sum->hash * 31 + (unsigned char)prefix.p[i];
	sum->hash = sum->hash * 31 + 256 + subscribers;
	sum->calls++;
}

static struct sum trie_sum(const zg_trie_t *t)
{
	struct sum sum = { 0 };

	zg_trie_each(t, on_prefix, &sum);
	return sum;
}

START_TEST(trie)
{
	static char people[20];
	dice_t dice = dice_new();
	zg_trie_t *t = zg_trie_new(100000);

	for (unsigned i = 1; i <= 2; i++) {
		fuse = i;
		ck_assert_ptr_null(zg_trie_new(1));
	}
	fuse = 0;
	for (; dice.step < 20000; dice.step++) {
		char text[10];
		size_t n = dice_roll(&dice, sizeof(text));
		void *who = people + dice_roll(&dice, sizeof(people));
		struct sum before = trie_sum(t), after;

		for (size_t i = 0; i < n; i++)
			text[i] = (char)('a' + dice_roll(&dice, 3));
		fuse = (unsigned)dice_roll(&dice, 5);
		if (dice_roll(&dice, 2)) {
			bool failed = zg_trie_add(t, zg_str_n(text, n), who) < 0;

			after = trie_sum(t);
			AGREE(&dice, !failed || errno == ENOMEM);
			AGREE(&dice, !failed || (before.hash == after.hash && before.calls == after.calls));
		} else {
			bool there = zg_trie_remove(t, zg_str_n(text, n), who) >= 0;

			after = trie_sum(t);
			AGREE(&dice, there == (before.hash != after.hash));
		}
		fuse = 0;
		AGREE(&dice, after.calls == zg_trie_prefixes(t));
	}
	zg_trie_free(&t);
}
END_TEST

START_TEST(map)
{
	dice_t dice = dice_new();
	zg_map_t m = { .max = 1000 };
	bool there[500] = { false };
	void *old;

	for (; dice.step < 20000; dice.step++) {
		uint16_t i = (uint16_t)dice_roll(&dice, 500);
		zg_str_t key = zg_str_n(&i, sizeof(i));

		fuse = (unsigned)dice_roll(&dice, 3);
		if (zg_map_put(&m, key, &m, &old) == 0) {
			AGREE(&dice, !there[i] == !old);
			there[i] = true;
		} else {
			AGREE(&dice, errno == ENOMEM && !there[i]);
		}
		AGREE(&dice, !zg_map_get(&m, key) == !there[i]);
		if (dice_roll(&dice, 3) == 0) {
			AGREE(&dice, !zg_map_del(&m, key) == !there[i]);
			there[i] = false;
		}
	}
	fuse = 0;
	zg_map_free(&m);
	fuse = 2; /* no table at all */
	ck_assert_int_eq(zg_map_put(&m, ZG_STR("a"), &m, NULL), -1);
	fuse = 0;
	ck_assert_uint_eq(m.count, 0);
	zg_map_free(&m);
}
END_TEST

/* Under the key of noughts, as CPython hashes bytes with PYTHONHASHSEED=0. */
START_TEST(siphash)
{
	static const struct { const char *text; uint64_t hash; } vectors[] = {
		{ "a", 0x407448d2b89b1813 },
		{ "abcdefg", 0x6db12aae9070f506 },
		{ "abcdefgh", 0x3f7b849c0b8e35ea },
		{ "The quick brown fox jumps over the lazy dog", 0x8df676d3d00c451e },
	};

	zg_map_hash(NULL, 0); /* makes the key of this process, once */
	key0 = key1 = 0;
	for (size_t i = 0; i < ZG_COUNT_OF(vectors); i++)
		ck_assert_uint_eq(zg_map_hash(vectors[i].text, strlen(vectors[i].text)),
		                  vectors[i].hash);
}
END_TEST

START_TEST(ring)
{
	zg_msg_t *m = zg_msg_copy("abc", 3);
	uint64_t dropped;
	zg_ring_t r;

	zg_ring_init(&r, 30, 100, ZG_RING_DROP_OLDEST);
	fuse = 1;
	ck_assert_int_eq(zg_ring_push(&r, m, &dropped), -1);
	ck_assert_int_eq(errno, ENOMEM);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(zg_ring_push(&r, zg_msg_ref(m), &dropped), 0);
	fuse = 1;
	ck_assert_int_eq(zg_ring_push(&r, m, &dropped), -1);
	ck_assert_uint_eq(r.count, 8);
	ck_assert_uint_eq(zg_ring_clear(&r), 8);
	ck_assert_uint_eq(m->refs, 1);
	zg_msg_unref(&m);
	fuse = 0;
}
END_TEST

Suite *suite_memory(void)
{
	Suite *s = suite_create("memory");
	TCase *c = tcase_create("memory");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, trie);
	tcase_add_test(c, map);
	tcase_add_test(c, ring);
	tcase_add_test(c, siphash);
	suite_add_tcase(s, c);
	return s;
}
