#!/bin/sh
# Time slices that end at the worst moment.
#
# usage: prove tests/slice.t

. "$(dirname "$0")/tap.sh"

run ${CC:-cc} -Wall -Werror -O1 -fPIC -shared "$top/tests/ext/slice_in_calloc.c" \
    -o "$tmp/slice_in_calloc.so"
[ $status -eq 0 ] || die "tests/ext/slice_in_calloc.c: $err"

cat > "$tmp/start.py" <<'END'
import ctypes
import threading

def compute():
    while not stop:
        pass

first = threading.Thread(target=int)
first.start()
first.join()
ctypes.CDLL(None).slice_in_calloc()
stop = False
thread = threading.Thread(target=compute)
thread.start()
stop = True
thread.join()
print("both ran")
END

# The timer stops when a slice ends in a process of one thread.  Did it stop for
# good here, the thread that computes would run for ever.
run env LD_PRELOAD="$tmp/slice_in_calloc.so" timeout -s KILL 120 \
    "$PTH_PYTHON" -I "$tmp/start.py"
is "a slice that ends while a second thread starts does not stop the timer" \
    "$status $out" "0 both ran"
[ "$status" -eq 0 ] || show_run

done_testing
