#!/bin/sh
# Python with the libpth of the system, as distributions have or had it.
#
# usage: prove tests/system.t
#
# It is given to the Python that is linked to build/libpth: with the same pth.h the same
# code is compiled.  What configure makes of a libpth of the system is in wiring.t.
# Skipped where there is none.

. "$(dirname "$0")/tap.sh"

build=${PTH_BUILD:-$top/build}
[ -x "$PTH_PYTHON" ] ||
    die "there is no $PTH_PYTHON: run 'make check', or set PTH_PYTHON"
unset LD_LIBRARY_PATH LD_RUN_PATH LIBRARY_PATH CPATH C_INCLUDE_PATH

printf '#include <pth.h>\nint main(void) { return pth_version() < 0x200207; }\n' \
    > "$tmp/system.c"
cc -H -o "$tmp/system" "$tmp/system.c" -lpth 2> "$tmp/headers" && "$tmp/system" ||
    skip_all "this system has no libpth: on Debian 12, libpth-dev is one"
library=$(ldd "$tmp/system" | sed -n 's/.*libpth\.so\.[0-9]* => \([^ ]*\).*/\1/p')
header=$(sed -n 's/^\. \(.*\/pth\.h\)$/\1/p' "$tmp/headers")

ok "its pth.h is the one that Python was compiled with" cmp "$header" "$build/libpth/include/pth.h"
LD_LIBRARY_PATH=${library%/*}
export LD_LIBRARY_PATH
is "Python runs with it" \
    "$(ldd "$PTH_PYTHON" | sed -n 's/.*libpth\.so\.[0-9]* => \([^ ]*\).*/\1/p')" "$library"
like "sys.thread_info" "$("$PTH_PYTHON" -c 'import sys; print(sys.thread_info)')" \
    "name='pth', .* version='GNU Pth 2\\.0\\.[0-9.]+'"
for test in test_thread test_pth; do
    ok "$test passes" timeout -k 10 900 "$PTH_PYTHON" -m test -q $test
done

done_testing
