/* config: what zg_conf_load makes of files and -g: every sentence it has for
 * a wrong one, and what a right one becomes. */
#include "suites.h"
#include "config_fixture.h"

/* {PREFIX}/t.ini holds text; the errors must be exactly these lines. */
struct bad {
	const char *text, *errors;
};

#define HEAD "[location /]\nbridge = calm\n" /* lines 1 and 2: nothing wrong */

static const struct bad lines[] = {
	{ "x = 1\n" HEAD,
	  "t.ini:1: \"x\" stands before the first section; put [gateway] or [location /path] above it" },
	{ HEAD "ping 5s\n", "t.ini:3: `ping 5s` has no \"=\"; write `name = value`" },
	{ HEAD "ping: 5s\nping 5 = 3\n",
	  "t.ini:3: `ping: 5s` has no \"=\"; write `name = value`\n"
	  "t.ini:4: \"ping 5\" is no name of a directive; write `name = value`" },
	{ HEAD "ping = ; none\nping =\n",
	  "t.ini:3: [location /] ping: has no value; give it one or remove the line\n"
	  "t.ini:4: [location /] ping: has no value; give it one or remove the line" },
	{ HEAD "ping =;x\n",
	  "t.ini:3: [location /] ping: has no value; give it one or remove the line" },
	{ HEAD "  ping = 5s\n",
	  "t.ini:3: \"ping\" is indented, which makes it more of the value above; remove the blanks "
	  "before it" },
	{ HEAD "\t[location /x] ; c\nbridge = nosuch\n",
	  "t.ini:3: the section `[location /x]` is indented, which makes it more of the value above; "
	  "remove the blanks before it" },
	{ HEAD "ping = 5s\n  6s\n",
	  "t.ini:4: [location /] ping: takes one value, and the indented line is a second one; remove "
	  "it, or the blanks before it" },
	{ "[gateway]\n  words\n" HEAD,
	  "t.ini:2: the line is indented, but there is no value above that it could go on with; "
	  "remove the blanks before it" },
	{ HEAD "pin g = 5s\n  more\n",
	  "t.ini:3: \"pin g\" is no name of a directive; write `name = value`" },
	{ HEAD "[location /x\nbridge = nosuch\n",
	  "t.ini:3: `[location /x` has no closing bracket; write [gateway] or [location /path]" },
	{ HEAD "[]\n", "t.ini:3: the section has no name; write [gateway] or [location /path]" },
	{ HEAD "[location /y] ping = 5s\n",
	  "t.ini:3: `ping = 5s` stands behind the section's bracket; give it a line of its own" },
	{ HEAD "pi\001ng = 5s\n", "t.ini:3: byte 3 of the line is the control byte 0x01; remove it" },
	{ HEAD "a23456789012345678901234567890123456789012345678901 = 5s\n",
	  "t.ini:3: \"a23456789012345678901234567890123456789012345678901\" is longer than any "
	  "directive's name" },
};

static const struct bad sections[] = {
	{ "", "t.ini: nothing to serve: add a [location /] section" },
	{ "[gateway]\n[gateway]\n", "t.ini: nothing to serve: add a [location /] section" },
	{ "[locaton /x]\n", "t.ini:1: [locaton /x]: unknown section; did you mean \"location /x\"?" },
	{ "[locatio]\n", "t.ini:1: [locatio]: unknown section; did you mean \"location /\"?" },
	{ "[/x]\n", "t.ini:1: [/x]: unknown section; did you mean \"location /x\"?" },
	{ "[Gateway]\n", "t.ini:1: [Gateway]: unknown section; did you mean \"gateway\"?" },
	{ "[tikker]\n", "t.ini:1: [tikker]: unknown section; did you mean \"ticker\"?" },
	{ "[zebra]\n", "t.ini:1: [zebra]: unknown section; write [gateway] or [location /path]" },
	{ "[asks]\n",
	  "t.ini:1: [asks]: asks is a bridge, which has no section of its own; write [location /path] "
	  "and `bridge = asks` in it" },
	{ HEAD "[ticker]\n[ticker]\n",
	  "t.ini:4: [ticker]: the section is given twice; the first is at t.ini:3" },
	{ HEAD "[location /x/]\nbridge = calm\n[location   /x]\nbridge = calm\n[location =/x]\n"
	  "bridge = calm\n",
	  "t.ini:5: [location /x]: there are two locations with this path; the first is at t.ini:3" },
	{ "[location x]\nbridge = calm\n",
	  "t.ini:1: [location x]: the path does not begin with \"/\"; write [location /path] or "
	  "[location = /path]" },
	{ "[location /x?a]\nbridge = calm\n",
	  "t.ini:1: [location /x?a]: a location is a path without a query; remove what begins with "
	  "\"?\" or \"#\"" },
	{ "[location /a//b]\nbridge = calm\n",
	  "t.ini:1: [location /a//b]: a path with \"//\" never matches; write one slash" },
	{ "[location /a//]\nbridge = calm\n[location /b /]\nbridge = calm\n",
	  "t.ini:1: [location /a//]: a path with \"//\" never matches; write one slash\n"
	  "t.ini:3: [location /b /]: the path has a blank before its last slash; remove both" },
	{ "[location /a/..]\nbridge = calm\n[location /./b]\nbridge = calm\n[location /..c]\n"
	  "bridge = calm\n",
	  "t.ini:1: [location /a/..]: a path with \".\" or \"..\" in it never matches; write it without\n"
	  "t.ini:3: [location /./b]: a path with \".\" or \"..\" in it never matches; write it without" },
	{ "[location /a%20b]\nbridge = calm\n",
	  "t.ini:1: [location /a%20b]: paths are matched decoded; write the character itself for its "
	  "%XX" },
	{ "[location /]\n",
	  "t.ini:1: [location /]: has no bridge; add `bridge = NAME`, where NAME is asks, news or calm" },
	{ "[location /]\nbridge = ask\n",
	  "t.ini:2: [location /] bridge: \"ask\" is no bridge; did you mean \"asks\"? There are asks, "
	  "news or calm" },
	{ "[location /]\nbridge = zebra\ntopics = a\nzonk = a\n",
	  "t.ini:2: [location /] bridge: \"zebra\" is no bridge; write asks, news or calm\n"
	  "t.ini:4: [location /] zonk: unknown directive; `zgate -L location` lists what there is" },
	{ "[location /]\nbridge = ticker\n",
	  "t.ini:2: [location /] bridge: ticker is a service, not a bridge; it has a section of its "
	  "own, [ticker]" },
};

static const struct bad values[] = {
	{ HEAD "pings = 1s\nMax-Body = 3\n",
	  "t.ini:3: [location /] pings: unknown directive; did you mean \"ping\"?\n"
	  "t.ini:4: [location /] Max-Body: unknown directive; did you mean \"max_body\"?" },
	{ HEAD "topics = a\nlisten = *:80\nstep = 1s\n",
	  "t.ini:3: [location /] topics: belongs to bridge = news; this location is calm\n"
	  "t.ini:4: [location /] listen: belongs in [gateway]\n"
	  "t.ini:5: [location /] step: unknown directive; `zgate -L calm` lists what there is" },
	{ HEAD "[gateway]\nping = 1s\n[ticker]\ntopics = a\nlisten = *:1\n",
	  "t.ini:4: [gateway] ping: belongs in a [location /path]\n"
	  "t.ini:6: [ticker] topics: belongs in a [location /path]\n"
	  "t.ini:7: [ticker] listen: belongs in [gateway]" },
	{ HEAD "ping = 1s\nping = 2s\n[gateway]\npid = a\n[gateway]\npid = b\n",
	  "t.ini:8: [gateway] pid: is given twice; the first is at t.ini:6\n"
	  "t.ini:4: [location /] ping: is given twice; the first is at t.ini:3" },
	{ HEAD "ping = 5x\nmax_body = big\nclient_queue = 1k\noverflow = throttle\nallow = 10.0.0.0/33\n",
	  "t.ini:3: [location /] ping: \"5x\" is no time; write 250ms, 5s, 2m or 1h\n"
	  "t.ini:4: [location /] max_body: \"big\" is no size; write 512, 64k, 10m or 1g\n"
	  "t.ini:5: [location /] client_queue: 1k is under the minimum of 4k\n"
	  "t.ini:6: [location /] overflow: \"throttle\" is none of its values; write drop_oldest, "
	  "disconnect or conflate\n"
	  "t.ini:7: [location /] allow: \"10.0.0.0/33\" is no address block; write 10.0.0.0/8, ::1, "
	  "unix: or all" },
	{ HEAD "ping = 2h\n[gateway]\nworkers = 65\nmax_connections = -1\nidle_timeout = 1\n",
	  "t.ini:5: [gateway] workers: 65 is over the maximum of 64\n"
	  "t.ini:6: [gateway] max_connections: -1 is under the minimum of 1\n"
	  "t.ini:7: [gateway] idle_timeout: \"1\" is no time; write 250ms, 5s, 2m or 1h\n"
	  "t.ini:3: [location /] ping: 2h is over the maximum of 1h" },
	{ HEAD "methods = GET, post WALK\norigins = https://a.org/ a.org * null http://[::1]:8080\n",
	  "t.ini:3: [location /] methods: \"post\" is no method; did you mean \"POST\"?\n"
	  "t.ini:3: [location /] methods: \"WALK\" is no method; write GET, HEAD, POST, PUT, DELETE, "
	  "PATCH or OPTIONS\n"
	  "t.ini:4: [location /] origins: \"https://a.org/\" is no origin; an origin ends after host "
	  "and port; remove what begins with \"/\"\n"
	  "t.ini:4: [location /] origins: \"a.org\" is no origin; write https://HOST[:PORT], or * for "
	  "all" },
	{ HEAD "[gateway]\nlisten = 8080\nlisten = *:80 tls\nlisten = [::1]:8080 unix:/x a_b:0 *:80\n"
	  "listen = 1.2.3.4:99999 [::x]:1 unix:x\n",
	  "t.ini:4: [gateway] listen: \"8080\" is no address; write 127.0.0.1:8080, *:8080, "
	  "[::1]:8080 or unix:/PATH\n"
	  "t.ini:5: [gateway] listen: TLS is not in this version; remove \"tls\"\n"
	  "t.ini:6: [gateway] listen: *:80 is given twice; remove one\n"
	  "t.ini:7: [gateway] listen: \"1.2.3.4:99999\": \"99999\" is no port; write 1 to 65535, or 0 "
	  "for any free one\n"
	  "t.ini:7: [gateway] listen: \"[::x]:1\": \"::x\" is no host\n"
	  "t.ini:7: [gateway] listen: \"unix:x\": write unix:/PATH, with the whole path" },
	{ "[location /]\nbridge = asks\n",
	  "t.ini:2: [location /] bridge: asks needs an endpoint for `req`: add e.g. `req = connect "
	  "tcp://127.0.0.1:5555`" },
	{ "[location /]\nbridge = news\n",
	  "t.ini:2: [location /] bridge: news needs `topics`: add e.g. `topics = WORD`" },
	{ "[location /a]\nbridge = asks\nreq = bind tcp://*:1 ipc://x tcp://*:*\n[location /b]\n"
	  "bridge = asks\nreq = connect tcp://h:1\n  tcp://h:2\nreq = bind tcp://*:1, tcp://*:*\n"
	  "req = bind ipc:///p/x\n",
	  "t.ini:8: [location /b] req: tcp://*:1 is bound twice; the first is `req` of [location /a] "
	  "at t.ini:3" },
	{ HEAD "[ticker]\nstep = 7s\n", "t.ini:4: [ticker] step: must not be seven" },
	{ HEAD "[ticker]\nstep = 7x\n",
	  "t.ini:4: [ticker] step: \"7x\" is no time; write 250ms, 5s, 2m or 1h" },
	{ "[location /seven]\nbridge = calm\n", "t.ini:1: [location /seven]: is in the way" },
};

static void run(const struct bad *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fixture_t f = fixture_new();

		fixture_write(&f, "t.ini", rows[i].text);
		ck_assert_ptr_null(fixture_load(&f, "t.ini", NULL));
		ck_assert_str_eq(f.errors, rows[i].errors);
		fixture_free(&f);
	}
}

START_TEST(wrong_lines) { run(lines, ZG_COUNT_OF(lines)); }
END_TEST

START_TEST(wrong_sections) { run(sections, ZG_COUNT_OF(sections)); }
END_TEST

START_TEST(wrong_values) { run(values, ZG_COUNT_OF(values)); }
END_TEST

/* trap 1 of inih: INI_MAX_LINE; 198 bytes are read whole, 199 are an error */
START_TEST(long_lines)
{
	for (int n = 198; n <= 199; n++) {
		fixture_t f = fixture_new();
		char text[512] = HEAD;
		zg_conf_t *c;

		snprintf(text + strlen(text), 300, "origins = https://%0*d\r\n", n - 18, 7);
		fixture_write(&f, "t.ini", text);
		c = fixture_load(&f, "t.ini", NULL);
		if (n == 198) {
			ck_assert_ptr_nonnull(c);
			ck_assert_uint_eq(strlen(c->location[0]->origins.item[0]), 188);
		} else {
			ck_assert_ptr_null(c);
			ck_assert_str_eq(f.errors, "t.ini:3: the line has 199 bytes, at most 198 can be "
			                 "read; give a list over several lines by repeating the directive");
		}
		zg_conf_free(&c);
		fixture_free(&f);
	}
}
END_TEST

/* a section whose line is too long takes its entries with it */
START_TEST(long_section)
{
	fixture_t f = fixture_new();
	char text[1024];

	snprintf(text, sizeof(text), HEAD "[location /%0300d]\nbridge = nosuch\n", 7);
	fixture_write(&f, "t.ini", text);
	ck_assert_ptr_null(fixture_load(&f, "t.ini", NULL));
	ck_assert_str_eq(f.errors, "t.ini:3: the line has 312 bytes, at most 198 can be read; give a "
	                 "list over several lines by repeating the directive");
	fixture_free(&f);
}
END_TEST

/* inih cuts the names of sections at 49 bytes; ours go up to 120 */
START_TEST(long_names)
{
	for (int n = 60; n <= 121; n++) {
		fixture_t f = fixture_new();
		char text[512];
		zg_conf_t *c;

		snprintf(text, sizeof(text), "[location /%0*d]\nbridge = calm\n[location /%0*d]\n"
		         "bridge = calm\n", n - 1, 1, n - 1, 2);
		fixture_write(&f, "t.ini", text);
		c = fixture_load(&f, "t.ini", NULL);
		if (n <= 120) {
			ck_assert_ptr_nonnull(c);
			ck_assert_uint_eq(c->locations, 2);
			ck_assert_uint_eq(c->location[0]->path.n, n);
		} else {
			ck_assert_ptr_null(c);
		}
		zg_conf_free(&c);
		fixture_free(&f);
	}
}
END_TEST

START_TEST(nul_byte)
{
	static const char text[] = HEAD "pi\0ng = 5s\n";
	fixture_t f = fixture_new();

	fixture_write_n(&f, "t.ini", text, sizeof(text) - 1);
	ck_assert_ptr_null(fixture_load(&f, "t.ini", NULL));
	ck_assert_str_eq(f.errors, "t.ini:3: byte 3 of the line is the control byte 0x00; remove it");
	fixture_free(&f);
}
END_TEST

/* CRLF, a BOM, comments, continuation lines, no newline at the end */
START_TEST(forms)
{
	fixture_t f = fixture_new();
	zg_conf_t *c;

	fixture_write(&f, "t.ini", "\xef\xbb\xbf[location /]\r\n# c\r\n  ; c\r\nbridge = news\t; c\r\n"
	              "topics = a;b c,d ; c\r\n  e\r\n  f, ; c\r\n\r\n \r\nping=2s\r\n[ticker]");
	c = fixture_load(&f, "t.ini", NULL);
	ck_assert_str_eq(f.errors, "");
	ck_assert_uint_eq(c->services, 1);
	ck_assert_uint_eq(c->location[0]->ping, 2000);
	ck_assert_str_eq(fixture_list(&((struct news *)c->location[0]->conf)->topics), "a;b c d e f");
	zg_conf_free(&c);
	fixture_free(&f);
}
END_TEST

START_TEST(files)
{
	fixture_t f = fixture_new();
	char expected[600];

	ck_assert_ptr_null(fixture_load(&f, "none.ini", NULL));
	snprintf(expected, sizeof(expected), "none.ini: cannot open: No such file or directory; name "
	         "another file with -c or another prefix with -p; this one is %s", f.prefix);
	ck_assert_str_eq(f.errors, expected);
	ck_assert_ptr_null(fixture_load(&f, "/", NULL));
	ck_assert_str_eq(f.errors, "/: is a directory, not a file; name another file with -c");
	fixture_free(&f);
}
END_TEST

Suite *suite_config(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("errors");

	tcase_add_test(t, wrong_lines);
	tcase_add_test(t, wrong_sections);
	tcase_add_test(t, wrong_values);
	tcase_add_test(t, long_lines);
	tcase_add_test(t, long_section);
	tcase_add_test(t, long_names);
	tcase_add_test(t, nul_byte);
	tcase_add_test(t, forms);
	tcase_add_test(t, files);
	suite_add_tcase(s, t);
	return s;
}
