#!/bin/sh
# Extension modules of the one build work in the other: --with-pth keeps the ABI.
#
# usage: prove tests/abi.t
#
# Compiles tests/ext/threadapi.c against the headers and the settings of both
# interpreters, PTH_PYTHON and STOCK_PYTHON, and loads all of it in both.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/builds.sh"

# --- names

for v in EXT_SUFFIX SOABI ABIFLAGS LDVERSION SIZEOF_PTHREAD_T Py_GIL_DISABLED; do
    is "$v is the same" "$(config_var pth $v)" "$(config_var stock $v)"
done

exported() {
    nm -D --defined-only "$1" | awk '{ print $3 }' | sort
}
exported "$STOCK_PYTHON" > "$tmp/stock.names"
exported "$PTH_PYTHON" > "$tmp/pth.names"
ok "names are exported" grep -qx PyThread_tss_create "$tmp/stock.names"
is "every name that stock exports is exported" \
    "$(comm -23 "$tmp/stock.names" "$tmp/pth.names")" ""
# Beside them, the functions of the C library that do not block other threads.
is "no new name of Python's" \
    "$(comm -13 "$tmp/stock.names" "$tmp/pth.names" | grep -i py)" ""

# --- modules

# build FOR limited|full: compile as FOR's settings say, into $tmp/FOR.
build() {
    mkdir -p "$tmp/$1"
    case $2 in
        limited) suffix=.abi3.so define=-DPy_LIMITED_API=0x030d0000 ;;
        full) suffix=$(config_var "$1" EXT_SUFFIX) define= ;;
    esac
    # The settings are lists of words.
    # shellcheck disable=SC2046,SC2086
    set -- $(config_var "$1" CC) $(config_var "$1" CFLAGS) -Werror \
        $(config_var "$1" CCSHARED) $define $(includes "$1") \
        -shared -o "$tmp/$1/abi_$2$suffix" "$top/tests/ext/threadapi.c"
    "$@"
}

# use BY FOR limited|full: run the module's tests in BY.
use() {
    (export PYTHONPATH="$tmp/$2" &&
        python "$1" "$top/tests/ext/use_threadapi.py" "abi_$3")
}

sizes() {
    (export PYTHONPATH="$tmp/$2" && python "$1" -c 'import abi_full
for item in sorted(abi_full.sizes().items()):
    print(*item)')
}

for kind in full limited; do
    for from in stock pth; do
        ok "abi_$kind: compiles for $from" build $from $kind
        for by in stock pth; do
            ok "abi_$kind of $from: works in $by" use $by $from $kind
            like "abi_$kind of $from: its tests were run in $by" "$err" '^Ran [1-9][0-9]* tests'
        done
    done
done
sizes=$(sizes stock stock)
like "sizes of public types" "$sizes" '^Py_tss_t [1-9]'
for by in stock pth; do
    for from in stock pth; do
        is "sizes compiled for $from, in $by" "$(sizes $by $from)" "$sizes"
    done
done
# The limited API has nothing of the build in it.
ok "abi_limited: the same code for both" \
    sh -c 'for p in stock pth; do
               objdump -d --no-show-raw-insn "$1/$p/abi_limited.abi3.so" |
                   grep -v "file format" > "$1/$p.code" || exit 1
           done
           test -s "$1/pth.code" && cmp "$1/stock.code" "$1/pth.code"' sh "$tmp"

# --- how the build tells what it is

ok "sys.thread_info: the library that runs" "$PTH_PYTHON" -c '
import ctypes, sys
# <pth.h>: 0xVRRTLL, T is 2 for a release
lib = ctypes.CDLL(None)
v = lib.pth_version()
assert v >> 8 & 0xf == 2, hex(v)
version = "GNU Pth %d.%d.%d" % (v >> 20, v >> 12 & 0xff, v & 0xff)
# The patches of pth/ have a suffix.
if hasattr(lib, "pth_version_local"):
    version += ctypes.string_at(
        ctypes.addressof(ctypes.c_char.in_dll(lib, "pth_version_local"))).decode()
info = sys.thread_info
# A PyThread lock is a PyMutex from 3.15 on.
lock = "pymutex" if sys.version_info >= (3, 15) else "mutex+cond"
assert info == ("pth", lock, version), (info, version)
assert info.name == "pth" and info.lock == lock and info.version == version'
ok "sys.thread_info of stock" "$STOCK_PYTHON" -c '
import sys
assert sys.thread_info.name == "pthread", sys.thread_info'

run "$PTH_PYTHON" -m sysconfig
is "python -m sysconfig: status" "$status" 0
like "python -m sysconfig: HAVE_PTH" "$out" '^[[:space:]]*HAVE_PTH = "1"$'
like "python -m sysconfig: CONFIG_ARGS" "$out" "^[[:space:]]*CONFIG_ARGS = .*'--with-pth[='].*"
run "$STOCK_PYTHON" -m sysconfig
unlike "python -m sysconfig of stock" "$out" 'HAVE_PTH = "1"|--with-pth'
run "$PTH_PYTHON" -m test.pythoninfo
is "python -m test.pythoninfo: status" "$status" 0
like "python -m test.pythoninfo: thread info" "$out" \
    "^sys\\.thread_info: sys\\.thread_info\\(name='pth', lock='(mutex\\+cond|pymutex)', version='GNU Pth 2\\."
like "python -m test.pythoninfo: CONFIG_ARGS" "$out" "^sysconfig\\[CONFIG_ARGS\\]: .*--with-pth"

done_testing
