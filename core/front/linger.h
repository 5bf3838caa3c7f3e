/* linger: closes a connection so that the answer just sent arrives. Closing
 * with unread bytes makes the kernel send RST, which can destroy the answer
 * on its way (RFC 9112, 9.6): so the write side is shut first, and what still
 * comes is read and thrown away, for a short time and a few at once. */
#ifndef ZG_FRONT_LINGER_H
#define ZG_FRONT_LINGER_H

#include "engine/loop.h"

typedef struct zg_linger zg_linger_t;

zg_linger_t *zg_linger_new(zg_loop_t *loop);
void zg_linger_free(zg_linger_t **l);
unsigned zg_linger_count(const zg_linger_t *l);
/* Takes over fd and closes it when the peer has closed, after 2 s, after 64 MiB
 * of unwanted bytes, or at once when 512 connections linger already. */
void zg_linger_close(zg_linger_t *l, int fd);

#endif
