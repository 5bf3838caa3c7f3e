/* utf8: whether bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong
 * forms, at most U+10FFFF). */
#ifndef ZG_BASE_UTF8_H
#define ZG_BASE_UTF8_H

#include "base/str.h"

bool zg_utf8_valid(zg_str_t s);

#endif
