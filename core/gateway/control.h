/* control: where `zgate -s` asks: a unix socket beside the pid file, for the user
 * who started zgate alone. A command is one line, "reload"; the answer is lines,
 *     note SENTENCE | error SENTENCE
 * and at last "ok" or "failed". A few askers at once, each with little time and
 * room; what they get wrong is their loss. Main thread. */
#ifndef ZG_GATEWAY_CONTROL_H
#define ZG_GATEWAY_CONTROL_H

#include "engine/loop.h"

typedef struct zg_control zg_control_t;

/* The commands; each is what a signal asks for too. signal 0: no such command. */
int zg_control_signal(const char *command);

/* Opens the socket that belongs to the pid file; -1 with a sentence. */
int zg_control_open(const char *pid, zg_err_t *err);
void zg_control_remove(const char *pid);
/* As a client. -1: errno. */
int zg_control_connect(const char *pid);

/* Answers at the socket, which stays the caller's. command is called with the
 * signal that means the same, and returns why it is refused, NULL, or
 * zg_control_later if zg_control_answer will tell. NULL is returned, and fine
 * below, for fd -1. */
extern const char zg_control_later[];
zg_control_t *zg_control_new(zg_loop_t *loop, int fd, const char *(*command)(void *ctx, int signal),
                             void *ctx);
void zg_control_free(zg_control_t **c);

/* Who asks for a reload gets the outcome of one that begins after that: all who
 * have asked by now are told of this one. */
void zg_control_begin(zg_control_t *c);
void zg_control_tell(zg_control_t *c, const char *kind, const char *sentence);
void zg_control_finish(zg_control_t *c, const char *outcome);
/* All who were put off; why NULL: it was done. */
void zg_control_answer(zg_control_t *c, const char *why);

#endif
