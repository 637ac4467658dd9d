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

"$tool" train diffusion --images "$work/train/images" --out "$work/unet" --size 64 --channels 32,48,96,144 \
    --attention 0 --layers 1 --groups 8 --head-dim 0 --beta-schedule squaredcos_cap_v2 --prediction v_prediction \
    --weighting min-snr --spacing trailing --steps "${STEPS:-3300}" --batch 32 --learning-rate 6e-4 --warmup 200 \
    --ema 0.999 --dtype bf16 --weights bf16 --seed 7 --resume

"$tool" train adp --model "$work/unet" --classifier "$work/classifier" --count 1000 --every 4 --eta 1 --dtype bf16 \
    --seed 21 --out "$work/unet/adp"

model=$work/portraits
mkdir -p "$model/classifier" "$model/evaluator" "$model/adp"
cp -r "$work/unet/model_index.json" "$work/unet/unet" "$work/unet/scheduler" "$model/"
cp "$work/unet/adp/"*.safetensors "$model/adp/"
cp "$work/classifier/classifier."* "$model/classifier/"
cp "$work/evaluator/classifier."* "$model/evaluator/"
echo "the model is in $model"
