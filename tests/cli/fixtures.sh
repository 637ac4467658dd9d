#!/bin/sh
# Predictors for the reference models, from the command line: trained from class prompts and from inverted images on
# Stable Diffusion, from noised images on guided-diffusion; accepted where they belong, refused elsewhere. The models are
# random, so that nothing is said of how well heads tell.
#
# In the environment: EQUIPOISE, the tool, and EQUIPOISE_FIXTURES. Exit code 77: the fixtures are missing.
set -eu

sd=$EQUIPOISE_FIXTURES/stable-diffusion-tiny
adm=$EQUIPOISE_FIXTURES/guided-diffusion/model.pt
tokenizer=$EQUIPOISE_FIXTURES/clip-tokenizer
for needed in "$sd" "$adm" "$tokenizer"; do
    if [ ! -r "$needed" ]; then
        echo "skipped: $needed is missing; set EQUIPOISE_FIXTURES to the folder of the reference fixtures"
        exit 77
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

copy_model() { # NAME
    mkdir "$1"
    cp -r "$sd"/* "$1"
    cp -r "$tokenizer" "$1/tokenizer"
    chmod -R u+w "$1"
    rm -rf "$1/adp"
}

fail() {
    echo "$1" >&2
    exit 1
}

# refused PATTERN command...: fails with a message of that pattern on standard error
refused() {
    pattern=$1
    shift
    if "$@" >out 2>err; then
        fail "not refused: $*"
    fi
    grep -q -e "$pattern" err || fail "refused for another reason: $(cat err)"
}

target=gender=female:0.5,male:0.5
train="$EQUIPOISE train adp --steps 3 --epochs 2 --threads 1 --quiet"
generate="$EQUIPOISE generate --target $target --count 4 --steps 3 --threads 1 --quiet"

copy_model model
$EQUIPOISE synth portraits --count 30 --size 32 --out set --quiet >made

# From class prompts. The store is of the model, its images are evenly of both classes.
$train --model model --out model/adp --count 24 --h-file h.safetensors \
    --class-prompt 'gender.female=a photo of a female person' --class-prompt 'gender.male=a photo of a male person'
[ -s model/adp/accuracy.html ] || fail "no curves"
hash=$(sha256sum <model/unet/diffusion_pytorch_model.safetensors | cut -d ' ' -f 1)
head -c 1000 h.safetensors | grep -aq "$hash" || fail "the store does not name the model"
$generate --model model --prompt 'a portrait' --out prompted
[ "$(grep -c '"prompt":"a portrait"' prompted/manifest.jsonl)" = 4 ] || fail "the manifest does not tell the prompt"

# From images, inverted with the empty prompt.
$train --model model --out inverted --from inversion --images set/images --labels set/labels.csv --attribute gender
$generate --model model --adp inverted/gender.safetensors --prompt 'a portrait' --cfg 1 --out from-inverted

# A model of pixels, from images that are noised.
$train --model "$adm" --out noised --from noise --images set/images --labels set/labels.csv --attribute gender
$generate --model "$adm" --adp noised/gender.safetensors --out pixels

# Heads of other models: of other weights, or of another kind.
copy_model other
weights=other/unet/diffusion_pytorch_model.safetensors
byte='\001'
[ "$(tail -c 1 "$weights" | od -An -tu1 | tr -d ' ')" != 1 ] || byte='\002'
size=$(wc -c <"$weights")
printf "$byte" | dd of="$weights" bs=1 seek=$((size - 1)) conv=notrunc 2>dd
refused 'gender.safetensors' $generate --model other --adp model/adp/gender.safetensors --prompt 'a portrait' --out x
refused 'gender.safetensors' $generate --model "$adm" --adp model/adp/gender.safetensors --out x
refused 'gender.safetensors' $generate --model model --adp noised/gender.safetensors --prompt 'a portrait' --out x
[ ! -e x ] || fail "a run that was refused left something"

# What a model does not take.
refused 'takes no prompt' $train --model "$adm" --out y --count 24 --class-prompt 'a.b=c' --class-prompt 'a.d=e'
[ ! -e y ] || fail "a training that was refused left something"
