#include "base/buf.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOM_MIN 64

int zg_buf_reserve(zg_buf_t *b, size_t more)
{
	size_t need, room;
	char *data;

	if (more > b->cap - b->len) {
		errno = EMSGSIZE;
		return -1;
	}
	need = b->len + more;
	if (need <= b->room)
		return 0;
	room = b->room > b->cap / 2 ? b->cap : b->room * 2;
	if (room < ROOM_MIN)
		room = ROOM_MIN < b->cap ? ROOM_MIN : b->cap;
	if (room < need)
		room = need;
	/* one byte over, for the NUL that vsnprintf insists on */
	data = room < SIZE_MAX ? realloc(b->data, room + 1) : NULL;
	if (!data) {
		errno = ENOMEM;
		return -1;
	}
	b->data = data;
	b->room = room;
	return 0;
}

int zg_buf_add(zg_buf_t *b, const void *p, size_t n)
{
	if (zg_buf_reserve(b, n) < 0)
		return -1;
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	return 0;
}

int zg_buf_printf(zg_buf_t *b, const char *format, ...)
{
	va_list ap, again;
	int n, status = -1;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	if (n >= 0 && zg_buf_reserve(b, (size_t)n) == 0) {
		if (n)
			vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
		status = 0;
	}
	va_end(again);
	va_end(ap);
	return status;
}

/* The letter of a two-byte escape, 'u' for \u00XX, 0 for a byte that stands
 * for itself. */
static char json_escape(unsigned char c)
{
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\b': return 'b';
	case '\f': return 'f';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	}
	return c < 0x20 ? 'u' : 0;
}

static size_t json_size(zg_str_t s)
{
	size_t size = 2;

	for (size_t i = 0; i < s.n; i++) {
		char escape = json_escape((unsigned char)s.p[i]);
		size_t add = escape == 'u' ? 6 : escape ? 2 : 1;

		if (size > SIZE_MAX - add)
			return SIZE_MAX;
		size += add;
	}
	return size;
}

int zg_buf_add_json(zg_buf_t *b, zg_str_t s)
{
	static const char hex[] = "0123456789abcdef";
	char *out;

	/* all or nothing: measured first, so that a full buffer stays as it was */
	if (zg_buf_reserve(b, json_size(s)) < 0)
		return -1;
	out = b->data + b->len;
	*out++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char escape = json_escape(c);

		if (!escape) {
			*out++ = (char)c;
			continue;
		}
		*out++ = '\\';
		*out++ = escape;
		if (escape == 'u') {
			*out++ = '0';
			*out++ = '0';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		}
	}
	*out++ = '"';
	b->len = (size_t)(out - b->data);
	return 0;
}

void zg_buf_free(zg_buf_t *b)
{
	free(b->data);
	*b = ZG_BUF(b->cap);
}
