#!/bin/sh
# Tests of tools/submission: the series that it writes, and what it refuses.
#
# usage: prove tests/submission.t
#
# CPYTHON_SRC is a pristine release tree; a copy of it that says it is main stands for
# main, without most of what submission/*.insert adds, which is for main alone.  If CPYTHON_MAIN
# is a checkout of main, the whole series is made for that, too.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/trees.sh"

[ -f "$CPYTHON_SRC/configure.ac" ] ||
    die "no CPython tree in $CPYTHON_SRC: run 'make check', or set CPYTHON_SRC"
for tool in git autoheader; do
    if ! command -v $tool > /dev/null; then
        skip "the submission" "$tool is not installed"
        done_testing
    fi
done
# git am wants to know who it is.
GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@localhost
GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@localhost
export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL

# A git checkout in $1 of the tree $2.
checkout() {
    (cd "$1" && git init -q . && git add -A -f . && git commit -q -m base) > "$tmp/git.log" 2>&1 ||
        die "git: $(tail -n 1 "$tmp/git.log")"
}

repo=$tmp/repo
mkdir "$repo" && cp -a "$top/tools" "$top/submission" "$top/README.md" "$repo/" || exit 1
for f in Doc Include Lib Modules Objects Parser Programs Python Tools; do
    [ ! -d "$top/$f" ] || cp -a "$top/$f" "$repo/" || exit 1
done
cp "$top"/*.patch "$repo/" || exit 1
find "$repo" -name __pycache__ -exec rm -rf {} +
sed -i -E 's/ [a-z]+\.insert//g; s,^08.*,& Python/initconfig.c,' "$repo/submission/series"
# 07 is but insertions.
sed -i '/^07/d' "$repo/submission/series"

main=$tmp/main
slim_copy "$repo" "$main"
cp -a "$main" "$tmp/release"
set_version "$main" 3.16.0a0
checkout "$main"

# --- what is refused

run "$repo/tools/submission"
is "no argument: status" "$status" 2
run "$repo/tools/submission" --issue x "$main" "$tmp/out"
is "--issue that is no number: status" "$status" 2
run "$repo/tools/submission" "$tmp/nothing" "$tmp/out"
one_error "no directory" 'submission: .*/nothing is not a directory'
run "$repo/tools/submission" "$tmp/release" "$tmp/out"
one_error "a release" "is not CPython's main branch \\(3\\.16\\)"
not_ok "nothing was written" test -e "$tmp/out"
mkdir "$tmp/full" && : > "$tmp/full/0001-x.patch"
run "$repo/tools/submission" "$main" "$tmp/full"
one_error "a directory that holds patches" 'full holds patches already'
cp "$repo/submission/series" "$tmp/series"
sed -i '/^06/d' "$repo/submission/series"
run "$repo/tools/submission" "$main" "$tmp/out"
one_error "a file that is in no commit" 'Modules/_remote_debugging/threads.c is in no commit'
cp "$tmp/series" "$repo/submission/series"
printf '#if PY_VERSION_HEX < 0x030F0000 && defined(x)\n#endif\n' >> "$repo/Python/thread_pth.h"
run "$repo/tools/submission" "$main" "$tmp/out"
one_error "a version that cannot be resolved" 'thread_pth.h asks for PY_VERSION_HEX in a way'
cp "$top/Python/thread_pth.h" "$repo/Python/"

# What is for main alone goes to lines that are told by how they begin.
cat > "$repo/submission/extra.insert" <<'END'
@@ Include/patchlevel.h
@@ behind: #define PY_MINOR_VERSION
@@ before: #define PY_
/* before */
@@ Include/patchlevel.h
@@ after: #define PY_MAJOR_VERSION
/* after */
@@ Include/patchlevel.h
@@ end: /* Version as a string */

/* end */
@@ Misc/gh-issue-000000.rst
@@ new
New in gh-issue-000000.
END
sed -i 's/^05.*/& extra.insert/' "$repo/submission/series"
cp "$repo/submission/extra.insert" "$tmp/extra.insert"
sed -i 's/PY_MINOR_VERSION/PY_NOTHING/' "$repo/submission/extra.insert"
run "$repo/tools/submission" "$main" "$tmp/out"
one_error "a line that is there no more" \
    'Include/patchlevel.h has no line that begins with .#define PY_NOTHING. any more: change submission/extra.insert'
cp "$tmp/extra.insert" "$repo/submission/"

# --- the series

printf '#if PY_VERSION_HEX >= 0x030F0000\nnew\n#else\nold\n#endif\n#ifdef x\nkept\n#else\nkept\n#endif\n' >> "$repo/Python/thread_pth.h"
ok "submission" "$repo/tools/submission" --issue 123456 "$main" "$tmp/out"
is "the checkout stays as it is" "$(git -C "$main" status --short --ignored)" ""
commits=$(grep -c '^[0-9]' "$repo/submission/series")
is "one patch for each commit" "$(find "$tmp/out" -name '*.patch' | wc -l)" "$commits"
is "each names the issue" "$(grep -l '^Subject: .* gh-123456: ' "$tmp"/out/*.patch | wc -l)" "$commits"
ok "a cover letter with README's figures" grep -q 'stock, 1 core' "$tmp/out/cover-letter.md"
ok "git am takes it" git -C "$main" am -q "$tmp"/out/*.patch

is "insertions are at their lines" \
    "$(sed -n '/^#define PY_MAJOR/,/^#define PY_VERSION /s/  .*//p; /^\/\* \(before\|after\|end\)/p' \
        "$main/Include/patchlevel.h" | tr '\n' '|')" \
    "#define PY_MAJOR_VERSION|/* after */|#define PY_MINOR_VERSION|/* before */|#define PY_MICRO_VERSION|#define PY_RELEASE_LEVEL|#define PY_RELEASE_SERIAL|/* end */|#define PY_VERSION|"
is "and their new file" "$(cat "$main"/Misc/*.rst)" "New in gh-issue-123456."

# The tree that the overlay makes, for comparison.
cp -a "$tmp/release" "$tmp/overlaid"
set_version "$tmp/overlaid" 3.16.0a0
cp "$main/Include/patchlevel.h" "$tmp/overlaid/Include/"
"$repo/tools/overlay" apply "$tmp/overlaid" > /dev/null || die "the overlay does not apply"
is "what differs from the overlay are versions, and what autoheader makes" \
    "$(diff -rq -x .git -x .pth-overlay -x Misc "$main" "$tmp/overlaid" |
        sed "s,$tmp/[a-z]*/,,g")" \
    "$( { cd "$repo" && grep -rl '^#.*PY_VERSION_HEX' Include Python --include='*.[ch]' | sort
         echo pyconfig.h.in; } | sed 's,.*,Files & and & differ,')"
is "versions are resolved" "$(tail -n 6 "$main/Python/thread_pth.h" | tr '\n' ' ')" \
    "new #ifdef x kept #else kept #endif "
is "no version is asked for" \
    "$(grep -l PY_VERSION_HEX "$main"/Python/*pth* "$main"/Include/internal/pycore_pth.h)" ""
ok "pyconfig.h.in has what it is to have" grep -q 'undef HAVE_PTH_SYSCALLS' "$main/pyconfig.h.in"

git -C "$main" checkout -q HEAD~1
is "before the last commit, nothing of the mapping" \
    "$(cd "$main" && grep -l -i -E 'with[_-]pth[_-]syscalls|pth_sys_|HAVE_PTH_SYSCALLS' \
        configure configure.ac Makefile.pre.in pyconfig.h.in)$(cd "$main" && ls Python/pth_sys_* 2> /dev/null)" ""
ok "but the option" grep -q -e '--with-pth' "$main/configure"
ok "configure is valid shell" sh -n "$main/configure"
git -C "$main" checkout -q HEAD~1

if [ -n "${CPYTHON_MAIN-}" ]; then
    ok "main: submission" "$top/tools/submission" "$CPYTHON_MAIN" "$tmp/real"
    mkdir "$tmp/real.tree" &&
        (cd "$CPYTHON_MAIN" && tar --exclude=./.git -cf - .) | tar -C "$tmp/real.tree" -xf - || exit 1
    checkout "$tmp/real.tree"
    ok "main: git am takes it" git -C "$tmp/real.tree" am -q "$tmp"/real/*.patch
else
    skip "the series for main" "CPYTHON_MAIN names no checkout of it"
fi

done_testing
