/* notify: tells systemd about this service (sd_notify(3)): one datagram to
 * the socket that $NOTIFY_SOCKET names; nothing without it. Never fails. */
#ifndef ZG_GATEWAY_NOTIFY_H
#define ZG_GATEWAY_NOTIFY_H

void zg_notify(const char *state); /* "READY=1" */
/* RELOADING=1, with the time that systemd asks for. */
void zg_notify_reloading(void);

#endif
