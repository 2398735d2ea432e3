#!/bin/sh
# GNU Pth with pth/patches, and Python with it, as 64-bit ARM programs: compiled on
# this machine (tools/aarch64-cc) and run by the emulator of qemu-user.
#
# usage: prove tests/aarch64.sh       (make check-aarch64: half an hour)
#
# The programs are in build/aarch64, of the source of build/src.  Python has the
# modules there that need no library but the C library.
#
# What the emulator cannot do is asked of tests/pth/emulator.c first.  The program
# for which it has too few signals is told by its C library that there are no more.

. "$(dirname "$0")/tap.sh"

[ "$(uname -m)" != aarch64 ] || skip_all "this machine is one: make check tests it"
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $tool > /dev/null 2>&1 || command -v $tool-static > /dev/null 2>&1 ||
        die "$tool is missing: run tools/install-deps aarch64"
done
[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make build', or set CPYTHON_SRC"

build=${PTH_BUILD:-$top/build}
cache=$build/cache
PTH_BUILD=$build/aarch64
PTH_PYTHON=$PTH_BUILD/pth/python
CC=$top/tools/aarch64-cc
# What configure takes from the environment; the name of the machine is what
# it would guess of the kernel.
build_alias=aarch64-linux-gnu
for tool in AR RANLIB NM STRIP OBJDUMP READELF; do
    eval "$tool=aarch64-linux-gnu-$(echo $tool | tr A-Z a-z); export $tool"
done
# The libraries that pkg-config knows are this machine's.
PKG_CONFIG_LIBDIR=/nonexistent
export PTH_BUILD PTH_PYTHON CC build_alias PKG_CONFIG_LIBDIR
unset CFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH

# ---- the emulator

run "$CC" -Wall -Werror -O1 "$top/tests/pth/emulator.c" -o "$tmp/emulator"
[ $status -eq 0 ] || die "tests/pth/emulator.c: $err"
last=$("$tmp/emulator") || die "the emulator does not run $tmp/emulator"
note "the emulator has signals up to $last"
like "the emulator has some signals for real time" "$last" '^(4[0-9]|5[0-9]|6[0-4])$'
if [ "$last" -lt 64 ]; then
    mkdir -p "$PTH_BUILD" || exit 1
    # SIGRTMAX of <signal.h>.
    echo "int __libc_current_sigrtmax(void) { return $last; }" > "$tmp/sigrtmax.c"
    "$CC" -c -fPIC "$tmp/sigrtmax.c" -o "$tmp/sigrtmax.o" || die "$CC fails"
    PTH_EMULATED=$tmp/sigrtmax.o
    export PTH_EMULATED
fi

# ---- GNU Pth

run "$top/tools/build-libpth" --from "$cache/pth/pth_2.0.7.orig.tar.gz"
is "libpth is built" "$status$err" 0
lib=$PTH_BUILD/libpth
src=$PTH_BUILD/libpth.src
like "for this machine" "$($READELF -h "$lib/lib/libpth.so")" 'Machine: *AArch64$'
# Longer than tests/libpth.t gives them: a guard against a test that hangs.
for t in std mp misc philo uctx; do
    ok "GNU Pth's test_$t passes" timeout -k 10 600 "$src/test_$t"
done
for t in sig select httpd; do
    ok "GNU Pth's test_$t passes" timeout -k 10 600 \
        python3 -B "$top/tests/pth/drive.py" "$src" $t
done
ok "GNU Pth's test_pthread passes" timeout -k 10 600 "$src/pthread/test_pthread"
run "$CC" -Wall -Werror -D_GNU_SOURCE -g -I "$lib/include" \
    "$top/tests/pth/behaviour.c" -o "$tmp/behaviour" \
    -L "$lib/lib" -Wl,-rpath,"$lib/lib" -lpth -lm
[ $status -eq 0 ] || die "tests/pth/behaviour.c: $err"
for t in $("$tmp/behaviour"); do
    ok "$(echo "$t" | tr _ ' ')" timeout -k 10 600 "$tmp/behaviour" "$t"
done

# ---- Python

run "$top/tools/build-cpython" src --from "$CPYTHON_SRC"
is "its source" "$status$err" 0
run "$top/tools/build-cpython" pth
is "Python is built" "$status$err" 0
is "it is what runs" "$("$PTH_PYTHON" -c 'import platform, sys
print(sys.thread_info.name, platform.machine())')" "pth aarch64"
# test_pth needs _ctypes, and so libffi for that machine.
run timeout -k 10 3600 "$PTH_PYTHON" -m test -v test_thread test_threading \
    test_threading_local test_queue test_threadsignals test_fork1
printf '%s\n' "$out" | sed 's/^/# /'
is "CPython's tests of threads pass" "$status" 0

done_testing
