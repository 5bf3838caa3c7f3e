/* inherit: listening sockets that systemd, or who speaks as it, has passed
 * ($LISTEN_FDS, sd_listen_fds(3)). The main thread's alone, and of the start: what
 * is passed to a process is passed once. */
#ifndef ZG_FRONT_INHERIT_H
#define ZG_FRONT_INHERIT_H

#include "front/listen.h"
#include <sys/socket.h>

/* Takes them over; the environment forgets them. */
void zg_inherit_begin(void);
/* Moves those that listen at this address into l, with its text; false: none does. */
bool zg_inherit_take(zg_listener_t *l, const struct sockaddr *addr);
/* Says which are left and closes them. */
void zg_inherit_end(void);

#endif
