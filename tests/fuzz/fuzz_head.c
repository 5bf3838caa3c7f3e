/* fuzz_head: the head parser against hostile bytes, checked by what must hold
 * between its verdicts. The first two bytes of an input are the room. */
#include "fuzz.h"
#include "base/head.h"

static void inside(zg_str_t s, const uint8_t *p, size_t n)
{
	/* an empty one may stand for a line without a value */
	CHECK(!s.n || (s.p >= (const char *)p && s.p + s.n <= (const char *)p + n));
}

static void check_slices(const zg_head_t *h, const uint8_t *p, size_t n)
{
	const zg_str_t all[] = { h->method, h->target, h->host, h->connection, h->upgrade,
		h->expect, h->origin, h->request_id, h->content_type, h->ws_key, h->ws_version,
		h->ws_protocol };

	for (size_t i = 0; i < ZG_COUNT_OF(all); i++)
		inside(all[i], p, n);
}

static void check_accepted(const zg_head_t *h, const uint8_t *p, size_t n, size_t max)
{
	zg_head_t again;

	CHECK(h->status == 0 && h->size >= 16 && h->size <= n && h->size <= max);
	CHECK(memcmp(p + h->size - 4, "\r\n\r\n", 4) == 0);
	CHECK(h->minor <= 1 && (h->minor == 0 || h->host.n));
	CHECK(!(h->has_length && h->chunked));
	CHECK(h->content_length < 1000000000000000000u);
	/* what follows the head does not matter, and no byte less will do */
	CHECK(zg_head_parse(&again, (const char *)p, h->size, max) == ZG_HEAD_OK);
	CHECK(again.size == h->size);
	CHECK(zg_head_parse(&again, (const char *)p, h->size - 1, max) == ZG_HEAD_MORE);
	again = *h;
	if (zg_head_websocket(&again) == ZG_HEAD_OK)
		CHECK(again.minor == 1 && !again.chunked && !again.content_length);
	else
		CHECK(again.status == 400 || again.status == 426);
}

/* A beginning is judged as the whole, or not yet. */
static void check_beginnings(const uint8_t *p, size_t n, size_t max, zg_head_verdict_t whole,
                             unsigned status)
{
	size_t stride = n / 64 + 1;

	for (size_t i = 0; i < n; i += stride) {
		zg_head_t h;
		zg_head_verdict_t verdict = zg_head_parse(&h, (const char *)p, i, max);

		CHECK(verdict == ZG_HEAD_MORE || (verdict == whole && h.status == status));
		CHECK(h.size <= i && (verdict != ZG_HEAD_MORE || i < max));
	}
}

/* Cuts a line as a library would; false if no library could show it so. */
static bool cut(zg_str_t *rest, zg_str_t *line)
{
	const char *end = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;

	if (!end)
		return false;
	*line = zg_str_n(rest->p, (size_t)(end - rest->p));
	*rest = zg_str_n(end + 2, rest->n - line->n - 2);
	return !memchr(line->p, '\r', line->n) && !memchr(line->p, '\n', line->n);
}

/* Judges a head line by line; false if it cannot be said that way. */
static bool by_lines(zg_str_t rest, zg_head_t *h, zg_head_verdict_t *verdict)
{
	zg_str_t line, method, target, name;

	if (zg_str_starts(rest, ZG_STR("\r\n")))
		rest = zg_str_n(rest.p + 2, rest.n - 2);
	if (!cut(&rest, &line) || !zg_str_cut(&line, ' ', &method) ||
	    !zg_str_cut(&line, ' ', &target))
		return false;
	*verdict = zg_head_begin(h, method, target, line);
	while (cut(&rest, &line)) {
		bool blank = line.n && (line.p[0] == ' ' || line.p[0] == '\t');

		if (!line.n) {
			*verdict = zg_head_end(h);
			return true;
		}
		if (blank || !memchr(line.p, ':', line.n) || !zg_str_cut(&line, ':', &name))
			return false;
		CHECK(zg_head_field(h, name, line) != ZG_HEAD_OK || *verdict == ZG_HEAD_OK);
		*verdict = h->status ? ZG_HEAD_REFUSE : ZG_HEAD_OK;
	}
	return false;
}

/* The two ways accept the same and find the same in it. */
static void check_lines(const uint8_t *p, size_t n)
{
	zg_head_verdict_t lines;
	zg_head_t raw, h;

	if (!by_lines(zg_str_n(p, n), &h, &lines)) {
		CHECK(zg_head_parse(&raw, (const char *)p, n, n + 1) != ZG_HEAD_OK);
		return;
	}
	CHECK(zg_head_parse(&raw, (const char *)p, n, n + 1) == lines && h.size == 0);
	if (lines != ZG_HEAD_OK)
		return;
	CHECK(zg_str_eq(h.method, raw.method) && zg_str_eq(h.target, raw.target));
	CHECK(zg_str_eq(h.host, raw.host) && zg_str_eq(h.request_id, raw.request_id));
	CHECK(h.content_length == raw.content_length && h.has_length == raw.has_length);
	CHECK(h.chunked == raw.chunked && h.keep_alive == raw.keep_alive);
	CHECK(h.minor == raw.minor && h.fields == raw.fields);
	CHECK(h.wants_websocket == raw.wants_websocket && h.ws_protocols == raw.ws_protocols);
	CHECK(zg_head_websocket(&h) == zg_head_websocket(&raw) && h.status == raw.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	zg_head_verdict_t verdict;
	zg_head_t h;
	size_t max;

	if (n < 2)
		return 0;
	max = (size_t)(p[0] << 8 | p[1]);
	p += 2;
	n -= 2;
	verdict = zg_head_parse(&h, (const char *)p, n, max);
	CHECK(verdict != ZG_HEAD_MORE || n < max);
	CHECK((verdict == ZG_HEAD_REFUSE) == (h.status != 0) && !h.status == !h.reason);
	CHECK(verdict == ZG_HEAD_OK || h.size == 0);
	check_slices(&h, p, n);
	check_beginnings(p, n, max, verdict, h.status);
	if (verdict == ZG_HEAD_OK)
		check_accepted(&h, p, n, max);
	check_lines(p, n);
	return 0;
}
