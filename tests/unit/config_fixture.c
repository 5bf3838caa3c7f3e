#include "config_fixture.h"
#include <check.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *const moods[] = { "fine", "poor", NULL };

static const zg_directive_t asks_rows[] = {
	ZG_SOCKET(struct asks, req, .required = true, .doc = "Workers."),
	ZG_MSEC(struct asks, timeout, .def = "30s", .min = "1ms", .max = "1h", .doc = "Patience."),
	ZG_SIZE(struct asks, limit, .min = "1k", .doc = "Unset is no value of it."),
	ZG_INT(struct asks, queue, .min = "-5", .doc = "Unset is a value of it."),
	ZG_BOOL(struct asks, loud, .doc = "Loudness."),
	ZG_STRING(struct asks, greeting, .def = "good day", .doc = "Words."),
	ZG_PATH(struct asks, root, .doc = "A place."),
	ZG_ENUM(struct asks, mood, .def = "fine", .choices = moods, .doc = "Humour."),
	ZG_DIRECTIVE_END
};

static const zg_directive_t news_rows[] = {
	ZG_LIST(struct news, topics, .required = true, .doc = "Subjects."),
	ZG_DIRECTIVE_END
};

static const zg_directive_t ticker_rows[] = {
	ZG_MSEC(struct ticker, step, .def = "1s", .doc = "Beat."),
	ZG_DIRECTIVE_END
};

static void ticker_check(zg_check_t *check, void *conf)
{
	ck_assert_ptr_null(zg_check_location(check));
	if (((struct ticker *)conf)->step == 7000)
		zg_check_error(check, "step", "must not be %s", "seven");
}

static void calm_check(zg_check_t *check, void *conf)
{
	ck_assert_ptr_nonnull(conf);
	if (!strcmp(zg_check_location(check)->name, "/seven"))
		zg_check_error(check, NULL, "is in the way");
}

static const zg_counter_t asks_counters[] = {
	{ .name = "asked", .doc = "Questions." },
	ZG_COUNTER_END
};

static const zg_module_t asks = {
	.abi = ZG_MODULE_ABI, .name = "asks", .doc = "Questions to workers.", .kind = ZG_BRIDGE,
	.directives = asks_rows, .conf_size = sizeof(struct asks), .counters = asks_counters,
	.methods = "POST",
};
static const zg_module_t news = {
	.abi = ZG_MODULE_ABI, .name = "news", .doc = "Subjects to readers.", .kind = ZG_BRIDGE,
	.directives = news_rows, .conf_size = sizeof(struct news), .methods = "GET, POST",
};
static const zg_module_t calm = {
	.abi = ZG_MODULE_ABI, .name = "calm", .doc = "Nothing.", .kind = ZG_BRIDGE,
	.check = calm_check,
};
static const zg_module_t ticker = {
	.abi = ZG_MODULE_ABI, .name = "ticker", .doc = "Time.", .kind = ZG_SERVICE,
	.directives = ticker_rows, .conf_size = sizeof(struct ticker), .check = ticker_check,
};

const zg_module_t *const zg_modules_static[] = { &asks, &news, &calm, &ticker, NULL };

fixture_t fixture_new(void)
{
	fixture_t f = { .prefix = "/tmp/zgate-unit-XXXXXX" };

	ck_assert_ptr_nonnull(mkdtemp(f.prefix));
	return f;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

void fixture_free(fixture_t *f)
{
	ck_assert_int_eq(nftw(f->prefix, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_write_n(const fixture_t *f, const char *name, const char *text, size_t n)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->prefix, name);
	for (char *slash = strchr(path + strlen(f->prefix) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, n, file), n);
	ck_assert_int_eq(fclose(file), 0);
}

void fixture_write(const fixture_t *f, const char *name, const char *text)
{
	fixture_write_n(f, name, text, strlen(text));
}

static void on_error(void *ctx, const char *sentence)
{
	fixture_t *f = ctx;
	size_t at = strlen(f->errors);

	snprintf(f->errors + at, sizeof(f->errors) - at, "%s%s", at ? "\n" : "", sentence);
}

zg_conf_t *fixture_load(fixture_t *f, const char *file, const char *const *set)
{
	char path[256];
	zg_conf_options_t options = { .prefix = f->prefix, .set = set, .error = on_error, .ctx = f };
	zg_conf_t *conf;

	if (file) {
		snprintf(path, sizeof(path), file[0] == '/' ? "%.0s%s" : "%s/%s", f->prefix, file);
		options.file = path;
	}
	f->errors[0] = '\0';
	conf = zg_conf_load(&options);
	ck_assert_int_eq(conf == NULL, f->errors[0] != '\0');
	return conf;
}

const char *fixture_list(const zg_list_t *list)
{
	static char text[4096];

	text[0] = '\0';
	for (size_t i = 0; i < list->count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
		         list->item[i]);
	return text;
}
