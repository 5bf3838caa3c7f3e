/* fuzz_target: request targets, their paths and queries. */
#include "fuzz.h"
#include "base/target.h"

static void check_path(zg_str_t path)
{
	char *out = malloc(path.n + 1), *again;
	long n = zg_target_normal(path, out);
	const char *at = out;

	if (n < 0) {
		free(out);
		return;
	}
	CHECK(n >= 1 && (size_t)n <= path.n && strlen(out) == (size_t)n && out[0] == '/');
	CHECK(!strstr(out, "//") && !strstr(out, "/./") && !strstr(out, "/../"));
	CHECK(n < 2 || strcmp(out + n - 2, "/.") != 0);
	CHECK(n < 3 || strcmp(out + n - 3, "/..") != 0);
	/* a path that is normal already stays as it is, but for escapes */
	again = malloc((size_t)n + 1);
	while (*at && *at != '%')
		at++;
	if (!*at)
		CHECK(zg_target_normal(zg_str(out), again) == n && strcmp(out, again) == 0);
	free(again);
	free(out);
}

static void check_query(zg_str_t query)
{
	zg_str_t rest = query, name, value;
	size_t seen = 0;

	while (zg_target_param(&rest, &name, &value)) {
		char *out = malloc(value.n + 1);
		long n = zg_target_decode(value, out);

		CHECK(n == -1 || ((size_t)n <= value.n && out[n] == '\0'));
		CHECK(!name.n || (name.p >= query.p && name.p + name.n <= query.p + query.n));
		CHECK(!memchr(name.p, '=', name.n) && !memchr(name.p, '&', name.n));
		CHECK(!value.n || value.p == name.p + name.n + 1);
		seen += name.n + value.n;
		free(out);
	}
	CHECK(seen <= query.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	zg_str_t path, query, target = zg_str_n(p, n);

	check_path(target);
	check_query(target);
	if (!zg_target_split(target, &path, &query))
		return 0;
	CHECK(path.n && path.p[0] == '/' && !memchr(path.p, '?', path.n));
	check_path(path);
	if (query.p)
		check_query(query);
	return 0;
}
