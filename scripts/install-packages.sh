#!/bin/sh
# Installs what is missing to build Equipoise, with "check" also to test it and with "format" to format it, through the
# machine's package manager. Does nothing, quickly, where nothing is missing. Says what it installs; uses sudo only
# then, and only where the user is not root.
set -eu

# What is needed, how to see whether it is there, and what apt, dnf and brew call it ("-": comes with the system, "+"
# joins two packages).
needs() {
    cat <<'END'
command:cc             gcc+libc6-dev     gcc                  -
command:cmake          cmake             cmake                cmake
command:make           make              make                 -
command:pkg-config     pkg-config        pkgconf-pkg-config   pkgconf
header:oneapi/dnnl/dnnl.h  DNNL          onednn-devel         onednn
header:omp.h           -                 libgomp              libomp
module:jansson         libjansson-dev    jansson-devel        jansson
module:libpng          libpng-dev        libpng-devel         libpng
module:libjpeg         libjpeg-dev       libjpeg-turbo-devel  jpeg-turbo
module:libwebp         libwebp-dev       libwebp-devel        webp
module:libzip          libzip-dev        libzip-devel         libzip
module:cairo           libcairo2-dev     cairo-devel          cairo
module:lapacke         liblapacke-dev    lapack-devel         lapack
module:openblas        libopenblas-openmp-dev  openblas-devel  -
module:blas            libblas-dev       blas-devel           lapack
module:popt            libpopt-dev       popt-devel           popt
module:libutf8proc     libutf8proc-dev   utf8proc-devel       utf8proc
module:libpcre2-8      libpcre2-dev      pcre2-devel          pcre2
END
    for part in "$@"; do
        case $part in
        check) echo "module:cmocka libcmocka-dev libcmocka-devel cmocka" ;;
        format) echo "command:git git git git" && echo "command:clang-format clang-format clang-tools-extra clang-format" ;;
        esac
    done
}

is_there() {
    case $1 in
    command:*) command -v "${1#*:}" >/dev/null 2>&1 ;;
    module:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
    header:*) echo "#include <${1#*:}>" | cc -fsyntax-only -xc - >/dev/null 2>&1 ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null 2>&1; then
        echo "this needs root, and there is no sudo here; run $0 as root" >&2
        exit 1
    elif [ -n "${CI:-}" ]; then
        sudo -n "$@"
    else
        sudo "$@"
    fi
}

# oneDNN's package has had two names.
apt_dnnl() {
    if apt-cache show libdnnl-dev >/dev/null 2>&1; then echo libdnnl-dev; else echo libonednn-dev; fi
}

install_missing() { # $1: apt, dnf or brew, $2...: packages
    manager=$1
    shift
    case $manager in
    apt)
        as_root apt-get update -qq
        names=
        for name in "$@"; do
            [ "$name" = DNNL ] && name=$(apt_dnnl)
            names="$names $name"
        done
        echo "installing with apt-get:$names"
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $names >/dev/null
        ;;
    dnf)
        echo "installing with dnf: $*"
        as_root dnf install -y -q "$@"
        ;;
    brew)
        echo "installing with brew: $*"
        brew install -q "$@"
        ;;
    esac
}

manager=none
for candidate in apt-get dnf brew; do
    if command -v $candidate >/dev/null 2>&1; then
        manager=${candidate%-get}
        break
    fi
done

missing= packages=
while read -r need apt dnf brew; do
    is_there "$need" && continue
    case $manager in
    apt) package=$apt ;;
    dnf) package=$dnf ;;
    brew) package=$brew ;;
    *) package=${need#*:} ;;
    esac
    [ "$package" = - ] && continue
    missing="$missing ${need#*:}"
    packages="$packages $(echo "$package" | tr + ' ')"
done <<END
$(needs "$@")
END

[ -n "$packages" ] || exit 0
echo "missing:$missing"
if [ $manager = none ]; then
    echo "there is no apt-get, dnf or brew here; please install these by hand" >&2
    exit 1
fi
# shellcheck disable=SC2086
install_missing $manager $packages
