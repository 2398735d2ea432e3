#!/bin/sh
# Tests of the names that a user gives: with spaces and signs, relative, through
# symbolic links, with a slash at the end, of what may not be written to.  Nothing
# is removed or overwritten that was not made here.
#
# usage: prove tests/names.t
#
# configure, autoconf, apt-get and CPython's make are replaced by small programs,
# so that no compiler runs and nothing is fetched.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"

cache=${PTH_BUILD:-$top/build}/cache
unset MAKEFLAGS MAKELEVEL MFLAGS PTH_BUILD CC CFLAGS CPPFLAGS LDFLAGS
# Another user than root has to read what is below, see the end.
chmod 755 "$tmp"

make=$(command -v make) || die "there is no make"
mkdir "$tmp/bin"
calls=$tmp/calls
export calls
: > "$calls"
for tool in apt-get sudo; do
    printf '#!/bin/sh\necho "%s $*" >> "$calls"\nexit 100\n' $tool > "$tmp/bin/$tool"
done
# Called as: make -C TREE -s -j JOBS
cat > "$tmp/bin/make" <<'STUB'
#!/bin/sh
echo '#!/bin/sh
echo "$4: started"' > "$2/python"
chmod +x "$2/python"
STUB
cat > "$tmp/bin/autoconf" <<'STUB'
#!/bin/sh
case $* in
    --version) echo "autoconf (GNU Autoconf) 2.72" ;;
    *) printf '#!/bin/sh\n' > configure ;;
esac
STUB
chmod +x "$tmp/bin"/*
PATH=$tmp/bin:$PATH

# Name, type, mode, time and content of everything in a tree.
snapshot() {
    (
        cd "$1" || exit 1
        find . -printf '%y %m %T@ %p %l\n' | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    )
}

# A clone of this repository, with what a build reads of it.
clone() {
    mkdir -p "$1" && (
        cd "$top" &&
        cp -a Makefile README.md tools pth bench tests Include Modules Python Lib \
            Tools ./*.patch "$1"
    ) || die "cannot copy the repository"
}

# The files of CPython that the overlay reads.
cpython="$tmp/my source's/c python"
mkdir -p "$cpython" && (
    cd "$CPYTHON_SRC" &&
    cp -a --parents aclocal.m4 Include/patchlevel.h \
        $(patched_files "$top") "$cpython"
) || die "cannot copy $CPYTHON_SRC"
printf '#!/bin/sh\n' > "$cpython/configure"
chmod +x "$cpython/configure"

# GNU's pth-2.0.7.tar.gz, as `make build` has got it.
libpth="$tmp/my source's/pth 2.tar.gz"
cp "$cache/pth/pth_2.0.7.orig.tar.gz" "$libpth" ||
    die "no GNU Pth in $cache: run 'make check'"

# in_clone DIR ARG...: make ARG... in DIR
in_clone() {
    dir=$1
    shift
    "$make" --no-print-directory -C "$dir" "$@"
}

# refused NAME REGEX CMD...: CMD fails with one line on stderr, but for make's
# own, and the tree below $area is as it was.
refused() {
    refused_name=$1 regex=$2
    shift 2
    : > "$calls"
    snapshot "$area" > "$tmp/before"
    run "$@"
    snapshot "$area" > "$tmp/after"
    err=$(printf '%s\n' "$err" | grep -v '^make: \*\*\*')
    printf '%s\n' "$err" > "$tmp/.err"
    one_error "$refused_name: one sentence" "$regex"
    ok "$refused_name: everything is as it was" diff "$tmp/before" "$tmp/after"
    is "$refused_name: nothing is installed" "$(cat "$calls")" ""
}

# untouched NAME CMD...: whatever CMD says, $area is as it was.
untouched() {
    untouched_name=$1
    shift
    snapshot "$area" > "$tmp/before"
    run "$@"
    snapshot "$area" > "$tmp/after"
    ok "$untouched_name: everything is as it was" diff "$tmp/before" "$tmp/after"
}

# ---- a clone below a directory whose name has a space

area=$tmp/area
spaced="$area/a dir/with space"
clone "$spaced"
# What the parts of the name are, from here and from there.
for f in "$area/a" "$area/a dir/with" "$spaced/dir/with" "$spaced/space"; do
    mkdir -p "$f/build/src" "$f/src" "$f/cache" "$f/tmp.1" &&
        echo mine | tee "$f/build/src/f" "$f/src/f" "$f/cache/f" > "$f/tmp.1/f" || exit 1
done
for target in build demo deps check bench programs clean distclean; do
    refused "make $target in a clone below a name with a space" \
        "nothing can be built in '$spaced/build': .*split names at spaces.*BUILD=DIR" \
        in_clone "$spaced" $target CPYTHON="$cpython"
done
untouched "make -i clean there" in_clone "$spaced" -i clean
for tool in 'build-cpython stock' 'build-cpython dir' 'clean --all'; do
    # shellcheck disable=SC2086
    refused "tools/$tool there" 'nothing can be built in' "$spaced/tools/"$tool
done
ok "make help there" in_clone "$spaced" help
for sign in "'" '"' ';' '$$' '(' '*' ':' ',' '#' '\' '&'; do
    refused "BUILD with $sign" 'nothing can be built in' \
        in_clone "$top" build BUILD="$area/x${sign}y"
done

run "$top/tools/build-libpth" "$tmp/a b"
one_error "build-libpth, PREFIX with a space: one line" "nothing can be built in '$tmp/a b'"
mkdir -p "$area/p.src" && echo mine > "$area/p.src/f"
PTH_BUILD=$tmp/libpth
export PTH_BUILD
refused "build-libpth, PREFIX.src holds something else" "p\.src holds something else" \
    "$top/tools/build-libpth" --from "$libpth" "$area/p"
unset PTH_BUILD

# Elsewhere it works.
# Without libpth, which has no small program to replace it.
printf '%s\n' 'stock-alone: src' '	@tools/build-cpython stock' >> "$spaced/Makefile"
run in_clone "$spaced" stock-alone CPYTHON="$cpython" BUILD="$tmp/elsewhere"
is "BUILD elsewhere, CPYTHON with a space and a quote: status" "$status" 0
like "BUILD elsewhere, CPYTHON with a space and a quote: built" "$out" \
    "$tmp/elsewhere/stock/python: started"
ok "CPYTHON with a space and a quote: the same files" \
    diff -r "$cpython" "$tmp/elsewhere/src"
not_ok "BUILD elsewhere: nothing in the clone" test -e "$spaced/build"
ok "BUILD elsewhere: make distclean" \
    in_clone "$spaced" distclean BUILD="$tmp/elsewhere"
not_ok "BUILD elsewhere: it is gone" test -e "$tmp/elsewhere"
cp -a "$cpython" "$tmp/my source's/c pytho2"
for d in "$cpython" "$tmp/my source's/c pytho2/"; do
    ok "src of $d" env PTH_BUILD="$tmp/b" "$top/tools/build-cpython" src --from "$d"
    ok "stock of $d" env PTH_BUILD="$tmp/b" "$top/tools/build-cpython" stock
    not_ok "stock of $d: made anew" test -e "$tmp/b/stock/kept"
    touch "$tmp/b/stock/kept"
done
rm -rf "$tmp/b"

run in_clone "$spaced" libpth PTH="$libpth.not" BUILD="$tmp/b"
like "PTH with a space and a quote: is what is looked for" "$err" \
    "no file $libpth\.not that"
rm -rf "$tmp/b"

# ---- BUILD is a directory of the user's

plain=$tmp/plain
clone "$plain"
mkdir -p "$area/home/src" "$area/home/stock" "$area/home/cache" &&
    echo mine | tee "$area/home/src/f" "$area/home/cache/f" > "$area/home/stock/f"
for target in build demo; do
    refused "make $target, BUILD holds something else" \
        "$area/home holds something else, which a build could overwrite" \
        in_clone "$plain" $target CPYTHON="$cpython" BUILD="$area/home"
done
for target in clean distclean; do
    refused "make $target, BUILD holds something else" \
        "$area/home holds something else than a build: nothing is removed" \
        in_clone "$plain" $target BUILD="$area/home"
done
untouched "make -i clean, BUILD holds something else" \
    in_clone "$plain" -i clean BUILD="$area/home"
mkdir -p "$area/home2/cache" && echo mine > "$area/home2/cache/f"
refused "make clean, BUILD holds a cache/ of somebody else" 'nothing is removed' \
    in_clone "$plain" distclean BUILD="$area/home2"
refused "BUILD=/" '/ holds something else' in_clone "$plain" clean BUILD=/
refused "BUILD is a file" 'home/src/f holds something else' \
    in_clone "$plain" build BUILD="$area/home/src/f" CPYTHON="$cpython"
ln -s "$area/home" "$area/link"
refused "make clean, BUILD is a link to what holds something else" \
    "$area/home holds something else" in_clone "$plain" clean BUILD="$area/link"
ok "make clean, there is no BUILD" in_clone "$plain" clean BUILD="$tmp/nowhere"
not_ok "make clean, there is no BUILD: it makes none" test -e "$tmp/nowhere"

# ---- what is built in, by other names

printf '%s\n' 'stock-alone: src' \
    '	@tools/build-cpython stock' \
    '	@echo "PYTHON=$$STOCK_PYTHON"' >> "$plain/Makefile"
mkdir "$tmp/disk"
ln -s "$tmp/disk" "$tmp/link"
cp -a "$cpython" "$plain/cpython"
for build in '' rel/b "$tmp/abs/b/" "$tmp/link" "$tmp/link/../x//y"; do
    where=$(cd "$plain" && realpath -m -- "${build:-build}")
    run in_clone "$plain" stock-alone BUILD="$build" CPYTHON=cpython/
    is "BUILD='$build', CPYTHON relative: status" "$status$err" 0
    python=$(printf '%s\n' "$out" | sed -n 's/^PYTHON=\(\/.*\)/\1/p')
    ok "BUILD='$build': it is built there" test -x "$where/stock/python"
    ok "BUILD='$build': the tests find it" test -x "$python"
    mkdir "$where/mine" "$where/cache"
    ok "BUILD='$build': clean" in_clone "$plain" clean BUILD="$build"
    is "BUILD='$build': clean keeps what was downloaded, and what is the user's" \
        "$(ls "$where")" "cache
mine"
    run in_clone "$plain" stock-alone BUILD="$build" CPYTHON=cpython
    is "BUILD='$build': it is built there again" "$status$err" 0
    rmdir "$where/mine"
    ok "BUILD='$build': distclean" in_clone "$plain" distclean BUILD="$build"
    is "BUILD='$build': distclean leaves nothing" "$(ls -A "$where" 2>&1 |
        grep -v 'No such file')" ""
done
ok "distclean leaves a directory that was there" test -d "$tmp/link/."
not_ok "distclean removes one that it has made" test -e "$tmp/abs/b"

# A disk of one's own for a part of it.
mkdir -p "$area/fast/src" "$area/cache"
echo mine | tee "$area/fast/src/f" > "$area/cache/f"
run in_clone "$plain" stock-alone CPYTHON=cpython
is "make build" "$status$err" 0
ln -s "$area/fast" "$plain/build/regrtest"
ln -s "$area/cache" "$plain/build/cache"
snapshot "$area" > "$tmp/before"
ok "distclean with links in build/" in_clone "$plain" distclean
snapshot "$area" > "$tmp/after"
ok "distclean does not follow links" diff "$tmp/before" "$tmp/after"
not_ok "distclean removes links" test -e "$plain/build"

# What was downloaded is put there before the first build.
mkdir -p "$plain/build/cache/pth"
echo x > "$plain/build/cache/pth/debian-bookworm.sha256"
run in_clone "$plain" stock-alone CPYTHON=cpython
is "build/ holds our cache/ alone: it is built there" "$status$err" 0
ok "make distclean" in_clone "$plain" distclean

# ---- get-cpython

# Fails like an apt-get that is told of relative names.
cat > "$tmp/bin/apt-get" <<'STUB'
#!/bin/sh
case $* in
    indextargets*) echo "http://archive.example/"; exit ;;
esac
[ "$(grep -c '^Dir::.* "/.*";$' "$2")" -eq 4 ] || { echo "E: relative"; exit 100; }
case $* in
    *source*) cp "$calls.tar.xz" python3.13_3.13.99.orig.tar.xz ;;
esac
STUB
mkdir -p "$tmp/Python-3.13.99/Include"
echo '#define PY_VERSION "3.13.99"' > "$tmp/Python-3.13.99/Include/patchlevel.h"
tar -C "$tmp" -cJf "$calls.tar.xz" Python-3.13.99 || die "tar fails"
mkdir "$tmp/cwd"
get_cpython() {
    (cd "$tmp/cwd" && exec "$top/tools/get-cpython" "$@")
}
for name in "my cache:my tree" "-c:./-t/" "./c'a/:t//" "c,:deep/er/t"; do
    cache=${name%:*} dir=${name#*:}
    run get_cpython --cache "$cache" "$dir"
    is "get-cpython --cache $cache $dir: status" "$status$err" 0
    ok "get-cpython --cache $cache $dir: the tree" \
        diff -r "$tmp/Python-3.13.99" "$tmp/cwd/$dir"
    ok "get-cpython --cache $cache $dir: the cache" \
        test -f "$tmp/cwd/$cache/orig-trixie.sha256"
    rm -rf "$tmp/cwd" && mkdir "$tmp/cwd"
done
ln -s there "$tmp/cwd/here"
ok "get-cpython, DIR is a link to nothing yet" get_cpython --cache c here
ok "get-cpython, DIR is a link to nothing yet: the link stays" \
    test -L "$tmp/cwd/here" -a -d "$tmp/cwd/there"
run get_cpython --cache c here/
one_error "get-cpython, DIR is a link to a directory: refused" 'there exists'
run get_cpython --cache 'c"c' new
one_error "get-cpython, a cache that apt cannot be told of: one line" \
    'name with a quotation mark'

# ---- overlay

cp -a "$cpython" "$tmp/o verlay"
ln -s "$tmp/o verlay" "$tmp/olink"
snapshot "$tmp/o verlay" | grep -v '^d' > "$tmp/before"
ok "overlay apply, DIR is a link with a slash at the end" \
    "$top/tools/overlay" apply "$tmp/olink/"
ok "overlay revert, DIR is a link" "$top/tools/overlay" revert "$tmp/olink"
snapshot "$tmp/o verlay" | grep -v '^d' > "$tmp/after"
ok "overlay, DIR is a link: as it was" diff "$tmp/before" "$tmp/after"

# ---- what may not be written to

as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}
if as_user true 2> /dev/null; then
    mkdir -m 777 "$tmp/free" && mkdir -m 555 "$tmp/locked"
    clone "$tmp/free/clone" && chmod -R a+rX "$tmp/free/clone" "$tmp/bin"
    tool=$tmp/free/clone/tools
    run as_user env PTH_BUILD="$tmp/locked/b" "$tool/build-cpython" stock
    one_error "build-cpython, build/ cannot be made: one line" \
        "cannot write to $tmp/locked/b"
    run as_user "$tool/get-cpython" --cache "$tmp/locked/c" "$tmp/free/new"
    one_error "get-cpython, the cache cannot be made: one line" \
        "cannot make $tmp/locked/c"
    run as_user "$tool/get-cpython" --cache "$tmp/locked" "$tmp/free/new"
    one_error "get-cpython, the cache cannot be written to: one line" \
        "cannot write to $tmp/locked"
    chmod 666 "$calls" "$calls.tar.xz"
    run as_user "$tool/get-cpython" --cache "$tmp/free/c" "$tmp/locked/new"
    one_error "get-cpython, DIR cannot be made: one line" \
        "cannot make $tmp/locked/new"
    is "nothing is made where nothing may be written" "$(ls -A "$tmp/locked")" ""
    # A source tree of somebody else, with nothing to write to.
    cp -a "$cpython" "$tmp/free/ro" && chmod -R a-w,a+rX "$tmp/free/ro"
    run as_user env PTH_BUILD="$tmp/free/b" "$tool/build-cpython" src --from "$tmp/free/ro"
    is "CPYTHON is read-only: status" "$status$err" 0
    ok "CPYTHON is read-only: the overlay can be applied to the copy" \
        as_user env PTH_BUILD="$tmp/free/b" "$tool/build-cpython" stock
    ok "CPYTHON is read-only: the copy can be removed" \
        as_user env PTH_BUILD="$tmp/free/b" "$tool/clean" --all
    not_ok "CPYTHON is read-only: the copy is gone" test -e "$tmp/free/b"
else
    skip "what may not be written to" "there is no setpriv to be another user than root"
fi

done_testing
