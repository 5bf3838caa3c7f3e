# shellcheck shell=bash
# Completion of zgate's command line for bash. Directives and modules are what
# the zgate on the line says of itself (-L), so there is no list here to keep.

_zgate_sections() { # ZGATE: what -L takes, one a line
	"$1" -L 2>/dev/null | sed -n \
		-e 's/^\[location [^]]*\]  bridge = \(.*\)$/\1/p' \
		-e 's/^\[location .*\], .*$/location/p' \
		-e 's/^\[\([a-z0-9_]*\)\]$/\1/p' \
		-e 's/^ .*[^a-z]zgate -L \([a-z0-9_]*\)[^a-z].*$/\1/p'
}

_zgate_services() { # ZGATE: those that are sections of the file
	"$1" -L 2>/dev/null | sed -n 's/^\[\([a-z0-9_]*\)\]$/\1/p'
}

_zgate_directives() { # ZGATE SECTION
	"$1" -L "$2" 2>/dev/null | sed -n 's/^  \([a-z0-9_]*\) *= .*$/\1/p'
}

_zgate_settings() { # ZGATE WORD: gateway.listen= and the like
	local section directive

	case $2 in
	*=*) ;;
	*.*)
		section=${2%%.*}
		for directive in $(_zgate_directives "$1" "$section"); do
			printf '%s.%s=\n' "$section" "$directive"
		done ;;
	*) _zgate_services "$1" | sed 's/$/./' ;;
	esac
}

_zgate() {
	local zgate=$1 word=$2 before=$3

	COMPREPLY=()
	case $before in
	-c)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		compopt -o filenames 2>/dev/null ;;
	-p)
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		compopt -o filenames 2>/dev/null ;;
	-s) mapfile -t COMPREPLY < <(compgen -W 'stop quit reload reopen' -- "$word") ;;
	-L) mapfile -t COMPREPLY < <(compgen -W "$(_zgate_sections "$zgate")" -- "$word") ;;
	-g)
		mapfile -t COMPREPLY < <(compgen -W "$(_zgate_settings "$zgate" "$word")" -- "$word")
		compopt -o nospace 2>/dev/null ;;
	*) mapfile -t COMPREPLY < <(compgen -W '-p -c -g -t -T -L -s -v -V -h' -- "$word") ;;
	esac
}

complete -F _zgate zgate
