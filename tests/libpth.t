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

for tool in quilt autoreconf libtoolize aclocal; do
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

# behaves NAME PREFIX [FLAG]: tests/pth/behaviour.c with the libpth below PREFIX.
behaves() {
    run ${CC:-cc} -Wall -Werror -D_GNU_SOURCE -g ${3-} -I "$2/include" \
        "$top/tests/pth/behaviour.c" -o "$tmp/behaviour" \
        -L "$2/lib" -Wl,-rpath,"$2/lib" -lpth -lm
    [ $status -eq 0 ] || die "tests/pth/behaviour.c: $err"
    for t in $("$tmp/behaviour"); do
        ok "$1$(echo "$t" | tr _ ' ')" timeout -k 10 120 "$tmp/behaviour" "$t"
    done
}

behaves "" "$lib"

if strace -c true 2> /dev/null; then
    run strace -f -e trace='!write' -o "$tmp/calls" "$tmp/behaviour" pingpong
    calls=$(grep -c -E 'rt_sig|select|poll|read\(|clock|gettimeofday' "$tmp/calls")
    ok "no system call in 20,000 hand-offs (all of the process: $calls)" \
        test "$calls" -lt 100
else
    skip "no system call in 20,000 hand-offs" "strace does not work here"
fi

# ---- the ABI

# Of GNU's library, and Debian's, which has the same names.
run "$top/tools/build-libpth" --stock "$tmp/gnu"
[ $status -eq 0 ] || die "build-libpth --stock: $out $err"
for i in gnu ours; do
    [ $i = gnu ] && prefix=$tmp/gnu || prefix=$lib
    nm -D --defined-only "$prefix/lib/libpth.so" | sed 's/.* //' | sort > "$tmp/$i.names"
    objdump -p "$prefix/lib/libpth.so" | grep SONAME > "$tmp/$i.soname"
done
ok "names are exported" grep -qx pth_spawn "$tmp/gnu.names"
is "GNU's symbols are all there" "$(comm -23 "$tmp/gnu.names" "$tmp/ours.names")" ""
is "and one more" "$(comm -13 "$tmp/gnu.names" "$tmp/ours.names")" pth_version_local
like "the soname is GNU's" "$(cat "$tmp/gnu.soname")" ' libpth\.so\.20$'
ok "and ours" cmp "$tmp/gnu.soname" "$tmp/ours.soname"
ok "pth.h is GNU's" cmp "$lib/include/pth.h" "$tmp/gnu/include/pth.h"

# ---- where it comes from, and what stops the build

# A build directory of its own, with the source in its cache.
PTH_BUILD=$tmp/build
export PTH_BUILD
source=$build/cache/pth/pth_2.0.7.orig.tar.gz
wrong_source() {
    run "$top/tools/build-libpth" --from "$1" "$tmp/other"
    one_error "--from $2: says what to do" "$3"
    not_ok "--from $2: makes nothing" test -e "$tmp/other"
}
wrong_source /nonexistent "a file that is not there" 'no file /nonexistent .*name your pth-2\.0\.7\.tar\.gz'
head -c 1000 "$source" > "$tmp/half.tar.gz"
wrong_source "$tmp/half.tar.gz" "another file" "half\.tar\.gz is not the pth-2\.0\.7\.tar\.gz of GNU.*SHA-256 is 7235.*let apt"

# No apt that gives it.
mkdir "$tmp/bin"
printf '#!/bin/sh\necho "E: nothing here" >&2\nexit 100\n' > "$tmp/bin/apt-get"
chmod +x "$tmp/bin/apt-get"
run env PATH="$tmp/bin:$PATH" "$top/tools/build-libpth" "$tmp/other"
is "no source to be had: status" "$status" 1
like "no source to be had: says both ways out, in one line" "$err" \
    "^build-libpth: .*let apt reach Debian's archive, or name your own pth-2\.0\.7\.tar\.gz.*PTH=FILE"
not_ok "no source to be had: makes nothing" test -e "$tmp/other"

# A compiler that refuses <ucontext.h>, so that configure's answer is "no".
mkdir "$tmp/no_ucontext"
echo '#error "no contexts"' > "$tmp/no_ucontext/ucontext.h"
(cd "$tmp" && cp "$source" own.tar.gz) || die "cannot copy $source"
cd "$tmp" || exit 1
run env CFLAGS="-O2 -I$tmp/no_ucontext" "$top/tools/build-libpth" --from own.tar.gz other
cd "$top" || exit 1
is "configure guesses: status" "$status" 1
like "configure guesses: says what, and what to do" "$err" \
    '^build-libpth: .*65 signals and sjlj, not 64 or 65 and mcsc.*config\.log.*set CC and CFLAGS'
not_ok "configure guesses: no library" test -e "$tmp/other/lib/libpth.so"

run env PATH="$tmp/bin:$PATH" CFLAGS="-O2 -g -DPTH_MCTX_NO_ASM" \
    "$top/tools/build-libpth" "$tmp/noasm"
is "--from: the file is kept, no apt is asked again" "$status" 0
like "--from: the library" "$out" "$tmp/noasm/lib/libpth\.so: GNU Pth 2\.0\.7\+cpython-pth"
PTH_BUILD=$build

# ---- that library, as on machines for which no switch is written out

behaves "swapcontext: " "$tmp/noasm" -DWAITING_THREAD=2048

# ---- Python with it

if [ -x "$PTH_PYTHON" ]; then
    is "sys.thread_info shows which library runs" \
        "$("$PTH_PYTHON" -c 'import sys; print(sys.thread_info.version)')" \
        "GNU Pth 2.0.7+cpython-pth.1"
    # Those who have GNU's library get this one without compiling Python anew.
    is "and so with GNU's" \
        "$(LD_LIBRARY_PATH=$tmp/gnu/lib "$PTH_PYTHON" -c \
            'import sys; print(sys.thread_info.version)')" "GNU Pth 2.0.7"
    ok "test_thread passes with GNU's" env LD_LIBRARY_PATH="$tmp/gnu/lib" \
        timeout -k 10 600 "$PTH_PYTHON" -m test -q test_thread
else
    skip "sys.thread_info shows which library runs" "there is no $PTH_PYTHON"
    skip "and so with GNU's" "there is no $PTH_PYTHON"
    skip "test_thread passes with GNU's" "there is no $PTH_PYTHON"
fi

done_testing
