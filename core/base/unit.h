/* unit: the notations of gateway.ini. Each parser takes the whole string,
 * returns 0, or -1 with a sentence fragment that names what is expected. */
#ifndef ZG_BASE_UNIT_H
#define ZG_BASE_UNIT_H

#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

int zg_unit_msec(zg_str_t s, uint64_t *ms, zg_err_t *err);  /* 250ms 5s 2m 1h */
int zg_unit_size(zg_str_t s, uint64_t *bytes, zg_err_t *err); /* 512 64k 10m 1g */
int zg_unit_int(zg_str_t s, int64_t *n, zg_err_t *err);
int zg_unit_bool(zg_str_t s, bool *b, zg_err_t *err);       /* yes no */
/* The shortest notation that parses back to the same value, for -T. */
void zg_unit_msec_text(uint64_t ms, char out[32]);
void zg_unit_size_text(uint64_t bytes, char out[32]);

#endif
