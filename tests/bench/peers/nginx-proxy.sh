#!/bin/bash
# nginx's proxy_pass, one worker process, keep-alive to an HTTP backend in C.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

start_post() {
	helper "$bin/hello" 9101
	wait_port 9101 || return
	render nginx-proxy.conf state="$state"
	gateway nginx -e "$state/error.log" -c "$state/nginx-proxy.conf"
	wait_port 9102 || return
	say PORT 9102
	say POST_PATH /
}
main "$@"
