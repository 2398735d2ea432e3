#!/bin/sh
# Without --with-pth the patched tree builds the same CPython as the pristine one.
#
# usage: [CPYTHON_CHANGED=DIR] prove tests/unchanged.sh
#
# The patched tree is the pristine one with the overlay, or DIR: a checkout with the
# series of tools/submission, for instance.
#
# Configures both, one after the other below the same directory names, and
# compares what configure writes, what the compiler gets to see of every C file,
# and the objects of the files that are changed.  Takes six minutes.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"
unset MAKEFLAGS CONFIG_SITE CFLAGS CPPFLAGS LDFLAGS LIBS
# For __DATE__ and __TIME__.
SOURCE_DATE_EPOCH=0
export SOURCE_DATE_EPOCH

patched=$(patched_files "$top")
patched_objects=$(echo "$patched" | sed -n 's/\.c$/.o/p')
[ -n "$patched_objects" ] || die "there are no patches of C files in $top"

# A patch moves the lines below it, and PyErr_BadInternalCall() compiles the number
# of its line into the object.
no_lines='-Wno-builtin-macro-redefined -D__LINE__=0'

# Object files of the interpreter and of the modules, but those that are no C or
# need a generated header, for which an interpreter has to be built.
objects() {
    {
        printf 'include Makefile\nprint-objects:\n\t@echo $(LIBRARY_OBJS) Programs/python.o\n' |
            make -s -f - print-objects | tr ' ' '\n'
        grep -o '^Modules/[^ :]*\.o:' Makefile | tr -d :
    } | grep '\.o$' | grep -v -x -e Python/frozen.o -e Modules/getpath.o \
            -e 'Python/asm_trampoline.*\.o' | sort -u
}

# Configure and compile $tmp/src in $tmp/build.
build() {
    mkdir "$tmp/build" && cd "$tmp/build" || exit 1
    ../src/configure -q > log 2>&1 || die "configure fails: $(tail -n 3 log)"
    objects > objects
    # shellcheck disable=SC2086
    make -s -j"$(nproc)" EXTRA_CFLAGS="$no_lines" $patched_objects > log 2>&1 ||
        die "make fails: $(tail -n 5 log)"
    for f in $patched_objects; do
        # Debug information has the numbers of lines, too.
        strip -g -o "${f%.o}.stripped" "$f" || die "strip fails on $f"
    done
    # The commands that compile, made to preprocess without line numbers.
    # shellcheck disable=SC2086
    rm -f $patched_objects
    xargs make -n EXTRA_CFLAGS="$no_lines" < objects 2> log | tr '\t' ' ' | sed ':join; /\\$/ { N; s/\\\n//; b join }' |
        grep -E ' -c .*\.c( |$)' | sort -u |
        sed 's/ -c / -E -P /; s/ -o \([^ ]*\)\.o\( \|$\)/ -o \1.i\2/' > commands
    sed -n 's/.* -o \([^ ]*\)\.i\( .*\|$\)/\1.o/p' commands | sort -u > compiled
    missing=$(comm -13 compiled objects)
    [ -z "$missing" ] || die "make -n does not tell how these are compiled: $missing"
    xargs -d '\n' -n 1 -P "$(nproc)" sh -c < commands > log 2>&1 ||
        die "cannot preprocess: $(head -n 3 log)"
    cd "$top" || exit 1
}

cp -a "$CPYTHON_SRC" "$tmp/src" || die "cannot copy $CPYTHON_SRC"
build
mv "$tmp/build" "$tmp/pristine"
if [ -n "${CPYTHON_CHANGED-}" ]; then
    rm -rf "$tmp/src" && cp -a "$CPYTHON_CHANGED" "$tmp/src" ||
        die "cannot copy $CPYTHON_CHANGED"
else
    run "$top/tools/overlay" apply "$tmp/src"
    [ "$status" -eq 0 ] || die "$err"
fi
build
mv "$tmp/build" "$tmp/overlaid"
cd "$tmp" || exit 1

# --- what configure writes

is "pyconfig.h: the new lines are comments" \
    "$(diff pristine/pyconfig.h overlaid/pyconfig.h | grep '^[<>] .*[^ ]')" \
    "> /* Define to 1 if Python threads run as GNU Pth threads. */
> /* #undef HAVE_PTH */
> /* Define to 1 if a blocking call stops only its GNU Pth thread. */
> /* #undef HAVE_PTH_SYSCALLS */"
# An empty PTH_OBJS, a header to install, and rules for objects that nothing
# asks for.
is "Makefile: new lines" \
    "$(diff pristine/Makefile overlaid/Makefile |
        sed -n 's/^> //p' | sed 's/^[[:space:]]*//; s/^Python\/pth_.*/RULE/; /^$/d' | uniq)" \
    "\\
\$(srcdir)/Include/internal/pycore_pth.h \\
RULE"
is "Makefile: lines that are gone" \
    "$(diff pristine/Makefile overlaid/Makefile | grep '^<')" ""
for f in Modules/config.c Modules/Setup.stdlib Modules/Setup.local Misc/python.pc python-config.py; do
    [ ! -f "pristine/$f" ] || ok "$f" diff "pristine/$f" "overlaid/$f"
done
ok "the same objects are linked" diff pristine/objects overlaid/objects
note "$(wc -l < overlaid/objects) object files"
ok "by the same commands" diff pristine/commands overlaid/commands

# --- what the compiler sees

differing=$(sed 's/\.o$/.i/' overlaid/objects | while read -r f; do
    cmp "pristine/$f" "overlaid/$f" 2>&1
done)
is "every C file: the same text behind the preprocessor" "$differing" ""
# Some files are for another interpreter, the JIT compiler's for one.
like "and it is there, but for less than ten files" \
    "$(sed 's/\.o$/.i/;s,^,pristine/,' overlaid/objects | xargs -I{} find {} -empty | wc -l)" '^[0-9]$'
for f in $patched_objects; do
    f=${f%.o}
    ok "$f.c is among them" grep -qx "$f.o" overlaid/objects
    ok "$f.c: the same text" cmp "pristine/$f.i" "overlaid/$f.i"
    ok "$f.o: the same code and data" cmp "pristine/$f.stripped" "overlaid/$f.stripped"
done

# A changed header that no file includes would have passed unseen.
includes() {
    (cd src && grep -rl --include='*.[ch]' "[\"/<]$1[\">]" Include Modules Objects Parser Programs Python)
}
for f in $(echo "$patched" | grep '\.h$'); do
    ok "$f is included" includes "$(basename "$f")"
done

# The comparison does find a difference.
first=$(head -n 1 overlaid/objects | sed 's/o$/i/')
sed -i '1s/^/int different;\n/' "overlaid/$first"
not_ok "a difference is found" cmp "pristine/$first" "overlaid/$first"

done_testing
