/* buf: bytes that grow up to a cap. One owner; not thread-safe; never blocks.
 * Every append checks the cap before it allocates and fails without having
 * changed anything: -1 and errno EMSGSIZE (over the cap) or ENOMEM. */
#ifndef ZG_BASE_BUF_H
#define ZG_BASE_BUF_H

#include "base/str.h"
#include <stdint.h>

typedef struct zg_buf {
	char *data;  /* NULL while nothing was appended */
	size_t len;
	size_t room; /* allocated */
	size_t cap;  /* len never exceeds it */
} zg_buf_t;

#define ZG_BUF(limit) ((zg_buf_t){ .cap = (limit) })

/* Makes room for `more` bytes after len, doubling what is allocated. */
int zg_buf_reserve(zg_buf_t *b, size_t more);
int zg_buf_add(zg_buf_t *b, const void *p, size_t n);
static inline int zg_buf_add_str(zg_buf_t *b, zg_str_t s) { return zg_buf_add(b, s.p, s.n); }
int zg_buf_printf(zg_buf_t *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as a JSON string with its quotes (RFC 8259, 7). s must be UTF-8. */
int zg_buf_add_json(zg_buf_t *b, zg_str_t s);
static inline zg_str_t zg_buf_str(const zg_buf_t *b) { return zg_str_n(b->data, b->len); }
/* Empties it and keeps the memory. */
static inline void zg_buf_clear(zg_buf_t *b) { b->len = 0; }
/* Frees the memory; the buffer is empty and usable. */
void zg_buf_free(zg_buf_t *b);

#endif
