/* zgate.h: all that a module sees of the gateway. Include this and nothing
 * else of the core; modules/skeleton shows how. */
#ifndef ZGATE_H
#define ZGATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/form.h"
#include "base/list.h"
#include "base/map.h"
#include "base/msg.h"
#include "base/ring.h"
#include "base/slots.h"
#include "base/str.h"
#include "base/target.h"
#include "base/timeq.h"
#include "base/trie.h"
#include "base/unit.h"
#include "base/utf8.h"
#include "engine/conf.h"
#include "engine/counter.h"
#include "engine/directive.h"
#include "engine/log.h"
#include "engine/loop.h"
#include "engine/module.h"
#include "engine/worker.h"
#include "front/collect.h"
#include "front/deflate.h"
#include "front/fanout.h"
#include "front/request.h"
#include "front/ws.h"
#include "zmq/socket.h"

#endif
