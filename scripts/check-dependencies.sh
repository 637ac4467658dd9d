#!/bin/sh
# Checks that includes go down the layers only (the table is explained in doc/design.md) and that one folder alone knows
# oneDNN.
set -eu
cd "$(dirname "$0")/.."

# A folder: what files in it may include of the project, besides themselves. "equipoise" is the public headers.
layers() {
    cat <<'END'
src/base            equipoise
src/tensor          equipoise base
src/io              equipoise base tensor
src/text            equipoise base io
src/synth           equipoise base io
src/kernels         equipoise base tensor
src/ops             equipoise base tensor kernels
src/models          equipoise base tensor kernels ops io text
src/diffusion       equipoise base tensor kernels ops io text models
src/guidance        equipoise base tensor io
src/train           equipoise base tensor kernels ops io text models diffusion guidance
src/eval            equipoise base tensor kernels io models guidance
src/run             equipoise base tensor kernels ops io text models diffusion guidance train eval
tools/equipoise     equipoise base tensor io text synth models diffusion guidance train eval run
tools/server        equipoise
examples            equipoise
END
}

# Finer: the backends know the kernel interface and their own files; cpu's vector functions are for all of them.
backends() {
    cat <<'END'
src/kernels/ref     kernels/kernel.h kernels/ref/
src/kernels/cpu     kernels/kernel.h kernels/cpu/ base/
src/kernels/onednn  kernels/kernel.h kernels/onednn/ kernels/cpu/simd.h base/
END
}

# Reads "file:#include ..." lines; prints those whose path starts with none of the words in $1.
outside() {
    awk -v allowed="$1" '
        BEGIN { count = split(allowed, words, " ") }
        {
            path = $0
            sub(/^[^"<]*["<]/, "", path)
            sub(/[">].*/, "", path)
            # Names without a folder are the file'\''s own neighbours or the system'\''s.
            if (path !~ /\// || $0 ~ /#include </ && path !~ /^equipoise\//)
                next
            for (i = 1; i <= count; i++)
                if (index(path, words[i]) == 1)
                    next
            print "  " $0
        }'
}

bad=0
check() { # folder, allowed prefixes
    [ -d "$1" ] || return 0
    found=$(find "$1" -name '*.[ch]' -exec grep -HE '^ *# *include' {} + | outside "$2")
    if [ -n "$found" ]; then
        printf '%s may include only: %s\n%s\n' "$1" "$2" "$found" >&2
        bad=1
    fi
}

for folder in src/*/ tools/*/; do
    folder=${folder%/}
    if ! layers | grep -q "^$folder "; then
        echo "$folder has no row in the table of $0" >&2
        bad=1
    fi
done
while read -r folder allowed; do
    check "$folder" "$(echo "$allowed ${folder#src/}" | sed 's/[^ ]*/&\//g')"
done <<END
$(layers)
END
while read -r folder allowed; do
    check "$folder" "$allowed"
done <<END
$(backends)
END
if grep -rl 'oneapi/' src tools include examples | grep -v '^src/kernels/onednn/' >&2; then
    echo "only src/kernels/onednn may include oneDNN" >&2
    bad=1
fi
[ $bad = 0 ] && echo "all includes go down"
exit $bad
