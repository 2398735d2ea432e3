#!/bin/sh
# Tests of configure --with-pth: what it finds, what it writes and what it refuses.
#
# usage: prove tests/wiring.t
#
# Runs configure only, some forty times with the results of a first run in its
# cache; takes three to ten minutes.  Needs a C compiler and build/libpth.

. "$(dirname "$0")/tap.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"
tree=$tmp/tree
cp -a "$CPYTHON_SRC" "$tree" || die "cannot copy $CPYTHON_SRC"
run "$top/tools/overlay" apply "$tree"
[ $status -eq 0 ] || die "$err"
: "${CC:=cc}"
export CC
# Of the caller's environment; the tests set their own.
unset C_INCLUDE_PATH CPATH LIBRARY_PATH LD_LIBRARY_PATH LD_RUN_PATH CONFIG_SITE
unset CFLAGS CPPFLAGS LDFLAGS LIBS MAKEFLAGS
# Only asked for its version.
PYTHON_FOR_REGEN=true
export PYTHON_FOR_REGEN

libpth=${PTH_BUILD:-$top/build}/libpth
header=$libpth/include/pth.h
[ -f "$header" ] && [ -f "$libpth/lib/libpth.so" ] ||
    die "there is no $libpth: run 'make libpth', or set PTH_BUILD"

# copy_libpth DIR [LIBDIR]: a libpth of its own below $tmp/DIR.
copy_libpth() {
    mkdir -p "$tmp/$1/include" "$tmp/$1/${2-lib}" &&
        cp "$header" "$tmp/$1/include/" &&
        cp -P "$libpth/lib"/libpth.so* "$tmp/$1/${2-lib}/" || exit 1
}

# small_libpth FILE SONAME: a library with the one function that is asked for.
echo 'long pth_version(void) { return 0x200207; }' > "$tmp/small.c"
small_libpth() {
    $CC -shared -fPIC -Wl,-soname,"$2" -o "$1" "$tmp/small.c" ||
        die "$CC makes no library"
}

# Where the compiler and ld.so look by themselves, before the system's own
# places: the libpth below $tmp/$1, or a pth.h that says there is none.
system_has() {
    C_INCLUDE_PATH=$tmp/$1/include LIBRARY_PATH=$tmp/$1/lib LD_LIBRARY_PATH=$tmp/$1/lib
    export C_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH
}
system_has_none() {
    system_has none
    unset LIBRARY_PATH LD_LIBRARY_PATH
}
copy_libpth system
mkdir -p "$tmp/none/include"
echo '#error "there is no pth.h"' > "$tmp/none/include/pth.h"

# It is not asked: when cross-compiling it is that of another machine.
mkdir "$tmp/bin"
printf '#!/bin/sh\ntouch "%s"\nexit 1\n' "$tmp/pth-config.called" > "$tmp/bin/pth-config"
chmod +x "$tmp/bin/pth-config"
PATH=$tmp/bin:$PATH

# The first run is for the cache.  The modules, whose rules are half of configure's work,
# have no part in that.
modules=$tree/Modules/Setup.stdlib.in
mv "$modules" "$tmp/modules" && : > "$modules" && mkdir "$tmp/first" || exit 1
(cd "$tmp/first" && "$tree/configure" --cache-file="$tmp/cache") > "$tmp/first/log" 2>&1 ||
    die "configure without the option fails: $(tail -n 3 "$tmp/first/log")"
mv "$tmp/modules" "$modules"

# Without what the first run's environment was: other tests have another.
sed -i '/^ac_cv_env_/d' "$tmp/cache"

# configure DIR ARG...: run it in $tmp/DIR, with a copy of the cache.
configure() {
    dir=$tmp/$1
    shift
    rm -rf "$dir"
    mkdir "$dir" && cp "$tmp/cache" "$dir/cache" || exit 1
    configure_here "$@"
}
configure_here() {
    (cd "$dir" && "$tree/configure" --cache-file=cache "$@")
}

# accepted NAME: the last `run configure` found what it wants.
accepted() {
    is "$1: configure's status" "$status" 0
    [ "$status" -eq 0 ] || show_run
}

# refused NAME REGEX: it said why not, in one sentence, and made no Makefile.
refused() {
    is "$1: refused" "$status" 1
    errors=$(printf '%s\n' "$err" | grep 'error:')
    like "$1: says why" "$errors" "^configure: error: $2"
    is "$1: one error" "$(printf '%s\n' "$errors" | wc -l)" 1
    not_ok "$1: no Makefile" test -e "$dir/Makefile"
}

# The value of a variable of the Makefile in $dir.
variable() {
    sed -n "s/^$1=[[:space:]]*//p" "$dir/Makefile"
}

# Where LIBS names the library $1.
needed() {
    echo "-Wl,--push-state,--no-as-needed $1 -Wl,--pop-state"
}

# What thread.o depends on.
thread_headers() {
    sed -n 's/^Python\/thread\.o: *//p' "$dir/Makefile"
}

flags() {
    for v in CC CXX LINKCC BLDSHARED LDSHARED LIBS SYSLIBS BASECFLAGS CFLAGS_NODIST \
             CONFIGURE_CFLAGS CONFIGURE_CFLAGS_NODIST CONFIGURE_CPPFLAGS \
             CONFIGURE_LDFLAGS CONFIGURE_LDFLAGS_NODIST LDFLAGS_NODIST; do
        echo "$v=$(variable $v)"
    done
}

new_objects() {
    (cd "$top" && find Python -name 'pth_*.c' | sort | sed 's/c$/o/')
}

# make_with TEXT: what the Makefile in $dir makes of TEXT with its variables.
make_with() {
    printf 'all-of-it:\n\t@echo %s\n' "$1" |
        make -s -C "$dir" -f Makefile -f - all-of-it
}

# The file that a program linked as python is takes pth_version() from.
cat > "$tmp/which.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
long pth_version(void);
int
main(void)
{
    Dl_info info;
    if (pth_version() < 0x200207
        || !dladdr(dlsym(RTLD_DEFAULT, "pth_version"), &info)) {
        return 1;
    }
    puts(info.dli_fname);
    return 0;
}
END
library_used() {
    # shellcheck disable=SC2046
    eval $(make_with '$(LINKCC) $(PY_CORE_LDFLAGS) $(LINKFORSHARED)') \
        -o "$tmp/which" "$tmp/which.c" $(make_with '$(LIBS) $(MODLIBS) $(SYSLIBS)') &&
        (unset LD_LIBRARY_PATH; "$tmp/which")
}

# --- without the option

system_has_none
run configure stock
accepted "stock"
ok "stock: HAVE_PTH is not defined" grep -qx '/\* #undef HAVE_PTH \*/' "$dir/pyconfig.h"
like "stock: thread_pthread.h" "$(thread_headers)" '\$\(srcdir\)/Python/thread_pthread\.h( |$)'
unlike "stock: no header of the backend" "$(thread_headers)" 'pth\.h|pth_internal'
unlike "stock: no object of the backend" "$(grep -v '^Python/pth_.*:' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o')" pth
unlike "stock: no -lpth" "$(flags)" '-lpth( |$)|libpth'
unlike "stock: says nothing of Pth" "$out" 'GNU Pth'
cp "$dir/Makefile" "$tmp/stock.Makefile"
cp "$dir/pyconfig.h" "$tmp/stock.pyconfig.h"
run configure stock --without-pth
accepted "--without-pth"
ok "--without-pth: the same pyconfig.h" cmp "$tmp/stock.pyconfig.h" "$dir/pyconfig.h"
grep -v '^CONFIG_ARGS=' "$tmp/stock.Makefile" > "$tmp/stock.rest"
grep -v '^CONFIG_ARGS=' "$dir/Makefile" > "$tmp/rest"
ok "--without-pth: the same Makefile" diff "$tmp/stock.rest" "$tmp/rest"
like "--help tells of the option" "$(cd "$tmp" && "$tree/configure" --help)" \
    '^  --with-pth\[=PREFIX\]'

# --- with it

system_has system
run configure pth --with-pth
accepted "--with-pth"
is "--with-pth: HAVE_PTH and HAVE_PTH_SYSCALLS are all that changes in pyconfig.h" \
    "$(diff "$tmp/stock.pyconfig.h" "$dir/pyconfig.h" | grep '^[<>]')" \
    "< /* #undef HAVE_PTH */
> #define HAVE_PTH 1
< /* #undef HAVE_PTH_SYSCALLS */
> #define HAVE_PTH_SYSCALLS 1"
for h in Python/thread_pth.h Python/pth_internal.h Include/internal/pycore_pth.h Python/condvar.h; do
    like "--with-pth: thread.o depends on $h" "$(thread_headers)" "\\\$\\(srcdir\\)/$h( |\$)"
done
unlike "--with-pth: not on thread_pthread.h" "$(thread_headers)" 'thread_pthread\.h'
is "--with-pth: every object of the backend is linked" \
    "$(grep -E '^[[:space:]]+Python/pth_' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o' | sort)" \
    "$(new_objects)"
is "--with-pth: and depends on pth_internal.h" \
    "$(grep 'Python/pth_.*\.o: .*/Python/pth_internal\.h' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o' | sort)" \
    "$(new_objects)"
is "--with-pth: what the mapping shares depends on pth_syscalls.h" \
    "$(grep 'Python/pth_.*\.o: .*/Python/pth_syscalls\.h' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o' | sort)" \
    "$(cd "$top" && grep -l '^#include "pth_syscalls\.h"' Python/pth_*.c | sed 's/c$/o/' | sort)"
like "--with-pth: -lpth" "$(variable LIBS)" '(^| )-lpth( |$)'
unlike "--with-pth: no pthread flag or library" "$(flags)" '-(K?pthread|lpthread|Kthread)'
unlike "--with-pth: no flags for the compiler's own places" "$(flags)" '-I/usr|-L|-rpath'
like "--with-pth: the summary says so" "$out" '^Python threads will run as GNU Pth threads \(-lpth\)\.$'
like "--with-pth: the summary tells of the mapping" "$out" '^System call mapping: hard\.$'
like "--with-pth: is in CONFIG_ARGS" "$(variable CONFIG_ARGS)" "'--with-pth'"
# Lines that the option has nothing to do with stay.
is "--with-pth: what changes in the Makefile" \
    "$(diff -b "$tmp/stock.Makefile" "$dir/Makefile" | grep '^[<>]' |
        sed 's/^[<>] //; s/^[[:space:]]*Python\/pth_.*/PTH_OBJS/; s/[=:].*//; /^[[:space:]]*\\*$/d' | sort -u)" \
    "$(printf '%s\n' CONFIG_ARGS LIBS PTH_OBJS Python/thread.o abs_builddir | sort)"

# Nor has the option from here on.
: > "$modules"

# --- the system call mapping

linked_objects() {
    grep -E '^[[:space:]]+Python/pth_' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o' | sort
}
for option in --with-pth-syscalls=hard --with-pth-syscalls; do
    run configure pth --with-pth $option
    accepted "$option"
    ok "$option: HAVE_PTH_SYSCALLS" grep -qx '#define HAVE_PTH_SYSCALLS 1' "$dir/pyconfig.h"
    is "$option: every object" "$(linked_objects)" "$(new_objects)"
done
for option in --with-pth-syscalls=no --without-pth-syscalls; do
    run configure pth --with-pth $option
    accepted "$option"
    like "$option: the summary says so" "$out" '^System call mapping: no\.$'
    ok "$option: no HAVE_PTH_SYSCALLS" grep -qx '/\* #undef HAVE_PTH_SYSCALLS \*/' "$dir/pyconfig.h"
    is "$option: the objects without the mapping" "$(linked_objects)" \
        "$(new_objects | grep -v pth_sys_)"
done
run configure pth --with-pth --with-pth-syscalls=soft
refused "--with-pth-syscalls=soft" '--with-pth-syscalls=soft is neither hard nor no: choose'
run configure pth --with-pth-syscalls=hard
refused "--with-pth-syscalls without --with-pth" '--with-pth-syscalls goes with --with-pth'
run configure stock --with-pth-syscalls=no
accepted "--with-pth-syscalls=no without --with-pth"

# Another C library: what <features.h> of musl says is nothing.
mkdir "$tmp/musl.include"
printf '#include_next <features.h>\n#undef __GLIBC__\n' > "$tmp/musl.include/features.h"
CPATH=$tmp/musl.include
export CPATH
run configure musl --with-pth
refused "no GNU C library" '--with-pth needs the GNU C library: .*without --with-pth$'
run configure musl --with-pth --with-pth-syscalls=no
refused "no GNU C library, --with-pth-syscalls=no" '--with-pth needs the GNU C library: '
unset CPATH

# Another machine: to the compiler, one of 32 bits.
run configure machine --with-pth CPPFLAGS=-U__LP64__
refused "another machine" '--with-pth has not been ported to .* with this ABI: build for x86-64 or aarch64'

# A glibc before 2.34 wants -pthread and has sem_init in libpthread.
sed -e 's/^\(ac_cv_pthread_is_default=\).*/\1no/' \
    -e 's/^\(ac_cv_pthread=\).*/\1yes/' -e 's/^\(ac_cv_kpthread=\).*/\1no/' \
    -e 's/^\(ac_cv_search_sem_init=\).*/\1-lpthread/' "$tmp/cache" > "$tmp/cache.old"
mkdir "$tmp/oldc"
cp "$tmp/cache.old" "$tmp/oldc/cache"
dir=$tmp/oldc
run configure_here
accepted "old glibc, stock"
like "old glibc, stock: -pthread" "$(variable CC)" '-pthread'
like "old glibc, stock: -lpthread" "$(variable LIBS)" '-lpthread'
rm -rf "$dir"
mkdir "$dir"
cp "$tmp/cache.old" "$dir/cache"
run configure_here --with-pth
accepted "old glibc, --with-pth"
unlike "old glibc, --with-pth: no pthread flag or library" "$(flags)" '-(K?pthread|lpthread|Kthread)'

# --- PREFIX

# uses NAME LIBRARY: python would run with that one.
uses() {
    is "$1: the library that runs" "$(library_used 2>&1)" "$2"
}

# Without a cache every test of configure is made with PREFIX.
is "PREFIX: the pyconfig.h of the two builds differs in HAVE_PTH and HAVE_PTH_SYSCALLS" \
    "$(diff "${STOCK_PYTHON%/*}/pyconfig.h" "${PTH_PYTHON%/*}/pyconfig.h" | grep '^[<>] *#\|^[<>] /\* *#')" \
    "> #define HAVE_PTH 1
> #define HAVE_PTH_SYSCALLS 1"

# Only there.
system_has_none
copy_libpth prefix
prefix=$tmp/prefix
run configure own --with-pth="$prefix"
accepted "PREFIX"
uses "PREFIX" "$prefix/lib/libpth.so.20"
like "PREFIX: its header" "$(variable CONFIGURE_CFLAGS_NODIST)" "(^| )-I$prefix/include( |\$)"
like "PREFIX: the library by its name, and where it is at run time" "$(variable LIBS)" \
    "^$(needed "$prefix/lib/libpth.so") -Wl,-rpath,$prefix/lib( |\$)"
like "PREFIX: python looks there first" "$(make_with '$(LINKCC) $(PY_CORE_LDFLAGS)')" \
    "^ *$CC [^/]*-Wl,-rpath,$prefix/lib( |\$)"
like "PREFIX: the summary says so" "$out" "GNU Pth threads \\($prefix/lib/libpth\\.so\\)"
unlike "PREFIX: not for extension modules" \
    "$(make_with '$(LDSHARED) $(CONFIGURE_CFLAGS) $(CONFIGURE_LDFLAGS) $(CONFIGURE_CPPFLAGS)')" "$prefix"
is "PREFIX: the same pyconfig.h as without" \
    "$(diff "$tmp/stock.pyconfig.h" "$dir/pyconfig.h" | grep -c '^[<>]')" 4
for f in Misc/python.pc Misc/python-embed.pc; do
    like "PREFIX: $f tells those who embed" "$(cat "$dir/$f")" \
        "^Libs\\.private: .*$(needed "$prefix/lib/libpth.so") -Wl,-rpath,$prefix/lib"
done
# shellcheck disable=SC2046
ok "PREFIX: programs that name libraries before what needs them have it" \
    $CC -Wl,--as-needed $(variable LIBS) -o "$tmp/which" "$tmp/which.c"
# With -C the results of one PREFIX are in the cache of the next run.
system_has system
run configure_here --with-pth
accepted "without PREFIX, with a cache from PREFIX"
unlike "without PREFIX, with a cache from PREFIX: not that one" "$(flags)" "$prefix"
run configure_here --with-pth="$prefix/"
accepted "PREFIX with a slash, with a cache from --with-pth"
uses "PREFIX with a slash, with a cache from --with-pth" "$prefix/lib/libpth.so.20"
run configure_here
accepted "no option, with a cache from --with-pth"
ok "no option, with a cache from --with-pth: the same pyconfig.h" cmp "$tmp/stock.pyconfig.h" "$dir/pyconfig.h"
unlike "no option, with a cache from --with-pth: no libpth" "$(flags)" 'pth( |$)|libpth'

# In the system, too, and where the caller's own flags lead first.
system_has system
copy_libpth other
other=$tmp/other/lib
run configure own --with-pth="$prefix" CPPFLAGS="-I$tmp/other/include" \
    LDFLAGS="-L$other -Wl,-rpath,$other" LIBS="-lm"
accepted "PREFIX, and others"
uses "PREFIX, and others" "$prefix/lib/libpth.so.20"
like "PREFIX, and others: the caller's LIBS stay" "$(variable LIBS)" ' -lm( |$)'
like "PREFIX, and others: the caller's LDFLAGS stay" "$(variable CONFIGURE_LDFLAGS)" \
    "^-L$other -Wl,-rpath,$other"

run configure own --with-pth="$prefix" --enable-shared
accepted "PREFIX, --enable-shared"
echo 'long pth_version(void); long version(void) { return pth_version(); }' > "$tmp/libx.c"
# shellcheck disable=SC2046
eval $(make_with '$(BLDSHARED)') -fPIC -o "$tmp/libx.so" "$tmp/libx.c" \
    $(make_with '$(MODLIBS) $(SHLIBS)') || die "no library can be linked"
like "PREFIX, --enable-shared: libpython leads to it" "$(objdump -p "$tmp/libx.so")" \
    "(RPATH|RUNPATH) +$prefix/lib(:|\$)"
like "PREFIX, --enable-shared: and needs it" "$(objdump -p "$tmp/libx.so")" 'NEEDED +libpth\.so\.20'

# What the caller's flags lead to does without PREFIX.
system_has_none
unset C_INCLUDE_PATH
run configure own --with-pth CPPFLAGS="-I$tmp/other/include" \
    LDFLAGS="-L$other -Wl,-rpath,$other"
accepted "no PREFIX, flags of one's own"
uses "no PREFIX, flags of one's own" "$other/libpth.so.20"

# Other places below PREFIX.
system_has_none
multiarch=$($CC --print-multiarch)
for libdir in lib64 ${multiarch:+"lib/$multiarch"}; do
    copy_libpth "prefix.$libdir" "$libdir"
    run configure own --with-pth="$tmp/prefix.$libdir"
    accepted "PREFIX/$libdir"
    uses "PREFIX/$libdir" "$tmp/prefix.$libdir/$libdir/libpth.so.20"
done
mkdir -p "$tmp/static/lib" "$tmp/static/include"
cp "$header" "$tmp/static/include/"
$CC -c -fPIC -o "$tmp/small.o" "$tmp/small.c" &&
    ar rc "$tmp/static/lib/libpth.a" "$tmp/small.o" || die "there is no static library"
run configure own --with-pth="$tmp/static"
accepted "PREFIX with a static library"
uses "PREFIX with a static library" "$tmp/which"
unlike "PREFIX with a static library: no rpath" "$(flags)" rpath

mkdir -p "$tmp/bad/lib" "$tmp/bad/include"
bad=$tmp/bad
sed 's/^\(# *define  *PTH_VERSION *\).*/\10x200206/' "$header" > "$bad/include/pth.h"
like "a header that is too old" "$(cat "$bad/include/pth.h")" '^# *define +PTH_VERSION +0x200206$'
small_libpth "$bad/lib/libpth.so" libpth.so.20
run configure own --with-pth="$bad"
refused "PREFIX with an old libpth" '--with-pth finds no GNU Pth 2\.0\.7 or newer .*install it.*PREFIX'
cp "$header" "$bad/include/pth.h"
$CC -shared -o "$bad/lib/libpth.so" -x c /dev/null || die "$CC makes no library"
run configure own --with-pth="$bad"
refused "PREFIX with a libpth that does not link" '--with-pth finds no GNU Pth 2\.0\.7 or newer that links'
rm "$bad/lib/libpth.so"
run configure own --with-pth="$bad"
refused "PREFIX without a library" "--with-pth=$bad holds no libpth\\.so and no libpth\\.a in lib, lib64 or lib/.*: name"
rm "$bad/include/pth.h"
run configure own --with-pth="$bad"
refused "PREFIX without pth.h" "--with-pth=$bad holds no include/pth\\.h: name"
run configure own --with-pth=/nonexistent
refused "PREFIX that is not there" '--with-pth=/nonexistent holds no include'
run configure own --with-pth=prefix
refused "PREFIX that is relative" '--with-pth=prefix is no absolute name'
run configure own --with-pth=
refused "PREFIX that is empty" '--with-pth= is no absolute name'
run configure own "--with-pth=$tmp/a prefix"
refused "PREFIX with a space" '--with-pth=.*/a prefix has a space in its name'

# --- libpth of the system

system_has_none
run configure pth --with-pth
refused "no libpth" '--with-pth finds no GNU Pth 2\.0\.7 or newer that links: install it, or .*--with-pth=PREFIX'
mkdir -p "$tmp/old/include"
sed 's/^\(# *define  *PTH_VERSION *\).*/\10x200206/' "$header" > "$tmp/old/include/pth.h"
system_has old
run configure pth --with-pth
refused "an old libpth" '--with-pth finds no GNU Pth 2\.0\.7'
# As in /usr/local of a system whose ld.so does not look there.
mkdir -p "$tmp/local/include" "$tmp/local/lib"
cp "$header" "$tmp/local/include/"
small_libpth "$tmp/local/lib/libpth.so" libpth-of-nowhere.so.1
system_has local
unset LD_LIBRARY_PATH
run configure pth --with-pth
refused "a libpth that ld.so does not find" '--with-pth finds a GNU Pth that links, but a program with it does not start: .*PREFIX'

# --- what excludes it

run configure pth --with-pth --disable-gil
refused "--disable-gil" '--with-pth and --disable-gil exclude each other'

# --- cross-compiling

# configure asks for a Python of its version to run.  The other machine is this one, by
# another name, so what was found on this one holds there.
version=$(sed -n 's/^#define PY_VERSION  *"\(3\.[0-9]*\).*/\1/p' "$tree/Include/patchlevel.h")
printf '#!/bin/sh\necho %s\n' "$version" > "$tmp/python"
chmod +x "$tmp/python"
build=$("$tree/config.guess")
cross() {
    dir=$tmp/cross target=$1
    shift
    rm -rf "$dir"
    mkdir "$dir" && cp "$tmp/cache" "$dir/cache" && (
        cd "$dir" && "$tree/configure" --cache-file=cache --build="$build" --host="$target" \
            --with-build-python="$tmp/python" ac_cv_file__dev_ptmx=yes \
            ac_cv_file__dev_ptc=no ac_cv_buggy_getaddrinfo=no "$@"
    )
}
# What is linked for the other machine does not start on this one.
run cross "${build%%-*}-other-linux-gnu" --with-pth
accepted "cross-compiling, the compiler's own libpth"
like "cross-compiling, the compiler's own libpth: -lpth" "$(variable LIBS)" "^$(needed -lpth)( |\$)"
run cross "${build%%-*}-other-linux-gnu" --with-pth="$tmp/local"
accepted "cross-compiling, PREFIX"
like "cross-compiling, PREFIX: that one" "$(variable LIBS)" \
    "^$(needed "$tmp/local/lib/libpth.so") -Wl,-rpath,$tmp/local/lib"
# Where that does not hold.
: > "$tmp/cache"
for host in wasm32-unknown-wasi:WASI wasm32-unknown-emscripten:Emscripten; do
    # Which main asks for first.
    run cross "${host%:*}" --with-pth HOSTRUNNER=true
    refused "${host#*:}" "--with-pth does not work on ${host#*:}: build for Linux"
done

not_ok "pth-config was never asked" test -e "$tmp/pth-config.called"

done_testing
