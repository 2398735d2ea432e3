#!/bin/sh
# Tests of tools/check-fresh: what it types and compares, and what it leaves behind.
# debootstrap and apt-get are replaced by small programs, and so is make in the root
# of Debian; the roots, their mounts and their processes are real.
#
# usage: prove tests/fresh.t

. "$(dirname "$0")/tap.sh"

unset PTH_BUILD
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# A repository of its own, for what is committed is what is tried.
repo=$tmp/repo
check_fresh=$repo/tools/check-fresh
commit() {
    git -C "$repo" add -A &&
        git -C "$repo" -c user.name=test -c user.email=test@localhost \
            commit -q -m "$1" || die "git cannot commit"
}
mkdir -p "$repo/tests/programs" && cp -a "$top/tools" "$top/README.md" "$repo/" &&
    echo /build/ > "$repo/.gitignore" && touch "$repo/tests/a.t" "$repo/tests/cpython.t" \
        "$repo/tests/programs/b.t" "$repo/tests/programs/embedders.t" &&
    git init -q "$repo" || die "cannot copy the repository"
commit one

mkdir "$tmp/bin"
# What `apt-get indextargets` says of a machine's archive.
cat > "$tmp/bin/apt-get" <<'END'
#!/bin/sh
echo http://archive.example/debian/
END
# Called as: debootstrap OPTION... RELEASE ROOT ARCHIVE.  A root of sh, of tools
# and of a make that does what the file `make` beside this directory says.
cat > "$tmp/bin/debootstrap" <<'END'
#!/bin/sh
echo "debootstrap: $*"
here=${0%/bin/*}
while [ $# -gt 3 ]; do shift; done
[ ! -e "$here/no-debootstrap" ] || { echo "E: no such release"; exit 1; }
mkdir -p "$2/proc" "$2/dev" "$2/sys" "$2/root" "$2/bin" "$2/usr/bin" \
    "$2/etc/apt/apt.conf.d" || exit
for p in sh sleep touch; do
    program=$(readlink -f "$(command -v $p)")
    cp "$program" "$2/bin/$p" || exit
    for f in $(ldd "$program" | grep -o '/[^ ]*'); do
        mkdir -p "$2/${f%/*}" && cp -L "$f" "$2/$f" || exit
    done
done
cp "$here/make" "$2/usr/bin/make"
END
cat > "$tmp/make" <<'END'
#!/bin/sh
case $1 in
    demo)
        echo '                         GNU Pth       stock   Pth/stock'
        for n in 1 2 3; do
            echo '  futex calls that wait            0      123,456       0.000'
        done ;;
    check)
        echo "make: $* in $PWD, HOME=$HOME, $((PPID)), ${LC_ALL-no LC_ALL}"
        echo 'All tests successful.'
        echo 'Files=2, Tests=9'
        echo 'Result: PASS' ;;
esac
END
chmod +x "$tmp/bin"/* "$tmp/make"
cp "$tmp/make" "$tmp/make.good"
PATH=$tmp/bin:$PATH

# ---- wrong usage

run "$check_fresh" --slow
is "an unknown option: status" "$status" 2
like "an unknown option: says how to use it" "$err" '^usage: '
run "$check_fresh" bullseye
one_error "a release that README is not for: one line" "'bullseye': say bookworm or trixie"
sed -i 's/^    make check$/    make all/' "$repo/README.md"
run "$check_fresh" trixie
one_error "README has other commands: one line" 'has other commands than make demo and make check'
git -C "$repo" checkout -q README.md

if [ "$(id -u)" -ne 0 ]; then
    run "$check_fresh" trixie
    one_error "without root: one line" 'only root'
    skip "check-fresh in roots" "only root can make them"
    done_testing
fi
unshare --mount --pid --fork true 2> /dev/null || {
    run "$check_fresh" trixie
    one_error "without the right to mount: one line" 'may not mount'
    skip "check-fresh in roots" "this root may not mount"
    done_testing
}

# Mounts below the repository, and processes whose root or directory is there.
left_behind() {
    grep -F "$repo" /proc/self/mounts
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/root")" != / ] || continue
        readlink "$p/root" | grep -F "$repo"
    done 2> /dev/null
    ls -A "$repo/build/fresh" 2> /dev/null
}

# ---- all is well

run "$check_fresh"
is "two releases: status" "$status$err" 0
is "two releases: README's commands in both" \
    "$(printf '%s\n' "$out" | sed -n 's/: exit status 0 after [0-9]* s$//p')" \
    "check-fresh: bookworm: make demo
check-fresh: bookworm: make check
check-fresh: trixie: make demo
check-fresh: trixie: make check"
like "the demo's table is shown" "$out" '^  futex calls that wait  *0 '
like "what prove says is shown" "$out" '^Result: PASS$'
is "nothing is left behind" "$(left_behind)" ""
log=$(cat "$repo/build/log/fresh-trixie.log")
like "a minimal root with what README presupposes" "$log" \
    '^debootstrap: --variant=minbase --include=git,make trixie .*/trixie http://archive\.example/debian/$'
like "the environment of a login" "$log" \
    '^make: check in /root/cpython-pth, HOME=/root, [0-9]*, no LC_ALL$'
run "$check_fresh" --quick trixie
is "--quick: status" "$status$err" 0
like "--quick: all but what takes long" "$out" ": make check TESTS='tests/a\.t ': exit status 0"
unlike "one release alone" "$out" bookworm
run "$check_fresh" --quick --programs trixie
like "--quick --programs: the same" "$out" \
    ": make programs TESTS='tests/programs/b\.t ': exit status 0"
run "$check_fresh" --programs trixie
like "--programs: all of both" "$out" ': make programs: exit status 0'

# ---- something is not

touch "$repo/new"
run "$check_fresh" trixie
like "what is not committed: says so" "$out" 'what is not committed is not tried'
rm "$repo/new"
printf '#!/bin/sh\necho "no such thing"\nexit 3\n' > "$tmp/make"
run "$check_fresh" trixie
is "make demo fails: status" "$status" 1
like "make demo fails: its last lines" "$err" '^no such thing$'
like "make demo fails: says so" "$err" "'make demo' fails on a fresh trixie"
is "make demo fails: nothing is left behind" "$(left_behind)" ""
sed 's/  0  *123,456/ 12,345   123,456/' "$tmp/make.good" > "$tmp/make"
run "$check_fresh" trixie
one_error "threads of GNU Pth wait in futexes: one line" 'is not as README has it'
sed 's/for n in 1 2 3/for n in 1 2/' "$tmp/make.good" > "$tmp/make"
run "$check_fresh" trixie
one_error "a table with a program less: one line" 'is not as README has it'
sed 's/^    check)/&  touch new/' "$tmp/make.good" > "$tmp/make"
run "$check_fresh" trixie
one_error "the clone has changed: one line" 'the clone has changed: \?\? new'
touch "$tmp/no-debootstrap"
run "$check_fresh" trixie
like "debootstrap fails: says so" "$err" 'debootstrap cannot make a root of trixie'
rm "$tmp/no-debootstrap"
is "nothing is left behind by any of them" "$(left_behind)" ""

# ---- interrupted

# A command that does not end, and that does not end by signals.
cat > "$tmp/make" <<'END'
#!/bin/sh
trap '' INT TERM HUP
sleep 1000 &
echo started
while :; do sleep 1000; done
END

# interrupt SIGNAL: run check-fresh, and send it that in the middle of a command.
interrupt() {
    : > "$repo/build/log/fresh-trixie.log"
    # Not as the background of a shell, which ignores SIGINT, or as nohup has it.
    env --default-signal=INT,TERM,HUP "$check_fresh" trixie > /dev/null 2>&1 &
    pid=$!
    until grep -qx started "$repo/build/log/fresh-trixie.log"; do
        kill -0 $pid 2> /dev/null || { diag "check-fresh has ended"; return 1; }
        sleep 0.1
    done
    [ -n "$(left_behind)" ] || { diag "left_behind sees nothing"; return 1; }
    kill -"$1" $pid
    { wait $pid; } 2> /dev/null
    interrupted=$?
}
for signal in INT TERM HUP; do
    interrupt $signal || die "no command to interrupt"
    is "SIG$signal: exit status" "$interrupted" 1
    is "SIG$signal: nothing is left behind" "$(left_behind)" ""
done
interrupt KILL || die "no command to interrupt"
# The kernel ends them one by one.
for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$(left_behind | grep -v '^trixie$')" ] || break
    sleep 1
done
is "SIGKILL: only files are left behind" "$(left_behind)" trixie
cp "$tmp/make.good" "$tmp/make"
run "$check_fresh" trixie
is "and the next run works" "$status$err" 0
is "and leaves nothing behind" "$(left_behind)" ""

done_testing
