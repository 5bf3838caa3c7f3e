#!/bin/bash
# zgate with zgate.ini; ZGATE is the program, build/plain/zgate by default.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

launch() {
	gateway "$zgate" -p "$state" -c "$bench/peers/zgate.ini"
	wait_port 9180 || return
	say PORT 9180
}
start_post() {
	helper "$bin/rep" tcp://127.0.0.1:9181
	wait_port 9181 && launch || return
	say POST_PATH /rpc
}
start_fanout() {
	launch || return
	say WS_PATH '/ws?topic=A'
	say PUB tcp://127.0.0.1:9182
}
main "$@"
