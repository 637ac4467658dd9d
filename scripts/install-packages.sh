#!/bin/sh
# Installs what is missing to build (and with "check", to test) through the system's package manager. Says what it
# installs; asks for sudo only when something is missing and the user is not root.
set -eu

want_check=no
want_ci=no
for part in "$@"; do
    case $part in
    check) want_check=yes ;;
    ci) want_ci=yes ;;
    esac
done

# Names by package manager; dnf and brew call some of them otherwise.
apt_names() {
    dnnl=libdnnl-dev
    apt-cache show libdnnl-dev >/dev/null 2>&1 || dnnl=libonednn-dev
    echo gcc cmake make pkg-config "$dnnl" libjansson-dev libpng-dev libjpeg-dev libwebp-dev libcairo2-dev \
        liblapacke-dev libblas-dev libpopt-dev
    [ $want_check = no ] || echo libcmocka-dev git
    [ $want_ci = no ] || echo clang-format clang
}
dnf_names() {
    echo gcc cmake make pkgconf-pkg-config onednn-devel jansson-devel libpng-devel libjpeg-turbo-devel libwebp-devel \
        cairo-devel lapack-devel blas-devel popt-devel
    [ $want_check = no ] || echo libcmocka-devel git
    [ $want_ci = no ] || echo clang-tools-extra clang
}
brew_names() {
    echo cmake pkg-config onednn jansson libpng jpeg-turbo webp cairo lapack popt libomp
    [ $want_check = no ] || echo cmocka git
    [ $want_ci = no ] || echo clang-format
}

missing() { # $1: a command that succeeds when the package named as its last argument is there
    for name in $names; do
        $1 "$name" >/dev/null 2>&1 || printf '%s ' "$name"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_has() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

if command -v apt-get >/dev/null 2>&1; then
    apt-cache show libjansson-dev >/dev/null 2>&1 || as_root apt-get update -qq
    names=$(apt_names)
    needed=$(missing apt_has)
    [ -n "$needed" ] || exit 0
    echo "installing with apt-get: $needed"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $needed >/dev/null
elif command -v dnf >/dev/null 2>&1; then
    names=$(dnf_names)
    needed=$(missing "rpm -q")
    [ -n "$needed" ] || exit 0
    echo "installing with dnf: $needed"
    as_root dnf install -y -q $needed
elif command -v brew >/dev/null 2>&1; then
    names=$(brew_names)
    needed=$(missing "brew list")
    [ -n "$needed" ] || exit 0
    echo "installing with brew: $needed"
    brew install -q $needed
else
    echo "no apt-get, dnf or brew here; install oneDNN, jansson, libpng, libjpeg, libwebp, cairo, LAPACKE, BLAS and popt" >&2
fi
