#!/bin/sh
# What `make install` installs finds its libpth, and so do programs that embed it.
#
# usage: prove tests/install.t
#
# Installs the build of PTH_PYTHON, static or --enable-shared, below a directory
# that goes away, without CPython's own tests and without compiled modules.

. "$(dirname "$0")/tap.sh"

[ -x "$PTH_PYTHON" ] || die "$PTH_PYTHON is missing: run 'make build'"
# Of the caller's environment: everything is to be found without.
unset LD_LIBRARY_PATH LD_RUN_PATH LIBRARY_PATH CPATH C_INCLUDE_PATH
unset PYTHONPATH PYTHONHOME MAKEFLAGS MAKELEVEL MFLAGS
unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR

variable() {
    "$1" -I -c 'import sys, sysconfig
print(sysconfig.get_config_var(sys.argv[1]))' "$2"
}
built=$(cd "$(dirname "$PTH_PYTHON")" && pwd) || exit 1
version=$(variable "$PTH_PYTHON" VERSION)
shared=$(variable "$PTH_PYTHON" Py_ENABLE_SHARED)
wanted=$("$PTH_PYTHON" -I -c 'import sys; print(sys.thread_info)')
like "the build has GNU Pth threads" "$wanted" "name='pth'"

ok "make install" make -C "$built" -s install DESTDIR="$tmp/root" \
    TEST_MODULES=no ENSUREPIP=no COMPILEALL_OPTS='-x .'
prefix=$tmp/root$(variable "$PTH_PYTHON" prefix)
python=$prefix/bin/python$version
config=$prefix/bin/python$version-config
[ -x "$python" ] && [ -x "$config" ] || die "there is no $python, or no $config"
# Nobody but the caller knows where a shared libpython is.
if [ "$shared" = 1 ]; then
    LD_LIBRARY_PATH=$prefix/lib
    export LD_LIBRARY_PATH
fi

# From elsewhere.
cd / || exit 1
run "$python" -c 'import sys; print(sys.thread_info); print(sys.prefix)'
is "what is installed starts elsewhere, with its libpth" "$out$err" "$wanted
$prefix"

# --- programs that embed it

cat > "$tmp/embed.c" <<'END_C'
#include <Python.h>

int
main(int argc, char **argv)
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    if (argc != 2
        || PyStatus_Exception(PyConfig_SetBytesString(
               &config, &config.program_name, argv[1]))
        || PyStatus_Exception(Py_InitializeFromConfig(&config))) {
        return 1;
    }
    PyConfig_Clear(&config);
    int failed = PyRun_SimpleString(
        "import sys, threading, time\n"
        "threads = [threading.Thread(target=time.sleep, args=(0.01,))\n"
        "           for _ in range(5)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "print(sys.thread_info)\n");
    return Py_FinalizeEx() < 0 || failed;
}
END_C

# embeds NAME FLAG...: compiled with these flags, the program works.
embeds() {
    what=$1
    shift
    ok "$what: suffices to compile and link" "$@" -o "$tmp/embed"
    run "$tmp/embed" "$python"
    is "$what: the program has GNU Pth threads" "$out$err" "$wanted"
    rm -f "$tmp/embed"
}
# The flags are lists of words.
# shellcheck disable=SC2046
embeds "python3-config" cc "$tmp/embed.c" \
    $("$config" --embed --cflags) $("$config" --embed --ldflags)

if command -v pkg-config > /dev/null; then
    flags() {
        PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --define-prefix "$@" \
            "python-$version-embed"
    }
    # CPython's own .pc file leaves out -lm, which a static libpython needs.
    case $shared in
        1) static= ;;
        *) static=--static ;;
    esac
    # shellcheck disable=SC2046
    embeds "python-embed.pc" cc "$tmp/embed.c" $(flags --cflags) \
        $(flags --libs $static) -lm
else
    skip "python-embed.pc: suffices to compile and link" "there is no pkg-config"
    skip "python-embed.pc: the program has GNU Pth threads" "there is no pkg-config"
fi

# shellcheck disable=SC2046
embeds "sysconfig" cc "$tmp/embed.c" \
    -I"$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
    -L"$prefix/lib" -lpython"$(variable "$python" LDVERSION)" \
    $(variable "$python" LIBS) $(variable "$python" SYSLIBS)

done_testing
