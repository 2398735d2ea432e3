# The few functions that a test in shell needs: its results go out as TAP, which
# prove(1) reads.  To be sourced by tests/*.t:
#
#   . "$(dirname "$0")/tap.sh"
#
#   run CMD...               run CMD; gives $status, $out (stdout), $err (stderr)
#   ok NAME CMD...           CMD exits 0
#   not_ok NAME CMD...       CMD exits otherwise
#   is NAME GOT WANTED       the two are the same text
#   like NAME GOT REGEX      some line of GOT matches the extended REGEX
#   unlike NAME GOT REGEX    no line does
#   one_error NAME REGEX     the last `run` exited 1, 2, ... with one line on
#                            stderr, which matches REGEX
#   skip NAME REASON         a test that cannot be run here
#   skip_all REASON          none of this file can
#   note TEXT                an explanation for the reader
#   die TEXT                 what the whole test needs is not there: it fails
#   done_testing             the last line of every test
#
# $top is the top of this repository and $tmp a directory that goes away at exit.
# PTH_PYTHON, STOCK_PYTHON and CPYTHON_SRC are set by `make check`; by default
# they are where the Makefile builds them.

set -u
LC_ALL=C
export LC_ALL

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
: "${PTH_PYTHON:=$top/build/pth/python}"
: "${STOCK_PYTHON:=$top/build/stock/python}"
: "${CPYTHON_SRC:=$top/build/src}"
export PTH_PYTHON STOCK_PYTHON CPYTHON_SRC

tmp=$(mktemp -d "${TMPDIR:-/tmp}/pth-test.XXXXXX") || exit 1
trap 'chmod -R u+w "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

tests=0
failed=0

note() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

# A diagnostic, the end of it, which prove shows also without -v.
diag() {
    printf '%s\n' "$*" | tail -n 8 | sed 's/^/# /' >&2
}

die() {
    diag "$*"
    exit 1
}

pass() {
    tests=$((tests + 1))
    echo "ok $tests - $1"
}

flunk() {
    tests=$((tests + 1))
    failed=$((failed + 1))
    echo "not ok $tests - $1"
    diag "failed: $1"
}

run() {
    "$@" > "$tmp/.out" 2> "$tmp/.err" < /dev/null
    status=$?
    out=$(cat "$tmp/.out")
    err=$(cat "$tmp/.err")
    return 0
}

# The status and the output of the last `run`, for a test that failed.
show_run() {
    diag "exit status $status"
    # The names, which come long before the end of what unittest says.
    names=$(printf '%s\n' "$err" | grep -E '^(ERROR|FAIL): ')
    [ -z "$names" ] || diag "$names"
    [ -z "$out" ] || diag "stdout: $out"
    [ -z "$err" ] || diag "stderr: $err"
}

ok() {
    name=$1
    shift
    run "$@"
    if [ $status -eq 0 ]; then
        pass "$name"
    else
        flunk "$name"
        diag "command: $*"
        show_run
    fi
}

not_ok() {
    name=$1
    shift
    run "$@"
    if [ $status -ne 0 ]; then
        pass "$name"
    else
        flunk "$name"
        diag "command: $*"
        show_run
    fi
}

is() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        flunk "$1"
        diag "     got: $2"
        diag "expected: $3"
    fi
}

like() {
    if printf '%s\n' "$2" | grep -Eq -e "$3"; then
        pass "$1"
    else
        flunk "$1"
        diag "     got: $2"
        diag "no match: $3"
    fi
}

unlike() {
    if printf '%s\n' "$2" | grep -Eq -e "$3"; then
        flunk "$1"
        diag "          got: $2"
        diag "matched by: $3"
    else
        pass "$1"
    fi
}

one_error() {
    if [ $status -ne 0 ] && [ "$(wc -l < "$tmp/.err")" -eq 1 ] &&
        printf '%s\n' "$err" | grep -Eq -e "$2"
    then
        pass "$1"
    else
        flunk "$1"
        diag "wanted: one line on stderr that matches: $2"
        show_run
    fi
}

skip() {
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

done_testing() {
    echo "1..$tests"
    [ $failed -eq 0 ]
    exit
}
