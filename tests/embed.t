#!/bin/sh
# Programs that embed Python: started and finalized again and again, with threads
# of theirs and of ours, in a kernel thread that is not the first one.

. "$(dirname "$0")/tap.sh"

[ -x "$PTH_PYTHON" ] || die "$PTH_PYTHON is missing: run 'make build'"

# Compile and link tests/ext/embed.c against the build of python $1, as $2.
compile() {
    tree=$(dirname "$1")
    libs=$("$1" -I -c 'from sysconfig import get_config_var as get
print(get("LIBS"), get("SYSLIBS"), get("MODLIBS"), get("LINKFORSHARED"))')
    # shellcheck disable=SC2086
    cc -Wall -o "$2" "$top/tests/ext/embed.c" -I"$tree/Include" -I"$tree" \
        "$tree"/libpython3.*.a $libs
}

cases=$(sed -n 's/^    {"\(.*\)", .*},$/\1/p' "$top/tests/ext/embed.c")
for build in stock pth; do
    case $build in
        stock) python=$STOCK_PYTHON ;;
        pth) python=$PTH_PYTHON ;;
    esac
    ok "the program links against $build" compile "$python" "$tmp/embed"
    for case in $cases; do
        # Stock may crash: daemon threads of the last time take the new GIL.
        [ "$case-$build" != again_with_daemons-stock ] || continue
        # A limit on what hangs.
        ok "$case, $build" timeout -k 10 120 "$tmp/embed" "$python" "$case"
    done
done

done_testing
