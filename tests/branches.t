#!/bin/sh
# Tests of tools/check-branches: the table, and what is said of a branch that fails.
#
# usage: prove tests/branches.t
#
# The tree is CPYTHON_SRC, in two versions; what would build and test it are
# scripts of a line.  `make check-branches` does it in earnest.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"

repo=$tmp/repo
mkdir -p "$repo/Lib/test" "$repo/tests" "$tmp/bin" && cp -a "$top/tools" "$repo/" || exit 1
cp -a "$top/Python" "$top/Include" "$top/Modules" "$top"/*.patch "$repo/" || exit 1
: > "$repo/Lib/test/test_pth.py"
rm -rf "$repo"/tools/__pycache__

# script NAME LINE...
script() {
    name=$1
    shift
    printf '%s\n' '#!/bin/sh' "$@" > "$name" && chmod +x "$name"
}
script "$repo/tools/build-libpth" 'exit 0'
script "$repo/tools/regrtest" 'echo "3 test files are worse on GNU Pth: test_a"; exit 1'
# build-cpython dir, src --from DIR, stock, pth; like the real one, in a directory alone
# that is made for it.
cat > "$repo/tools/build-cpython" <<'END'
#!/bin/sh
fail() {
    echo "$*" >&2
    exit 1
}
. "$(dirname "$0")/build-dir.sh"
build_dir
case $1 in
    dir) ;;
    src) rm -rf "$PTH_BUILD/src" && cp -a "$3" "$PTH_BUILD/src" ;;
    *) case $PTH_BUILD in *3.14*) echo no compiler; exit 1 ;; esac
       mkdir -p "$PTH_BUILD/$1" && cp "$FAKE_PYTHON" "$PTH_BUILD/$1/python" ;;
esac
END
script "$tmp/python" 'case $1 in -I) echo 1.25 ;; *) echo "$@" ;; esac'
script "$tmp/bin/prove" 'echo "$@"'
FAKE_PYTHON=$tmp/python
PATH=$tmp/bin:$PATH
export FAKE_PYTHON PATH

# slim TREE VERSION
slim() {
    slim_copy "$repo" "$1"
    set_version "$1" "$2"
}
slim "$tmp/good" 3.13.99
slim "$tmp/bad" 3.14.99
slim "$tmp/old" 3.12.1
PTH_BUILD=$tmp/build
export PTH_BUILD

run "$repo/tools/check-branches"
is "no argument: status" "$status" 2
run "$repo/tools/check-branches" "$tmp/good"
one_error "without the source of GNU Pth" "run 'make libpth' first"
mkdir -p "$tmp/build/cache/pth" && : > "$tmp/build/cache/pth/pth_2.0.7.orig.tar.gz"
run "$repo/tools/check-branches" "$tmp/good" "$tmp/old"
one_error "one that the overlay is not for" 'is CPython 3\.12\.1'
not_ok "nothing is built then" test -e "$tmp/build/branches"
run "$repo/tools/check-branches" "$tmp/good" "$tmp/bad"
is "some fail: status" "$status" 1
like "a branch that builds" "$out" \
    '^3\.13\.99 +ok +ok +ok +ok +3 +1\.25 / 1\.25$'
like "that has test files that are worse" "$out" '^3\.13\.99: regrtest: see .*/regrtest.log$'
like "a branch that does not build" "$out" '^3\.14\.99 +ok +FAILED +- +- +-'
like "and where it says why" "$(cat "$tmp/build/branches/3.14.99/log/build.log")" 'no compiler'
like "the tests of the backend are run" \
    "$(cat "$tmp/build/branches/3.13.99/log/test_pth.log")" '^-m test .*test_pth$'
script "$repo/tools/regrtest" 'echo "0 test files are worse on GNU Pth"'
run "$repo/tools/check-branches" "$tmp/good"
is "all is well: status" "$status$err" 0
like "all is well" "$out" '^3\.13\.99 +ok +ok +ok +ok +0 '

done_testing
