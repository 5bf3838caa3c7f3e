#include "suites.h"
#include "base/form.h"
#include <stdio.h>
#include <stdlib.h>

#define TYPE "multipart/form-data; boundary=b"
#define DISP "Content-Disposition: form-data; name=\"n\""
#define UPLOAD DISP "; filename=\"f.txt\"\r\nContent-Type: text/plain"
#define X8   "X: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\n"

/* One row: a form and what is in it, each part as "[name|filename|type|body]",
 * "-" for what is absent; NULL: refused. */
static const struct row {
	const char *type, *body, *want;
} rows[] = {
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--b--\r\n", "[n|-|-|v]" },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--b--", "[n|-|-|v]" },
	{ TYPE, "--b\r\n" UPLOAD "\r\n\r\nv\r\n--b--", "[n|f.txt|text/plain|v]" },
	{ TYPE, "--b\r\n" UPLOAD "\r\n\r\n\r\n--b\r\n" DISP "\r\n\r\n\r\n--b--\r\n",
	  "[n|f.txt|text/plain|][n|-|-|]" },
	{ TYPE, "--b\r\n" DISP ";filename=\"\"\r\n\r\n\r\n--b--", "[n||-|]" },
	{ TYPE, "--b--", "" },
	{ TYPE, "--b\r\n" DISP "\r\n\r\n\r\n\r\n-- b\r\n--\r\n\r\n--b--",
	  "[n|-|-|\r\n\r\n-- b\r\n--\r\n]" },
	{ TYPE, "--b\r\ncontent-disposition:FORM-DATA ; NAME=n ; FileName=f\r\n\r\nv\r\n--b--",
	  "[n|f|-|v]" },
	{ TYPE, "--b\r\n" DISP "; filename=\"a\\\"b\\\\\"\r\n\r\nv\r\n--b--", "[n|a\\\"b\\\\|-|v]" },
	{ TYPE, "--b\r\n" DISP "; filename=\"a;b=c, \xc3\xa4\"; x=y\r\n\r\nv\r\n--b--",
	  "[n|a;b=c, \xc3\xa4|-|v]" },
	{ TYPE, "--b\r\nX-Y: z\r\n" DISP "\r\nContent-Transfer-Encoding: binary\r\n\r\nv\r\n--b--",
	  "[n|-|-|v]" },
	{ TYPE, "--b\r\n" X8 "X: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\n" DISP
	  "\r\n\r\nv\r\n--b--", "[n|-|-|v]" },
	{ "Multipart/Form-Data;charset=utf-8 ; Boundary=\"a b'()+_,-./:=?c\"; x=\"\\\";\"",
	  "--a b'()+_,-./:=?c\r\n" DISP "\r\n\r\nv\r\n--a b'()+_,-./:=?c--", "[n|-|-|v]" },
	{ "multipart/form-data; boundary=----WebKitFormBoundaryX;",
	  "------WebKitFormBoundaryX\r\n" DISP "\r\n\r\nv\r\n------WebKitFormBoundaryX--\r\n",
	  "[n|-|-|v]" },
	/* the type */
	{ "multipart/form-data", "--b--", NULL },
	{ "multipart/mixed; boundary=b", "--b--", NULL },
	{ "multipart/form-data; boundary=", "----", NULL },
	{ "multipart/form-data; boundary=\"\"", "----", NULL },
	{ "multipart/form-data; boundary=\"b \"", "--b --", NULL },
	{ "multipart/form-data; boundary=\"b", "--b--", NULL },
	{ "multipart/form-data; boundary=b c", "--b--", NULL },
	{ "multipart/form-data; boundary=b/c", "--b/c--", NULL }, /* needs quotes */
	{ "multipart/form-data; boundary=\"b\\c\"", "--b\\c--", NULL },
	{ "multipart/form-data; boundary=b; boundary=b", "--b--", NULL },
	{ "multipart/form-data boundary=b", "--b--", NULL },
	/* the body */
	{ TYPE, "", NULL },
	{ TYPE, "--", NULL },
	{ TYPE, "--b", NULL },
	{ TYPE, "--b-", NULL },
	{ TYPE, "--c--", NULL },
	{ TYPE, "\r\n--b--", NULL },
	{ TYPE, "preamble\r\n--b--", NULL },
	{ TYPE, "--b--x", NULL },
	{ TYPE, "--b--\r\nepilogue", NULL },
	{ TYPE, "--b \r\n" DISP "\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\n" DISP "\n\nv\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--b", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--b-", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--b\r\n", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\r\n--bc\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n\r\nv\n--b--", NULL },
	/* the header of a part */
	{ TYPE, "--b\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP, NULL },
	{ TYPE, "--b\r\n" DISP "\r\n", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n--b--", NULL },
	{ TYPE, "--b\r\nContent-Type: text/plain\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n" DISP "\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\nContent-Disposition: attachment; name=\"n\"\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; name=\"m\"\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename=a; filename=b\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename*=utf-8''a\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename=\"a\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename=\"a\\\"\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename = a\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP " filename=a\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "; filename=\"a\1\"\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\nX: y\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\rX: y\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n folded\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\nX : y\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\nX\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" DISP "\r\n: y\r\n\r\nv\r\n--b--", NULL },
	{ TYPE, "--b\r\n" X8 X8 DISP "\r\n\r\nv\r\n--b--", NULL },
};

/* Writes what is in a form as in `want`; false if it was refused. */
static bool show(zg_str_t type, zg_str_t body, char *out, size_t room)
{
	zg_form_part_t part;
	zg_err_t err = { "" };
	zg_form_t f;
	int more;

	out[0] = '\0';
	if (zg_form_begin(&f, type, body, &err) < 0) {
		ck_assert(err.text[0]);
		return false;
	}
	while ((more = zg_form_next(&f, &part, &err)) > 0) {
		size_t n = strlen(out);

		snprintf(out + n, room - n, "[%.*s|%.*s|%.*s|%.*s]", ZG_STR_ARG(part.name),
		         ZG_STR_ARG(part.filename.p ? part.filename : ZG_STR("-")),
		         ZG_STR_ARG(part.content_type.p ? part.content_type : ZG_STR("-")),
		         ZG_STR_ARG(part.body));
	}
	ck_assert_int_eq(!more, !err.text[0]);
	ck_assert_int_eq(zg_form_next(&f, &part, &err), more); /* the end stays the end */
	return more == 0;
}

START_TEST(table)
{
	char got[1000];

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		bool ok = show(zg_str(row->type), zg_str(row->body), got, sizeof(got));

		ck_assert_msg(ok == (row->want != NULL), "%s\n%s\ngives %s", row->type, row->body,
		              ok ? got : "a refusal");
		if (ok)
			ck_assert_str_eq(got, row->want);
	}
}
END_TEST

/* No beginning of a form is taken for the whole. */
START_TEST(truncated)
{
	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		size_t whole = strlen(rows[i].body);
		char got[1000];

		for (size_t n = 0; rows[i].want && n < whole; n++) {
			char *cut = malloc(n + 1);
			bool ok;

			memcpy(cut + 1, rows[i].body, n);
			ok = show(zg_str(rows[i].type), zg_str_n(cut + 1, n), got, sizeof(got));
			/* but for the line end after the closing delimiter */
			ck_assert_msg(!ok || (n == whole - 2 && rows[i].body[n] == '\r'), "%zu of %s", n,
			              rows[i].body);
			free(cut);
		}
	}
}
END_TEST

START_TEST(limits)
{
	char type[200], body[20000], got[1000];

	for (int n = 69; n <= 72; n++) {
		snprintf(type, sizeof(type), "multipart/form-data; boundary=%0*d", n, 0);
		snprintf(body, sizeof(body), "--%0*d\r\n" DISP "\r\n\r\nv\r\n--%0*d--", n, 0, n, 0);
		ck_assert(show(zg_str(type), zg_str(body), got, sizeof(got)) == (n <= 70));
	}
	for (int n = 8000; n < 8300; n++) {
		size_t block = sizeof(DISP "\r\nX: \r\n\r\n") - 1 + (size_t)n;

		snprintf(body, sizeof(body), "--b\r\n" DISP "\r\nX: %0*d\r\n\r\nv\r\n--b--", n, 0);
		ck_assert(show(ZG_STR(TYPE), zg_str(body), got, sizeof(got)) == (block <= 8192));
	}
}
END_TEST

START_TEST(is)
{
	ck_assert(zg_form_is(ZG_STR("multipart/form-data")));
	ck_assert(zg_form_is(ZG_STR("Multipart/Form-Data ; boundary")));
	ck_assert(!zg_form_is(ZG_STR("multipart/form-data2; boundary=b")));
	ck_assert(!zg_form_is(ZG_STR("application/x-www-form-urlencoded")));
	ck_assert(!zg_form_is(ZG_STR_NONE));
	ck_assert(!zg_form_is(ZG_STR(";")));
}
END_TEST

Suite *suite_form(void)
{
	Suite *s = suite_create("form");
	TCase *c = tcase_create("form");

	tcase_add_test(c, table);
	tcase_add_test(c, truncated);
	tcase_add_test(c, limits);
	tcase_add_test(c, is);
	suite_add_tcase(s, c);
	return s;
}
