#include "suites.h"
#include "base/head.h"
#include <stdio.h>
#include <stdlib.h>

#define GET "GET / HTTP/1.1\r\n"
#define OLD "GET / HTTP/1.0\r\n"
#define H   "Host: a\r\n"
#define E   "\r\n"
#define WS  GET H "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define F10 "a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n"
#define F90 F10 F10 F10 F10 F10 F10 F10 F10 F10
#define M32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123"

/* One row: a head, the status that refuses it (0: accepted), and words that
 * its summary holds (see summary()). "!word": does not hold it. */
static const struct row {
	const char *bytes;
	size_t n;
	unsigned status;
	const char *want;
} rows[] = {
#define ROW(head, code, words) { head, sizeof(head) - 1, code, words }
#define OK(head, words) ROW(head, 0, words)
#define NO(head, code)  ROW(head, code, "")
	/* request lines */
	OK(GET H E, "method=GET target=/ minor=1 host=a keep !length=0 !chunked !ws"),
	OK(GET H E "body", "target=/"),
	OK("\r\n" GET H E, "target=/"),
	OK("GET /a/b%20?c=d&e=/?:@!$'()*+,; HTTP/1.1\r\n" H E, "target=/a/b%20?c=d&e=/?:@!$'()*+,;"),
	OK("GET /\"<>\\^`{|}~[] HTTP/1.1\r\n" H E, "target=/\"<>\\^`{|}~[]"),
	OK("GET //a HTTP/1.1\r\n" H E, "target=//a"),
	OK("get / HTTP/1.1\r\n" H E, "method=get"),
	OK("M!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n" H E, "method=M!#$%&'*+-.^_`|~9"),
	OK(M32 " / HTTP/1.1\r\n" H E, "method=" M32),
	OK("OPTIONS * HTTP/1.1\r\n" H E, "target=*"),
	OK("GET http://b:80/x?y HTTP/1.1\r\n" H E, "target=http://b:80/x?y host=b:80"),
	OK("GET HTTPS://b HTTP/1.1\r\n" H E, "host=b"),
	OK("GET ws://b?q HTTP/1.1\r\n" H E, "host=b"),
	OK("GET wss://[::1]:1/ HTTP/1.1\r\n" H E, "host=[::1]:1"),
	OK("GET http://b/ HTTP/1.0\r\n" E, "host=b minor=0 !keep"),
	NO("\r\n\r\n" GET H E, 400),
	NO("\n" GET H E, 400),
	NO("\r" GET H E, 400),
	NO(" GET / HTTP/1.1\r\n" H E, 400),
	NO("GET  / HTTP/1.1\r\n" H E, 400),
	NO("GET /  HTTP/1.1\r\n" H E, 400),
	NO("GET / HTTP/1.1 \r\n" H E, 400),
	NO("GET\t/ HTTP/1.1\r\n" H E, 400),
	NO("GET /\tHTTP/1.1\r\n" H E, 400),
	NO("GET / x HTTP/1.1\r\n" H E, 400),
	NO("GET /\r\n" H E, 400),
	NO("GET\r\n" H E, 400),
	NO("GET \r\n" H E, 400),
	NO("GET / \r\n" H E, 400),
	NO("GET HTTP/1.1\r\n" H E, 400),
	NO("G(T / HTTP/1.1\r\n" H E, 400),
	NO("G\xc3\xa4T / HTTP/1.1\r\n" H E, 400),
	NO("G:T / HTTP/1.1\r\n" H E, 400),
	NO(M32 "4 / HTTP/1.1\r\n" H E, 501),
	NO("GET a HTTP/1.1\r\n" H E, 400),
	NO("GET ?a HTTP/1.1\r\n" H E, 400),
	NO("GET * HTTP/1.1\r\n" H E, 400),
	NO("OPTIONS ** HTTP/1.1\r\n" H E, 400),
	NO("options * HTTP/1.1\r\n" H E, 400),
	NO("GET /#a HTTP/1.1\r\n" H E, 400),
	NO("GET /a#b HTTP/1.1\r\n" H E, 400),
	NO("GET /\xc3\xa4 HTTP/1.1\r\n" H E, 400),
	NO("GET /\x7f HTTP/1.1\r\n" H E, 400),
	NO("GET /\0 HTTP/1.1\r\n" H E, 400),
	NO("GET /\x01 HTTP/1.1\r\n" H E, 400),
	NO("CONNECT a:443 HTTP/1.1\r\n" H E, 501),
	NO("CONNECT / HTTP/1.1\r\n" H E, 501),
	NO("GET a:443 HTTP/1.1\r\n" H E, 400),
	NO("GET http:// HTTP/1.1\r\n" H E, 400),
	NO("GET http:///a HTTP/1.1\r\n" H E, 400),
	NO("GET http:/a HTTP/1.1\r\n" H E, 400),
	NO("GET ftp://a/ HTTP/1.1\r\n" H E, 400),
	NO("GET http://user@a/ HTTP/1.1\r\n" H E, 400),
	NO("GET http://a:65536/ HTTP/1.1\r\n" H E, 400),
	NO("GET http://a/ HTTP/1.1\r\n" E, 400),
	/* versions */
	NO("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
	NO("GET / HTTP/2.0\r\n" H E, 505),
	NO("GET / HTTP/1.2\r\n" H E, 505),
	NO("GET / HTTP/0.9\r\n" H E, 505),
	NO("GET / HTTP/3.1\r\n" H E, 505),
	NO("GET / HTTP/1\r\n" H E, 400),
	NO("GET / HTTP/1.\r\n" H E, 400),
	NO("GET / HTTP/1.10\r\n" H E, 400),
	NO("GET / HTTP/11\r\n" H E, 400),
	NO("GET / HTTP/1,1\r\n" H E, 400),
	NO("GET / HTTP/a.1\r\n" H E, 400),
	NO("GET / http/1.1\r\n" H E, 400),
	NO("GET / HTTPS/1.1\r\n" H E, 400),
	NO("GET / ICY/1.1x\r\n" H E, 400),
	/* other protocols */
	NO("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
	NO("\x16", 400),
	NO("\0\x0c\0\0", 400),
	NO("\xff\0\0\0\0\0\0\0\x01\x7f", 400), /* ZMTP */
	/* line ends and control bytes */
	NO("GET / HTTP/1.1\nHost: a\n\n", 400),
	NO("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
	NO("GET / HTTP/1.1\rHost: a\r\r", 400),
	NO(GET "Host: a\r\r\n\r\n", 400),
	NO(GET H "a: b\rc\r\n" E, 400),
	NO(GET H "a: b\0c\r\n" E, 400),
	NO(GET H "a: \x1b[0m\r\n" E, 400),
	NO(GET H "a: \x7f\r\n" E, 400),
	NO(GET H "a: b\x0b\r\n" E, 400),
	NO(GET H "a\0: b\r\n" E, 400),
	NO(GET H "\r\r\n", 400),
	NO(GET H "\n", 400),
	/* header lines */
	OK(GET H "a: b\tc d\r\n" E, ""),
	OK(GET H "a:\r\nb: \t\r\n" E, ""),
	OK(GET H "a: \xc3\xa4\xff\x80\r\n" E, ""),
	OK(GET H "!#$%&'*+-.^_`|~: b\r\n" E, ""),
	OK(GET H "a::b:c\r\n" E, ""),
	OK(GET H F90
	   "a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n" E, "host=a"),
	NO(GET H F90 F10 E, 431),
	NO(GET H "a\r\n" E, 400),
	NO(GET H ": b\r\n" E, 400),
	NO(GET H "a : b\r\n" E, 400),
	NO(GET H "a\t: b\r\n" E, 400),
	NO(GET H "a b: c\r\n" E, 400),
	NO(GET H "a\xc3\xa4: b\r\n" E, 400),
	NO(GET H "a(b): c\r\n" E, 400),
	NO(GET H "\"a\": c\r\n" E, 400),
	NO(GET H "a[]: c\r\n" E, 400),
	NO(GET H " folded\r\n" E, 400),
	NO(GET H "a: b\r\n c\r\n" E, 400),
	NO(GET H "a: b\r\n\tc: d\r\n" E, 400),
	NO(GET " Host: a\r\n" E, 400),
	NO(GET H "a: b\r\n \r\n" E, 400),
	/* Host */
	OK(GET "Host:a\r\n" E, "host=a"),
	OK(GET "host: \t a \t \r\n" E, "host=a"),
	OK(GET "HOST: Example.COM:8080\r\n" E, "host=Example.COM:8080"),
	OK(GET "Host: 127.0.0.1:65535\r\n" E, "host=127.0.0.1:65535"),
	OK(GET "Host: [::1]\r\n" E, "host=[::1]"),
	OK(GET "Host: [2001:db8::1.2.3.4]:0\r\n" E, "host=[2001:db8::1.2.3.4]:0"),
	OK(GET "Host: a-._~!$&'()*+,;=%41\r\n" E, "host=a-._~!$&'()*+,;=%41"),
	OK(OLD E, "minor=0 !host=a !keep"),
	OK(OLD H E, "host=a"),
	NO(GET E, 400),
	NO(GET "Host:\r\n" E, 400),
	NO(GET "Host: \t\r\n" E, 400),
	NO(GET H H E, 400),
	NO(GET H "host: b\r\n" E, 400),
	NO(OLD H H E, 400),
	NO(OLD "Host:\r\n" E, 400),
	NO(GET "Host: a b\r\n" E, 400),
	NO(GET "Host: a@b\r\n" E, 400),
	NO(GET "Host: a/b\r\n" E, 400),
	NO(GET "Host: a?b\r\n" E, 400),
	NO(GET "Host: a\\b\r\n" E, 400),
	NO(GET "Host: a\xc3\xa4\r\n" E, 400),
	NO(GET "Host: <a>\r\n" E, 400),
	NO(GET "Host: %4\r\n" E, 400),
	NO(GET "Host: %4g\r\n" E, 400),
	NO(GET "Host: :80\r\n" E, 400),
	NO(GET "Host: a:\r\n" E, 400),
	NO(GET "Host: a:b\r\n" E, 400),
	NO(GET "Host: a:65536\r\n" E, 400),
	NO(GET "Host: a:000080\r\n" E, 400),
	NO(GET "Host: a:-1\r\n" E, 400),
	NO(GET "Host: a:80:80\r\n" E, 400),
	NO(GET "Host: ::1\r\n" E, 400),
	NO(GET "Host: [::1\r\n" E, 400),
	NO(GET "Host: []\r\n" E, 400),
	NO(GET "Host: [::1]x\r\n" E, 400),
	NO(GET "Host: [127.0.0.1]\r\n" E, 400),
	NO(GET "Host: [::1%25lo]\r\n" E, 400),
	NO(GET "Host: [v1.a]\r\n" E, 400),
	NO(GET "Host: [1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]\r\n" E, 400),
	/* how long the body is */
	OK(GET H "Content-Length: 0\r\n" E, "length=0"),
	OK(GET H "content-length:5\r\n" E "hello", "length=5"),
	OK(GET H "Content-Length: 0005\r\n" E, "length=5"),
	OK(GET H "Content-Length: 999999999999999999\r\n" E, "length=999999999999999999"),
	OK(OLD "Content-Length: 5\r\n" E, "length=5"),
	OK(GET H "Transfer-Encoding: chunked\r\n" E, "chunked !length=0"),
	OK(GET H "TRANSFER-ENCODING: \tChunked \r\n" E, "chunked"),
	NO(GET H "Content-Length:\r\n" E, 400),
	NO(GET H "Content-Length: 1000000000000000000\r\n" E, 400),
	NO(GET H "Content-Length: 0000000000000000005\r\n" E, 400),
	NO(GET H "Content-Length: +5\r\n" E, 400),
	NO(GET H "Content-Length: -5\r\n" E, 400),
	NO(GET H "Content-Length: 5 5\r\n" E, 400),
	NO(GET H "Content-Length: 5, 5\r\n" E, 400),
	NO(GET H "Content-Length: 5,\r\n" E, 400),
	NO(GET H "Content-Length: 0x5\r\n" E, 400),
	NO(GET H "Content-Length: 5.0\r\n" E, 400),
	NO(GET H "Content-Length: \"5\"\r\n" E, 400),
	NO(GET H "Content-Length: 5\r\nContent-Length: 5\r\n" E, 400),
	NO(GET H "Content-Length: 5\r\ncontent-length: 6\r\n" E, 400),
	NO(GET H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" E, 400),
	NO(GET H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" E, 400),
	NO(GET H "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" E, 400),
	NO(GET H "Content-Length : 5\r\n" E, 400),
	NO(GET H "Transfer-Encoding : chunked\r\n" E, 400),
	NO(GET H "Transfer-Encoding\t: chunked\r\n" E, 400),
	NO(GET H "Transfer-Encoding:\x0b" "chunked\r\n" E, 400),
	NO(GET H "Transfer-Encoding:\r\n chunked\r\n" E, 501),
	NO(GET H "Transfer-Encoding:\r\n" E, 501),
	NO(GET H "Transfer-Encoding: gzip\r\n" E, 501),
	NO(GET H "Transfer-Encoding: identity\r\n" E, 501),
	NO(GET H "Transfer-Encoding: xchunked\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunkedx\r\n" E, 501),
	NO(GET H "Transfer-Encoding: gzip, chunked\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked, gzip\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked, chunked\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked,\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked;a=b\r\n" E, 501),
	NO(GET H "Transfer-Encoding: \"chunked\"\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E, 501),
	NO(GET H "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" E, 501),
	NO(OLD H "Transfer-Encoding: chunked\r\n" E, 400),
	/* Connection */
	OK(GET H "Connection: close\r\n" E, "!keep connection=close"),
	OK(GET H "Connection: keep-alive\r\n" E, "keep"),
	OK(GET H "Connection: foo , CLOSE\r\n" E, "!keep"),
	OK(GET H "Connection: closed\r\n" E, "keep"),
	OK(GET H "Connection: keep-alive\r\nConnection: close\r\n" E, "!keep connection=keep-alive"),
	OK(OLD "Connection: keep-alive\r\n" E, "keep"),
	OK(OLD "Connection: foo\r\nConnection: Keep-Alive\r\n" E, "keep"),
	OK(OLD "Connection: keep-alive, close\r\n" E, "!keep"),
	OK(GET H "Connection:\r\n" E, "keep"),
	/* Expect */
	OK(GET H "Expect: 100-continue\r\n" E, "expect=100-continue"),
	OK(GET H "Expect: 100-Continue\r\n" E, "expect=100-Continue"),
	OK(OLD "Expect: 100-continue\r\n" E, "!expect=100-continue"),
	NO(GET H "Expect: 101-continue\r\n" E, 417),
	NO(GET H "Expect:\r\n" E, 417),
	NO(GET H "Expect: 100-continue, x\r\n" E, 417),
	NO(GET H "Expect: 100-continue\r\nExpect: x\r\n" E, 417),
	NO(OLD "Expect: x\r\n" E, 417),
	/* others that are kept */
	OK(GET H "Origin: http://a\r\n" E, "origin=http://a"),
	OK(GET H "Content-Type: a/b\r\n" E, "type=a/b"),
	OK(GET H "X-Request-ID: 1\r\nX-Request-ID: 2\r\n" E, "id=1"),
	OK(GET H "X-Request-ID:\r\nX-Request-ID: 2\r\n" E, "id="),
	OK(GET H "Cookie: host=b\r\nX-Host: b\r\nHosts: c\r\n" E, "host=a"),
	NO(GET H "Origin: a\r\nOrigin: a\r\n" E, 400),
	NO(GET H "Content-Type: a/b\r\nContent-Type: a/b\r\n" E, 400),
	NO(GET H "Content-Type:\r\nContent-Type: a/b\r\n" E, 400),
	NO(GET H KEY KEY E, 400),
	NO(GET H V13 V13 E, 400),
	/* WebSocket handshakes */
	OK(WS KEY V13 E, "ws handshake=0 upgrade=websocket version=13 protocols=0"),
	OK(WS KEY V13 "Content-Length: 0\r\n" E, "handshake=0"),
	OK(GET H "Upgrade: h2c\r\nUpgrade: foo, WebSocket\r\nConnection: keep-alive\r\n"
	   "Connection: x, upgrade\r\n" KEY V13 E, "ws handshake=0 upgrade=h2c"),
	OK(WS KEY V13 "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n" E,
	   "handshake=0 protocols=2 protocol=a,"),
	OK(GET H KEY V13 "Connection: upgrade\r\n" E, "!ws"),
	OK(GET H "Upgrade: websockets\r\n" E, "!ws"),
	OK(GET H "Upgrade: websocket\r\n" KEY V13 E, "ws handshake=400"),
	OK("POST / HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY V13 E,
	   "ws handshake=400"),
	OK(OLD H "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY V13 E, "ws handshake=400"),
	OK(WS V13 E, "handshake=400"),
	OK(WS KEY E, "handshake=400"),
	OK(WS KEY "Sec-WebSocket-Version: 8\r\n" E, "handshake=426"),
	OK(WS KEY "Sec-WebSocket-Version: 13, 8\r\n" E, "handshake=426"),
	OK(WS V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" E, "handshake=400"),
	OK(WS V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n" E, "handshake=400"),
	OK(WS V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZA===\r\n" E, "handshake=400"),
	OK(WS V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZ-Bub25jZQ==\r\n" E, "handshake=400"),
	OK(WS KEY V13 "Content-Length: 1\r\n" E, "handshake=400"),
	OK(WS KEY V13 "Transfer-Encoding: chunked\r\n" E, "handshake=400"),
};

/* All that a judge found, each as " word" or " name=value" (no name: absent). */
static void summary(const zg_head_t *head, char out[2048])
{
	const struct { const char *name; zg_str_t value; } fields[] = {
		{ "method", head->method }, { "target", head->target }, { "host", head->host },
		{ "connection", head->connection }, { "upgrade", head->upgrade },
		{ "expect", head->expect }, { "origin", head->origin }, { "id", head->request_id },
		{ "type", head->content_type }, { "key", head->ws_key },
		{ "version", head->ws_version }, { "protocol", head->ws_protocol },
	};
	zg_head_t shaken = *head;
	int n = 0;

	for (size_t i = 0; i < ZG_COUNT_OF(fields); i++)
		if (fields[i].value.p)
			n += snprintf(out + n, 2048 - (size_t)n, " %s=%.*s", fields[i].name,
			              ZG_STR_ARG(fields[i].value));
	if (head->has_length)
		n += snprintf(out + n, 2048 - (size_t)n, " length=%llu",
		              (unsigned long long)head->content_length);
	zg_head_websocket(&shaken);
	snprintf(out + n, 2048 - (size_t)n, " minor=%u protocols=%u%s%s%s handshake=%u ", head->minor,
	         head->ws_protocols, head->chunked ? " chunked" : "",
	         head->keep_alive ? " keep" : "", head->wants_websocket ? " ws" : "", shaken.status);
}

static void check_words(const struct row *row, const char *got)
{
	zg_str_t words = zg_str(row->want), word;

	while (zg_str_cut(&words, ' ', &word)) {
		bool absent = word.p[0] == '!';
		char find[300];

		snprintf(find, sizeof(find), " %.*s ", (int)(word.n - absent), word.p + absent);
		ck_assert_msg(absent == !strstr(got, find), "%s\nwant %.*s, got %s", row->bytes,
		              ZG_STR_ARG(word), got);
	}
}

static void check_verdict(const struct row *row, zg_head_verdict_t verdict, const zg_head_t *h)
{
	ck_assert_msg(verdict == (row->status ? ZG_HEAD_REFUSE : ZG_HEAD_OK) &&
	              h->status == row->status, "%s\ngives %u %s", row->bytes, h->status,
	              h->reason ? h->reason : "");
	ck_assert(!h->status == !h->reason);
}

/* Parses a copy of its own, so that a sanitizer sees a byte read too many. */
static zg_head_verdict_t parse(zg_head_t *h, const struct row *row, size_t n, size_t max)
{
	static char *copy;

	free(copy); /* the last one; h points into this one */
	copy = malloc(n + 1);
	memcpy(copy + 1, row->bytes, n);
	memset(h, 0xaa, sizeof(*h));
	return zg_head_parse(h, copy + 1, n, max);
}

/* Where a good head ends. */
static size_t size_of(const struct row *row)
{
	const char *end = memmem(row->bytes + 2, row->n - 2, "\r\n\r\n", 4);

	return (size_t)(end - row->bytes) + 4;
}

START_TEST(whole)
{
	char got[2048];
	zg_head_t h;

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];

		check_verdict(row, parse(&h, row, row->n, 8192), &h);
		ck_assert_uint_eq(h.size, row->status ? 0 : size_of(row));
		if (row->status)
			continue;
		summary(&h, got);
		check_words(row, got);
	}
}
END_TEST

START_TEST(byte_by_byte)
{
	zg_head_t h;

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		bool judged = false;

		for (size_t n = 0; n <= row->n; n++) {
			zg_head_verdict_t verdict = parse(&h, row, n, 8192);

			/* once it is judged, more bytes change nothing */
			if (judged || verdict != ZG_HEAD_MORE)
				check_verdict(row, verdict, &h);
			judged = verdict != ZG_HEAD_MORE;
			ck_assert_uint_le(h.size, n);
			if (!row->status)
				ck_assert_int_eq(judged, n >= size_of(row));
		}
		ck_assert(judged);
	}
}
END_TEST

/* The same head with less and less room: 431, and 414 once the request line
 * has none. There is never a question for more when max bytes are there. */
START_TEST(too_long)
{
	zg_head_t h;

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		const char *line;

		if (row->status) {
			for (size_t max = 0; max <= row->n; max++)
				ck_assert_int_eq(parse(&h, row, row->n, max), ZG_HEAD_REFUSE);
			continue;
		}
		line = memmem(row->bytes + 2, row->n - 2, "\r\n", 2);
		ck_assert_int_eq(parse(&h, row, row->n, size_of(row)), ZG_HEAD_OK);
		for (size_t max = 0; max < size_of(row); max++) {
			ck_assert_int_eq(parse(&h, row, row->n, max), ZG_HEAD_REFUSE);
			ck_assert_uint_eq(h.status, max < (size_t)(line - row->bytes) + 2 ? 414 : 431);
			ck_assert_int_eq(parse(&h, row, max, max), ZG_HEAD_REFUSE);
			if (max)
				ck_assert_int_eq(parse(&h, row, max - 1, max), ZG_HEAD_MORE);
		}
	}
}
END_TEST

/* Cuts a line as a library would; false if no library could show it so. */
static bool cut(zg_str_t *rest, zg_str_t *line)
{
	const char *end = memmem(rest->p, rest->n, "\r\n", 2);

	if (!end)
		return false;
	*line = zg_str_n(rest->p, (size_t)(end - rest->p));
	*rest = zg_str_n(end + 2, rest->n - line->n - 2);
	return !memchr(line->p, '\r', line->n) && !memchr(line->p, '\n', line->n);
}

/* Judges a row line by line; false if the row cannot be said that way. */
static bool by_lines(const struct row *row, zg_head_t *h, zg_head_verdict_t *verdict)
{
	zg_str_t rest = zg_str_n(row->bytes, row->n), line, method, target, name;

	if (zg_str_starts(rest, ZG_STR("\r\n")))
		rest = zg_str_n(rest.p + 2, rest.n - 2);
	if (!cut(&rest, &line) || !zg_str_cut(&line, ' ', &method) || !zg_str_cut(&line, ' ', &target))
		return false;
	zg_head_begin(h, method, target, line);
	while (cut(&rest, &line)) {
		if (!line.n) {
			*verdict = zg_head_end(h);
			return true;
		}
		if (!memchr(line.p, ':', line.n) || line.p[0] == ' ' || line.p[0] == '\t')
			return false;
		if (!zg_str_cut(&line, ':', &name))
			return false;
		zg_head_field(h, name, line);
	}
	return false;
}

START_TEST(line_by_line)
{
	char raw_summary[2048], line_summary[2048];
	size_t said = 0;

	for (size_t i = 0; i < ZG_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		zg_head_verdict_t verdict;
		zg_head_t raw, h;

		if (!by_lines(row, &h, &verdict))
			continue;
		said++;
		check_verdict(row, verdict, &h);
		ck_assert_uint_eq(h.size, 0);
		zg_head_parse(&raw, row->bytes, row->n, 8192);
		summary(&raw, raw_summary);
		summary(&h, line_summary);
		if (!row->status)
			ck_assert_str_eq(raw_summary, line_summary);
		if (row->status) { /* what was refused stays refused */
			ck_assert_int_eq(zg_head_field(&h, ZG_STR("a"), ZG_STR("b")), ZG_HEAD_REFUSE);
			ck_assert_int_eq(zg_head_end(&h), ZG_HEAD_REFUSE);
			ck_assert_int_eq(zg_head_websocket(&h), ZG_HEAD_REFUSE);
			ck_assert_uint_eq(h.status, row->status);
		}
	}
	ck_assert_uint_gt(said, 150);
}
END_TEST

/* What only a caller that goes line by line can say. */
START_TEST(odd_lines)
{
	static const struct { zg_str_t name, value; unsigned status; } odd[] = {
		{ { "a", 1 }, { NULL, 0 }, 0 },
		{ { "a", 1 }, { "b\r\nc: d", 7 }, 400 },
		{ { "a", 1 }, { "b\0", 2 }, 400 },
		{ { "a:", 2 }, { "b", 1 }, 400 },
		{ { "a\r\nb", 4 }, { "c", 1 }, 400 },
		{ { NULL, 0 }, { "b", 1 }, 400 },
		{ { "content-type", 12 }, { NULL, 0 }, 0 },
	};
	zg_head_t h;

	for (size_t i = 0; i < ZG_COUNT_OF(odd); i++) {
		zg_head_begin(&h, ZG_STR("GET"), ZG_STR("/"), ZG_STR("HTTP/1.1"));
		zg_head_field(&h, ZG_STR("Host"), ZG_STR("a"));
		zg_head_field(&h, odd[i].name, odd[i].value);
		zg_head_end(&h);
		ck_assert_uint_eq(h.status, odd[i].status);
	}
	/* the line without a value was there nonetheless */
	ck_assert_int_eq(zg_head_field(&h, ZG_STR("Content-Type"), ZG_STR("a/b")),
	                 ZG_HEAD_REFUSE);
	zg_head_begin(&h, ZG_STR_NONE, ZG_STR("/"), ZG_STR("HTTP/1.1"));
	ck_assert_uint_eq(h.status, 400);
	zg_head_begin(&h, ZG_STR("GET"), ZG_STR_NONE, ZG_STR("HTTP/1.1"));
	ck_assert_uint_eq(h.status, 400);
	zg_head_begin(&h, ZG_STR("GET"), ZG_STR("/"), ZG_STR_NONE);
	ck_assert_uint_eq(h.status, 400);
}
END_TEST

START_TEST(tls_is_named)
{
	zg_head_t h;

	ck_assert_int_eq(zg_head_parse(&h, "\x16\x03", 2, 8192), ZG_HEAD_REFUSE);
	ck_assert_uint_eq(h.status, 400);
	ck_assert_ptr_nonnull(strstr(h.reason, "plain HTTP"));
}
END_TEST

START_TEST(request_id)
{
	char id[65];

	memset(id, 'x', sizeof(id));
	ck_assert(zg_head_request_id_ok(ZG_STR("AZaz09._-")));
	ck_assert(zg_head_request_id_ok(zg_str_n(id, 64)));
	ck_assert(!zg_head_request_id_ok(zg_str_n(id, 65)));
	ck_assert(!zg_head_request_id_ok(ZG_STR_NONE));
	for (int c = 0; c < 256; c++) {
		char one = (char)c;
		bool ok = c && c < 128 && strchr("0123456789abcdefghijklmnopqrstuvwxyz"
		                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-", c);

		ck_assert_int_eq(zg_head_request_id_ok(zg_str_n(&one, 1)), ok);
	}
}
END_TEST

Suite *suite_head(void)
{
	Suite *s = suite_create("head");
	TCase *c = tcase_create("head");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, whole);
	tcase_add_test(c, byte_by_byte);
	tcase_add_test(c, too_long);
	tcase_add_test(c, line_by_line);
	tcase_add_test(c, odd_lines);
	tcase_add_test(c, tls_is_named);
	tcase_add_test(c, request_id);
	suite_add_tcase(s, c);
	return s;
}
