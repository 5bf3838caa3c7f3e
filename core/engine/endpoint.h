/* endpoint: the syntax of what a ZeroMQ socket binds or connects to, and of
 * what the gateway listens on. Pure; nothing is resolved or opened. */
#ifndef ZG_ENGINE_ENDPOINT_H
#define ZG_ENGINE_ENDPOINT_H

#include "base/err.h"
#include "base/str.h"

typedef enum zg_endpoint_use { ZG_ENDPOINT_CONNECT, ZG_ENDPOINT_BIND } zg_endpoint_use_t;

/* tcp://HOST:PORT, ipc://PATH, inproc://NAME. 0, or -1 with a sentence. */
int zg_endpoint_check(zg_str_t s, zg_endpoint_use_t use, zg_err_t *err);
/* Whether binding it gives another address each time: no two can clash. */
bool zg_endpoint_is_wildcard(zg_str_t s);
/* A value of `listen`: host:port, *:port, [v6]:port, unix:/path. */
int zg_endpoint_check_listen(zg_str_t s, zg_err_t *err);

/* HOST:PORT, as tcp:// and `listen` have it, into its parts; a host in brackets
 * comes without them. false: it is none. */
bool zg_endpoint_split(zg_str_t s, char host[256], char port[8]);

#endif
