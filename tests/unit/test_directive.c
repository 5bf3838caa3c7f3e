/* directive: the tables themselves, and what a right configuration becomes:
 * includes, -g, the order of locations, -T and -L, the register of modules. */
#include "suites.h"
#include "config_fixture.h"

static void check_table(const zg_directive_t *row, const char *prefix)
{
	union {
		uint64_t number;
		zg_location_t location;
		zg_gateway_t gateway;
	} conf;
	zg_pool_t *pool = zg_pool_new();
	zg_err_t err;

	for (; row->name; row++) {
		memset(&conf, 0, sizeof(conf));
		ck_assert_msg(row->doc && row->doc[strlen(row->doc) - 1] == '.', "%s: doc", row->name);
		ck_assert(row->type == ZG_TYPE_INT || row->type == ZG_TYPE_PATH ||
		          (row->type == ZG_TYPE_ENUM) == (row->choices != NULL));
		ck_assert_msg(strlen(row->name) <= 49, "%s: longer than inih reads", row->name);
		for (const zg_directive_t *other = row + 1; other->name; other++)
			ck_assert_str_ne(row->name, other->name);
		const char *const texts[] = { row->def, row->min, row->max };

		for (size_t i = 0; i < ZG_COUNT_OF(texts); i++)
			if (texts[i] && zg_directive_set(row, &conf, zg_str(texts[i]), prefix, pool,
			                                 &err) < 0)
				ck_abort_msg("%s = %s: %s", row->name, texts[i], err.text);
	}
	zg_pool_free(&pool);
}

START_TEST(tables)
{
	check_table(zg_conf_gateway_rows, "/p");
	check_table(zg_conf_location_rows, "/p");
	for (const zg_module_t *const *m = zg_modules_static; *m; m++)
		if ((*m)->directives)
			check_table((*m)->directives, "/p");
}
END_TEST

START_TEST(methods)
{
	char out[64];

	ck_assert_uint_eq(zg_method_bit(ZG_STR("PATCH")), ZG_PATCH);
	ck_assert_uint_eq(zg_method_bit(ZG_STR("patch")), 0);
	ck_assert_uint_eq(zg_method_bit(ZG_STR_NONE), 0);
	ck_assert_str_eq(zg_method_list(0, out), "");
	ck_assert_str_eq(zg_method_list(ZG_POST | ZG_GET, out), "GET, POST");
	ck_assert_str_eq(zg_method_list(127, out), "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
}
END_TEST

START_TEST(endpoints)
{
	static const struct {
		const char *value, *error; /* NULL: right */
	} rows[] = {
		{ "connect tcp://127.0.0.1:5555", NULL },
		{ "connect tcp://a.b-c:1,ipc:///x inproc://n", NULL },
		{ "bind tcp://*:* tcp://eth0:0 tcp://[::1]:65535 tcp://[fe80::1%eth0]:9 ipc://*", NULL },
		{ "connect ipc://@abstract ipc://relative", NULL },
		{ "connect", "names no endpoint; write e.g. `connect tcp://127.0.0.1:5555`" },
		{ "tcp://127.0.0.1:5555", "\"tcp://127.0.0.1:5555\" does not begin with connect or bind; "
		  "write e.g. `connect tcp://127.0.0.1:5555`" },
		{ "connect tcp://a:1 bind tcp://b:1",
		  "connect and bind stand on one line; repeat the directive for the second" },
		{ "connect tcp:/127.0.0.1:5555", "`tcp:/127.0.0.1:5555` is no endpoint; write "
		  "tcp://HOST:PORT, ipc:///PATH or inproc://NAME" },
		{ "bind udp://a:1", "`udp://a:1` is no endpoint; write tcp://HOST:PORT, ipc:///PATH or "
		  "inproc://NAME" },
		{ "bind ipc://", "`ipc://` is no endpoint; write tcp://HOST:PORT, ipc:///PATH or "
		  "inproc://NAME" },
		{ "connect tcp://*:5555", "`tcp://*:5555` can be bound, but not connected to; name a "
		  "host and a port" },
		{ "connect ipc://*", "`ipc://*` can be bound, but not connected to; name a path" },
		{ "connect tcp://a:0", "`tcp://a:0`: \"0\" is no port; write 1 to 65535" },
		{ "bind tcp://a:65536", "`tcp://a:65536`: \"65536\" is no port; write 1 to 65535, or * "
		  "for any free one" },
		{ "bind tcp://a", "`tcp://a` has no port; write tcp://HOST:PORT, IPv6 in brackets" },
		{ "bind tcp://::1:80", "`tcp://::1:80` has no port; write tcp://HOST:PORT, IPv6 in "
		  "brackets" },
		{ "bind tcp://[::g]:80", "`tcp://[::g]:80`: \"::g\" is no host" },
		{ "bind tcp://a/b:80", "`tcp://a/b:80`: \"a/b\" is no host" },
	};

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		zg_pool_t *pool = zg_pool_new();
		struct asks conf = { .queue = 0 };
		zg_err_t err = { "" };

		zg_directive_set(zg_modules_static[0]->directives, &conf, zg_str(rows[i].value), "/p",
		                 pool, &err);
		ck_assert_str_eq(err.text, rows[i].error ? rows[i].error : "");
		zg_pool_free(&pool);
	}
}
END_TEST

/* a socket's path has at most 107 bytes, the prefix of a relative one included */
START_TEST(socket_path)
{
	for (int n = 107; n <= 108; n++) {
		zg_pool_t *pool = zg_pool_new();
		struct asks conf = { .queue = 0 };
		char text[256];

		snprintf(text, sizeof(text), "bind ipc://%0*d", n - 3, 1);
		ck_assert_int_eq(zg_directive_set(zg_modules_static[0]->directives, &conf, zg_str(text),
		                                  "/p", pool, NULL), n == 107 ? 0 : -1);
		zg_pool_free(&pool);
	}
}
END_TEST

START_TEST(order_and_defaults)
{
	static const char *const names[] = { "/a/bb", "= /b", "/b", "= /c", "/" };
	fixture_t f = fixture_new();
	zg_conf_t *c;

	fixture_write(&f, "t.ini", "[location /]\nbridge = calm\n[location = /c]\nbridge = asks\n"
	              "req = bind ipc://x\nmax_body = 0\nroot = r\n[location /b]\nbridge = news\n"
	              "topics = x\n[location = /b/]\nbridge = calm\nmethods = GET PUT\n"
	              "[location /a/bb]\nbridge = calm\n[gateway]\nmax_body = 3k\npid = run/pid\n");
	c = fixture_load(&f, "t.ini", NULL);
	ck_assert_str_eq(f.errors, "");
	ck_assert_uint_eq(c->locations, ZG_COUNT_OF(names));
	for (unsigned i = 0; i < c->locations; i++) {
		ck_assert_str_eq(c->location[i]->name, names[i]);
		ck_assert_uint_eq(c->location[i]->index, i);
		ck_assert_int_eq(c->location[i]->exact, names[i][0] == '=');
	}
	ck_assert_uint_eq(c->location[0]->method_bits, 0);
	ck_assert_uint_eq(c->location[1]->method_bits, ZG_GET | ZG_HEAD | ZG_PUT);
	ck_assert_uint_eq(c->location[2]->method_bits, ZG_GET | ZG_HEAD | ZG_POST);
	ck_assert_uint_eq(c->location[2]->max_body, 3072);
	ck_assert_uint_eq(c->location[2]->line, 8);
	ck_assert_str_eq(c->location[2]->file, "t.ini");
	ck_assert_uint_eq(c->location[3]->max_body, 0);
	ck_assert_uint_eq(c->gateway.header_timeout, 10000);
	ck_assert_str_eq(fixture_list(&c->gateway.listen), "127.0.0.1:8080");
	ck_assert_int_eq(strncmp(c->gateway.pid, f.prefix, strlen(f.prefix)), 0);
	ck_assert_str_eq(c->gateway.pid + strlen(f.prefix), "/run/pid");
	zg_conf_free(&c);
	ck_assert_ptr_null(c);
	fixture_free(&f);
}
END_TEST

START_TEST(includes)
{
	fixture_t f = fixture_new();
	zg_conf_t *c;

	fixture_write(&f, "conf/t.ini", "[gateway]\ninclude = conf.d/*.ini none/*.ini\n"
	              "listen = *:1\n[location /]\nbridge = calm\n");
	fixture_write(&f, "conf.d/b.ini", "[gateway]\nlisten = *:3\n[location /b]\nbridge = calm\n");
	fixture_write(&f, "conf.d/a.ini", "[gateway]\nlisten = *:2\ninclude = deep.ini\n");
	fixture_write(&f, "deep.ini", "[location /deep]\nbridge = calm\n");
	c = fixture_load(&f, "conf/t.ini", NULL);
	ck_assert_str_eq(f.errors, "");
	ck_assert_uint_eq(c->locations, 3);
	ck_assert_str_eq(fixture_list(&c->gateway.listen), "*:1 *:2 *:3");
	zg_conf_free(&c);
	/* what is wrong in an included file is said of that */
	fixture_write(&f, "deep.ini", "[gateway]\npid = x\n[location /]\nbridge = calm\n");
	fixture_write(&f, "conf.d/c.ini", "[gateway]\npid = y\nlitsen = 1\n");
	ck_assert_ptr_null(fixture_load(&f, "conf/t.ini", NULL));
	ck_assert_str_eq(f.errors, "conf.d/c.ini:2: [gateway] pid: is given twice; the first is at "
	                 "deep.ini:2\nconf.d/c.ini:3: [gateway] litsen: unknown directive; did you "
	                 "mean \"listen\"?\ndeep.ini:3: [location /]: there are two locations with "
	                 "this path; the first is at conf/t.ini:4");
	fixture_free(&f);
}
END_TEST

START_TEST(include_errors)
{
	fixture_t f = fixture_new();
	char expected[512];

	fixture_write(&f, "t.ini", "[gateway]\ninclude = t.ini\n");
	ck_assert_ptr_null(fixture_load(&f, "t.ini", NULL));
	ck_assert_str_eq(f.errors, "t.ini:2: [gateway] include: t.ini is included 9 levels deep, at "
	                 "most 8 can be; does a file include itself?");
	fixture_write(&f, "t.ini", "[gateway]\ninclude = one.ini\n[location /]\nbridge = calm\n");
	ck_assert_ptr_null(fixture_load(&f, "t.ini", NULL));
	snprintf(expected, sizeof(expected), "t.ini:2: [gateway] include: there is no file %s/one.ini",
	         f.prefix);
	ck_assert_str_eq(f.errors, expected);
	fixture_free(&f);
}
END_TEST

START_TEST(overrides)
{
	static const char *const set[] = {
		"gateway.listen=127.0.0.1:0", "gateway.listen=*:5", "location /x.ping = 3s",
		"location /x/.overflow=disconnect", "location = /new.v.bridge=calm", "ticker.step=4s",
		"location /x.root=a=b", NULL
	};
	fixture_t f = fixture_new();
	zg_conf_t *c;

	fixture_write(&f, "t.ini", "[gateway]\nlisten = *:1\nlisten = *:2\n[location /x]\n"
	              "bridge = asks\nreq = bind tcp://*:1\nping = 5x\n");
	c = fixture_load(&f, "t.ini", set);
	ck_assert_str_eq(f.errors, "");
	ck_assert_str_eq(fixture_list(&c->gateway.listen), "127.0.0.1:0 *:5");
	ck_assert_uint_eq(c->locations, 2);
	ck_assert_str_eq(c->location[0]->name, "= /new.v");
	ck_assert_uint_eq(c->location[1]->ping, 3000);
	ck_assert_int_eq(c->location[1]->overflow, ZG_OVERFLOW_DISCONNECT);
	ck_assert_str_eq(((struct asks *)c->location[1]->conf)->root + strlen(f.prefix), "/a=b");
	ck_assert_uint_eq(((struct ticker *)c->service[0].conf)->step, 4000);
	zg_conf_free(&c);
	/* and without a file */
	c = fixture_load(&f, NULL, &set[4]);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(f.errors, "-g: [location /x]: has no bridge; add `bridge = NAME`, where NAME "
	                 "is asks, news or calm");
	fixture_free(&f);
}
END_TEST

START_TEST(override_errors)
{
	static const char *const set[] = {
		"listen", "listen=1", "gateway.=1", "gateway.listen=", "gateway.pid=a ;b",
		"gateway.pid=a\nb", "gatewya.listen=*:1", "gateway.lisen=*:1", "location /x.ping=5x",
		"gateway.workers=1", "gateway.workers=1", "location y]z.bridge=calm",
		"gateway.include=no.ini", NULL
	};
	static const char usage[] = "write section.key=value, e.g. gateway.listen=127.0.0.1:0 or "
	                            "\"location /x.timeout=5s\"";
	fixture_t f = fixture_new();
	char expected[4096];

	fixture_write(&f, "t.ini", "[location /x]\nbridge = calm\n[gateway]\ninclude = not.used\n");
	ck_assert_ptr_null(fixture_load(&f, "t.ini", set));
	snprintf(expected, sizeof(expected),
	         "-g: \"listen\" is no setting; %s\n"
	         "-g: \"listen=1\" is no setting; %s\n"
	         "-g: \"gateway.=1\" is no setting; %s\n"
	         "-g: [gateway] listen: has no value\n"
	         "-g: [gateway] pid: the value cannot hold a semicolon after a blank: a comment begins "
	         "there\n"
	         "-g: [gateway] pid: the value holds a control byte; remove it\n"
	         "-g: [gateway] include: there is no file %s/no.ini\n"
	         "-g: [gateway] lisen: unknown directive; did you mean \"listen\"?\n"
	         "-g: [gateway] workers: is given twice; the first is at -g\n"
	         "-g: [gatewya]: unknown section; did you mean \"gateway\"?\n"
	         "-g: [location y]z]: the path does not begin with \"/\"; write [location /path] or "
	         "[location = /path]\n"
	         "-g: [location /x] ping: \"5x\" is no time; write 250ms, 5s, 2m or 1h",
	         usage, usage, usage, f.prefix);
	ck_assert_str_eq(f.errors, expected);
	fixture_free(&f);
}
END_TEST

/* Appends `count` items that fill many lines. */
static void add_many(char *text, const char *line, int count)
{
	for (int i = 0; i < count; i++)
		sprintf(text + strlen(text), line, i);
}

/* What -T prints is a configuration that prints the same. */
START_TEST(round_trip)
{
	fixture_t f = fixture_new();
	zg_buf_t first = ZG_BUF(1 << 20), second = ZG_BUF(1 << 20);
	char text[32768] = "[gateway]\nerror_log = log\nlog_level = debug\ninclude = more.ini\n"
	                   "[ticker]\nstep = 90s\n[location = /a b]\nbridge = news\n"
	                   "deny = all\nallow = unix: 10.0.0.0/8, 127.0.0.1 ::1 fe80::/10\n";
	zg_conf_t *c;
	char *line;

	add_many(text, "topics = a-rather-long-topic-%d\n", 100);
	strcat(text, "[location /b]\nbridge = asks\ngreeting = a = b, \"c\"; d\nroot = r/s\n"
	             "req = connect tcp://h:1\nqueue = -3\nloud = yes\nmood = poor\n");
	for (int i = 1; i < 100; i++)
		sprintf(text + strlen(text), "req = %s tcp://127.0.0.1:%d\n", i % 10 ? "bind" : "connect",
		        i);
	fixture_write(&f, "t.ini", text);
	fixture_write(&f, "more.ini", "[location /]\nbridge = calm\nmax_body = 0\n");
	c = fixture_load(&f, "t.ini", NULL);
	ck_assert_str_eq(f.errors, "");
	ck_assert_int_eq(zg_conf_print(c, &first), 0);
	zg_conf_free(&c);
	fixture_write_n(&f, "u.ini", first.data, first.len);
	c = fixture_load(&f, "u.ini", NULL);
	ck_assert_str_eq(f.errors, "");
	ck_assert_int_eq(zg_conf_print(c, &second), 0);
	ck_assert(zg_str_eq(zg_buf_str(&first), zg_buf_str(&second)));
	ck_assert_uint_eq(((struct news *)c->location[0]->conf)->topics.count, 100);
	ck_assert_uint_eq(((struct asks *)c->location[1]->conf)->req.count, 100);
	ck_assert_str_eq(((struct asks *)c->location[1]->conf)->greeting, "a = b, \"c\"; d");
	ck_assert_uint_eq(c->location[2]->max_body, 0);
	ck_assert_int_eq(zg_buf_add(&first, "", 1), 0);
	ck_assert_ptr_nonnull(strstr(first.data, "\nallow = unix: 10.0.0.0/8 127.0.0.1 ::1 fe80::/10\n"));
	ck_assert_ptr_null(strstr(first.data, "limit"));
	ck_assert_ptr_null(strstr(first.data, "include"));
	for (line = strtok(first.data, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert_uint_le(strlen(line), 198);
	zg_buf_free(&first);
	zg_buf_free(&second);
	zg_conf_free(&c);
	fixture_free(&f);
}
END_TEST

START_TEST(list)
{
	zg_modules_t m = { .count = 0 };
	zg_buf_t out = ZG_BUF(1 << 20);

	for (const zg_module_t *const *it = zg_modules_static; *it; it++)
		ck_assert_int_eq(zg_modules_add(&m, *it, NULL, "here", NULL), 0);
	ck_assert_int_eq(zg_conf_list(&m, "nosuch", &out), -1);
	ck_assert_int_eq(zg_conf_list(&m, "asks", &out), 0);
	ck_assert_int_eq(zg_buf_add(&out, "", 1), 0);
	ck_assert_str_eq(out.data,
	                 "[location /path]  bridge = asks\n"
	                 "      Questions to workers.\n"
	                 "      Methods: POST.\n\n"
	                 "  req              = connect|bind ENDPOINT…  (required, repeatable)\n"
	                 "      Workers.\n"
	                 "  timeout          = time  (default 30s, 1ms to 1h)\n"
	                 "      Patience.\n"
	                 "  limit            = size  (from 1k)\n"
	                 "      Unset is no value of it.\n"
	                 "  queue            = number  (from -5)\n"
	                 "      Unset is a value of it.\n"
	                 "  loud             = yes|no\n"
	                 "      Loudness.\n"
	                 "  greeting         = text  (default good day)\n"
	                 "      Words.\n"
	                 "  root             = path\n"
	                 "      A place.\n"
	                 "  mood             = fine|poor  (default fine)\n"
	                 "      Humour.\n\n"
	                 "  counts, as /status shows them:\n"
	                 "  asked              since the start\n"
	                 "      Questions.\n");
	zg_buf_clear(&out);
	ck_assert_int_eq(zg_conf_list(&m, NULL, &out), 0);
	for (char *line = strtok(out.data, "\n"); line < out.data + out.len - 1; line += strlen(line) + 1)
		ck_assert_uint_le(strcspn(line, "\n"), 90);
	zg_buf_free(&out);
}
END_TEST

static void refused(zg_modules_t *m, zg_module_t module, const char *why)
{
	zg_err_t err = { "" };
	size_t before = m->count;

	ck_assert_int_eq(zg_modules_add(m, &module, NULL, "x.so", &err), -1);
	ck_assert_str_eq(err.text, why);
	ck_assert_uint_eq(m->count, before);
}

START_TEST(modules)
{
	static const zg_directive_t core[] = { { .name = "ping" }, ZG_DIRECTIVE_END };
	static const zg_directive_t twice[] = { { .name = "a" }, { .name = "a" }, ZG_DIRECTIVE_END };
	static const char *const bad[] = { "", "A", "1a", "a-b", "_a" };
	zg_modules_t m = { .count = 0 };
	zg_err_t err;

	ck_assert_int_eq(zg_modules_add(&m, zg_modules_static[0], NULL, "here", &err), 0);
	ck_assert_ptr_eq(zg_modules_find(&m, ZG_STR("asks")), zg_modules_static[0]);
	ck_assert_ptr_null(zg_modules_find(&m, ZG_STR("ask")));
	refused(&m, (zg_module_t){ .abi = ZG_MODULE_ABI + 1 }, "x.so: built for module ABI 3, but this "
	        "zgate has module ABI 2; build the module again with this zgate's headers");
	refused(&m, *zg_modules_static[0], "x.so: there is a module \"asks\" already");
	refused(&m, (zg_module_t){ .abi = ZG_MODULE_ABI, .name = "gateway" },
	        "x.so: a module cannot be named \"gateway\"");
	refused(&m, (zg_module_t){ .abi = ZG_MODULE_ABI, .name = "z", .directives = core },
	        "x.so: module \"z\" declares the directive \"ping\", which every location has already");
	refused(&m, (zg_module_t){ .abi = ZG_MODULE_ABI, .name = "z", .directives = twice },
	        "x.so: module \"z\" declares the directive \"a\" twice");
	for (size_t i = 0; i < ZG_COUNT_OF(bad); i++)
		ck_assert_int_eq(zg_modules_add(&m, &(zg_module_t){ .abi = ZG_MODULE_ABI,
		                                .name = bad[i] }, NULL, "x.so", &err), -1);
	ck_assert_int_eq(zg_modules_load(&m, "/nosuch.so", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "/nosuch.so"));
	ck_assert_int_eq(zg_modules_load(&m, "libm.so.6", &err), -1);
	ck_assert_str_eq(err.text, "libm.so.6: is no zgate module: it has no symbol zg_module");
	zg_modules_unload(&m);
	ck_assert_uint_eq(m.count, 0);
}
END_TEST

Suite *suite_directive(void)
{
	Suite *s = suite_create("directive");
	TCase *t = tcase_create("tables");

	tcase_add_test(t, tables);
	tcase_add_test(t, methods);
	tcase_add_test(t, endpoints);
	tcase_add_test(t, socket_path);
	tcase_add_test(t, order_and_defaults);
	tcase_add_test(t, includes);
	tcase_add_test(t, include_errors);
	tcase_add_test(t, overrides);
	tcase_add_test(t, override_errors);
	tcase_add_test(t, round_trip);
	tcase_add_test(t, list);
	tcase_add_test(t, modules);
	suite_add_tcase(s, t);
	return s;
}
