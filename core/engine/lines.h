/* lines: a bounded ring of log lines between those who make them and the one
 * thread that writes them out, and how a descriptor is written without being held
 * up. The structs are their owners'; bytes have a power of two as their size. */
#ifndef ZG_ENGINE_LINES_H
#define ZG_ENGINE_LINES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makers add under the lock; the one who writes takes without it. */
typedef struct zg_lines {
	pthread_mutex_t lock;
	char *bytes;
	size_t size;
	_Atomic uint64_t head, tail; /* ever added, ever written */
	_Atomic uint64_t dropped;    /* lines, ever */
} zg_lines_t;

/* What is written to; the writer's alone. */
typedef struct zg_sink {
	int fd;
	enum { ZG_SINK_FILE, ZG_SINK_PIPE, ZG_SINK_SOCKET } manner;
	int error; /* why it took nothing; 0: it took all, or only nobody reads it */
} zg_sink_t;

/* Any thread. How full the ring is then, in bytes; 0: there was no room, the line
 * is counted as dropped. */
size_t zg_lines_add(zg_lines_t *l, const char *line, size_t n);
bool zg_lines_empty(const zg_lines_t *l);

/* fd -1: one that takes nothing. */
zg_sink_t zg_sink(int fd);
/* Writes what was added up to `until`; false when the sink takes no more. Lines go
 * into a pipe whole as long as one fits. */
bool zg_lines_write(zg_lines_t *l, zg_sink_t *sink, uint64_t until);
/* Whether the last line that was written is not whole yet. */
bool zg_lines_torn(const zg_lines_t *l);
/* One line past all rings: waits for room, but no longer than ms. */
void zg_sink_write(zg_sink_t *sink, const char *line, size_t n, int ms);

#endif
