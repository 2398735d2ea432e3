# What the tools that take files out of Debian's archive share.  To be sourced,
# with $me the name of the program, fail TEXT (one line on stderr, exit 1),
# $instead what a reader may do without the archive, and $tmp a directory on the
# cache's file system that goes away at exit.  $architecture is that of the binary
# packages, if it is not this machine's.
#
#   need COMMAND PACKAGE     fail if there is no COMMAND
#   debian_get KIND PACKAGE CACHE RELEASE...
#                            have the files in the directory CACHE; KIND is
#                              orig    the pristine source of a source package
#                              debian  the same, with Debian's patches
#                              deb     a binary package
#                            of the first RELEASE, or of the next one if the
#                            first's files cannot be had
#   debian_cached PATTERN    print the names of these files that match
#   debian_version           print the version of what was got last
#   debian_unpack DIR        unpack what was got last into the new directory DIR
#   debian_setuptools CACHE  have Debian 13's setuptools below $tmp; the directory
#                            for PYTHONPATH is in $setuptools
#
# The archive is the one that apt is set up for; apt itself checks signatures and
# checksums.  No setting of the machine is changed, and nothing is installed.
# What is in the cache is checked and used without the network.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
archive=

need() {
    command -v "$1" >/dev/null 2>&1 ||
        fail "$1 is missing: install the package $2 (Debian), or $instead"
}

# The address of the Debian archive that this machine uses.
find_archive() {
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
    if [ -z "$archive" ]; then
        # There was no `apt-get update` yet: ask for what it would fetch.
        codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
        archive=$(apt-get --print-uris update |
            sed -n "s|^'\(.*\)/dists/$codename/InRelease'.*|\1/|p" | head -n 1)
    fi
    [ -n "$archive" ]
}

# Read the index of release $1, sources or packages as $kind needs, once.
update_index() {
    case $kind in
        deb) type=deb ;;
        *) type=deb-src ;;
    esac
    apt=$tmp/apt-$1-$type
    case $apt in
        *\"*) fail "apt cannot be given a name with a quotation mark: have the files elsewhere than in $cache" ;;
    esac
    [ ! -f "$apt/updated" ] || return 0
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" || exit 1
    signed=
    [ ! -r "$keyring" ] || signed="[signed-by=$keyring] "
    echo "$type $signed$archive $1 main" > "$apt/sources.list"
    # What is installed here is no candidate.
    : > "$apt/status"
    # -c is read after the machine's own settings, of which the archive's
    # proxy and the like stay in force.  The sandbox user of apt could not
    # write to our directories.
    cat > "$apt/apt.conf" <<END
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::Retries "3";
END
    [ -z "${architecture-}" ] || cat >> "$apt/apt.conf" <<END
#clear APT::Architectures;
APT::Architecture "$architecture";
END
    # With the warnings alone `update` would call a failed download done.
    apt-get -c "$apt/apt.conf" -q --error-on=any update > "$apt/log" 2>&1 &&
        touch "$apt/updated"
}

# Download what $kind wants of $package in release $1 into the directory $2.
download() {
    update_index "$1" || return 1
    (
        cd "$2" || exit 1
        case $kind in
            deb) set -- download ;;
            orig) set -- --download-only --tar-only source ;;
            debian) set -- --download-only source ;;
        esac
        apt-get -c "$apt/apt.conf" -q "$@" "$package"
    ) > "$apt/log" 2>&1
}

# Fill the cache from one of the releases.
fetch() {
    need apt-get apt
    [ -n "$archive" ] || find_archive ||
        fail "apt knows no Debian archive: $instead"
    rm -rf "$tmp/new"
    for from; do
        mkdir -p "$tmp/new/$from" || exit 1
        echo "$me: getting $package of Debian $from"
        if download "$from" "$tmp/new/$from"; then
            # The checksums go last: they say that the cache is complete.
            (cd "$tmp/new/$from" && sha256sum -- *) > "$tmp/sums" &&
                mv "$tmp/new/$from"/* "$cache/" && mv "$tmp/sums" "$sums" ||
                fail "cannot write to $cache"
            return
        fi
        echo "$me: not to be had from $from: $(grep -m1 '^[EW]:' "$apt/log")"
    done
    fail "the Debian archive gives no $package: see the lines above, or $instead"
}

debian_get() {
    kind=$1 package=$2 cache=$3
    shift 3
    mkdir -p "$cache" 2>/dev/null && cache=$(cd "$cache" && pwd) || fail "cannot make $cache"
    sums=$cache/$kind-$1.sha256
    if [ ! -f "$sums" ]; then
        fetch "$@"
    elif ! said=$(cd "$cache" && sha256sum --quiet -c "$sums" 2>/dev/null); then
        echo "$me: the cache is damaged ($(echo "$said" | head -n 1)): getting it again"
        fetch "$@"
    fi
}

debian_cached() {
    sed -n "s/^[0-9a-f]* [ *]\($1\)\$/\1/p" "$sums"
}

# PACKAGE_VERSION.orig.tar.xz, PACKAGE_VERSION_ARCHITECTURE.deb, PACKAGE_VERSION.dsc
debian_version() {
    case $kind in
        deb) debian_cached '.*\.deb' | sed 's/^[^_]*_//; s/_.*//' ;;
        *) debian_cached "${package}_.*\.orig\.tar\.[^.]*" |
            sed 's/^[^_]*_//; s/\.orig.*//' ;;
    esac
    [ "$kind" != debian ] ||
        debian_cached '.*\.dsc' |
        sed 's/^[^_]*_/with the patches of Debian /; s/\.dsc$//'
}

debian_unpack() {
    case $kind in
        deb)
            need dpkg-deb dpkg
            said=$(dpkg-deb -x "$cache/$(debian_cached '.*\.deb')" "$1" 2>&1) ||
                fail "dpkg-deb fails: $(echo "$said" | tail -n 1)" ;;
        debian)
            need dpkg-source dpkg-dev
            # apt has checked the files already, and the maintainer's key is
            # seldom on the machine.
            said=$(dpkg-source --no-check -x \
                    "$cache/$(debian_cached '.*\.dsc')" "$1" 2>&1) ||
                fail "dpkg-source fails: $(echo "$said" | tail -n 1)" ;;
        orig)
            mkdir "$1" || fail "cannot make $1"
            said=$(tar -xf "$cache/$(debian_cached '.*\.orig\.tar\.[^.]*')" \
                    --strip-components=1 -C "$1" 2>&1) ||
                fail "tar fails: $(echo "$said" | tail -n 1)" ;;
    esac
}

debian_setuptools() {
    for part in python3-pkg-resources python3-setuptools; do
        debian_get deb "$part" "$1/$part" trixie
        debian_unpack "$tmp/$part"
    done
    setuptools=$tmp/python3-pkg-resources/usr/lib/python3/dist-packages
    cp -r "$tmp/python3-setuptools/usr/lib/python3/dist-packages/." "$setuptools" ||
        exit 1
}
