/* err: the sentence a function leaves behind when it returns -1. The caller
 * owns the struct (usually on its stack), prefixes what it knows (file:line,
 * location, endpoint) and logs or answers with it. */
#ifndef ZG_BASE_ERR_H
#define ZG_BASE_ERR_H

typedef struct zg_err {
	char text[512];
} zg_err_t;

/* Writes the sentence (cut at the size) and returns -1, so that a failing
 * function can end in `return zg_err(err, "…")`. err may be NULL. */
int zg_err(zg_err_t *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "PREFIX: " before what is there; returns -1. */
int zg_err_prefix(zg_err_t *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
