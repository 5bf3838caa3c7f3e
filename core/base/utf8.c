#include "base/utf8.h"
#include <stdint.h>

/* The table of well-formed sequences of RFC 3629, 4. */
static size_t sequence(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0; /* a continuation, an overlong form, or over U+10FFFF */
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	switch (p[0]) {
	case 0xe0: low = 0xa0; break;  /* overlong */
	case 0xed: high = 0x9f; break; /* surrogates */
	case 0xf0: low = 0x90; break;  /* overlong */
	case 0xf4: high = 0x8f; break; /* over U+10FFFF */
	}
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

size_t zg_utf8_sequence(zg_str_t s)
{
	return s.n ? sequence((const unsigned char *)s.p, s.n) : 0;
}

bool zg_utf8_valid(zg_str_t s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	while (i < s.n) {
		uint64_t word;
		size_t len;

		if (s.n - i >= sizeof(word)) {
			memcpy(&word, p + i, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				i += sizeof(word);
				continue;
			}
		}
		len = sequence(p + i, s.n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

int zg_utf8_add_json(zg_buf_t *b, zg_str_t s)
{
	zg_buf_t repaired = ZG_BUF(b->cap);
	int rc = 0;

	if (zg_utf8_valid(s))
		return zg_buf_add_json(b, s);
	while (rc == 0 && s.n > 0) {
		size_t n = sequence((const unsigned char *)s.p, s.n);

		rc = n ? zg_buf_add(&repaired, s.p, n) : zg_buf_add(&repaired, "\xef\xbf\xbd", 3);
		s = zg_str_n(s.p + (n ? n : 1), s.n - (n ? n : 1));
	}
	if (rc == 0)
		rc = zg_buf_add_json(b, zg_buf_str(&repaired));
	zg_buf_free(&repaired);
	return rc;
}
