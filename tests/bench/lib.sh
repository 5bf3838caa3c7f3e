#!/bin/bash
# What run, compare and peers/*.sh share. A peer script sources it, defines
# start_post or start_fanout or both, and ends with: main "$@"
# shellcheck disable=SC2034 # variables that those use

set -u
export LC_ALL=C             # numbers with a point
PATH=$PATH:/usr/sbin:/sbin  # where Debian has nginx

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$bench/bin
run_root=${BENCH_RUN:-$bench/.run}   # state, rendered configurations, logs
export BENCH_RUN=$run_root
zgate=${ZGATE:-$bench/../../build/plain/zgate}
export ZGATE=$zgate

# 1,000 subscribers and more: what the soft limit allows by default is not enough.
hard=$(ulimit -Hn)
case $hard in
unlimited) ulimit -Sn 65536 ;;
*) ulimit -Sn $((hard < 65536 ? hard : 65536)) ;;
esac

# ---- processes ---------------------------------------------------------------

# All living descendants of the given pids, themselves included.
tree() {
	local p
	for p in "$@"; do
		[ -d "/proc/$p" ] || continue
		echo "$p"
		# shellcheck disable=SC2046
		tree $(cat "/proc/$p/task/"*/children 2>/dev/null)
	done
}

# stat_fields PID: what follows the name in /proc/PID/stat, as the array f.
stat_fields() {
	local line
	line=$(cat "/proc/$1/stat" 2>/dev/null) || return
	read -ra f <<<"${line##*) }"
}

# When a living process was started: with its pid, it tells whether it is still
# the same. One that crashed may stay a zombie where init does not reap.
started_at() {
	local f=()
	stat_fields "$1" && [ "${f[0]}" != Z ] && echo "${f[19]}"
}

# Where nginx has its dynamic modules.
nginx_modules() { nginx -V 2>&1 | grep -o -- '--modules-path=[^ ]*' | cut -d= -f2; }

# ---- peers -------------------------------------------------------------------

_spawn() {
	local kind=$1
	shift
	"$@" >>"$state/log" 2>&1 </dev/null &
	echo "$! $(started_at $!)" >>"$state/$kind.pids"
}
gateway() { _spawn gateway "$@"; }  # a process whose CPU time and memory count
helper() { _spawn helper "$@"; }    # a backend or worker: reported apart

# say KEY VALUE: tells the driver where and how to load this peer.
#   PORT        for HTTP and WebSocket
#   POST_PATH   where POSTs go
#   WS_PATH     what subscribers ask for
#   PUB         the endpoint that the publisher binds
#   HTTPPUB     or: the path that messages are POSTed to
say() { printf '%s=%q\n' "$1" "$2" >>"$state/env"; }

# render NAME KEY=VALUE...: copies peers/NAME to the state folder with @KEY@ replaced.
render() {
	local text pair
	text=$(cat "$bench/peers/$1")
	for pair in "${@:2}"; do
		text=${text//@${pair%%=*}@/"${pair#*=}"}
	done
	printf '%s\n' "$text" >"$state/$1"
}

wait_port() {
	local i
	for ((i = 0; i < 100; i++)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
		all_alive || return 1
		sleep 0.1
	done
	echo "$me: nothing listens on port $1; see $state/log" >&2
	return 1
}

# What was started still runs: else a stranger's process may hold the port.
all_alive() {
	local p t
	while read -r p t; do
		[ "$(started_at "$p")" = "$t" ] && continue
		echo "$me: a process has ended by itself, $state/log:" >&2
		tail -n 5 "$state/log" >&2
		return 1
	done < <(cat "$state"/*.pids)
}

# Ends what is recorded as started, and only if it is still the same process.
stop_all() {
	local all=() left p t i
	while read -r p t; do
		[[ -n $t && $(started_at "$p") = "$t" ]] || continue
		mapfile -t -O ${#all[@]} all < <(tree "$p")
	done < <(cat "$state"/*.pids 2>/dev/null)
	[ ${#all[@]} = 0 ] || kill -TERM "${all[@]}" 2>/dev/null
	for ((i = 0; i < 50; i++)); do
		left=()
		for p in ${all[@]+"${all[@]}"}; do started_at "$p" >/dev/null && left+=("$p"); done
		[ ${#left[@]} = 0 ] && break
		sleep 0.1
		[ "$i" = 30 ] && kill -KILL "${left[@]}" 2>/dev/null
	done
	rm -f "$state"/*.pids
}

# main start post|fanout | check | stop
main() {
	me=$(basename "$0" .sh)
	state=$run_root/$me
	case "${1:-} ${2:-}" in
	'start post' | 'start fanout')
		declare -F "start_$2" >/dev/null || { echo "$me has nothing for $2" >&2; exit 3; }
		stop_all
		rm -rf "$state"
		mkdir -p "$state"
		"start_$2" && sleep 0.2 && all_alive && return
		stop_all
		exit 1
		;;
	'check ') all_alive ;;
	'stop ') stop_all ;;
	*) echo "usage: $0 start post|fanout | check | stop" >&2; exit 2 ;;
	esac
}
