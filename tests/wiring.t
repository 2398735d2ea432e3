#!/bin/sh
# Tests of configure --with-pth: what it finds, what it writes and what it refuses.
#
# usage: prove tests/wiring.t
#
# Runs configure only, some twenty times with the results of a first run in its
# cache; takes seven minutes.  Needs a C compiler, and libpth with its header
# where the compiler finds them.

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
unset PTH_CONFIG C_INCLUDE_PATH CPATH LIBRARY_PATH CONFIG_SITE MAKEFLAGS
unset CFLAGS CPPFLAGS LDFLAGS LIBS

# The first run writes the cache.
mkdir "$tmp/first"
(cd "$tmp/first" && "$tree/configure" --cache-file="$tmp/cache") > "$tmp/first/log" 2>&1 ||
    die "configure without the option fails: $(tail -n 3 "$tmp/first/log")"

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

# --- without the option

run configure stock
accepted "stock"
ok "stock: HAVE_PTH is not defined" grep -qx '/\* #undef HAVE_PTH \*/' "$dir/pyconfig.h"
like "stock: thread_pthread.h" "$(thread_headers)" '\$\(srcdir\)/Python/thread_pthread\.h( |$)'
unlike "stock: no header of the backend" "$(thread_headers)" 'pth\.h|pth_internal'
unlike "stock: no object of the backend" "$(grep -v '^Python/pth_.*:' "$dir/Makefile" | grep -o 'Python/pth_[a-z_]*\.o')" pth
unlike "stock: no -lpth" "$(flags)" '-lpth( |$)'
unlike "stock: says nothing of Pth" "$out" 'GNU Pth'
cp "$dir/Makefile" "$tmp/stock.Makefile"
cp "$dir/pyconfig.h" "$tmp/stock.pyconfig.h"
run configure stock --without-pth
accepted "--without-pth"
ok "--without-pth: the same pyconfig.h" cmp "$tmp/stock.pyconfig.h" "$dir/pyconfig.h"
grep -v '^CONFIG_ARGS=' "$tmp/stock.Makefile" > "$tmp/stock.rest"
grep -v '^CONFIG_ARGS=' "$dir/Makefile" > "$tmp/rest"
ok "--without-pth: the same Makefile" diff "$tmp/stock.rest" "$tmp/rest"
like "--help tells of the option" "$("$tree/configure" --help)" '^  --with-pth\[=PREFIX\]'

# --- with it

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
unlike "--with-pth: no flags for the compiler's own places" "$(flags)" \
    '-I/usr/include( |$)|-L/usr/lib|-rpath'
unlike "--with-pth: no debugging or optimizing flags of pth-config" "$(flags)" '-g |relro'
like "--with-pth: the summary says so" "$out" '^Python threads will run as GNU Pth threads \(-lpth\)\.$'
like "--with-pth: the summary tells of the mapping" "$out" '^System call mapping: hard\.$'
like "--with-pth: is in CONFIG_ARGS" "$(variable CONFIG_ARGS)" "'--with-pth'"
# Lines that the option has nothing to do with stay.
is "--with-pth: what changes in the Makefile" \
    "$(diff -b "$tmp/stock.Makefile" "$dir/Makefile" | grep '^[<>]' |
        sed 's/^[<>] //; s/^[[:space:]]*Python\/pth_.*/PTH_OBJS/; s/[=:].*//; /^[[:space:]]*\\*$/d' | sort -u)" \
    "$(printf '%s\n' CONFIG_ARGS LIBS PTH_OBJS Python/thread.o abs_builddir | sort)"

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
        "$(new_objects | grep -v 'pth_sys_\|pth_offload')"
done
run configure pth --with-pth --with-pth-syscalls=soft
refused "--with-pth-syscalls=soft" '--with-pth-syscalls=soft is neither hard nor no: choose'
run configure pth --with-pth-syscalls=hard
refused "--with-pth-syscalls without --with-pth" '--with-pth-syscalls goes with --with-pth'
run configure stock --with-pth-syscalls=no
accepted "--with-pth-syscalls=no without --with-pth"

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

# A libpth of one's own: the header and the library of the system.
header=$(echo '#include <pth.h>' | $CC -E - | sed -n 's/^# [0-9]* "\(.*\/pth\.h\)".*/\1/p' | head -n 1)
library=$($CC -print-file-name=libpth.so)
[ -f "$header" ] && [ -f "$library" ] ||
    die "$CC finds no pth.h and libpth.so: install libpth-dev, or set CC"
prefix=$tmp/prefix
mkdir -p "$prefix/bin" "$prefix/include" "$prefix/libx"
cp "$header" "$prefix/include/"
cp -L "$library" "$prefix/libx/libpth.so"
cat > "$prefix/bin/pth-config" <<END
#!/bin/sh
for option do
    case \$option in
        --cflags) echo "-I$prefix/include" ;;
        --ldflags) echo "-L$prefix/libx" ;;
        --libs) echo "-lpth -ldl" ;;
        --libdir) echo "$prefix/libx" ;;
        *) echo "pth-config: \$option?" >&2; exit 1 ;;
    esac
done
END
chmod +x "$prefix/bin/pth-config"

run configure own --with-pth="$prefix"
accepted "PREFIX"
like "PREFIX: its header" "$(variable CONFIGURE_CFLAGS_NODIST)" "(^| )-I$prefix/include( |\$)"
like "PREFIX: its library" "$(variable CONFIGURE_LDFLAGS_NODIST)" "(^| )-L$prefix/libx( |\$)"
like "PREFIX: found at run time" "$(variable CONFIGURE_LDFLAGS_NODIST)" "(^| )-Wl,-rpath,$prefix/libx( |\$)"
like "PREFIX: its libraries" "$(variable LIBS)" '-lpth -ldl'
like "PREFIX: the summary says so" "$out" 'GNU Pth threads \(-lpth -ldl\)'
unlike "PREFIX: not for extension modules" "$(variable CONFIGURE_CFLAGS) $(variable CONFIGURE_LDFLAGS)" "$prefix"
# With -C the results of one PREFIX are in the cache of the next run.
run configure_here --with-pth
accepted "without PREFIX, with a cache from PREFIX"
unlike "without PREFIX, with a cache from PREFIX: not that one" "$(flags)" "$prefix"
run configure_here --with-pth="$prefix"
accepted "PREFIX, with a cache from --with-pth"
like "PREFIX, with a cache from --with-pth: that one" "$(flags)" "-L$prefix/libx"
run configure_here
accepted "no option, with a cache from --with-pth"
grep -v '^CONFIG_ARGS=\|^abs_builddir=' "$tmp/stock.Makefile" > "$tmp/stock.rest"
grep -v '^CONFIG_ARGS=\|^abs_builddir=' "$dir/Makefile" > "$tmp/rest"
ok "no option, with a cache from --with-pth: the same Makefile" diff "$tmp/stock.rest" "$tmp/rest"
ok "no option, with a cache from --with-pth: the same pyconfig.h" cmp "$tmp/stock.pyconfig.h" "$dir/pyconfig.h"

rm "$prefix/bin/pth-config"
mv "$prefix/libx" "$prefix/lib"
run configure own --with-pth="$prefix"
accepted "PREFIX without pth-config"
like "PREFIX without pth-config: its header" "$(flags)" "-I$prefix/include( |\$)"
like "PREFIX without pth-config: its library" "$(flags)" "-L$prefix/lib( |\$)"
like "PREFIX without pth-config: found at run time" "$(flags)" "-Wl,-rpath,$prefix/lib( |\$)"
like "PREFIX without pth-config: -lpth" "$(variable LIBS)" '(^| )-lpth( |$)'

sed 's/^\(# *define  *PTH_VERSION *\).*/\10x200206/' "$header" > "$prefix/include/pth.h"
like "a header that is too old" "$(cat "$prefix/include/pth.h")" '^# *define +PTH_VERSION +0x200206$'
run configure own --with-pth="$prefix"
refused "PREFIX with an old libpth" '--with-pth finds no GNU Pth 2\.0\.7 or newer .*install it .*PREFIX'

cp "$header" "$prefix/include/pth.h"
$CC -shared -o "$prefix/lib/libpth.so" -x c /dev/null || die "$CC makes no library"
run configure own --with-pth="$prefix"
refused "PREFIX with a libpth that does not link" '--with-pth finds no GNU Pth 2\.0\.7 or newer that links'

rm "$prefix/include/pth.h"
run configure own --with-pth="$prefix"
refused "PREFIX without pth.h" "--with-pth=$prefix holds neither bin/pth-config nor include/pth\\.h"
run configure own --with-pth=/nonexistent
refused "PREFIX that is not there" '--with-pth=/nonexistent holds neither'
run configure own --with-pth=prefix
refused "PREFIX that is relative" '--with-pth=prefix is no absolute name'
run configure own --with-pth=
refused "PREFIX that is empty" '--with-pth= is no absolute name'

# --- libpth of the system

# PATH without pth-config.
mkdir "$tmp/bin"
echo "$PATH" | tr : '\n' | while read -r d; do
    find "$d/" -maxdepth 1 ! -type d ! -name '*pth-config' \
        -exec ln -s -t "$tmp/bin" {} + 2>/dev/null
done
not_ok "a PATH without pth-config" env PATH="$tmp/bin" sh -c 'command -v pth-config'
path=$PATH
PATH=$tmp/bin
run configure pth --with-pth
accepted "no pth-config"
like "no pth-config: -lpth" "$(variable LIBS)" '(^| )-lpth( |$)'

# The compiler looks into C_INCLUDE_PATH before the directories of the system.
mkdir "$tmp/none" "$tmp/old"
echo '#error "there is no pth.h"' > "$tmp/none/pth.h"
sed 's/^\(# *define  *PTH_VERSION *\).*/\10x200206/' "$header" > "$tmp/old/pth.h"
C_INCLUDE_PATH=$tmp/none
export C_INCLUDE_PATH
run configure pth --with-pth
refused "no libpth" '--with-pth finds no GNU Pth 2\.0\.7 or newer .*libpth-dev on Debian.*--with-pth=PREFIX'
run configure stock
accepted "no libpth, and no option"
PATH=$path
run configure pth --with-pth
refused "pth-config, but no pth.h" '--with-pth finds no GNU Pth'
C_INCLUDE_PATH=$tmp/old
run configure pth --with-pth
refused "an old libpth" '--with-pth finds no GNU Pth 2\.0\.7'
unset C_INCLUDE_PATH

# --- what excludes it

run configure pth --with-pth --disable-gil
refused "--disable-gil" '--with-pth and --disable-gil exclude each other'

# Another system: without a cache, and configure asks for a Python 3.13 to run.
printf '#!/bin/sh\necho 3.13\n' > "$tmp/python"
chmod +x "$tmp/python"
build=$("$tree/config.guess")
cross() {
    dir=$tmp/cross
    rm -rf "$dir"
    mkdir "$dir" && cd "$dir" && "$tree/configure" --build="$build" --host="$1" \
        --with-build-python="$tmp/python" --with-pth
}
for host in wasm32-unknown-wasi:WASI wasm32-unknown-emscripten:Emscripten; do
    run cross "${host%:*}"
    cd "$top" || exit 1
    refused "${host#*:}" "--with-pth does not work on ${host#*:}: build for Linux"
done

done_testing
