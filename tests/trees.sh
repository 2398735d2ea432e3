# For tests that need CPython trees that are small, or say to be of another version.
# To be sourced after tap.sh.
#
#   patched_files REPO         print the files that the overlay in REPO changes, of those
#                              that CPYTHON_SRC has: others are of newer releases
#   slim_copy REPO TREE        make TREE: of CPYTHON_SRC, the files that the overlay in
#                              REPO changes, and those by which it knows a source tree
#   set_version TREE VERSION   TREE is CPython VERSION from now on

patched_files() {
    (cd "$1" && find [A-Z]* [a-z]*.patch -name '*.patch' | sed 's/\.patch$//' | sort) |
        while read -r f; do
            [ ! -f "$CPYTHON_SRC/$f" ] || echo "$f"
        done
}

slim_copy() {
    (
        mkdir "$2" && cd "$CPYTHON_SRC" &&
        # No file of the overlay has a space in its name.
        # shellcheck disable=SC2046
        cp -a --parents configure aclocal.m4 Include/patchlevel.h \
            $(patched_files "$1") "$2"
    ) || die "cannot copy $CPYTHON_SRC"
}

set_version() {
    sed -i "s/^\(#define PY_VERSION[[:space:]]*\)\"[^\"]*\"/\1\"$2\"/" "$1/Include/patchlevel.h"
    case $2 in
        3.1[5-9]*)
            # What older ones do not have, as far as its patch looks at it.
            mkdir -p "$1/Modules/_remote_debugging" &&
                printf '}\n\n1\n2\n3\n4\n5\n    }\n\n' > "$1/Modules/_remote_debugging/threads.c" ;;
    esac
}
