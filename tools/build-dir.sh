# The directory that is built in.  To be sourced, with $me the name of the
# program, $top the top of this repository and fail TEXT (one line on stderr,
# exit 1).
#
#   build_dir        have the directory, and its absolute name in $build: what
#                    PTH_BUILD names, or else build/ at the top
#   build_dir_name   its name alone; nothing is made
#   can_build_in DIR can something be built and installed in a directory of this
#                    name?
#   build_dir_state  print what it is:
#                      made    build_dir has made it
#                      empty   it is not there, or empty but for our cache/ that
#                              was put there
#                      other   it holds something else
#
# Names in it are removed and made anew at any time, and `make clean` removes
# them.  So a directory with something else in it is refused; what the first
# build_dir leaves in one that is empty says to the next that it is ours.

# CPython's Makefile and GNU Pth's libtool split names at spaces, the linker
# splits an -rpath at colons and commas, and so on.
can_build_in() {
    case $1 in
        *[[:space:]\"\'\`\$\&\;\<\>\(\)\[\]\{\}\*\?\!\#\\\|\^%:,]*) return 1 ;;
    esac
}

build_dir_name() {
    build=$(realpath -m -- "${PTH_BUILD:-$top/build}") || exit 1
    can_build_in "$build" ||
        fail "nothing can be built in '$build': make and the linker split names at spaces and such signs, so move the clone, or name another directory with BUILD=DIR (PTH_BUILD for a tool)"
    made_here=$build/.cpython-pth
}

build_dir_state() {
    # Builds of older versions have the latter alone.
    if [ -f "$made_here" ] || [ -f "$build/state/src.origin" ]; then
        echo made
    elif [ ! -e "$build" ] && [ ! -L "$build" ] || { [ -d "$build" ] && {
        [ -z "$(ls -A "$build")" ] || { [ "$(ls -A "$build")" = cache ] &&
            [ -n "$(find "$build/cache" -maxdepth 2 -name '*.sha256')" ]; }; }; }
    then
        echo empty
    else
        echo other
    fi
}

build_dir() {
    build_dir_name
    [ "$(build_dir_state)" != other ] ||
        fail "$build holds something else, which a build could overwrite: name a directory that is to be made"
    [ -f "$made_here" ] || {
        says="Made by cpython-pth, see its tools/build-dir.sh"
        # `tools/clean --all` is not to remove that.
        [ ! -d "$build" ] || says="$says; the directory was there"
        mkdir -p "$build" && echo "$says." > "$made_here"
    } 2>/dev/null || fail "cannot write to $build"
}
