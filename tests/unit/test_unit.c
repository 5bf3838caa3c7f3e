#include "suites.h"
#include "dice.h"
#include "base/unit.h"
#include <inttypes.h>
#include <string.h>

static const struct row {
	const char *text;
	uint64_t value;
	const char *shortest; /* NULL: the text is refused */
} times[] = {
	{ "0s", 0, "0s" },          { "0h", 0, "0s" },
	{ "250ms", 250, "250ms" },  { "5s", 5000, "5s" },
	{ "2m", 120000, "2m" },     { "1h", 3600000, "1h" },
	{ "1000ms", 1000, "1s" },   { "90s", 90000, "90s" },
	{ "120m", 7200000, "2h" },  { "0005s", 5000, "5s" },
	{ "18446744073709551615ms", UINT64_MAX, "18446744073709551615ms" },
	{ "18446744073709551616ms", 0, NULL }, { "18446744073709551615s", 0, NULL },
	{ "", 0, NULL }, { "5", 0, NULL }, { "s", 0, NULL }, { "ms", 0, NULL }, { "-5s", 0, NULL },
	{ "+5s", 0, NULL }, { "5 s", 0, NULL }, { " 5s", 0, NULL }, { "5s ", 0, NULL },
	{ "1.5s", 0, NULL }, { "5S", 0, NULL }, { "5d", 0, NULL }, { "1m30s", 0, NULL },
}, sizes[] = {
	{ "0", 0, "0" },            { "512", 512, "512" },
	{ "64k", 65536, "64k" },    { "10m", 10485760, "10m" },
	{ "1g", 1073741824, "1g" }, { "1024", 1024, "1k" },
	{ "1025", 1025, "1025" },   { "0g", 0, "0" },
	{ "18446744073709551615", UINT64_MAX, "18446744073709551615" },
	{ "18446744073709551616", 0, NULL }, { "99999999999999g", 0, NULL },
	{ "", 0, NULL }, { "k", 0, NULL }, { "-1", 0, NULL }, { "1kb", 0, NULL }, { "1K", 0, NULL },
	{ "0x10", 0, NULL }, { "1 k", 0, NULL }, { "1\n", 0, NULL },
};

static void run(const struct row *row, int (*parse)(zg_str_t, uint64_t *, zg_err_t *),
                void (*text)(uint64_t, char *))
{
	zg_err_t err = { "" };
	uint64_t value = 0;
	char out[32];
	int status = parse(zg_str(row->text), &value, &err);

	ck_assert_msg(status == (row->shortest ? 0 : -1), "\"%s\" gives %d", row->text, status);
	if (status < 0) {
		ck_assert(err.text[0]);
		return;
	}
	ck_assert_msg(value == row->value, "\"%s\" gives %" PRIu64, row->text, value);
	text(value, out);
	ck_assert_str_eq(out, row->shortest);
}

START_TEST(tables)
{
	for (size_t i = 0; i < ZG_COUNT_OF(times); i++)
		run(&times[i], zg_unit_msec, zg_unit_msec_text);
	for (size_t i = 0; i < ZG_COUNT_OF(sizes); i++)
		run(&sizes[i], zg_unit_size, zg_unit_size_text);
	ck_assert_int_eq(zg_unit_msec(ZG_STR_NONE, &(uint64_t){ 0 }, NULL), -1);
}
END_TEST

START_TEST(text_parses_back)
{
	dice_t dice = dice_new();

	for (; dice.step < 10000; dice.step++) {
		uint64_t value = dice_roll(&dice, UINT64_MAX) >> dice_roll(&dice, 64), back = 0;
		char out[32];

		if (dice_roll(&dice, 2))
			value = value / 3600000 * 3600000;
		zg_unit_msec_text(value, out);
		AGREE(&dice, zg_unit_msec(zg_str(out), &back, NULL) == 0 && back == value);
		zg_unit_size_text(value, out);
		AGREE(&dice, zg_unit_size(zg_str(out), &back, NULL) == 0 && back == value);
	}
}
END_TEST

START_TEST(int_and_bool)
{
	static const char *const wrong[] = { "", "-", "+1", "1.0", "0x1", " 1", "1 ", "--1",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616" };
	int64_t n = 0;
	bool b = false;

	ck_assert(zg_unit_int(ZG_STR("9223372036854775807"), &n, NULL) == 0 && n == INT64_MAX);
	ck_assert(zg_unit_int(ZG_STR("-9223372036854775808"), &n, NULL) == 0 && n == INT64_MIN);
	ck_assert(zg_unit_int(ZG_STR("-0"), &n, NULL) == 0 && n == 0);
	ck_assert(zg_unit_int(ZG_STR("-17"), &n, NULL) == 0 && n == -17);
	for (size_t i = 0; i < ZG_COUNT_OF(wrong); i++)
		ck_assert_msg(zg_unit_int(zg_str(wrong[i]), &n, NULL) == -1, "\"%s\"", wrong[i]);
	ck_assert(zg_unit_bool(ZG_STR("yes"), &b, NULL) == 0 && b);
	ck_assert(zg_unit_bool(ZG_STR("no"), &b, NULL) == 0 && !b);
	ck_assert(zg_unit_bool(ZG_STR("true"), &b, NULL) == -1);
	ck_assert(zg_unit_bool(ZG_STR("YES"), &b, NULL) == -1);
	ck_assert(zg_unit_bool(ZG_STR_NONE, &b, NULL) == -1);
}
END_TEST

Suite *suite_unit(void)
{
	Suite *s = suite_create("unit");
	TCase *c = tcase_create("unit");

	tcase_add_test(c, tables);
	tcase_add_test(c, text_parses_back);
	tcase_add_test(c, int_and_bool);
	suite_add_tcase(s, c);
	return s;
}
