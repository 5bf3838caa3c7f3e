#!/bin/bash
# How run and compare measure: one target under one workload, once.
# The seconds of a POST workload are in secs. Sourced after lib.sh.
# shellcheck disable=SC2154 # lib.sh's variables

# ---- counters ----------------------------------------------------------------

# CPU ticks (user + system) used so far by the given pids and their descendants.
# A tick is 10 ms: USER_HZ is 100 on every Linux.
cpu_ticks() {
	local p sum=0 f=()
	for p in $(tree "$@"); do
		stat_fields "$p" && sum=$((sum + f[11] + f[12]))
	done
	echo "$sum"
}

# The same of this shell and every child it has waited for, the load generators.
own_ticks() {
	local f=()
	stat_fields $$
	echo $((f[11] + f[12] + f[13] + f[14]))
}

# Ticks in which the whole machine was busy, or the host took it away.
busy_ticks() { awk '/^cpu /{print $2 + $3 + $4 + $7 + $8 + $9}' /proc/stat; }

# Resident memory in kB of the given pids and their descendants.
rss_kb() {
	local p
	for p in $(tree "$@"); do cat "/proc/$p/status" 2>/dev/null; done |
		awk '/^VmRSS:/{s += $2} END{print s + 0}'
}

# Snapshots before and after what is measured.
before() {
	G0=$(cpu_ticks "${gw[@]}") H0=$(cpu_ticks "${hp[@]}") O0=$(own_ticks) B0=$(busy_ticks)
	T0=${EPOCHREALTIME/./}
}
after() {
	G=$(($(cpu_ticks "${gw[@]}") - G0)) H=$(($(cpu_ticks "${hp[@]}") - H0))
	O=$(($(own_ticks) - O0)) B=$(($(busy_ticks) - B0)) T=$((${EPOCHREALTIME/./} - T0))
	rss=$(rss_kb "${gw[@]}")
}

# div A B [FORMAT], ms TIME: a quotient; wrk's 1.5ms, 80us or 2s in milliseconds.
div() { awk -v a="$1" -v b="$2" -v f="${3:-%.2f}" 'BEGIN{printf f, b ? a / b : 0}'; }
ms() { awk -v t="$1" 'BEGIN{v = t + 0; if (t ~ /us$/) v /= 1000; else if (t !~ /ms$/) v *= 1000; printf "%.3f", v}'; }
# field NAME: of the last NAME=VALUE in standard input.
field() { grep -oE "(^| )$1=[^ ]+" | tail -n 1 | cut -d= -f2; }

# figures RATE P50 P99 COUNT FAILED: prints the line of a repeat; COUNT is what
# the CPU time is divided by.
figures() {
	local others=$((B - G - H - O))
	echo "rate=$1 p50_ms=$2 p99_ms=$3 cpu_us=$(div $((G * 10000)) "$4" %.3g)" \
		"worker_us=$(div $((H * 10000)) "$4" %.3g) core=$(div $((G * 1000000)) "$T" %.0f)" \
		"rss_mb=$(div "$rss" 1024 %.1f) failed=$5" \
		"foreign=$(div $(((others > 0 ? others : 0) * 1000000)) "$T" %.0f)"
}

# ---- the quiet machine -------------------------------------------------------

# Waits until the machine is at most BENCH_QUIET per cent of a core busy.
wait_quiet() {
	local i a used=0
	[ "${BENCH_BUSY:-no}" = yes ] && return
	for ((i = 0; i < ${BENCH_QUIET_WAIT:-60}; i++)); do
		a=$(busy_ticks)
		sleep 1
		used=$(($(busy_ticks) - a))
		[ $used -le "${BENCH_QUIET:-15}" ] && return
	done
	echo "other programs use $used % of a core, and did so for ${BENCH_QUIET_WAIT:-60} s: figures would" >&2
	echo "mean little. Stop them, or set BENCH_BUSY=yes to measure all the same." >&2
	return 4
}

undisturbed() { [ "${BENCH_BUSY:-no}" = yes ] || [ "$1" -le "${BENCH_FOREIGN:-25}" ]; }

# ---- workloads ---------------------------------------------------------------

# role_of WORKLOAD: which half of a peer it loads.
role_of() {
	case $1 in
	post | post1 | post64k) echo post ;;
	fanout | fanout-low | fanout-big | idle) echo fanout ;;
	*) echo "no workload $1" >&2; return 1 ;;
	esac
}

_post() {
	local load=$1 conns=64 lua=post.lua url=http://127.0.0.1:$PORT$POST_PATH out n failed
	case $load in
	post1) conns=1 ;;
	post64k) lua=post64k.lua conns=16 ;;
	esac
	wrk -t1 -c$conns -d1s -s "$bench/$lua" "$url" >/dev/null || return 1
	before
	wrk -t1 -c$conns -d"${secs}s" -s "$bench/$lua" --latency "$url" >"$run_root/out" || return 1
	after
	out=$(cat "$run_root/out")
	n=$(awk '$2 == "requests" && $3 == "in"{print $1}' <<<"$out")
	failed=$(awk '/Non-2xx/{s += $NF} /Socket errors/{gsub(",", ""); s += $4 + $6 + $8 + $10} END{print s + 0}' <<<"$out")
	figures "$(awk '/^Requests\/sec/{printf "%.0f", $2}' <<<"$out")" "$(ms "$(awk '$1 == "50%"{print $2}' <<<"$out")")" \
		"$(ms "$(awk '$1 == "99%"{print $2}' <<<"$out")")" "$n" "$failed"
}

# Starts wsload in the background, its pid in ws, and waits until all are subscribed.
_subscribe() {
	: >"$run_root/out"
	"$bin/wsload" -p "$PORT" -u "$WS_PATH" "$@" >"$run_root/out" 2>&1 9>&- &
	ws=$!
	until grep -q READY "$run_root/out"; do
		kill -0 $ws 2>/dev/null || { cat "$run_root/out" >&2; ws=; return 1; }
		sleep 0.1
	done
	sleep 2
}

_unsubscribe() {
	kill "$ws" && wait "$ws"
	ws=
} 2>/dev/null

_fanout() {
	local clients=1000 count=2000 size=64 rate=1000 out n
	case $1 in
	fanout-low) count=200 rate=50 ;;
	fanout-big) clients=100 count=4000 size=4096 rate=2000 ;;
	esac
	_subscribe -n $clients -e $count -t 90 || return 1
	before
	if [ -n "$HTTPPUB" ]; then
		timeout 120 "$bin/httppub" "$PORT" "$HTTPPUB" $count $size $rate 2>"$run_root/pub" ||
			cat "$run_root/pub" >&2
	else
		timeout 120 "$bin/zpub" "$PUB" $count $size $rate 2>"$run_root/pub" || cat "$run_root/pub" >&2
	fi
	wait $ws
	after
	ws=
	out=$(tail -n 1 "$run_root/out")
	n=$(field frames <<<"$out")
	figures "$(field rate <<<"$out")" "$(field p50_ms <<<"$out")" "$(field p99_ms <<<"$out")" \
		"$n" $((clients * count - n))
}

_idle() {
	local conns=${BENCH_IDLE:-5000} r0
	_subscribe -n 50 -t 600 || return 1   # what the first connections cost once
	_unsubscribe
	sleep 1
	r0=$(rss_kb "${gw[@]}")
	before
	_subscribe -n "$conns" -t 600 || return 1
	after
	_unsubscribe
	echo "$(figures "$conns" 0 0 "$conns" 0) kb_per_conn=$(div $((rss - r0)) "$conns")"
}

# _once TARGET WORKLOAD: starts the target afresh, loads it, stops it; the line
# of figures is then in $run_root/line. Not for a subshell: the CPU time of the
# load generators is counted as that of this shell's children.
_once() {
	local PORT='' POST_PATH=/ WS_PATH=/ PUB='' HTTPPUB='' role kind rc gw=() hp=()
	role=$(role_of "$2") || return 2
	[ "$2" = idle ] && kind=idle || kind=$role
	target=$1
	"$bench/peers/$1.sh" start "$role" 9>&- || { rc=$?; target=; return $rc; }
	mapfile -t gw < <(cut -d' ' -f1 "$run_root/$1/gateway.pids")
	[ ! -e "$run_root/$1/helper.pids" ] || mapfile -t hp < <(cut -d' ' -f1 "$run_root/$1/helper.pids")
	# shellcheck disable=SC1090
	. "$run_root/$1/env"
	if wait_quiet; then
		rc=0
		"_$kind" "$2" >"$run_root/line" || rc=1
		"$bench/peers/$1.sh" check || rc=1
	else
		rc=4
	fi
	finish
	return $rc
}

# measure TARGET WORKLOAD: prints a repeat's line to standard error and leaves it
# in $run_root/line; a repeat that others disturbed is made anew, twice at most.
# 0, 1 failed, 2 usage, 3 nothing for this target, 4 the machine is not quiet.
measure() {
	local try foreign
	for try in 1 2 3; do
		_once "$1" "$2" || return
		foreign=$(field foreign <"$run_root/line")
		echo "$1 $2 $(cat "$run_root/line")" | tee -a "$run_root/results" >&2
		undisturbed "$foreign" && return
		echo "$1 $2: others used $foreign % of a core meanwhile (attempt $try of 3)" >&2
	done
	echo "Stop them, or set BENCH_BUSY=yes to measure all the same." >&2
	return 4
}

# Ends what a repeat has running; also when the driver is interrupted.
finish() {
	[ -z "${ws:-}" ] || _unsubscribe
	[ -z "${target:-}" ] || "$bench/peers/$target.sh" stop
	ws='' target=''
}

# spread FILE NAME: the median and, in brackets, the lowest and highest.
spread() {
	grep -oE "(^| )$2=[^ ]+" "$1" | cut -d= -f2 | sort -g |
		awk '{v[NR] = $1}
			END{h = int(NR / 2) + 1; m = NR % 2 ? v[h] : (v[h - 1] + v[h]) / 2
				if (NR) printf "%s [%s..%s]", m, v[1], v[NR]}'
}

# tools_for TARGET...: says which programs are missing and in which packages they are.
tools_for() {
	local lacks='' t modules
	for t in "$@"; do
		case $t in
		wrk) command -v wrk >/dev/null || lacks+=' wrk' ;;
		nginx-proxy) command -v nginx >/dev/null || lacks+=' nginx' ;;
		nchan)
			modules=$(nginx_modules)
			[ -e "$modules/ngx_nchan_module.so" ] || lacks+=' nginx libnginx-mod-nchan'
			;;
		zgate)
			[ -x "$zgate" ] || { echo "no program $zgate: run make in the project first, or set ZGATE" >&2; return 1; }
			;;
		esac
	done
	[ -z "$lacks" ] && return
	lacks=$(tr ' ' '\n' <<<"${lacks# }" | sort -u | tr '\n' ' ')
	echo "missing for this measurement; these are Debian's packages:" >&2
	echo "   apt-get install ${lacks% }" >&2
	return 1
}

# ready: one run at a time, the tools built, everything ended at exit. What is
# started does not inherit descriptor 9: it could outlive a driver that is killed.
ready() {
	mkdir -p "$run_root"
	exec 9>"$run_root/lock"
	flock -n 9 || { echo "another run is under way ($run_root/lock)" >&2; exit 1; }
	make -s -C "$bench" || exit 1
	trap finish EXIT
	trap 'exit 130' INT TERM
}
