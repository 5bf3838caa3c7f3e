#include "suites.h"
#include "dice.h"
#include "base/utf8.h"

/* The model decodes to a code point: valid if it is a scalar value that needs
 * as many bytes as there were. */
static size_t model_sequence(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);

	if (!len || n < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 63u);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

static bool model_valid(const unsigned char *p, size_t n)
{
	size_t len;

	for (; n; p += len, n -= len)
		if (!(len = model_sequence(p, n)))
			return false;
	return true;
}

START_TEST(every_sequence)
{
	unsigned char p[4];

	/* all of up to three bytes, and those of four that can matter */
	for (unsigned v = 0; v < 1u << 24; v++) {
		p[0] = (unsigned char)(v >> 16);
		p[1] = (unsigned char)(v >> 8);
		p[2] = (unsigned char)v;
		p[3] = 0x80 | (v & 0x3f);
		for (size_t n = v < 256 ? 1 : 3; n <= 4; n++)
			if (zg_utf8_valid(zg_str_n(p, n)) != model_valid(p, n))
				ck_abort_msg("%02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], n);
	}
}
END_TEST

START_TEST(agrees_with_model)
{
	static const char *const pieces[] = { "a", "plain text", "\xc3\xa4", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80" };
	static const char *const wrong[] = { "\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xc3", "\xf5", "\xff", "\xe2\x82" };
	dice_t dice = dice_new();

	for (; dice.step < 20000; dice.step++) {
		char text[200];
		size_t n = 0, many = dice_roll(&dice, 15);
		char *exact;
		bool valid;

		for (size_t i = 0; i < many; i++) {
			const char *piece = dice_roll(&dice, 30) ? pieces[dice_roll(&dice, 8)]
			                                         : wrong[dice_roll(&dice, 8)];

			memcpy(text + n, piece, strlen(piece));
			n += strlen(piece);
		}
		valid = model_valid((unsigned char *)text, n);
		exact = malloc(n + 1); /* so that a sanitizer sees a read too many */
		memcpy(exact + 1, text, n);
		AGREE(&dice, zg_utf8_valid(zg_str_n(exact + 1, n)) == valid);
		free(exact);
	}
	ck_assert(zg_utf8_valid(ZG_STR_NONE));
	ck_assert(zg_utf8_valid(ZG_STR("\0")));
}
END_TEST

START_TEST(any_bytes_as_json)
{
	static const struct {
		zg_str_t in;
		const char *out;
	} rows[] = {
		{ { "", 0 }, "\"\"" },
		{ { "a\"b\xc3\xa9", 5 }, "\"a\\\"b\xc3\xa9\"" },
		{ { "\xff", 1 }, "\"\xef\xbf\xbd\"" },
		{ { "a\xe2\x82z", 4 }, "\"a\xef\xbf\xbd\xef\xbf\xbdz\"" },
		{ { "\xed\xa0\x80\n", 4 }, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\n\"" },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		zg_buf_t b = ZG_BUF(64), tight = ZG_BUF(1);

		ck_assert_int_eq(zg_utf8_add_json(&b, rows[i].in), 0);
		ck_assert(zg_str_eq(zg_buf_str(&b), zg_str(rows[i].out)));
		ck_assert_int_eq(zg_utf8_add_json(&tight, rows[i].in), -1);
		ck_assert_uint_eq(tight.len, 0);
		zg_buf_free(&b);
		zg_buf_free(&tight);
	}
}
END_TEST

Suite *suite_utf8(void)
{
	Suite *s = suite_create("utf8");
	TCase *c = tcase_create("utf8");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, every_sequence);
	tcase_add_test(c, agrees_with_model);
	tcase_add_test(c, any_bytes_as_json);
	suite_add_tcase(s, c);
	return s;
}
