#!/bin/sh
# Tests of tools/build-cpython: what it copies, configures and makes, and when.
# configure, autoconf and make are replaced by small programs that note their
# call, so that no compiler runs.
#
# usage: prove tests/build-cpython.t

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"

unset MAKEFLAGS MAKELEVEL MFLAGS CC CFLAGS CPPFLAGS LDFLAGS
PTH_BUILD=$tmp/build
calls=$tmp/calls
export PTH_BUILD calls

# A repository that may be changed.
repo=$tmp/repo
mkdir "$repo" && (
    cd "$top" && cp -a --parents tools ./*.patch \
        $(find Include Modules Python Lib Tools -type f ! -path '*/__pycache__/*') "$repo"
) || die "cannot copy the repository"
build_cpython=$repo/tools/build-cpython

# A libpth that nothing is linked to.
"$top/tools/build-cpython" dir && mkdir -p "$PTH_BUILD/libpth/lib" &&
    touch "$PTH_BUILD/libpth/lib/libpth.so" || exit 1
pth=--with-pth=$PTH_BUILD/libpth

# The files of CPython that the overlay changes, and three more.
cpython=$tmp/cpython
patched=$(patched_files "$repo")
mkdir "$cpython" && (
    cd "$CPYTHON_SRC" &&
    cp -a --parents aclocal.m4 Include/patchlevel.h Python/getargs.c $patched "$cpython"
) || die "cannot copy $CPYTHON_SRC"

cat > "$tmp/configure" <<'END'
#!/bin/sh
echo "configure in $(basename "$PWD"): $*" >> "$calls"
[ ! -e "$calls.fail" ] || { echo "configure: error: no such thing"; exit 1; }
END
chmod +x "$tmp/configure" && cp "$tmp/configure" "$cpython/configure" || exit 1

mkdir "$tmp/bin"
cat > "$tmp/bin/autoconf" <<'END'
#!/bin/sh
case $* in
    --version) echo "autoconf (GNU Autoconf) 2.72" ;;
    *) cp "$calls.configure" configure ;;
esac
END
# Called as: make -C TREE -s -j JOBS
cat > "$tmp/bin/make" <<'END'
#!/bin/sh
echo "make in $(basename "$2")" >> "$calls"
[ -z "${MAKEFLAGS+set}" ] || echo "MAKEFLAGS: $MAKEFLAGS" >> "$calls"
cat "$calls.output" 2>/dev/null
[ ! -e "$calls.fail" ] || { echo "make: *** Error 1"; exit 2; }
echo '#!/bin/sh
echo "$4: started"' > "$2/python"
chmod +x "$2/python"
END
chmod +x "$tmp/bin"/* && cp "$tmp/configure" "$calls.configure" || exit 1
PATH=$tmp/bin:$PATH

built() {
    : > "$calls"
    run "$build_cpython" "$@"
    did=$(cat "$calls")
}

mtimes() {
    (cd "$1" && find . -path ./.pth-overlay -prune -o -type f -printf '%p %T@\n' | sort)
}

# Lines of the second list of times that are not in the first.
touched() {
    comm -13 "$1" "$2" | sed 's/ .*//; s|^\./||'
}

ok "src" "$build_cpython" src --from "$cpython"


# --- from nothing

built stock
is "stock: status" "$status" 0
is "stock: configures and makes" "$did" "configure in stock: -q
make in stock"
like "stock: starts python" "$out" 'build/stock/python: started'
ok "stock: the source as it is" diff -r -x python "$cpython" "$tmp/build/stock"
MAKEFLAGS=--jobserver-auth=3,4
export MAKEFLAGS
built pth CFLAGS=-O1 --with-pydebug
unset MAKEFLAGS
is "pth: configures with the option and the flags, makes without MAKEFLAGS" "$did" \
    "configure in pth: -q $pth CFLAGS=-O1 --with-pydebug
make in pth"
ok "pth: has the overlay" cmp "$repo/Python/thread_pth.h" "$tmp/build/pth/Python/thread_pth.h"
run "$repo/tools/overlay" check "$tmp/build/pth"
one_error "pth: is an applied tree, for tools/overlay refresh" 'applied .* already'

mv "$PTH_BUILD/libpth" "$tmp/libpth"
built pth
one_error "pth without a libpth: refused" "/build/libpth is missing: run 'make libpth'"
is "pth without a libpth: makes nothing" "$did" ""
mv "$tmp/libpth" "$PTH_BUILD/libpth"

# --- what was built already

built stock
is "stock again: only makes" "$did" "make in stock"
built pth
is "pth, other flags: from scratch" "$did" "configure in pth: -q $pth
make in pth"
mtimes "$tmp/build/pth" > "$tmp/before"
built pth
is "pth again: only makes" "$did" "make in pth"
mtimes "$tmp/build/pth" > "$tmp/after"
is "pth again: touches nothing but python" "$(touched "$tmp/before" "$tmp/after")" python

echo '/* edited */' >> "$repo/Python/pth_wait.c"
echo '/* new */' > "$repo/Python/pth_new.c"
rm "$repo/Python/pth_monitor.c"
built pth
is "overlay edited: status" "$status" 0
is "overlay edited: only makes" "$did" "make in pth"
mtimes "$tmp/build/pth" > "$tmp/after"
is "overlay edited: touches the edited and the new file" \
    "$(touched "$tmp/before" "$tmp/after")" "Python/pth_new.c
Python/pth_wait.c
python"
ok "overlay edited: the edited file" cmp "$repo/Python/pth_wait.c" "$tmp/build/pth/Python/pth_wait.c"
not_ok "overlay edited: the removed file is gone" test -e "$tmp/build/pth/Python/pth_monitor.c"
ok "overlay edited: the overlay can be taken off" "$repo/tools/overlay" revert "$tmp/build/pth"
ok "overlay taken off: the source as it is" diff -r -x python "$cpython" "$tmp/build/pth"
rm -rf "$tmp/build/pth"
built pth
is "tree gone: from scratch" "$did" "configure in pth: -q $pth
make in pth"

# What is edited in the built tree is made, and is not lost.
echo '/* mine */' >> "$tmp/build/pth/Python/pth_wait.c"
built pth
is "tree edited: only makes" "$did" "make in pth"
ok "tree edited: the edit is there" grep -q mine "$tmp/build/pth/Python/pth_wait.c"
echo '/* theirs */' >> "$repo/Python/pth_thread.c"
built pth
one_error "tree and overlay edited: refused" 'Python/pth_wait\.c was edited in'
is "tree and overlay edited: no make" "$did" ""
ok "tree and overlay edited: the edit is there" grep -q mine "$tmp/build/pth/Python/pth_wait.c"
not_ok "tree and overlay edited: nothing is copied" grep -q theirs "$tmp/build/pth/Python/pth_thread.c"
cp "$tmp/build/pth/Python/pth_wait.c" "$repo/Python/"
built pth
is "the edit is in the overlay, too: only makes" "$status $did" "0 make in pth"
ok "the edit is in the overlay, too: both" grep -q theirs "$tmp/build/pth/Python/pth_thread.c"
echo '/* refreshed */' >> "$tmp/build/pth/Python/pth_wait.c"
ok "tools/overlay refresh works" "$repo/tools/overlay" refresh "$tmp/build/pth"
built pth
is "tree edited and refreshed: only makes" "$status $did" "0 make in pth"

sed -i 's/^+# Check for --with-pth.*/&, again/' "$repo/configure.ac.patch"
built pth
is "configure.ac edited, configure is the same: only makes" "$status $did" "0 make in pth"
echo '# another' >> "$calls.configure"
sed -i 's/, again/, and again/' "$repo/configure.ac.patch"
built pth
is "another configure: from scratch" "$did" "configure in pth: -q $pth
make in pth"

# --- your source changes

echo '/* edited */' >> "$cpython/Python/getargs.c"
ok "src edited" "$build_cpython" src --from "$cpython"
mtimes "$tmp/build/stock" > "$tmp/before"
built stock
is "src edited: only makes" "$did" "make in stock"
mtimes "$tmp/build/stock" > "$tmp/after"
is "src edited: touches that file" "$(touched "$tmp/before" "$tmp/after")" "Python/getargs.c
python"
cp -a "$cpython" "$tmp/cpython2"
ok "src of another place" "$build_cpython" src --from "$tmp/cpython2"
built stock
is "src of another place: from scratch" "$did" "configure in stock: -q
make in stock"

# --- what fails

touch "$calls.fail"
seq 100 > "$calls.output"
built stock
is "make fails: status" "$status" 1
like "make fails: the log's last lines" "$err" '^make: \*\*\* Error 1'
like "make fails: names the log" "$err" "make in .* fails: .*$tmp/build/log/stock.log\$"
is "make fails: not the whole log" "$(printf '%s\n' "$err" | wc -l)" 21
echo "Python/x.c:1:2: error: too late" | cat - "$calls.output" > "$tmp/x" && mv "$tmp/x" "$calls.output"
built stock
like "make fails: shows an error far above" "$err" '^Python/x\.c:1:2: error'
built pth --with-pydebug
is "configure fails: no make" "$did" "configure in pth: -q $pth --with-pydebug"
like "configure fails: the log's last lines" "$err" '^configure: error'
like "configure fails: names the log" "$err" "configure .* fails: .*$tmp/build/log/pth.log\$"
rm "$calls.fail"
built pth --with-pydebug
is "configure works again: configures again" "$did" \
    "configure in pth: -q $pth --with-pydebug
make in pth"

cat > "$calls.output" <<'END'
Python/pth_wait.c:10:5: warning: unused variable 'x' [-Wunused-variable]
   10 |     int x;
./Include/internal/pycore_pth.h:3:1: warning: something
Modules/other.c:1:1: warning: not ours
END
built pth --with-pydebug
like "warnings: of our files" "$out" '^Python/pth_wait\.c:10:5: warning'
like "warnings: with the line that is meant" "$out" '   10 \|     int x;'
like "warnings: of our headers" "$out" '^\./Include/internal/pycore_pth\.h:3:1: warning'
echo 'Modules/other.c:1:1: warning: not ours' > "$calls.output"
built pth --with-pydebug
unlike "warnings: none of other files" "$out" 'warning'

echo 'Following modules built successfully but were removed because they could not be imported:' > "$calls.output"
built pth --with-pydebug
is "a module that cannot be imported: status" "$status" 1
like "a module that cannot be imported: says so" "$err" 'not all modules of .*pth work'

is "no temporary files are left" "$(ls "$tmp/build")" "libpth
log
pth
src
state
stock"

done_testing
