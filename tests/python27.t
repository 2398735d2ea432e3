#!/bin/sh
# Tests of python2.7/: the overlay of Python 2.7, on Debian 11's source.
#
# usage: prove tests/python27.t
#
# Builds what tools/build-python27 builds, if that is not up to date.

. "$(dirname "$0")/tap.sh"

build=${PTH_BUILD:-$top/build}
src=$build/src-2.7
if [ ! -d "$src" ]; then
    run "$top/tools/get-cpython" --python2.7 --cache "$build/cache" "$tmp/src"
    [ $status -eq 0 ] || skip_all "$(printf '%s\n' "$err" | tail -n 1)"
    src=$tmp/src
fi

# Name, type, mode, time and content of everything in a tree; of directories not
# the time.
snapshot() {
    (
        cd "$1" || exit 1
        find . -type d -printf '%y %m %p\n' -o -printf '%y %m %T@ %p %l\n' | sort
        find . -type f -print0 | sort -z | xargs -0 sha256sum
    )
}

# refused NAME REGEX CMD...: CMD says so in one line and leaves $tree alone.
refused() {
    refused_name=$1 regex=$2
    shift 2
    snapshot "$tree" > "$tmp/before"
    run "$@"
    one_error "$refused_name: refused" "$regex"
    snapshot "$tree" > "$tmp/after"
    ok "$refused_name: tree unchanged" diff "$tmp/before" "$tmp/after"
}

# --- tools/overlay, in a repository that may be changed

repo=$tmp/repo
mkdir "$repo" && cp -a "$top/tools" "$top/python2.7" "$top"/*.patch "$repo" || exit 1
overlay=$repo/tools/overlay
tree=$tmp/tree
cp -a "$src" "$tree" || die "cannot copy $src"
snapshot "$tree" > "$tmp/pristine"
ok "check" "$overlay" check "$tree"
like "check says which Python" "$out" 'CPython 2\.7\.'
ok "apply" "$overlay" apply "$tree"
ok "the option is in configure" grep -q -e '--with-pth=\|--with-pth\[=DIR\]' "$tree/configure"
ok "configure is valid shell" sh -n "$tree/configure"
is "nothing of the overlay of 3.13 is there" "$(find "$tree" -name 'pth_*.c')" ""
refused "apply again" 'applied .* already' "$overlay" apply "$tree"
echo '/* edited */' >> "$tree/Python/thread_pth.h"
refused "revert of an edited tree" 'thread_pth\.h was edited' "$overlay" revert "$tree"
ok "refresh" "$overlay" refresh "$tree"
is "refresh writes the overlay of 2.7 alone" "$out" "overlay: wrote Python/thread_pth.h.patch"
ok "refresh: the edit is in the patch" \
    grep -qx '+/\* edited \*/' "$repo/python2.7/Python/thread_pth.h.patch"
ok "revert" "$overlay" revert "$tree"
snapshot "$tree" > "$tmp/after"
ok "revert gives the very tree back" diff "$tmp/pristine" "$tmp/after"
sed -i 's/PyEval_ReleaseLock(void)/PyEval_ReleaseLock()/' "$tree/Python/ceval.c"
refused "edited context" 'Python/ceval\.c\.patch does not apply' "$overlay" apply "$tree"
refused "make CPYTHON= of a 2.7 tree" "is CPython 2\.7, which 'make python2\.7' builds" \
    env PTH_BUILD="$tmp/build" "$top/tools/build-cpython" src --from "$src"
rm -rf "$tree"

changed=$(find "$top/python2.7" -name '*.patch' -exec sed '/^--- /,/^+++ /d' {} + |
    grep -c '^[-+]')
note "$changed changed lines"
ok "fewer than 400 changed lines" test "$changed" -lt 400
for f in $(cd "$top/python2.7" && find . -name '*.patch'); do
    like "$f: Description" "$(cat "$top/python2.7/$f")" '^Description: [^ ].{9,}'
done

# --- what is built

ok "build" "$top/tools/build-python27"
pth=$build/python2.7-pth stock=$build/python2.7-stock
[ $status -eq 0 ] || { done_testing; exit 1; }
run "$top/tools/build-python27"
is "build again: nothing to do" "$status$out$err" 0
ok "HAVE_PTH" grep -qx '#define HAVE_PTH 1' "$pth/pyconfig.h"
unlike "no pthread flag or library in the Makefile" \
    "$(grep -E '^[A-Z]+= ' "$pth/Makefile")" 'pthread'
libraries() {
    readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\].*/\1/p' | sort
}
is "libpth is all that python needs besides stock's libraries" \
    "$(libraries "$pth/python" | grep -v -x "$(libraries "$stock/python")")" libpth.so.20
unlike "python needs no libpthread" "$(libraries "$pth/python")" pthread
includes() {
    (cd "$pth" && gcc -M -I. -IInclude -I"$build/libpth/include" -DPy_BUILD_CORE Python/thread.c)
}
like "thread.c includes thread_pth.h" "$(includes)" 'Python/thread_pth\.h'
unlike "thread.c includes neither thread_pthread.h nor pthread.h" "$(includes)" \
    'thread_pthread\.h|/pthread\.h'
# By stock's pyconfig.h.
preprocessed() {
    (cd "$1" && gcc -E -P -DNDEBUG -I"$stock" -IInclude -DPy_BUILD_CORE "$2")
}
for f in Python/thread.c Python/ceval.c; do
    preprocessed "$stock" $f > "$tmp/stock.i"
    preprocessed "$pth" $f > "$tmp/pth.i"
    ok "$f is unchanged without the option" cmp "$tmp/stock.i" "$tmp/pth.i"
done

mkdir "$tmp/conf"
configure() {
    (cd "$tmp/conf" && exec "$pth/configure" -q -C "$@")
}
for refusal in \
    '--with-pth=here:is no absolute name' \
    '--with-pth=/nonexistent:finds no GNU Pth 2\.0\.7' \
    '--with-pth --without-threads:exclude each other'
do
    # shellcheck disable=SC2086
    run configure ${refusal%:*}
    is "configure ${refusal%:*}: status" "$status" 1
    like "configure ${refusal%:*}: says why" "$err" "^configure: error: .*${refusal#*:}"
done

# --- what it does

for test in $("$pth/python" -E -B "$top/tests/python27.py" --list); do
    ok "$test" timeout 300 "$pth/python" -E -B "$top/tests/python27.py" "Threads.$test"
done
for test in test_thread test_threading test_queue test_threading_local test_socketserver; do
    ok "CPython's $test" timeout 600 "$pth/python" -E -B "$top/tests/python27.py" --cpython $test
done
run "$top/tools/demo" "$pth/python" "$stock/python"
is "the table of README.md: status" "$status" 0
is "no futex call waits with GNU Pth" \
    "$(printf '%s\n' "$out" | awk '/futex calls that wait/ { print $5 }')" "0
0"
run "$top/tools/demo" "$pth/python" "$STOCK_PYTHON"
one_error "demo, another Python: one line" 'name two of the same source'

done_testing
