#!/bin/sh
# Makes models/occupations from nothing: captioned data, classifiers, vocabulary, autoencoder, U-Net and
# text transformer, attribute predictors. Hours on 2 cores; every step can be
# interrupted and run again. usage: scripts/train-occupations.sh WORK_FOLDER
set -eu
work=${1:?usage: scripts/train-occupations.sh WORK_FOLDER}
tool=${EQUIPOISE:-build/equipoise}
mkdir -p "$work"

draw() { # name, seed, count, world
    [ -f "$work/$1/labels.csv" ] ||
        "$tool" synth portraits --occupations --out "$work/$1" --seed "$2" --count "$3" --joint "$4"
}
draw train 11 20000 biased
draw classifier-train 111 8000 balanced
draw evaluator-train 212 8000 balanced
draw unseen 313 2000 balanced

classifier() { # name, channels, images, seed; one thread, so that the weights come out the same everywhere
    [ -f "$work/$1/classifier.json" ] ||
        "$tool" train classifier --network convnet --channels "$2" --images "$work/$3/images" \
            --labels "$work/$3/labels.csv" --steps 900 --seed "$4" --threads 1 --out "$work/$1" --resume
}
# Both keep where in the picture they saw what: averaged over these pictures, the faces are too small for gender and
# glasses (the residual network's 65% and 68% after as many updates). They differ in depth, widths and images.
classifier classifier 24,32,32,48,64 classifier-train 1
classifier evaluator 16,32,48,64 evaluator-train 2

# How often they are right about portraits that neither learnt from; their columns come in another order than the truth.
for name in classifier evaluator; do
    "$tool" label --classifier "$work/$name" --images "$work/unseen/images" --out "$work/$name-unseen.csv"
    awk -F, -v name="$name" '
        FNR == 1 { file++; for (i = 1; i <= NF; i++) names[file, i] = $i; next }
        file == 1 { for (i = 2; i <= NF; i++) said[$1, names[1, i]] = $i; next }
        { total++; for (i = 2; i <= NF; i++) right[i] += said[$1, names[2, i]] == $i }
        END { for (i = 2; i <= NF; i++) printf "%s: %s %.2f%% of %d\n", name, names[2, i], 100 * right[i] / total, total }
    ' "$work/$name-unseen.csv" "$work/unseen/labels.csv"
done

"$tool" train tokenizer --captions "$work/train/captions.csv" --length 24 --out "$work/tokenizer"

# Pictures of 64x64 become latents of 16x16x4.
"$tool" train vae --images "$work/train/images" --out "$work/vae" --size 64 --channels 16,32,64 --layers 1 \
    --steps 3000 --batch 16 --learning-rate 2e-3 --warmup 100 --ema 0.995 --edges 0.5 --kl 1e-4 --dtype bf16 \
    --weights bf16 --seed 31 --resume

"$tool" train diffusion --images "$work/train/images" --captions "$work/train/captions.csv" --vae "$work/vae" \
    --tokenizer "$work/tokenizer" --out "$work/model" --size 64 --channels 64,80,96 --attention 2,3 --layers 1 \
    --groups 8 --head-dim 16 --text-width 128 --text-layers 2 --caption-dropout 0.1 \
    --beta-schedule squaredcos_cap_v2 --prediction v_prediction --weighting min-snr --spacing trailing \
    --steps 5000 --batch 32 --learning-rate 8e-4 --warmup 200 --ema 0.998 --skip-dropout 0.2 --dtype bf16 \
    --weights bf16 --seed 41 --resume

# On balanced portraits, noised, with the classifier's answers as labels.
"$tool" train adp --model "$work/model" --classifier "$work/classifier" --from noise \
    --attribute gender --attribute skin --attribute age --attribute glasses \
    --images "$work/classifier-train/images" --count 2400 --every 4 --dtype bf16 --seed 51 --out "$work/model/adp"

model=$work/occupations
mkdir -p "$model/classifier" "$model/evaluator" "$model/adp"
for part in model_index.json unet vae text_encoder tokenizer scheduler; do
    cp -r "$work/model/$part" "$model/"
done
cp "$work/model/adp/"*.safetensors "$model/adp/"
cp "$work/classifier/classifier."* "$model/classifier/"
cp "$work/evaluator/classifier."* "$model/evaluator/"
for name in "a doctor" "a nurse" "a teacher" "a judge" "a chef" "a builder" "a firefighter" "an executive" \
    "a scientist" "a florist"; do
    echo "a portrait of $name"
done >"$model/prompts.txt"
echo "the model is in $model"
