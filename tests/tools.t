#!/bin/sh
# Tests of tools/install-deps, tools/get-cpython, tools/get-programs, tools/demo,
# tools/regrtest and the Makefile's arguments, without the network.
#
# usage: prove tests/tools.t

. "$(dirname "$0")/tap.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"

# Not those of the `make check` that runs this test.
unset MAKEFLAGS MAKELEVEL MFLAGS PTH_BUILD

# Put a program $1 that does what is on stdin before the real one.
mkdir "$tmp/bin"
real_path=$PATH
stub() {
    { echo '#!/bin/sh'; cat; } > "$tmp/bin/$1" && chmod +x "$tmp/bin/$1"
    PATH=$tmp/bin:$real_path
}

unstub() {
    rm -f "$tmp/bin"/*
    PATH=$real_path
}

# Name, type, mode, time and content of everything in a tree.
snapshot() {
    (
        cd "$1" || exit 1
        find . -name .git -prune -o -printf '%y %m %T@ %p %l\n' | sort
        find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
    )
}

# usage_error NAME CMD...: CMD prints its usage alone, and fails with 2.
usage_error() {
    usage_name=$1
    shift
    run "$@"
    is "$usage_name: status" "$status" 2
    like "$usage_name: says how to use it" "$err" '^usage: '
    is "$usage_name: no output" "$out" ""
}

# --- install-deps

if command -v dpkg-query > /dev/null; then
    # A Debian where all packages are installed but those that $tmp/deb/absent has
    # a file for; the archive has them all but those of $tmp/deb/gone, and those of
    # $tmp/deb/broken cannot be installed.
    stub dpkg-query <<'END'
shift 3
for p; do
    if [ -e "${0%/bin/*}/deb/absent/$p" ]; then
        echo "no packages found matching $p" >&2
    elif [ -e "${0%/bin/*}/deb/config/$p" ]; then
        echo "config-files $p"
    else
        echo "installed $p"
    fi
done
END
    stub apt-cache <<'END'
[ "$1" = policy ] || exit 1
# It says nothing of a name that it has never seen.
[ ! -e "${0%/bin/*}/deb/gone/$2" ] || exit 0
printf '%s:\n  Installed: (none)\n  Candidate: 1.2-3\n  Version table:\n' "$2"
END
    stub apt-get <<'END'
deb=${0%/bin/*}/deb
echo "$*" >> "$deb/called"
case $* in
    *' install '*)
        shift $(($# - $(echo "${*#* --no-install-recommends }" | wc -w)))
        for p; do
            [ ! -e "$deb/broken/$p" ] && [ ! -e "$deb/gone/$p" ] ||
                { echo "E: $p" >&2; exit 100; }
        done
        for p; do rm -f "$deb/absent/$p" "$deb/config/$p"; done ;;
esac
END
    stub id <<'END'
echo 0
END
    # debian absent|config|gone|broken PACKAGE...
    debian() {
        what=$1
        shift
        for p; do : > "$tmp/deb/$what/$p"; done
    }
    fresh_debian() {
        rm -rf "$tmp/deb"
        mkdir -p "$tmp/deb/absent" "$tmp/deb/config" "$tmp/deb/gone" "$tmp/deb/broken"
        : > "$tmp/deb/called"
    }
    installs() {
        sed -n 's/.* install --no-install-recommends //p' "$tmp/deb/called"
    }

    fresh_debian
    run "$top/tools/install-deps"
    is "install-deps, nothing missing: status" "$status" 0
    is "install-deps, nothing missing: silent" "$out$err" ""
    is "install-deps, nothing missing: no apt-get" "$(cat "$tmp/deb/called")" ""

    debian absent strace
    debian config libpth-dev
    run "$top/tools/install-deps"
    is "install-deps, two missing: status" "$status" 0
    like "install-deps, two missing: names them" "$out" 'installing strace libpth-dev$'
    like "install-deps, two missing: apt-get update" "$(cat "$tmp/deb/called")" ' update$'
    is "install-deps, two missing: installs them alone" "$(installs)" "strace libpth-dev"

    # Servers are for those who ask for them.
    fresh_debian
    debian absent nginx
    run "$top/tools/install-deps"
    is "install-deps, no nginx: nothing missing" "$status$out$err" 0
    ok "install-deps programs, no nginx: works" "$top/tools/install-deps" programs
    is "install-deps programs, no nginx: installs it alone" "$(installs)" nginx

    # Debian 13: no libpth-dev.
    fresh_debian
    debian absent libpth-dev netbase strace
    debian gone libpth-dev
    run "$top/tools/install-deps"
    is "install-deps, one is not in the archive: status" "$status" 0
    is "install-deps, one is not in the archive: installs the others" "$(installs)" \
        "netbase strace"
    like "install-deps, one is not in the archive: says so" "$out" \
        'tests are left out without .*: libpth-dev$'
    : > "$tmp/deb/called"
    run "$top/tools/install-deps"
    is "install-deps, again: nothing to do" "$status$out$err$(cat "$tmp/deb/called")" 0

    fresh_debian
    debian absent strace gdb patch netbase
    debian broken strace gdb
    run "$top/tools/install-deps"
    is "install-deps, two cannot be installed: status" "$status" 1
    like "install-deps, two cannot be installed: installs the others" "$(installs)" '^patch$'
    is "install-deps, two cannot be installed: these are still missing" \
        "$(ls "$tmp/deb/absent")" "gdb
strace"
    like "install-deps, two cannot be installed: ends with the one that is needed" \
        "$(printf '%s\n' "$err" | tail -n 1)" 'cannot install .*: strace$'
    rm "$tmp/deb/broken/strace"
    run "$top/tools/install-deps"
    is "install-deps, only the debugger cannot be installed: status" "$status" 0

    fresh_debian
    debian absent libpth-dev strace
    debian gone libpth-dev strace
    run "$top/tools/install-deps"
    is "install-deps, the archive has none: status" "$status" 1
    one_error "install-deps, the archive has none: one line" 'cannot install .*: strace$'

    stub id <<'END'
echo 1000
END
    # A PATH without sudo.
    for p in sh basename sed echo grep env; do
        ln -s "$(command -v "$p")" "$tmp/bin/$p"
    done
    run env PATH="$tmp/bin" "$top/tools/install-deps"
    is "install-deps, no root: status" "$status" 1
    one_error "install-deps, no root: names the packages" 'sudo.* strace libpth-dev$'
    rm "$tmp/deb/absent/strace" "$tmp/deb/gone/libpth-dev"
    run env PATH="$tmp/bin" "$top/tools/install-deps"
    is "install-deps, no root, all that is needed is there: works" "$status$err" 0
    like "install-deps, no root, all that is needed is there: names the others" \
        "$out" 'left out .*: libpth-dev$'
    rm "$tmp/bin/dpkg-query"
    run env PATH="$tmp/bin" "$top/tools/install-deps"
    one_error "install-deps, not Debian: names the packages" 'no Debian .*strace.*libpth-dev'
    unstub
else
    skip "install-deps" "this is no Debian system"
fi
usage_error "install-deps with an argument" "$top/tools/install-deps" strace

# --- get-cpython

# A cache with a small package, and an apt-get that cannot download.
cache="$tmp/a cache"
mkdir -p "$cache" "$tmp/Python-3.13.99/Include"
echo '#define PY_VERSION "3.13.99"' > "$tmp/Python-3.13.99/Include/patchlevel.h"
tarball=python3.13_3.13.99.orig.tar.xz
tar -C "$tmp" -cJf "$cache/$tarball" Python-3.13.99 || die "tar fails"
(cd "$cache" && sha256sum "$tarball" > orig-trixie.sha256)
stub apt-get <<'END'
echo "$*" >> "${0%/bin/*}/apt-get.called"
echo "E: no network"
exit 100
END
rm -f "$tmp/apt-get.called"

# With a slash, as a shell completes a name.
run "$top/tools/get-cpython" --cache "$cache" "$tmp/new/tree/"
is "get-cpython, cached: status" "$status" 0
like "get-cpython, cached: says the version" "$out" 'is CPython 3\.13\.99$'
is "get-cpython, cached: no message" "$err" ""
not_ok "get-cpython, cached: no apt-get" test -e "$tmp/apt-get.called"
ok "get-cpython, cached: the tree" diff -r "$tmp/Python-3.13.99" "$tmp/new/tree"

snapshot "$tmp/new" > "$tmp/before"
run "$top/tools/get-cpython" --cache "$cache" "$tmp/new/tree"
one_error "get-cpython, DIR exists: refused" 'tree exists'
snapshot "$tmp/new" > "$tmp/after"
ok "get-cpython, DIR exists: as it was" diff "$tmp/before" "$tmp/after"

run "$top/tools/get-cpython" --cache "$cache" --release forky "$tmp/forky"
one_error "get-cpython, not cached, no network: one line" 'gives no python3\.13'
like "get-cpython, not cached, no network: tried" "$(cat "$tmp/apt-get.called")" 'update'
not_ok "get-cpython, not cached, no network: no DIR" test -e "$tmp/forky"

echo damage >> "$cache/$tarball"
run "$top/tools/get-cpython" --cache "$cache" "$tmp/damaged"
is "get-cpython, damaged cache: status" "$status" 1
like "get-cpython, damaged cache: says so" "$out" "cache is damaged \\($tarball"
one_error "get-cpython, damaged cache: one line" 'gives no python3\.13'
not_ok "get-cpython, damaged cache: no DIR" test -e "$tmp/damaged"
rm "$cache/$tarball"
run "$top/tools/get-cpython" --cache "$cache" "$tmp/damaged"
like "get-cpython, file gone from the cache: says so" "$out" "cache is damaged \\($tarball"
is "get-cpython: nothing is left in the cache" "$(ls -A "$cache")" orig-trixie.sha256
is "get-cpython: nothing is left beside DIR" "$(ls -A "$tmp/new")" tree

# The first release's file is missing in the archive, as happens.
stub apt-get <<'END'
case $* in
    indextargets*) echo "http://archive.example/" ;;
    *apt-trixie*source*) echo "E: Failed to fetch: 404"; exit 100 ;;
    *apt-forky*source*) cp "${0%/bin/*}/forky.tar.xz" python3.13_3.13.99.orig.tar.xz ;;
esac
END
tar -C "$tmp" -cJf "$tmp/forky.tar.xz" Python-3.13.99
rm -rf "$cache"
run "$top/tools/get-cpython" --cache "$cache" "$tmp/other"
is "get-cpython, other release: status" "$status" 0
like "get-cpython, other release: says why" "$out" 'from trixie: E: .*404'
like "get-cpython, other release: says the version" "$out" 'is CPython 3\.13\.99$'
ok "get-cpython, other release: the tree" diff -r "$tmp/Python-3.13.99" "$tmp/other"
unstub

run "$top/tools/get-cpython" --release sid "$tmp/sid"
one_error "get-cpython, unknown release: one line" "'sid': say trixie or forky"
usage_error "get-cpython, no DIR" "$top/tools/get-cpython"
usage_error "get-cpython, unknown option" "$top/tools/get-cpython" --frob "$tmp/x"
usage_error "get-cpython, two DIRs" "$top/tools/get-cpython" "$tmp/x" "$tmp/y"
usage_error "get-cpython, option without value" "$top/tools/get-cpython" --cache

# --- get-programs

# deb PACKAGE FILE...: put a package with Python files into the cache.
deb() {
    package=$1 root=$tmp/root
    shift
    rm -rf "$root" && mkdir -p "$root/DEBIAN" "$tmp/build/cache/$package"
    for f; do
        mkdir -p "$root/usr/lib/python3/dist-packages/$(dirname "$f")"
        echo "# $f" > "$root/usr/lib/python3/dist-packages/$f"
    done
    printf '%s\n' "Package: $package" "Version: 9.8-7" "Architecture: all" \
        "Maintainer: Nobody <nobody@localhost>" "Description: test" \
        > "$root/DEBIAN/control"
    (
        cd "$tmp/build/cache/$package" &&
        dpkg-deb --root-owner-group -b "$root" "${package}_9.8-7_all.deb" > /dev/null &&
        sha256sum ./*.deb | sed 's|\./||' > deb-trixie.sha256
    ) || die "dpkg-deb fails"
}

get_programs() {
    run env PTH_BUILD="$tmp/build" "$top/tools/get-programs" "$STOCK_PYTHON" "$tmp/programs"
}

if command -v dpkg-deb > /dev/null && command -v pg_config > /dev/null; then
    stub apt-get <<'END'
echo "E: no network"
exit 100
END
    get_programs
    is "get-programs, no network: status" "$status" 1
    one_error "get-programs, no network: one line" 'gives no python3-psycopg'
    is "get-programs, no network: nothing" "$(ls "$tmp/programs")" ""
    deb python3-psycopg psycopg/__init__.py psycopg-9.8.dist-info/METADATA
    deb python3-waitress waitress/__init__.py
    deb trac trac/web/_fcgi.py trac/core.py
    get_programs
    one_error "get-programs, some cached: one line" 'gives no python3-pkg-resources'
    like "get-programs, some cached: says the version" "$out" \
        'programs/waitress is of python3-waitress 9\.8-7$'
    is "get-programs, some cached: these are there" \
        "$(cd "$tmp/programs" && find . -type f | sort)" \
        "./psycopg-9.8.dist-info/METADATA
./psycopg/__init__.py
./trac_fcgi.py
./waitress/__init__.py"
    touch "$tmp/programs/waitress/kept"
    get_programs
    unlike "get-programs, again: what is there is kept" "$out" waitress
    ok "get-programs, again: as it is" test -f "$tmp/programs/waitress/kept"
    is "get-programs: nothing is left in the cache" \
        "$(find "$tmp/build/cache" -name 'tmp.*')" ""
    unstub
    rm -rf "$tmp/build"
else
    skip "get-programs" "dpkg-deb or pg_config is missing: run 'tools/install-deps programs'"
fi
usage_error "get-programs without arguments" "$top/tools/get-programs"
run "$top/tools/get-programs" "$tmp/nothing" "$tmp/programs"
one_error "get-programs, no python: one line" "nothing does not run: run 'make build'"

# --- install-python, get-embedders

usage_error "install-python, an argument" "$top/tools/install-python" "$tmp"
run env PTH_BUILD="$tmp/nothing" "$top/tools/install-python"
one_error "install-python, nothing is built: one line" "run 'make build' first"
not_ok "install-python, nothing is built: nothing is made" test -e "$tmp/nothing"
usage_error "get-embedders without arguments" "$top/tools/get-embedders"
run "$top/tools/get-embedders" "$tmp/nothing" "$tmp/embedders"
one_error "get-embedders, no python: one line" "nothing does not run: run tools/install-python"

# --- CPYTHON=DIR

# The tree stays as it is, and the build directory has no tree.
refused() {
    refused_name=$1 regex=$2 tree=$3
    [ ! -d "$tree" ] || snapshot "$tree" > "$tmp/before"
    run make --no-print-directory -C "$top" build BUILD="$tmp/build" CPYTHON="$tree"
    # make says a line itself.
    is "$refused_name: status" "$status" 2
    is "$refused_name: one line" \
        "$(printf '%s\n' "$err" | grep -v -c '^make: \*\*\*')" 1
    like "$refused_name: says why" "$err" "$regex"
    not_ok "$refused_name: nothing is copied" test -e "$tmp/build/src"
    if [ -d "$tree" ]; then
        snapshot "$tree" > "$tmp/after"
        ok "$refused_name: tree unchanged" diff "$tmp/before" "$tmp/after"
    fi
}

refused "CPYTHON does not exist" 'is not a directory' "$tmp/nothing"
mkdir "$tmp/empty"
refused "CPYTHON is empty" 'no CPython source' "$tmp/empty"
cp -a "$CPYTHON_SRC" "$tmp/tree" || die "cannot copy $CPYTHON_SRC"
find "$tmp/tree" -name __pycache__ -exec rm -rf {} +
sed -i 's/^#define PY_VERSION .*/#define PY_VERSION "3.12.7"/' \
    "$tmp/tree/Include/patchlevel.h"
refused "CPYTHON is 3.12" 'is CPython 3\.12\.7' "$tmp/tree"
cp -p "$CPYTHON_SRC/Include/patchlevel.h" "$tmp/tree/Include/"
"$top/tools/overlay" apply "$tmp/tree" > /dev/null || die "cannot apply the overlay"
refused "CPYTHON has the overlay" 'applied .* already' "$tmp/tree"
"$top/tools/overlay" revert "$tmp/tree" > /dev/null || die "cannot revert the overlay"

# A directory that is no git checkout.
copy() {
    run env PTH_BUILD="$tmp/build" "$top/tools/build-cpython" src --from "$tmp/tree"
}
snapshot "$tmp/tree" > "$tmp/before"
copy
is "copy: status" "$status" 0
ok "copy: the same files" diff -r "$tmp/tree" "$tmp/build/src"
snapshot "$tmp/tree" > "$tmp/after"
ok "copy: the tree is unchanged" diff "$tmp/before" "$tmp/after"
copy
is "copy again: nothing to do" "$status$out$err" 0
echo '/* edited */' >> "$tmp/tree/Python/thread.c"
copy
like "copy, edited: copied anew" "$out" 'copying'
ok "copy, edited: the same files" diff -r "$tmp/tree" "$tmp/build/src"

# A git checkout: what git ignores stays behind.
(
    cd "$tmp/tree" && printf '*.o\n/build/\n' > .gitignore && git init -q . &&
    git add -f . && git -c user.name=test -c user.email=test@localhost \
        commit -q -m CPython
) > "$tmp/git.log" 2>&1 || die "git: $(cat "$tmp/git.log")"
mkdir "$tmp/tree/build" && touch "$tmp/tree/build/x" "$tmp/tree/Python/thread.o"
echo new > "$tmp/tree/Python/new file.c"
rm "$tmp/tree/README.rst"
snapshot "$tmp/tree" > "$tmp/before"
git -C "$tmp/tree" status --short > "$tmp/status"
copy
is "git: status" "$status" 0
snapshot "$tmp/tree" > "$tmp/after"
ok "git: the tree is unchanged" diff "$tmp/before" "$tmp/after"
git -C "$tmp/tree" status --short > "$tmp/status.after"
ok "git: and so is git's status" diff "$tmp/status" "$tmp/status.after"
is "git: all but what git ignores" \
    "$(diff -rq "$tmp/tree" "$tmp/build/src" | sed "s|$tmp/||" | sort)" \
    "Only in tree/Python: thread.o
Only in tree: .git
Only in tree: build"
run env PTH_BUILD="$tmp/build" "$top/tools/build-cpython" src --from "$tmp/build/src"
one_error "copy of build/src itself: refused" 'is overwritten'
ok "copy of build/src itself: build/src is there" test -f "$tmp/build/src/configure"

usage_error "build-cpython without argument" "$top/tools/build-cpython"
usage_error "build-cpython of something else" \
    env PTH_BUILD="$tmp/build" "$top/tools/build-cpython" other
run env PTH_BUILD="$tmp/other-build" "$top/tools/build-cpython" stock
one_error "build-cpython without build/src: one line" 'build/src is missing|src is missing'

# --- demo

usage_error "demo without arguments" "$top/tools/demo"
run "$top/tools/demo" "$tmp/nothing" "$STOCK_PYTHON"
one_error "demo, no python: one line" "nothing does not run .*make build"
run "$top/tools/demo" "$STOCK_PYTHON" "$PTH_PYTHON"
one_error "demo, the wrong way round: one line" 'has no GNU Pth threads'
run "$top/tools/demo" "$PTH_PYTHON" "$PTH_PYTHON"
one_error "demo, twice GNU Pth: one line" 'name a stock python'
stub strace <<'END'
echo "strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted" >&2
exit 1
END
run "$top/tools/demo" "$PTH_PYTHON" "$STOCK_PYTHON"
is "demo, no ptrace: status" "$status" 1
one_error "demo, no ptrace: one line" 'Operation not permitted.*SYS_PTRACE'
unstub

# --- regrtest

usage_error "regrtest without arguments" "$top/tools/regrtest"
run "$top/tools/regrtest" "$tmp/nothing" "$STOCK_PYTHON"
one_error "regrtest, no python: one line" "nothing does not run .*make build"
run "$top/tools/regrtest" "$STOCK_PYTHON" "$PTH_PYTHON"
one_error "regrtest, the wrong way round: one line" 'name the pth python first'
run "$top/tools/regrtest" "$PTH_PYTHON" "$STOCK_PYTHON" test_nothing
one_error "regrtest, an unknown test file: one line" 'no test file test_nothing'
run "$top/tools/regrtest" -j 1 --out "$tmp/regrtest" "$PTH_PYTHON" "$STOCK_PYTHON" \
    test.test_asyncio.test_locks test_heapq test_pth
is "regrtest runs single files of a package: status" "$status" 0
ran=$(grep -h '^\(GNU Pth\|stock\):' <<END
$out
END
)
is "regrtest runs single files of a package, where they are: these alone" \
    "$ran" "GNU Pth:  3 passed
stock:    2 passed"
case $ran in
*failed*) diag "$(grep -h '^FAIL:\|^ERROR:\|Error:' "$tmp/regrtest"/*.log)" ;;
esac

done_testing
