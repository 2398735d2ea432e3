#!/bin/sh
# Python with the libpth of the system, as distributions have or had it.
#
# usage: prove tests/system.t
#
# Builds build/pth-system if it is not up to date (tools/build-cpython), which
# takes some minutes the first time.  Skipped where there is no such libpth.

. "$(dirname "$0")/tap.sh"

build=${PTH_BUILD:-$top/build}
unset LD_LIBRARY_PATH LD_RUN_PATH LIBRARY_PATH CPATH C_INCLUDE_PATH

printf '#include <pth.h>\nint main(void) { return pth_version() < 0x200207; }\n' \
    > "$tmp/system.c"
cc -o "$tmp/system" "$tmp/system.c" -lpth 2> /dev/null && "$tmp/system" ||
    skip_all "this system has no libpth: on Debian 12, libpth-dev is one"
ldd "$tmp/system" | sed -n 's/.*libpth\.so\.[0-9]* => \([^ ]*\).*/\1/p' > "$tmp/library"

run "$top/tools/build-cpython" pth-system
[ $status -eq 0 ] || die "build-cpython: $out $err"
python=$build/pth-system/python

is "it runs with the same library as others of the system" \
    "$(ldd "$python" | sed -n 's/.*libpth\.so\.[0-9]* => \([^ ]*\).*/\1/p')" \
    "$(cat "$tmp/library")"
unlike "nothing leads elsewhere" "$(objdump -p "$python")" 'RPATH|RUNPATH'
like "sys.thread_info" "$("$python" -c 'import sys; print(sys.thread_info)')" \
    "name='pth', .* version='GNU Pth 2\\.0\\.[0-9.]+'"
for test in test_thread test_pth; do
    ok "$test passes" timeout -k 10 900 "$python" -m test -q $test
done

done_testing
