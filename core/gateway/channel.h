/* channel: what the gateway tells its master, over a socket pair: the listening
 * sockets and the configuration it works with, so that they outlive it, and what
 * systemd is to hear, as that listens to the master only. Never blocks: what does
 * not fit is lost, and said. Main threads. */
#ifndef ZG_GATEWAY_CHANNEL_H
#define ZG_GATEWAY_CHANNEL_H

#include "front/listen.h"

#define ZG_CHANNEL_TEXT 512

int zg_channel_new(int end[2]);

/* The gateway's side; fd -1: there is no master. */
/* The listeners are lent from now on. */
void zg_channel_at_work(int fd, zg_listeners_t *l, const zg_conf_t *conf);
void zg_channel_ending(int fd);  /* it was told to end, and has stopped listening */
void zg_channel_reopen(int fd);  /* an operator wants the logs reopened */
void zg_channel_notify(int fd, const char *state);

typedef enum zg_said {
	ZG_SAID_NOTHING,
	ZG_SAID_LISTENER, /* one more in the list */
	ZG_SAID_AT_WORK,  /* with the list, which is whole, and the configuration */
	ZG_SAID_ENDING,
	ZG_SAID_REOPEN,
	ZG_SAID_NOTIFY,   /* in text */
	ZG_SAID_GOODBYE,  /* the other end is closed */
} zg_said_t;
/* The master's side: the next message, if there is one. *conf: of ZG_SAID_AT_WORK,
 * a file to be closed with the configuration as `zgate -T` prints it, or -1. */
zg_said_t zg_channel_read(int fd, zg_listeners_t *list, char text[ZG_CHANNEL_TEXT], int *conf);

#endif
