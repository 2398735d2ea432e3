#!/bin/sh
# Tests of tools/overlay, on copies of CPython trees and of this repository.
#
# usage: prove tests/overlay.t
#
# CPYTHON_SRC is a pristine release tree.  Debian's tree and the newest 3.13 come
# from tools/get-cpython, or are $PTH_TREES/debian and $PTH_TREES/newest if set.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

build=${PTH_BUILD:-$top/build}
[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"
[ ! -e "$CPYTHON_SRC/.pth-overlay" ] ||
    die "the overlay is applied to $CPYTHON_SRC: set CPYTHON_SRC to a pristine tree"

# A repository that may be changed: `refresh` writes into it.  Another user than
# root has to read it, see below.
chmod 755 "$tmp"
copy_repository() {
    mkdir "$1" && cp -a "$top/tools" "$1/" || exit 1
    for f in Doc Grammar Include Lib Misc Modules Objects Parser Programs \
             Python Tools; do
        [ ! -d "$top/$f" ] || cp -a "$top/$f" "$1/" || exit 1
    done
    cp "$top"/*.patch "$1/" || exit 1
    find "$1" -name __pycache__ -exec rm -rf {} +
}
repo=$tmp/repo
copy_repository "$repo"
overlay=$repo/tools/overlay

new_files() {
    (cd "$1" && find [A-Z]* -type f ! -name '*.patch' | sort)
}

# The files of CPython that the overlay reads: all that it needs of a tree.
slim=$tmp/slim
slim_copy "$repo" "$slim"

# A fresh slim tree in $1.
slim_tree() {
    rm -rf "$1" && cp -a "$slim" "$1"
}

# Name, type, mode, time and content of everything in a tree; of directories not
# the time, which changes with the files in them.
snapshot() {
    (
        cd "$1" || exit 1
        find . -name .git -prune -o -type d -printf '%y %m %p\n' \
            -o -printf '%y %m %T@ %p %l\n' | sort
        find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
    )
}

# Is the tree $2 what it was in the snapshot $3?
same_tree() {
    snapshot "$2" > "$tmp/.now"
    ok "$1" diff "$3" "$tmp/.now"
}

# refused NAME REGEX DIR CMD...: CMD says so in one line and leaves DIR alone.
refused() {
    refused_name=$1 regex=$2 refused_dir=$3
    shift 3
    snapshot "$refused_dir" > "$tmp/.before"
    run "$@"
    one_error "$refused_name: refused" "$regex"
    is "$refused_name: status" "$status" 1
    same_tree "$refused_name: tree unchanged" "$refused_dir" "$tmp/.before"
}

# --- apply and revert on whole trees

round_trip() {
    what=$1 tree=$2
    snapshot "$tree" > "$tmp/before"
    ok "$what: check" "$overlay" check "$tree"
    same_tree "$what: check changes nothing" "$tree" "$tmp/before"
    ok "$what: apply" "$overlay" apply "$tree"
    like "$what: apply says what is next" "$out" 'configure --with-pth'
    ok "$what: the option is in configure" grep -q -e '--with-pth' "$tree/configure"
    ok "$what: configure can be run" test -x "$tree/configure"
    ok "$what: configure is valid shell" sh -n "$tree/configure"
    missing=$(new_files "$repo" | while read -r f; do
        cmp -s "$repo/$f" "$tree/$f" || echo "$f"
    done)
    is "$what: the new files are there" "$missing" ""
    unchanged=$(patched_files "$repo" | while read -r f; do
        ! cmp -s "$tree/.pth-overlay/original/$f" "$tree/$f" || echo "$f"
    done)
    is "$what: the patched files differ" "$unchanged" ""
    is "$what: no rejects and backups are left" \
        "$(find "$tree" -newer "$tmp/before" \( -name '*.rej' -o -name '*.orig' -o -name '*~' \))" ""
    refused "$what: apply again" 'applied .* already' "$tree" "$overlay" apply "$tree"
    refused "$what: check again" 'applied .* already' "$tree" "$overlay" check "$tree"
    ok "$what: revert" "$overlay" revert "$tree"
    same_tree "$what: revert gives the very tree back" "$tree" "$tmp/before"
}

tree="$tmp/a release"
cp -a "$CPYTHON_SRC" "$tree" || die "cannot copy $CPYTHON_SRC"
find "$tree" -name __pycache__ -exec rm -rf {} +
round_trip "release" "$tree"
ok "release: diff -r" diff -r -x __pycache__ "$CPYTHON_SRC" "$tree"

if command -v git > /dev/null; then
    git_status() {
        git -C "$tree" status --short --ignored
    }
    (
        cd "$tree" && git init -q . &&
        # CPython ignores some files that the release has.
        git add -f . && git -c user.name=test -c user.email=test@localhost \
            commit -q -m "CPython" && git config core.fileMode true
    ) > "$tmp/git.log" 2>&1 || die "git: $(cat "$tmp/git.log")"
    is "git: clean before" "$(git_status)" ""
    round_trip "git" "$tree"
    is "git: clean after revert" "$(git_status)" ""
    ok "git: apply" "$overlay" apply "$tree"
    unlike "git: .pth-overlay is not seen" "$(git -C "$tree" status --short -uall)" '\.pth-overlay'
    is "git: what is seen are the overlay's files" \
        "$(git -C "$tree" status --short -uall | cut -c 4- | sort)" \
        "$( { patched_files "$repo"; new_files "$repo"; echo configure; } | sort)"
    ok "git: revert" "$overlay" revert "$tree"
    is "git: clean again" "$(git_status)" ""
else
    skip "git" "git is not installed"
fi
rm -rf "$tree"

# other_tree NAME ARGS...: the tree as `tools/get-cpython ARGS` gives it.
other_tree() {
    name=$1
    shift
    if [ -n "${PTH_TREES-}" ]; then
        cp -a "$PTH_TREES/$name/." "$tmp/$name" || die "cannot copy $PTH_TREES/$name"
    else
        run "$top/tools/get-cpython" --cache "$build/cache" "$@" "$tmp/$name"
        if [ $status -ne 0 ]; then
            skip "$name tree" "$(printf '%s\n' "$err" | tail -n 1)"
            return
        fi
        note "$out"
    fi
    note "$name tree: $(grep 'define PY_VERSION ' "$tmp/$name/Include/patchlevel.h")"
    round_trip "$name" "$tmp/$name"
    rm -rf "${tmp:?}/$name"
}
other_tree debian --debian
other_tree newest --release forky

# --- names of directories

slim_tree "$tmp/with space"
snapshot "$tmp/with space" > "$tmp/before"
ok "a name with a space and a slash at the end: apply" "$overlay" apply "$tmp/with space/"
ok "a name with a space: revert" "$overlay" revert "$tmp/with space"
same_tree "a name with a space: as it was" "$tmp/with space" "$tmp/before"

slim_tree "$tmp/-v"
ok "a relative name that looks like an option: apply" \
    sh -c 'cd "$1" && "$2" apply -v' sh "$tmp" "$overlay"
ok "a relative name that looks like an option: revert" \
    sh -c 'cd "$1" && "$2" revert -v' sh "$tmp" "$overlay"
same_tree "a name that looks like an option: as it was" "$tmp/-v" "$tmp/before"

mkdir "$tmp/cdpath" "$tmp/here"
slim_tree "$tmp/cdpath/tree"
slim_tree "$tmp/here/tree"
ok "CDPATH does not lead astray" \
    sh -c 'cd "$1" && CDPATH="$2" "$3" apply tree' sh "$tmp/here" "$tmp/cdpath" "$overlay"
ok "CDPATH: the tree that was named" test -d "$tmp/here/tree/.pth-overlay"
same_tree "CDPATH: not the other" "$tmp/cdpath/tree" "$tmp/before"

# --- trees that are refused

t=$tmp/t
mkdir "$tmp/empty"
refused "no directory" 'is not a directory' "$tmp/empty" "$overlay" apply "$tmp/none"
refused "a file" 'is not a directory' "$tmp/empty" "$overlay" apply "$overlay"
refused "not CPython" 'holds no CPython source' "$tmp/empty" "$overlay" apply "$tmp/empty"
refused "not CPython: check" 'holds no CPython source' "$tmp/empty" "$overlay" check "$tmp/empty"
refused "not CPython: revert" 'holds no CPython source' "$tmp/empty" "$overlay" revert "$tmp/empty"

for version in 3.12.11 3.17.0a1 3.1.5 3.130.0 2.6.9; do
    slim_tree "$t"
    set_version "$t" $version
    refused "CPython $version" "is CPython $version: .*3\.13 to 3\.16" "$t" "$overlay" apply "$t"
done
for version in 3.13.99+ 3.14.7 3.15.0rc1+dev 3.16.0a0; do
    slim_tree "$t"
    set_version "$t" $version
    ok "CPython $version is taken" "$overlay" check "$t"
done

patched=$(patched_files "$repo" | grep '\.c$' | head -n 1)
context=$(sed -n '/^@@/,$s/^ \(.*[a-z].*\)/\1/p' "$repo/$patched.patch" | head -n 1)
slim_tree "$t"
# Only at the place of the hunk would do, but everywhere is no less an edit.
awk -v line="$context" '$0 == line { $0 = $0 " /* edited */" } { print }' \
    "$slim/$patched" > "$t/$patched"
not_ok "edited context: the tree is edited" cmp -s "$slim/$patched" "$t/$patched"
refused "edited context" "$patched\.patch does not apply .*Hunk #[0-9]+ FAILED" "$t" "$overlay" apply "$t"
refused "edited context: check" "$patched\.patch does not apply" "$t" "$overlay" check "$t"

new=$(new_files "$repo" | head -n 1)
slim_tree "$t"
mkdir -p "$t/$(dirname "$new")" && echo mine > "$t/$new"
refused "a file that the overlay adds is there" "has a $new already" "$t" "$overlay" apply "$t"
rm "$t/$new"
mkdir "$t/$new"
refused "a directory in place of a file" "has a $new already" "$t" "$overlay" apply "$t"

slim_tree "$t"
rm "$t/$patched"
refused "a patched file is missing" "has no $patched" "$t" "$overlay" apply "$t"
ln -s "$slim/$patched" "$t/$patched"
refused "a patched file is a symbolic link" "$patched is a symbolic link" "$t" "$overlay" apply "$t"

slim_tree "$t"
rm "$t/configure"
mkdir "$t/configure"
refused "configure is a directory" 'configure is not a regular file' "$t" "$overlay" apply "$t"
rmdir "$t/configure"
snapshot "$t" > "$tmp/no-configure"
ok "no configure, as in a tree cleaned for Debian: apply" "$overlay" apply "$t"
ok "no configure: revert" "$overlay" revert "$t"
same_tree "no configure: as it was" "$t" "$tmp/no-configure"

slim_tree "$t"
echo x > "$t/configure.ac.rej"
refused "rejects at hand" 'rejects' "$t" "$overlay" apply "$t"

slim_tree "$t"
echo 'AC_INIT(' >> "$t/configure.ac"
refused "autoconf fails" 'autoconf fails' "$t" "$overlay" apply "$t"

slim_tree "$t"
rm "$t/aclocal.m4"
refused "aclocal.m4 is missing" 'no CPython source' "$t" "$overlay" apply "$t"

# --- tools that are missing

# Every command but $1, in a directory of links.
path_without() {
    rm -rf "${tmp:?}/bin"
    mkdir "$tmp/bin"
    echo "$PATH" | tr : '\n' | while read -r dir; do
        # The first one of a name wins, as in PATH.
        find "$dir/" -maxdepth 1 ! -type d ! -name "$1" \
            -exec ln -s -t "$tmp/bin" {} + 2>/dev/null
    done
}
slim_tree "$t"
for command in patch autoconf; do
    path_without $command
    refused "no $command" "$command is missing: install" "$t" \
        env PATH="$tmp/bin" "$overlay" apply "$t"
done
# The directory is now without autoconf.
for version in 2.69 2.70 2.64 1.11; do
    printf '#!/bin/sh\necho "autoconf (GNU Autoconf) %s"\n' $version > "$tmp/bin/autoconf"
    chmod +x "$tmp/bin/autoconf"
    refused "autoconf $version" "autoconf is $version: .*2\.71" "$t" \
        env PATH="$tmp/bin" "$overlay" apply "$t"
done
for version in 2.71 2.72 2.73e 3.0; do
    {
        printf '#!/bin/sh\n[ "$1" != --version ] || {\n'
        printf '    echo "autoconf (GNU Autoconf) %s"; exit; }\necho made > configure\n' $version
    } > "$tmp/bin/autoconf"
    ok "autoconf $version is taken" env PATH="$tmp/bin" "$overlay" check "$t"
done
# Of 3.14 and later.
sed -i 's/^AC_PREREQ.*/AC_PREREQ([2.72])/' "$t/configure.ac"
ok "a tree that asks for autoconf 2.72: 3.0 is taken" env PATH="$tmp/bin" "$overlay" check "$t"
printf '#!/bin/sh\necho "autoconf (GNU Autoconf) 2.71"\n' > "$tmp/bin/autoconf"
refused "a tree that asks for autoconf 2.72: 2.71" "autoconf is 2\.71: .*needs 2\.72" "$t" \
    env PATH="$tmp/bin" "$overlay" apply "$t"

# --- trees that cannot be written

as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}
slim_tree "$t"
if [ "$(id -u)" -eq 0 ] && ! command -v setpriv > /dev/null; then
    skip "unwritable trees" "root may write everywhere, and there is no setpriv to be another user"
else
    chmod -R a+rX "$repo" "$t"
    chmod a-w "$t"
    refused "the tree is not writable" 'cannot write to' "$t" as_user "$overlay" apply "$t"
    chmod u+w "$t"

    [ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$t"
    # The last directory that gets new files: most are in place by then, and to
    # take one off is a matter of the directory.
    locked=$(dirname "$(new_files "$repo" | grep / | sort | tail -n 1)")
    chmod a-w "$t/$locked"
    refused "$locked/ is not writable" 'cannot write to .*nothing was changed' "$t" \
        as_user "$overlay" apply "$t"
    chmod u+w "$t/$locked"

    ok "owned by a user: apply" as_user "$overlay" apply "$t"
    chmod a-w "$t/$locked"
    run as_user "$overlay" revert "$t"
    one_error "revert with $locked/ not writable" 'cannot write to'
    chmod u+w "$t/$locked"
    ok "revert is completed later" as_user "$overlay" revert "$t"
    ok "revert is completed later: as it was" diff -r "$slim" "$t"
    rm -rf "$t"
fi

# --- apply that breaks down midway

# A parent of a new file is a file in the tree: found only by writing.
copy_repository "$tmp/repo2"
mkdir -p "$tmp/repo2/Python/zz" && echo new > "$tmp/repo2/Python/zz/new.c"
slim_tree "$t"
echo mine > "$t/Python/zz"
refused "a file in place of a directory" 'cannot write to .*nothing was changed' "$t" \
    "$tmp/repo2/tools/overlay" apply "$t"
rm "$t/Python/zz"
snapshot "$t" > "$tmp/before"
ok "a new directory: apply" "$tmp/repo2/tools/overlay" apply "$t"
ok "a new directory: is there" test -f "$t/Python/zz/new.c"
ok "a new directory: revert" "$tmp/repo2/tools/overlay" revert "$t"
same_tree "a new directory: goes with revert" "$t" "$tmp/before"
rm -rf "$tmp/repo2"

# mv and cp that do the N-th of what they are asked for wrong: say no, or end the
# script by a signal, as Ctrl-C and a power cut do.
path_without autoconf
printf '#!/bin/sh\n[ "$1" != --version ] || exec echo "autoconf 2.71"\necho made > configure\n' > "$tmp/bin/autoconf"
chmod +x "$tmp/bin/autoconf"
break_down() {
    rm -f "$tmp/bin/mv" "$tmp/bin/cp" "$tmp/count"
    ln -s "$(command -v mv)" "$tmp/bin/mv"
    ln -s "$(command -v cp)" "$tmp/bin/cp"
    real=$(command -v "$1")
    rm "$tmp/bin/$1"
    cat > "$tmp/bin/$1" <<END
#!/bin/sh
# Of cp only what writes into the tree counts.
case "$1:\$*" in
    mv:*|cp:*.pth-overlay/*) echo x >> "$tmp/count" ;;
esac
if [ -f "$tmp/count" ] && [ \$(wc -l < "$tmp/count") -eq $2 ]; then
    echo x >> "$tmp/count"
    $3
fi
exec $real "\$@"
END
    chmod +x "$tmp/bin/$1"
}
broken_apply() {
    env PATH="$tmp/bin" setsid -w sh -c 'echo $$ > "$1"; exec "$2" apply "$3"' \
        sh "$tmp/pid" "$overlay" "$t"
}
count=$( { patched_files "$repo"; new_files "$repo"; echo configure; } | wc -l)
for n in 1 2 $((count / 2)) "$count"; do
    for tool in cp mv; do
        slim_tree "$t"
        snapshot "$t" > "$tmp/before"

        break_down $tool "$n" 'echo "no space left" >&2; exit 1'
        run broken_apply
        one_error "$tool $n of $count fails" 'nothing was changed: no space left'
        same_tree "$tool $n of $count fails: tree unchanged" "$t" "$tmp/before"

        break_down $tool "$n" "kill -TERM \$(cat '$tmp/pid')"
        run broken_apply
        is "killed at $tool $n of $count: status" "$status" 1
        same_tree "killed at $tool $n of $count: tree unchanged" "$t" "$tmp/before"

        break_down $tool "$n" "kill -INT -\$(cat '$tmp/pid')"
        run broken_apply
        is "Ctrl-C at $tool $n of $count: status" "$status" 1
        same_tree "Ctrl-C at $tool $n of $count: tree unchanged" "$t" "$tmp/before"

        break_down $tool "$n" "kill -KILL -\$(cat '$tmp/pid')"
        run broken_apply
        is "power cut at $tool $n of $count: status" "$status" 137
        refused "power cut at $tool $n of $count: apply" 'already: run .* revert' "$t" "$overlay" apply "$t"
        refused "power cut at $tool $n of $count: refresh" 'in part only: run .* revert' "$t" "$overlay" refresh "$t"
        refused "power cut at $tool $n of $count: add" 'in part only: run .* revert' "$t" "$overlay" add "$t" Python/x.c
        ok "power cut at $tool $n of $count: revert" "$overlay" revert "$t"
        same_tree "power cut at $tool $n of $count: tree unchanged" "$t" "$tmp/before"
    done
done

# A file system with little room left.
if run unshare -rm mount -t tmpfs -o size=1m none "$tmp/empty" && [ $status -ne 0 ]; then
    skip "a full disk" "cannot mount a file system: $err"
else
    full_disk() {
        # usage: full_disk KILOBYTES, which are left beside the tree
        unshare -rm sh -c '
            mount -t tmpfs -o size=64m none "$1" && cp -a "$2" "$1/tree" || exit 9
            free=$(df -k --output=avail "$1" | tail -n 1)
            head -c $(((free - $4) * 1024)) /dev/zero > "$1/filler" || exit 9
            "$3" apply "$1/tree"
            status=$?
            rm -rf "$1/tree/__pycache__"
            diff -r "$2" "$1/tree" > "$5" || status="$status and changed"
            echo "$status"' sh "$tmp/empty" "$slim" "$overlay" "$1" "$tmp/full.diff"
    }
    for room in 0 4 100 1000 2000; do
        run full_disk $room
        is "a full disk with $room KiB left: refused and tree unchanged" "$out" 1
        status=$out
        one_error "a full disk with $room KiB left: says so" \
            'cannot write to .*(No space left|I/O error)'
    done
    run full_disk 16000
    like "a disk with 16 MB left: applied" "$out" '^0 and changed'
fi

# --- revert

slim_tree "$t"
refused "revert of an unapplied tree" 'is not applied' "$t" "$overlay" revert "$t"
refused "refresh of an unapplied tree" 'is not applied' "$t" "$overlay" refresh "$t"
refused "add to an unapplied tree" 'is not applied' "$t" "$overlay" add "$t" Python/x.c

snapshot "$t" > "$tmp/before"
ok "apply" "$overlay" apply "$t"
cp -a "$t/$patched" "$tmp/saved"
echo '/* edited */' >> "$t/$patched"
refused "revert after an edit" "$patched was edited .*refresh" "$t" "$overlay" revert "$t"
cp -a "$tmp/saved" "$t/$patched"
cp -a "$t/$new" "$tmp/saved"
echo '/* edited */' >> "$t/$new"
refused "revert after an edit of a new file" "$new was edited .*refresh" "$t" "$overlay" revert "$t"
rm "$t/$new"
refused "revert after a new file was removed" "$new was edited .*refresh" "$t" "$overlay" revert "$t"
cp -a "$tmp/saved" "$t/$new"
ok "revert after the edits were undone" "$overlay" revert "$t"
same_tree "revert after the edits were undone: as it was" "$t" "$tmp/before"

# --- add and refresh

repository() {
    (cd "$repo" && find . -type f | sort | xargs -d '\n' sha256sum)
}
slim_tree "$t"
cp -a "$CPYTHON_SRC/Python/bltinmodule.c" "$t/Python/"
cp -a "$CPYTHON_SRC/README.rst" "$t/"
snapshot "$t" > "$tmp/before"
ok "apply" "$overlay" apply "$t"
repository > "$tmp/repository"
ok "refresh without an edit" "$overlay" refresh "$t"
is "refresh without an edit: says nothing" "$out$err" ""
repository | diff "$tmp/repository" - > "$tmp/changed"
is "refresh without an edit: writes nothing" "$(cat "$tmp/changed")" ""

refused "add of an absolute name" 'name the file relative' "$t" "$overlay" add "$t" /etc/passwd
refused "add of ../x" 'name the file relative' "$t" "$overlay" add "$t" ../x
refused "add of ./x" 'name the file relative' "$t" "$overlay" add "$t" ./Python/x.c
refused "add of a//x" 'name the file relative' "$t" "$overlay" add "$t" Python//x.c
refused "add of a directory" 'is a directory' "$t" "$overlay" add "$t" Python
refused "add outside CPython's directories" 'holds files below' "$t" "$overlay" add "$t" tests/x.c
refused "add of a new file at the top" 'top of the tree' "$t" "$overlay" add "$t" x.c
refused "add of a good and a bad name" 'top of the tree' "$t" "$overlay" add "$t" Python/x.c x.c

ok "add of a new and of two old files" "$overlay" add "$t" \
    Python/zz/new.c Python/bltinmodule.c README.rst
ok "add again" "$overlay" add "$t" Python/bltinmodule.c
ok "revert after add alone" "$overlay" revert "$t"
same_tree "revert after add alone: as it was" "$t" "$tmp/before"

ok "apply" "$overlay" apply "$t"
ok "add" "$overlay" add "$t" Python/zz/new.c Python/bltinmodule.c README.rst
mkdir -p "$t/Python/zz" && echo 'int new;' > "$t/Python/zz/new.c"
refused "revert would lose a new file" 'Python/zz/new\.c was edited .*refresh' "$t" "$overlay" revert "$t"
sed -i '1s/^/int added;\n/' "$t/Python/bltinmodule.c"
refused "revert would lose an edit" 'was edited .*refresh' "$t" "$overlay" revert "$t"
sed -i '1s/^/int edited;\n/' "$t/$patched" "$t/$new"
sed '/^--- /,$d; /^Last-Update/d' "$repo/$patched.patch" > "$tmp/header"
ok "refresh" "$overlay" refresh "$t"
like "refresh asks for a description" "$out" 'Description in Python/bltinmodule\.c\.patch'
ok "refresh: the edit is in the patch" grep -q '^+int edited;' "$repo/$patched.patch"
ok "refresh: the edit is in the new file" grep -q '^int edited;' "$repo/$new"
ok "refresh: an added patch" grep -q '^+int added;' "$repo/Python/bltinmodule.c.patch"
ok "refresh: an added file" cmp "$t/Python/zz/new.c" "$repo/Python/zz/new.c"
not_ok "refresh: no patch without a change" test -e "$repo/README.rst.patch"
not_ok "refresh: no configure" test -e "$repo/configure" -o -e "$repo/configure.patch"
is "refresh: the header stays" \
    "$(sed '/^--- /,$d; /^Last-Update/d' "$repo/$patched.patch")" "$(cat "$tmp/header")"
ok "refresh: the date is today's" grep -q "^Last-Update: $(date +%Y-%m-%d)$" "$repo/$patched.patch"
like "refresh: a new header is marked" "$(cat "$repo/Python/bltinmodule.c.patch")" '^Description: FIXME'
repository | diff "$tmp/repository" - | sed -n 's|^[<>] [0-9a-f]*  \./||p' | sort -u > "$tmp/changed"
is "refresh: nothing else changed" "$(cat "$tmp/changed")" \
    "$(printf '%s\n' "$new" "$patched.patch" Python/bltinmodule.c.patch Python/zz/new.c | sort)"
repository > "$tmp/repository"
ok "refresh again" "$overlay" refresh "$t"
is "refresh again: says nothing" "$out$err" ""
repository | diff "$tmp/repository" - > "$tmp/changed"
is "refresh again: writes nothing" "$(cat "$tmp/changed")" ""

cp -a "$t" "$tmp/edited"
ok "revert after refresh" "$overlay" revert "$t"
same_tree "revert after refresh: as it was" "$t" "$tmp/before"
ok "the refreshed overlay applies" "$overlay" apply "$t"
ok "the refreshed overlay gives the edited tree" \
    diff -r -x .pth-overlay "$tmp/edited" "$t"

cp -a "$t/.pth-overlay/original/Python/bltinmodule.c" "$t/Python/bltinmodule.c"
rm -r "$t/Python/zz"
ok "refresh after the edits were undone" "$overlay" refresh "$t"
like "refresh: says which patch goes" "$out" 'removed Python/bltinmodule\.c\.patch'
like "refresh: says which file goes" "$out" 'removed Python/zz/new\.c'
not_ok "refresh: the patch is gone" test -e "$repo/Python/bltinmodule.c.patch"
not_ok "refresh: the file is gone" test -e "$repo/Python/zz/new.c"
cp -a "$t/$patched" "$tmp/saved"
rm "$t/$patched"
refused "refresh with a patched file gone" 'cannot delete' "$t" "$overlay" refresh "$t"
cp -a "$tmp/saved" "$t/$patched"
ok "revert at last" "$overlay" revert "$t"
same_tree "revert at last: as it was" "$t" "$tmp/before"

# --- refresh from another branch, whose lines stand elsewhere

slim_tree "$t"
set_version "$t" 3.16.0a0
cp -a "$CPYTHON_SRC/Python/bltinmodule.c" "$t/Python/"
edited=Python/ceval_gil.c
sed -i '1s/^/int moved1;\nint moved2;\n/' "$t/$edited"
ok "another branch: apply" "$overlay" apply "$t"
repository > "$tmp/repository"
ok "another branch: refresh without an edit" "$overlay" refresh "$t"
is "another branch: refresh without an edit: says nothing" "$out$err" ""
repository | diff "$tmp/repository" - > "$tmp/changed"
is "another branch: refresh without an edit: writes nothing" "$(cat "$tmp/changed")" ""
cp "$repo/$edited.patch" "$tmp/saved.patch"
sed -i 's/^\( *\)_PyPth_.*/&\n\1_PyPth_Edited();/' "$t/$edited"
ok "another branch: refresh after an edit of lines of ours" "$overlay" refresh "$t"
ok "another branch: the edit is in the patch" grep -q '^+ *_PyPth_Edited' "$repo/$edited.patch"
is "another branch: at the places that 3.13 has" \
    "$(sed -n 's/^@@ -\([0-9,]*\) .* \(@@.*\)/\1 \2/p' "$repo/$edited.patch")" \
    "$(sed -n 's/^@@ -\([0-9,]*\) .* \(@@.*\)/\1 \2/p' "$tmp/saved.patch")"
mkdir -p "$tmp/straight/Python" && cp "$slim/$edited" "$tmp/straight/$edited"
is "another branch: the patch applies to 3.13 where it says" \
    "$(cd "$tmp/straight" && patch -p1 -F0 < "$repo/$edited.patch")" "patching file $edited"
sed -i '1s/^/int edited;\n/' "$t/$edited"
refused "another branch: refresh after an edit elsewhere" \
    "$edited was changed .*another place.* in a tree of 3\.13" "$t" "$overlay" refresh "$t"
sed -i '1d' "$t/$edited"
ok "another branch: add" "$overlay" add "$t" Python/bltinmodule.c
sed -i '1s/^/int added;\n/' "$t/Python/bltinmodule.c"
refused "another branch: refresh with a file that was not patched" \
    'bltinmodule\.c has no patch yet: .* in a tree of 3\.13' "$t" "$overlay" refresh "$t"
cp "$tmp/saved.patch" "$repo/$edited.patch"

# --- a file that older branches do not have

copy_repository "$tmp/repo3"
printf '%s\n' 'Description: a file of newer branches' 'Since: 3.15' 'Forwarded: no' \
    'Last-Update: 2026-01-01' '' > "$tmp/repo3/Python/newer.c.patch"
printf '%s\n' '--- a/Python/newer.c' '+++ b/Python/newer.c' '@@ -1,2 +1,3 @@' ' int x;' '+int y;' ' int z;' \
    >> "$tmp/repo3/Python/newer.c.patch"
slim_tree "$t"
ok "Since: left out in 3.13" "$tmp/repo3/tools/overlay" apply "$t"
ok "Since: and by refresh" "$tmp/repo3/tools/overlay" refresh "$t"
ok "Since: which leaves the patch" test -f "$tmp/repo3/Python/newer.c.patch"
ok "Since: and by revert" "$tmp/repo3/tools/overlay" revert "$t"
slim_tree "$t"
set_version "$t" 3.15.0
refused "Since: is to be there in 3.15" 'has no Python/newer\.c' "$t" "$tmp/repo3/tools/overlay" apply "$t"
printf 'int x;\nint z;\n' > "$t/Python/newer.c"
ok "Since: applied to 3.15" "$tmp/repo3/tools/overlay" apply "$t"
is "Since: changed there" "$(tr '\n' ' ' < "$t/Python/newer.c")" "int x; int y; int z; "
sed -i '1s/^/int w;\n/' "$t/Python/newer.c"
ok "Since: refreshed from there" "$tmp/repo3/tools/overlay" refresh "$t"
ok "Since: the edit is in the patch" grep -q '^+int w;' "$tmp/repo3/Python/newer.c.patch"
like "Since: the header stays" "$(cat "$tmp/repo3/Python/newer.c.patch")" '^Since: 3\.15$'
rm -rf "$tmp/repo3"

# --- usage

for arguments in "" "apply" "frobnicate $t" "apply $t $t" "check $t x" \
                 "revert $t x" "refresh $t x" "add $t" "--help"; do
    snapshot "$t" > "$tmp/.before"
    # Each word is an argument.
    # shellcheck disable=SC2086
    run "$overlay" $arguments
    is "usage: overlay $arguments: status" "$status" 2
    like "usage: overlay $arguments: shown" "$err" '^usage: tools/overlay check'
    is "usage: overlay $arguments: nothing on stdout" "$out" ""
    same_tree "usage: overlay $arguments: tree unchanged" "$t" "$tmp/.before"
done

# --- the patches' headers (DEP-3, https://dep-team.pages.debian.net/deps/dep3/)

for f in $(cd "$repo" && find [A-Z]* [a-z]*.patch -name '*.patch'); do
    header=$(sed '/^--- /,$d' "$repo/$f")
    # The edited one has lost nothing of it, as tested above.
    like "$f: Description" "$header" '^Description: [^ ].{9,}'
    unlike "$f: no FIXME" "$header" 'FIXME'
    like "$f: Forwarded" "$header" '^Forwarded: (no|not-needed|yes|https?://)'
    like "$f: Last-Update" "$header" '^Last-Update: 20[0-9][0-9]-[01][0-9]-[0-3][0-9]$'
    is "$f: changes that file alone" "$(grep -E '^(---|\+\+\+) [ab]/' "$repo/$f")" \
        "--- a/${f%.patch}
+++ b/${f%.patch}"
done

# ---- GNU Pth: what tools/build-libpth got

source=$build/cache/pth/pth_2.0.7.orig.tar.gz
if [ -f "$source" ] && command -v quilt > /dev/null 2>&1; then
    mkdir "$tmp/pthrepo" && cp -a "$top/tools" "$top/pth" "$tmp/pthrepo/" || exit 1
    overlay=$tmp/pthrepo/tools/overlay
    pth=$tmp/pth
    mkdir "$pth" && tar -xzf "$source" --strip-components=1 -C "$pth" ||
        die "tar fails on $source"
    snapshot "$pth" > "$tmp/pth.before"
    ok "a GNU Pth tree is recognised" "$overlay" check "$pth"
    like "and named" "$out" 'pth/patches apply to .* \(GNU Pth 2\.0\.7\)'
    ok "the patches apply to GNU Pth without fuzz" "$overlay" apply "$pth"
    run "$overlay" apply "$pth"
    one_error "not twice" 'applied to .* already'
    ok "refresh of what was not edited" "$overlay" refresh "$pth"
    ok "leaves the patches as they are" diff -r "$top/pth" "$tmp/pthrepo/pth"
    last=$(tail -n 1 "$top/pth/patches/series")
    file=$(sed -n 's|^--- a/||p' "$top/pth/patches/$last" | head -n 1)
    echo '/* edited */' >> "$pth/$file"
    run "$overlay" revert "$pth"
    one_error "an edit is not lost by revert" 'was edited in'
    ok "refresh keeps it" "$overlay" refresh "$pth"
    ok "in the last patch" grep -q '^+/\* edited \*/' "$tmp/pthrepo/pth/patches/$last"
    ok "revert" "$overlay" revert "$pth"
    is "gives the tree back" "$(snapshot "$pth")" "$(cat "$tmp/pth.before")"
    first=$(head -n 1 "$top/pth/patches/series")
    ok "apply up to a patch" "$overlay" apply "$pth" "$first"
    ok "and no further" test ! -e "$pth/pth_waitq.c"
    ok "revert from there" "$overlay" revert "$pth"
    run "$overlay" apply "$pth" 99-nothing.patch
    one_error "a patch that is not in the series" 'there is no patch 99-nothing'
    mkdir "$pth/.pc" && echo 01-ia64.patch > "$pth/.pc/applied-patches"
    run "$overlay" apply "$pth"
    one_error "a tree with Debian's patches" "has Debian's patches: .*quilt pop -a"
    rm -r "$pth/.pc"
    sed -i 's/2\.0\.7/2.0.6/g' "$pth/pth_vers.c"
    run "$overlay" check "$pth"
    one_error "another version of GNU Pth" 'is GNU Pth 2\.0\.6: .* for 2\.0\.7'
else
    skip "the overlay of GNU Pth" "tools/build-libpth was not run, or no quilt"
fi

done_testing
