#!/bin/sh
# Tests of GNU Pth with pth/patches: Pth's own test programs, tests/pth, the ABI.
#
# usage: prove tests/libpth.t
#
# Builds build/libpth if it is not up to date (tools/build-libpth).

. "$(dirname "$0")/tap.sh"

build=${PTH_BUILD:-$top/build}
lib=$build/libpth
src=$build/libpth.src

for tool in quilt autoreconf libtoolize aclocal dpkg-source; do
    command -v $tool > /dev/null 2>&1 ||
        skip_all "$tool is missing: tools/install-deps installs what is needed"
done
run "$top/tools/build-libpth"
[ $status -eq 0 ] || die "build-libpth: $out $err"

# ---- Pth's own programs, which exit 0 if all is well; some want somebody at a
# keyboard or a browser.

for t in std mp misc philo uctx; do
    ok "GNU Pth's test_$t passes" timeout -k 10 120 "$src/test_$t"
done
for t in sig select httpd; do
    ok "GNU Pth's test_$t passes" timeout -k 10 120 \
        python3 -B "$top/tests/pth/drive.py" "$src" $t
done
ok "GNU Pth's test_pthread passes" timeout -k 10 120 "$src/pthread/test_pthread"

# ---- what the patches change

run ${CC:-cc} -Wall -Werror -D_GNU_SOURCE -g -I "$lib/include" \
    "$top/tests/pth/behaviour.c" -o "$tmp/behaviour" \
    -L "$lib/lib" -Wl,-rpath,"$lib/lib" -lpth -lm
[ $status -eq 0 ] || die "tests/pth/behaviour.c: $err"
for t in $("$tmp/behaviour"); do
    ok "$(echo "$t" | tr _ ' ')" timeout -k 10 120 "$tmp/behaviour" "$t"
done

if strace -c true 2> /dev/null; then
    run strace -f -e trace='!write' -o "$tmp/calls" "$tmp/behaviour" pingpong
    calls=$(grep -c -E 'rt_sig|select|poll|read\(|clock|gettimeofday' "$tmp/calls")
    ok "no system call in 20,000 hand-offs (all of the process: $calls)" \
        test "$calls" -lt 100
else
    skip "no system call in 20,000 hand-offs" "strace does not work here"
fi

# ---- the ABI

sed -n 's/^ \(.*\)@Base .*/\1/p' "$src/debian/libpth20.symbols" | sort > "$tmp/debian"
nm -D --defined-only "$lib/lib/libpth.so" | sed 's/.* //' | sort > "$tmp/ours"
is "Debian's symbols are all there" "$(comm -23 "$tmp/debian" "$tmp/ours")" ""
is "and one more" "$(comm -13 "$tmp/debian" "$tmp/ours")" pth_version_local
like "the soname is Debian's" "$(objdump -p "$lib/lib/libpth.so")" \
    'SONAME +libpth\.so\.20$'
if [ -f /usr/include/pth.h ]; then
    ok "pth.h is the one of libpth-dev" cmp "$lib/include/pth.h" /usr/include/pth.h
else
    skip "pth.h is the one of libpth-dev" "libpth-dev is not installed"
fi

# ---- Python with it

if [ -x "$PTH_PYTHON" ]; then
    run env LD_LIBRARY_PATH="$lib/lib" "$PTH_PYTHON" -c \
        'import sys; print(sys.thread_info.version)'
    is "sys.thread_info shows which library runs" "$out" \
        "GNU Pth 2.0.7+cpython-pth.1"
    ok "test_pth passes with it" env LD_LIBRARY_PATH="$lib/lib" \
        timeout -k 10 600 "$PTH_PYTHON" -m test -q test_pth
else
    skip "sys.thread_info shows which library runs" "there is no $PTH_PYTHON"
    skip "test_pth passes with it" "there is no $PTH_PYTHON"
fi

done_testing
