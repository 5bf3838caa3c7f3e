/* utf8: whether bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong
 * forms, at most U+10FFFF), and what to do in JSON when they are not. */
#ifndef ZG_BASE_UTF8_H
#define ZG_BASE_UTF8_H

#include "base/buf.h"
#include "base/str.h"

bool zg_utf8_valid(zg_str_t s);
/* Bytes of the character that s begins with; 0: there is none, or it is not valid. */
size_t zg_utf8_sequence(zg_str_t s);
/* Appends any bytes as a JSON string: each that fits nothing becomes U+FFFD, as
 * JSON is UTF-8 (RFC 8259, 8.1). Fails as zg_buf_add_json does. */
int zg_utf8_add_json(zg_buf_t *b, zg_str_t s);

#endif
