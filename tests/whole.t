#!/bin/sh
# A Python thread is a whole thread, for C and C++ code and for the kernel, and
# nobody is stuck with it: what stock CPython does.
#
# usage: prove tests/whole.t
#
# Compiles tests/ext/whole.c and whole_cxx.cpp for both interpreters, PTH_PYTHON
# and STOCK_PYTHON, and runs tests/ext/use_whole.py in each.  And a library that
# does what the runtime of Go does.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/builds.sh"
unset PYTHONPTHSYSCALLS

# build FOR COMPILER SOURCE FLAG...: compile it as FOR's settings say.
build() {
    for=$1 compiler=$2 source=$3
    shift 3
    mkdir -p "$tmp/$for"
    # The settings are lists of words.
    # shellcheck disable=SC2046
    $(config_var "$for" "$compiler") "$@" -O2 -Wall -Werror -pthread \
        $(config_var "$for" CCSHARED) $(includes "$for") -shared \
        -o "$tmp/$for/${source%.*}$(config_var "$for" EXT_SUFFIX)" \
        "$top/tests/ext/$source"
}

# use BY: run the tests.  The limit is for what hangs.
use() {
    (export PYTHONPATH="$tmp/$1" &&
        timeout --kill-after=5 240 "$(interpreter "$1")" -B -X faulthandler \
            "$top/tests/ext/use_whole.py" -v)
}

for by in stock pth; do
    ok "whole.c compiles for $by" build $by CC whole.c
    ok "whole_cxx.cpp compiles for $by" build $by CXX whole_cxx.cpp -std=c++17
    ok "a thread is a whole thread in $by" use $by
    like "tests were run in $by" "$err" '^Ran [1-9][0-9]* tests'
    note "$(printf '%s\n' "$err" | grep skipped)"
done

ok "go_like.c compiles" "$(config_var pth CC)" -O2 -Wall -Werror -pthread -fPIC -shared \
    -o "$tmp/go_like.so" "$top/tests/ext/go_like.c"
for by in stock pth; do
    run timeout --kill-after=5 120 "$(interpreter $by)" -B -X faulthandler \
        "$top/tests/ext/use_go_like.py" "$tmp/go_like.so"
    is "what Go sets for a kernel thread stays with its thread in $by" "$status $out" "0 right"
done

done_testing
