#!/usr/bin/env bash
# Training beside PyTorch: the same five models (llama, qwen3_5_text, olmo_hybrid, mamba2, bamba), initial weights, tokens and AdamW settings,
# trained by transformers' own classes in float64 and float32 and by hylas on several rank counts. How far float32 PyTorch's losses lie from
# float64's is what rounding does; hylas may lie that far, not clearly farther.
#
#     launch/compare-training.sh --python PATH [--steps 40] [--ranks 1,3,4] [--models llama,qwen3_5_text,olmo_hybrid,mamba2,bamba]
#                                [--keep DIR] [--hylas build/bin/hylas]
#
# PATH is a Python with torch and transformers (without them: exit code 3). --keep leaves models, runs and losses in DIR. Exit code 1 if
# hylas lies clearly farther from float64 than float32 PyTorch does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/scripts/beside-pytorch.sh

python="" steps=40 ranks=1,3,4 models=llama,qwen3_5_text,olmo_hybrid,mamba2,bamba keep="" hylas=build/bin/hylas
read_options "python steps ranks models keep hylas" "$@"
need torch,transformers
export OMP_NUM_THREADS=1

work=${keep:-$(mktemp -d)}
mkdir -p "$work"
[ -n "$keep" ] || trap 'rm -rf "$work"' EXIT
quiet() { # a command whose output is of interest only if it fails
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2 && fail 1 "failed: $*"; }
}

# The tokens are bytes of docs/mixers.md. A step sees the whole store, so that its order plays no part.
sequences=16 length=96
head -c $((sequences * length + 1)) docs/mixers.md >"$work/text"
quiet "$hylas" data text "$work/text" --out "$work/store.h5"
quiet "$python" launch/scripts/training_reference.py train "$work" --models "$models" --steps "$steps" --sequences $sequences \
    --length $length --lr 3e-3 --warmup 5 --min-lr-ratio 0.1 --decay 0.1 --clip 1.0

printf '%-14s %10s %10s | largest relative deviation of the loss from float64 PyTorch\n' model 'first loss' 'last loss'
printf '%-14s %10s %10s | %12s %12s' '' '' '' 'float32 torch' 'in 4 parts'
for n in ${ranks//,/ }; do printf ' %12s' "hylas $n"; done
printf '\n'
verdict=0
for model in ${models//,/ }; do
    folder=$work/$model
    rm -rf "$folder"/run* "$folder/start"
    quiet "$hylas" import hf "$folder/hf" --out "$folder/start"
    for n in ${ranks//,/ }; do
        quiet mpirun -np "$n" "$hylas" train "$folder/start/config.yaml" --set data.store="$work/store.h5" \
            --set data.sequence=$length --set data.batch=$sequences --set run.dir="$folder/run$n" --set train.steps="$steps" \
            --set train.lr=3e-3 --set train.warmup=5 --set train.min_lr_ratio=0.1 --set train.weight_decay=0.1 --set train.clip=1.0 \
            --set train.checkpoint.every=0
    done
    "$python" launch/scripts/training_reference.py compare "$folder" "$ranks" || verdict=1
done
if [ $verdict -ne 0 ]; then
    fail 1 "hylas lies clearly farther from float64 than float32 PyTorch does (marked with !)"
fi
