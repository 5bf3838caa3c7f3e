/* The parts of the static module. Only static.c knows of requests; the rest
 * is pure or touches files, and runs on the thread pool. */
#ifndef STATIC_H
#define STATIC_H

#include "zgate.h"
#include <time.h>

typedef struct static_file {
	int fd;            /* -1: none */
	uint64_t size;
	time_t modified;
	char etag[48];     /* "SIZE-MTIME" in hexadecimal, with its quotes */
	char date[32];     /* modified, as Last-Modified has it */
} static_file_t;

typedef enum static_found {
	STATIC_FOUND,
	STATIC_FOLDER,
	STATIC_NOTHING,   /* or something that is neither file nor folder */
	STATIC_OUTSIDE,   /* a symbolic link leads out of the root */
	STATIC_FORBIDDEN, /* the gateway's user may not read it */
	STATIC_BUSY,      /* out of descriptors or memory: it may work later */
	STATIC_BROKEN,    /* the disk failed */
} static_found_t;

/* find.c: files below a root, and nothing else. */

/* The root's descriptor; -1: err says why. */
int static_find_root(const char *path, zg_err_t *err);
/* Opens a regular file by its path relative to the root. Never blocks on a
 * FIFO or a device. Unless STATIC_FOUND, file->fd is -1. */
static_found_t static_find_open(int root, const char *path, static_file_t *file);
/* Whether a part of the path begins with a dot. */
bool static_find_hidden(zg_str_t path);
/* Appends n bytes at offset. -1: an error, or the file has become shorter. */
int static_find_read(int fd, uint64_t offset, size_t n, zg_buf_t *out);

/* condition.c: conditional requests and ranges (RFC 9110, 13 and 14). */

/* The request's header fields; NULL: absent. */
typedef struct static_asked {
	const char *none_match, *modified_since, *range, *if_range;
} static_asked_t;

typedef struct static_answer {
	unsigned status; /* 200, 206, 304 or 416 */
	uint64_t offset, size; /* of what is sent; 304: of what would be */
} static_answer_t;

void static_condition_etag(static_file_t *file, const struct timespec *modified);
static_answer_t static_condition_answer(const static_file_t *file, const static_asked_t *asked);

/* type.c */
const char *static_type_of(const char *path);

#endif
