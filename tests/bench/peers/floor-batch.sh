#!/bin/bash
# The floor under a fan-out gateway: one send() for each client and batch of
# pending messages, and nothing else.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

start_fanout() {
	gateway "$bin/fanfloor" 9172 tcp://127.0.0.1:9173
	wait_port 9172 || return
	say PORT 9172
	say WS_PATH /
	say PUB tcp://127.0.0.1:9173
}
main "$@"
