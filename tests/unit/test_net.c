#include "suites.h"
#include "base/net.h"
#include <arpa/inet.h>
#include <sys/un.h>

union any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* "127.0.0.1", "::1", or anything else as the path of a Unix socket */
static socklen_t make(const char *text, union any *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(8080);
		return sizeof(a->in);
	}
	if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(80);
		return sizeof(a->in6);
	}
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, text, strlen(text));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));
}

START_TEST(blocks)
{
	static const struct {
		const char *block, *address;
		bool has;
	} rows[] = {
		{ "all", "1.2.3.4", true },           { "all", "::1", true },
		{ "all", "/run/x", true },            { "unix:", "/run/x", true },
		{ "unix:", "127.0.0.1", false },      { "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },  { "127.0.0.1", "::ffff:127.0.0.1", true },
		{ "127.0.0.1", "::1", false },        { "127.0.0.1", "/run/x", false },
		{ "10.0.0.0/8", "10.255.1.2", true }, { "10.0.0.0/8", "11.0.0.0", false },
		{ "10.1.2.3/8", "10.9.9.9", true },   { "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },        { "192.168.1.128/25", "192.168.1.200", true },
		{ "192.168.1.128/25", "192.168.1.127", false },
		{ "10.0.0.0/31", "10.0.0.1", true },  { "10.0.0.0/31", "10.0.0.2", false },
		{ "::1", "::1", true },               { "::1", "::2", false },
		{ "2001:db8::/32", "2001:db8:1::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::/0", "2001::", true },           { "::/0", "1.2.3.4", false },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "::ffff:10.0.0.0/104", "11.1.1.1", false },
		{ "::ffff:10.0.0.1", "::ffff:10.0.0.1", true },
	};
	static const char *const wrong[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33",
		"::1/129", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8", "10.0.0.0/0008", "localhost",
		"127.0.0.1:80", "[::1]", "unix", "unix:/x", "ALL", " 127.0.0.1", "::1%lo",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111" };
	zg_err_t err;
	zg_net_t net;
	union any a;

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		make(rows[i].address, &a);
		ck_assert_msg(zg_net_parse(zg_str(rows[i].block), &net, NULL) == 0, "%s",
		              rows[i].block);
		ck_assert_msg(zg_net_has(&net, &a.sa) == rows[i].has, "%s in %s", rows[i].address,
		              rows[i].block);
	}
	for (size_t i = 0; i < ZG_COUNT_OF(wrong); i++) {
		err.text[0] = '\0';
		ck_assert_msg(zg_net_parse(zg_str(wrong[i]), &net, &err) == -1, "\"%s\"", wrong[i]);
		ck_assert(err.text[0]);
	}
	ck_assert_int_eq(zg_net_parse(ZG_STR("10.0.0.1\0"), &net, NULL), -1);
	ck_assert_int_eq(zg_net_parse(ZG_STR_NONE, &net, NULL), -1);
}
END_TEST

START_TEST(texts)
{
	char text[128], host[64], path[109];
	union any a;
	socklen_t len;

	len = make("127.0.0.1", &a);
	ck_assert_str_eq(zg_net_text(&a.sa, len, text), "127.0.0.1:8080");
	ck_assert_str_eq(zg_net_host(&a.sa, host), "127.0.0.1");
	len = make("::1", &a);
	ck_assert_str_eq(zg_net_text(&a.sa, len, text), "[::1]:80");
	ck_assert_str_eq(zg_net_host(&a.sa, host), "::1");
	len = make("::ffff:1.2.3.4", &a);
	ck_assert_str_eq(zg_net_text(&a.sa, len, text), "1.2.3.4:80");
	ck_assert_str_eq(zg_net_host(&a.sa, host), "1.2.3.4");
	len = make("/run/zgate.sock", &a);
	ck_assert_str_eq(zg_net_text(&a.sa, len, text), "unix:/run/zgate.sock");
	ck_assert_str_eq(zg_net_host(&a.sa, host), "unix:");
	len = make("", &a); /* a client has no name */
	ck_assert_str_eq(zg_net_text(&a.sa, len, text), "unix:");
	make("xname", &a);
	a.un.sun_path[0] = '\0';
	ck_assert_str_eq(zg_net_text(&a.sa, (socklen_t)offsetof(struct sockaddr_un, sun_path) + 5,
	                             text), "unix:@name");
	memset(path, 'p', 108);
	path[108] = '\0';
	len = make(path, &a); /* a full path has no NUL */
	ck_assert_uint_eq(strlen(zg_net_text(&a.sa, len, text)), 5 + 108);
	a.sa.sa_family = AF_UNSPEC;
	ck_assert_str_eq(zg_net_text(&a.sa, sizeof(a.sa), text), "unknown");
	ck_assert_str_eq(zg_net_host(&a.sa, host), "unknown");
}
END_TEST

Suite *suite_net(void)
{
	Suite *s = suite_create("net");
	TCase *c = tcase_create("net");

	tcase_add_test(c, blocks);
	tcase_add_test(c, texts);
	suite_add_tcase(s, c);
	return s;
}
