/* pid: the file that holds the process id. It stays locked while zgate runs, by
 * the process that has written it: so a second zgate with the same file is
 * refused, and one that a crash has left is known for what it is. */
#ifndef ZG_GATEWAY_PID_H
#define ZG_GATEWAY_PID_H

#include "base/err.h"
#include <stdbool.h>

typedef struct zg_pid {
	char *path; /* NULL: none */
	int fd;
} zg_pid_t;

/* path NULL: does nothing. -1: it cannot be written, or another zgate has it. */
int zg_pid_open(zg_pid_t *p, const char *path, zg_err_t *err);
/* Removes the file; if that is not allowed any more, empties it. */
void zg_pid_close(zg_pid_t *p);
/* In a child: the file stays its parent's. */
void zg_pid_forget(zg_pid_t *p);

typedef enum zg_pid_state {
	ZG_PID_RUNS,
	ZG_PID_STALE,   /* nobody has it locked */
	ZG_PID_UNKNOWN, /* it cannot be opened: errno */
} zg_pid_state_t;
/* The id that it holds (0: none) and whether that process runs. */
zg_pid_state_t zg_pid_look(const char *path, long *id);

#endif
