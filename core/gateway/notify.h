/* notify: tells systemd about this service (sd_notify(3)): one datagram to
 * the socket that $NOTIFY_SOCKET names; nothing without it. Never fails. Main
 * thread. */
#ifndef ZG_GATEWAY_NOTIFY_H
#define ZG_GATEWAY_NOTIFY_H

#include <stdint.h>

void zg_notify(const char *state); /* "READY=1" */
/* STATUS=, what `systemctl status` shows: one line. */
void zg_notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* RELOADING=1, with the time that systemd asks for. */
void zg_notify_reloading(void);
/* How often WATCHDOG=1 is to be said, half the time it may take; 0: never. */
uint64_t zg_notify_watchdog_ms(void);
/* This process is a master's child: what it says goes through that channel, as
 * systemd listens to the service's main process only. */
void zg_notify_through(int channel);

#endif
