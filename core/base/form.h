/* form: the files of a multipart/form-data body that is whole in memory
 * (RFC 7578, RFC 2046 5.1). Never allocates or copies: parts point into the
 * body. Strict: a body that does not end with its closing delimiter is
 * refused, so that a truncated upload is never taken for a whole one. */
#ifndef ZG_BASE_FORM_H
#define ZG_BASE_FORM_H

#include "base/err.h"
#include "base/str.h"

typedef struct zg_form_part {
	zg_str_t name, filename, content_type; /* raw; filename.p == NULL: a plain field */
	zg_str_t body;
} zg_form_part_t;

typedef struct zg_form {
	zg_str_t rest;
	char delimiter[76]; /* CR LF "--" boundary */
	size_t delimiter_len;
} zg_form_t;

/* Whether content_type is multipart/form-data, whatever follows. */
bool zg_form_is(zg_str_t content_type);
/* 0, or -1: no or a bad boundary, or the body does not begin with it. */
int zg_form_begin(zg_form_t *f, zg_str_t content_type, zg_str_t body, zg_err_t *err);
/* 1: *part is the next one, 0: that was all, -1: malformed. */
int zg_form_next(zg_form_t *f, zg_form_part_t *part, zg_err_t *err);

#endif
