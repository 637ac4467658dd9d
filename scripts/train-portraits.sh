#!/bin/sh
# Makes models/portraits from nothing: data, classifiers, U-Net, attribute predictors. Hours on 2 cores; every step can
# be interrupted and run again. usage: scripts/train-portraits.sh WORK_FOLDER
set -eu
work=${1:?usage: scripts/train-portraits.sh WORK_FOLDER}
tool=${EQUIPOISE:-build/equipoise}
mkdir -p "$work"

draw() { # name, seed, count, world
    [ -f "$work/$1/labels.csv" ] || "$tool" synth portraits --out "$work/$1" --seed "$2" --count "$3" --joint "$4"
}
draw train 1 24000 biased
draw classifier-train 101 6000 balanced
draw evaluator-train 202 6000 balanced

classifier() { # name, network, images, seed; one thread, so that the weights come out the same everywhere
    [ -f "$work/$1/classifier.json" ] ||
        "$tool" train classifier --network "$2" --images "$work/$3/images" --labels "$work/$3/labels.csv" --balance \
            --steps 900 --seed "$4" --threads 1 --out "$work/$1" --resume
}
classifier classifier resnet classifier-train 1
classifier evaluator convnet evaluator-train 2

# In parts, each with a learning rate of its own that ends at nothing; together 11,700 updates. The third takes coarse
# skips away from noisy images, so that what decides attributes passes through h; the last sees mostly noisy images,
# where it is decided how often each attribute appears.
"$tool" train diffusion --images "$work/train/images" --out "$work/first" --size 64 --channels 32,48,96,144 \
    --attention 0 --layers 1 --groups 8 --head-dim 0 --beta-schedule squaredcos_cap_v2 --prediction v_prediction \
    --weighting min-snr --spacing trailing --steps 3300 --batch 32 --learning-rate 6e-4 --warmup 200 --ema 0.999 \
    --dtype bf16 --weights bf16 --seed 7 --resume
"$tool" train diffusion --images "$work/train/images" --init "$work/first" --out "$work/second" \
    --weighting min-snr --steps 4800 --batch 32 --learning-rate 5e-4 --warmup 100 --ema 0.999 --dtype bf16 \
    --weights bf16 --seed 8 --resume
"$tool" train diffusion --images "$work/train/images" --init "$work/second" --out "$work/third" --weighting uniform \
    --skip-dropout 0.8 --steps 2300 --batch 32 --learning-rate 4e-4 --warmup 60 --ema 0.998 --dtype bf16 \
    --weights bf16 --seed 10 --resume
"$tool" train diffusion --images "$work/train/images" --init "$work/third" --out "$work/unet" --weighting uniform \
    --skip-dropout 0.8 --timestep-power 2.5 --steps 1300 --batch 32 --learning-rate 4e-4 --warmup 60 --ema 0.998 \
    --dtype bf16 --weights bf16 --seed 12 --resume

# On inversions of the classifier's balanced portraits, with its answers as labels: in a biased set, the directions of
# attributes that go together cannot be told apart. Then fitted to what becomes of the model's own samples.
"$tool" train adp --model "$work/unet" --classifier "$work/classifier" --from inversion \
    --images "$work/classifier-train/images" --count 1200 --every 4 --own-samples 300 --seed 21 --out "$work/unet/adp"

model=$work/portraits
mkdir -p "$model/classifier" "$model/evaluator" "$model/adp"
cp -r "$work/unet/model_index.json" "$work/unet/unet" "$work/unet/scheduler" "$model/"
cp "$work/unet/adp/"*.safetensors "$model/adp/"
cp "$work/classifier/classifier."* "$model/classifier/"
cp "$work/evaluator/classifier."* "$model/evaluator/"
for target in gender=female:0.5,male:0.5 skin=light:1/3,medium:1/3,dark:1/3 age=young:0.5,older:0.5 \
    glasses=no:0.5,yes:0.5; do # stores each attribute's factor; other methods do without
    "$tool" generate --model "$model" --count 1 --steps 50 --dtype bf16 --method distribution --target "$target" \
        --strength auto --out "$work/calibration/${target%%=*}"
done
echo "the model is in $model"
