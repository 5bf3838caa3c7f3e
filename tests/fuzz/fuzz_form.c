/* fuzz_form: multipart bodies. The first line of an input is the Content-Type,
 * what follows it the body. */
#include "fuzz.h"
#include "base/form.h"

static void inside(zg_str_t s, zg_str_t in)
{
	CHECK(!s.p || (s.p >= in.p && s.p + s.n <= in.p + in.n));
}

static void check_part(const zg_form_part_t *part, const zg_form_t *f, zg_str_t body)
{
	inside(part->name, body);
	inside(part->filename, body);
	inside(part->content_type, body);
	inside(part->body, body);
	CHECK(part->name.p && part->body.p);
	CHECK(!part->body.n || !memmem(part->body.p, part->body.n, f->delimiter, f->delimiter_len));
	/* the delimiter is where the body of the part ends */
	CHECK(memcmp(part->body.p + part->body.n, f->delimiter, f->delimiter_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	zg_str_t body = zg_str_n(p, n), type;
	const char *last = (const char *)p;
	zg_form_part_t part;
	zg_err_t err = { "" };
	zg_form_t f;
	int more;

	if (!zg_str_cut(&body, '\n', &type))
		return 0;
	if (zg_form_begin(&f, type, body, &err) < 0) {
		CHECK(err.text[0]);
		return 0;
	}
	CHECK(zg_form_is(type) && f.delimiter_len >= 5 && f.delimiter_len <= 74);
	while ((more = zg_form_next(&f, &part, &err)) > 0) {
		check_part(&part, &f, body);
		CHECK(part.body.p > last);
		last = part.body.p + part.body.n;
	}
	CHECK((more < 0) == (err.text[0] != '\0'));
	CHECK(zg_form_next(&f, &part, NULL) == more);
	if (more == 0) { /* whole only if it ends as it must */
		zg_str_t end = zg_str_n(body.p + body.n, 0);

		if (zg_str_starts(zg_str_n(end.p - 2, 2), ZG_STR("\r\n")))
			end.p -= 2;
		CHECK(memcmp(end.p - 2, "--", 2) == 0);
		end.p -= f.delimiter_len;
		CHECK(memcmp(end.p, f.delimiter + 2, f.delimiter_len - 2) == 0);
	}
	return 0;
}
