#!/bin/sh
# Installs a build into an empty folder and uses it as a stranger would: install.sh BUILD SOURCE.
set -eu

build=$1
source=$2
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

cmake --install "$build" --prefix "$there/usr" >/dev/null
library=$(find "$there/usr" -name 'libequipoise.so')
[ -n "$library" ] || fail "no shared library"
PKG_CONFIG_PATH=$(dirname "$library")/pkgconfig
LD_LIBRARY_PATH=$(dirname "$library")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

for file in bin/equipoise share/man/man1/equipoise.1 share/bash-completion/completions/equipoise; do
    [ -s "$there/usr/$file" ] || fail "$file is missing"
done
"$there/usr/bin/equipoise" --version >/dev/null || fail "the installed tool does not run"

# Every header stands alone, in strict C.
for header in "$there"/usr/include/equipoise/*.h; do
    echo "#include <equipoise/$(basename "$header")>" >"$there/header.c"
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $(pkg-config --cflags equipoise) "$there/header.c" ||
        fail "$header does not stand alone"
done

# A program against the shared library, and one against the static library.
target='gender*glasses=female/yes:0.3,female/no:0.2,male/yes:0.3,male/no:0.2'
# shellcheck disable=SC2046
cc -std=c11 "$source/examples/targets.c" $(pkg-config --cflags --libs equipoise) -o "$there/shared"
"$there/shared" "$target" 25 | grep -q '^female/yes   0.300  8 of 25$' || fail "the program does not work"
readelf -d "$there/shared" | grep -q 'libequipoise\.so\.0' || fail "the library has no versioned name"
# shellcheck disable=SC2046
cc -std=c11 "$source/examples/targets.c" $(pkg-config --cflags equipoise) "${library%.so}.a" \
    $(pkg-config --static --libs equipoise | sed 's/-lequipoise//') -o "$there/static"
"$there/static" "$target" 25 | grep -q '^female/yes   0.300  8 of 25$' || fail "the static program does not work"

# The program of the README, and the one that begins equipoise.h, compile.
sed -n '/^```c$/,/^```$/p' "$source/README.md" | grep -v '^```' >"$there/readme.c"
{
    printf '#include <stdio.h>\n#include <equipoise/equipoise.h>\nint main(void)\n{\n'
    sed -n '1,/^ \* Functions return/s/^ \*     //p' "$source/include/equipoise/equipoise.h"
    printf '}\n'
} >"$there/header_program.c"
for program in readme header_program; do
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Werror "$there/$program.c" $(pkg-config --cflags --libs equipoise) -o "$there/program" ||
        fail "the program $program.c does not compile"
    if (cd "$there" && ./program >/dev/null 2>said) && [ ! -s "$there/said" ]; then
        fail "without a model $program.c says nothing"
    fi
done

# The library exports what the headers declare.
grep -hoE '^EQ_API .*' "$there"/usr/include/equipoise/*.h | grep -oE '\beq_[a-z0-9_]+\(' | tr -d '(' | sort >"$there/declared"
nm -D --defined-only "$library" | awk '{print $3}' | sort >"$there/exported"
diff "$there/declared" "$there/exported" || fail "declared (<) and exported (>) names differ"
