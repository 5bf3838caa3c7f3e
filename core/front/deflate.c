#include "front/deflate.h"

#include <stdlib.h>
#include <zlib.h>

#define LEVEL 1 /* the fastest; it is text that repeats itself */

/* ---- negotiating ---- */

static bool is_window(zg_str_t s)
{
	return (s.n == 1 && s.p[0] >= '8' && s.p[0] <= '9') ||
	       (s.n == 2 && s.p[0] == '1' && s.p[1] >= '0' && s.p[1] <= '5');
}

/* A parameter, its value without quotes; each may stand once. */
static bool parameter_ok(zg_str_t text, unsigned *seen)
{
	static const zg_str_t names[] = {
		{ "server_no_context_takeover", 26 }, { "client_no_context_takeover", 26 },
		{ "server_max_window_bits", 22 }, { "client_max_window_bits", 22 },
	};
	zg_str_t name, value = text;
	unsigned i = 0;

	if (!zg_str_cut(&value, '=', &name))
		return false;
	name = zg_str_trim(name);
	value = zg_str_trim(value);
	if (value.n > 1 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = zg_str_n(value.p + 1, value.n - 2);
	while (i < ZG_COUNT_OF(names) && !zg_str_eq(name, names[i]))
		i++;
	if (i == ZG_COUNT_OF(names) || (*seen & 1u << i))
		return false;
	*seen |= 1u << i;
	switch (i) {
	case 2: return zg_str_eq(value, ZG_STR("15"));
	case 3: return value.n == 0 ? !memchr(text.p, '=', text.n) : is_window(value);
	default: return !memchr(text.p, '=', text.n);
	}
}

static bool offer_ok(zg_str_t offer)
{
	zg_str_t piece;
	unsigned seen = 0;

	if (!zg_str_cut(&offer, ';', &piece) ||
	    !zg_str_eq(zg_str_trim(piece), ZG_STR("permessage-deflate")))
		return false;
	while (zg_str_cut(&offer, ';', &piece))
		if (!parameter_ok(zg_str_trim(piece), &seen))
			return false;
	return true;
}

bool zg_deflate_offered(zg_str_t line)
{
	zg_str_t offer;

	while (zg_str_cut(&line, ',', &offer))
		if (offer_ok(zg_str_trim(offer)))
			return true;
	return false;
}

/* ---- compressing ---- */

static int feed(z_stream *z, zg_str_t part, int flush)
{
	z->next_in = (Bytef *)(uintptr_t)part.p;
	z->avail_in = (uInt)part.n;
	/* out has room for all: once is enough */
	return deflate(z, flush) == Z_OK && z->avail_in == 0 && z->avail_out > 0 ? 0 : -1;
}

/* 256 KiB, so not before it is needed. */
static z_stream *ready(zg_deflate_t *d)
{
	z_stream *z = d->z;

	if (z) {
		deflateReset(z);
		return z;
	}
	/* raw, with the whole window (RFC 7692, 7.2.1) */
	if (!(z = calloc(1, sizeof *z)) ||
	    deflateInit2(z, LEVEL, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return NULL;
	}
	return d->z = z;
}

void zg_deflate_free(zg_deflate_t *d)
{
	if (d->z)
		deflateEnd(d->z);
	free(d->z);
	d->z = NULL;
}

bool zg_deflate_message(zg_deflate_t *d, const zg_str_t *parts, size_t n, zg_buf_t *out)
{
	z_stream *z;
	size_t len = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	zg_buf_clear(out);
	/* what does not get smaller does not fit */
	if (len > UINT32_MAX / 2 || zg_buf_reserve(out, len) != 0 || !(z = ready(d)))
		return false;
	z->next_out = (Bytef *)out->data;
	z->avail_out = (uInt)len;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = feed(z, parts[i], Z_NO_FLUSH);
	if (rc != 0 || feed(z, ZG_STR_NONE, Z_SYNC_FLUSH) != 0)
		return false;
	out->len = len - z->avail_out - 4; /* 00 00 ff ff stay away */
	return true;
}
