# For tests that need CPython trees that are small, or say to be of another version.
# To be sourced after tap.sh.
#
#   slim_copy REPO TREE        make TREE: of CPYTHON_SRC, the files that the overlay in
#                              REPO changes, and those by which it knows a source tree
#   set_version TREE VERSION   TREE is CPython VERSION from now on

slim_copy() {
    (
        mkdir "$2" && cd "$CPYTHON_SRC" &&
        # shellcheck disable=SC2046
        cp -a --parents configure aclocal.m4 Include/patchlevel.h \
            $(cd "$1" && find [A-Z]* [a-z]*.patch -name '*.patch' | sed 's/\.patch$//') "$2"
    ) || die "cannot copy $CPYTHON_SRC"
}

set_version() {
    sed -i "s/^\(#define PY_VERSION[[:space:]]*\)\"[^\"]*\"/\1\"$2\"/" "$1/Include/patchlevel.h"
}
