#!/bin/sh
# Checks that includes go down the layers only, and that only one folder knows oneDNN.
set -eu
cd "$(dirname "$0")/.."

# layer: what it may include of src/ besides itself
allowed() {
    case $1 in
    base) echo "" ;;
    tensor) echo "base" ;;
    io) echo "base tensor" ;;
    synth) echo "base io" ;;
    kernels) echo "base tensor" ;;
    ops) echo "base tensor kernels" ;;
    models) echo "base tensor kernels ops io" ;;
    diffusion) echo "base tensor kernels ops io models" ;;
    guidance) echo "base tensor io" ;;
    train) echo "base tensor kernels ops io models diffusion guidance" ;;
    eval) echo "base tensor kernels ops io models guidance" ;;
    run) echo "base tensor kernels ops io models diffusion guidance train eval" ;;
    *) echo "unknown" ;;
    esac
}

bad=0
for layer in src/*/; do
    layer=$(basename "$layer")
    rules=$(allowed "$layer")
    if [ "$rules" = unknown ]; then
        echo "src/$layer: a folder without a row in $0" >&2
        bad=1
        continue
    fi
    for used in $(grep -rhoE '^#include "[a-z_]+/' "src/$layer" | sed 's/#include "//; s/\///' | sort -u); do
        case " $rules $layer equipoise " in
        *" $used "*) ;;
        *)
            bad=1
            grep -rnE "^#include \"$used/" "src/$layer" | sed "s/$/   <- src\/$layer may not include $used/" >&2
            ;;
        esac
    done
done
if grep -rln 'oneapi/' src tools include | grep -v '^src/kernels/onednn/' >&2; then
    echo "only src/kernels/onednn may include oneDNN" >&2
    bad=1
fi
[ $bad = 0 ] && echo "dependencies: all includes go down"
exit $bad
