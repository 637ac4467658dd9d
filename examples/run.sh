#!/bin/sh
# Runs one of the examples and looks at what it does: run.sh generate|evaluate|targets. In the environment: EQUIPOISE,
# the tool, and EXAMPLES, the folder of the built examples.
set -eu

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"

fail() {
    echo "$1" >&2
    exit 1
}
expect() { # file, line
    grep -qxF -- "$2" "$1" || { cat "$1"; fail "expected the line: $2"; }
}

case $1 in
targets)
    "$EXAMPLES/targets" 'gender*glasses=female/yes:0.3,female/no:0.2,male/yes:0.3,male/no:0.2' 25 >out
    expect out 'female/yes   0.300  8 of 25'
    expect out 'male/no      0.200  5 of 25'
    expect out 'glasses: no 0.400 yes 0.600'
    if "$EXAMPLES/targets" gender=female:2 25 2>err; then fail "a wrong target was taken"; fi
    ;;
evaluate)
    "$EQUIPOISE" synth portraits --count 40 --size 16 --out set --quiet >/dev/null
    "$EXAMPLES/evaluate" set/images set/labels.csv gender=female:0.5,male:0.5 >out
    expect out '40 images'
    women=$(grep -c '^[^,]*,female,' set/labels.csv)
    grep -q "^  female  *$women " out || { cat out; fail "expected $women women"; }
    if "$EXAMPLES/evaluate" set/images nowhere.csv gender=female:0.5,male:0.5 2>err; then fail "no labels, no fault"; fi
    grep -q 'nowhere.csv' err || fail "the message does not name the file"
    ;;
generate)
    "$EQUIPOISE" synth portraits --count 24 --size 16 --out set --quiet >/dev/null
    "$EQUIPOISE" train diffusion --images set/images --size 8 --channels 8,8 --groups 4 --head-dim 8 --attention 2 \
        --layers 1 --batch 4 --warmup 1 --steps 3 --out model --quiet >/dev/null
    "$EQUIPOISE" train adp --model model --from noise --images set/images --labels set/labels.csv --attribute gender \
        --steps 5 --epochs 1 --out model/adp --quiet >/dev/null
    "$EXAMPLES/generate" model 4 gender=female:0.5,male:0.5 out >said
    [ "$(ls out | wc -l)" = 4 ] || fail "expected 4 images"
    "$EQUIPOISE" inspect out/000003.png | grep -q '^width  *8$' || fail "the images are not 8 x 8"
    grep -q '^gender: female 0\.[0-9]* male 0\.[0-9]*$' said || fail "no prediction"
    # Ctrl-C, given at once to a run that would take a minute.
    "$EXAMPLES/generate" model 20000 gender=female:0.5,male:0.5 cut 2>err &
    process=$!
    sleep 1
    kill -INT $process
    if wait $process; then fail "a cancelled run succeeded"; fi
    grep -q 'cancelled' err || { cat err; fail "the run was not cancelled"; }
    [ ! -e cut ] || fail "a cancelled run left images"
    ;;
*) fail "no example $1" ;;
esac
