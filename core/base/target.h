/* target: a request target taken apart (RFC 9112, 3.2; RFC 3986). */
#ifndef ZG_BASE_TARGET_H
#define ZG_BASE_TARGET_H

#include "base/str.h"

/* Takes absolute-form (http, https, ws, wss) apart into the authority, which is
 * not judged, and what follows it; false for anything else. */
bool zg_target_absolute(zg_str_t target, zg_str_t *authority, zg_str_t *rest);

/* Splits origin-form or absolute-form into path and query (without '?'), both
 * raw. false for anything else (asterisk- and authority-form too). */
bool zg_target_split(zg_str_t target, zg_str_t *path, zg_str_t *query);

/* Writes the path as locations are matched: percent-decoded, "//" merged, "."
 * and ".." resolved, NUL-terminated. out has room for path.n + 1 bytes.
 * Returns its length, or -1: bad escape, an encoded NUL, or ".." above the
 * root. */
long zg_target_normal(zg_str_t path, char *out);

/* Decodes percent escapes, and '+' as a blank, of a query's value; out has
 * room for s.n + 1. Length, or -1 for a bad escape. */
long zg_target_decode(zg_str_t s, char *out);

/* Walks a query's "name=value&…" pairs, raw; false at the end. */
bool zg_target_param(zg_str_t *rest, zg_str_t *name, zg_str_t *value);

#endif
