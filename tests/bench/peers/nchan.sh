#!/bin/bash
# nginx with nchan, one worker process: WebSocket subscribers, messages POSTed on
# one keep-alive connection and not stored.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

start_fanout() {
	render nchan.conf state="$state" modules="$(nginx_modules)"
	gateway nginx -e "$state/error.log" -c "$state/nchan.conf"
	wait_port 9120 || return
	say PORT 9120
	say WS_PATH '/sub?id=A'
	say HTTPPUB '/pub?id=A'
}
main "$@"
