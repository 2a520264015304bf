#!/usr/bin/env bash
# published.sh HYLAS DATA: every published model goes into a checkpoint and comes back byte for byte; what is wrong with a model's folder
# or with the input of `hylas op` is named, with the right exit code.
set -uo pipefail
hylas=$1 data=$2 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() { # exit code, a word of the message; the rest is the command
    local want=$1 word=$2 got
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ $got -ne "$want" ] || ! grep -q -- "$word" "$work/out" "$work/err"; then
        printf 'FAILED: exit code %s, wanted %s and "%s": %s\n' $got "$want" "$word" "$*"
        cat "$work/out" "$work/err"
        failed=1
    fi
}

for model in "$data"/models/*; do
    name=$(basename "$model")
    expect 0 step-0 "$hylas" import hf "$model" --out "$work/$name.ckpt"
    expect 0 safetensors "$hylas" export hf "$work/$name.ckpt" --out "$work/$name" --rest "$model"
    for file in config.json model.safetensors; do
        cmp "$model/$file" "$work/$name/$file" || failed=1
    done
done

gla=$data/models/gla
change() { # sed script for config.json
    rm -rf "$work/changed"
    cp -r "$gla" "$work/changed"
    sed -i "$1" "$work/changed/config.json"
}
change 's/"clamp_min"/"clamp_maximum"/'
expect 2 clamp_maximum "$hylas" import hf "$work/changed" --out "$work/bad"
expect 2 clamp_maximum "$hylas" op model --model "$work/changed" --in "$gla/check.h5" --out "$work/bad.h5"
change 's/"use_gv": false/"use_gv": true/'
expect 2 use_gv "$hylas" import hf "$work/changed" --out "$work/bad"
change 's/"model_type": "gla"/"model_type": "gpt2"/'
expect 2 gpt2 "$hylas" import hf "$work/changed" --out "$work/bad"
change 's/"model_type": "gla"/"model_type": "qwen3_next"/'
expect 2 mixture-of-experts "$hylas" import hf "$work/changed" --out "$work/bad"
expect 2 mixture-of-experts "$hylas" op model --model "$work/changed" --in "$gla/check.h5" --out "$work/bad.h5"
change 's/"num_hidden_layers": 3/"num_hidden_layers": 4/'
expect 4 model.layers.3 "$hylas" import hf "$work/changed" --out "$work/bad"
change 's/"num_hidden_layers": 3/"num_hidden_layers": 2/'
expect 4 model.layers.2 "$hylas" import hf "$work/changed" --out "$work/bad"
change 's/"intermediate_size": 64/"intermediate_size": 65/'
expect 4 gate_proj "$hylas" import hf "$work/changed" --out "$work/bad"
change 's/^{/[/'
expect 4 config.json "$hylas" import hf "$work/changed" --out "$work/bad"
change ''
head -c 100000 "$gla/model.safetensors" >"$work/changed/model.safetensors"
expect 4 truncated "$hylas" import hf "$work/changed" --out "$work/bad"
expect 4 config.json "$hylas" import hf "$work/nowhere" --out "$work/bad"
expect 5 'no checkpoint' "$hylas" export hf "$work/nowhere" --out "$work/bad"
mkdir -p "$work/run/step-7"
expect 2 step-7 "$hylas" import hf "$gla" --out "$work/run"

# Tokenizer and generation settings travel along, a longer training is told, and other families are asked for by name.
ckpt=$work/carried.ckpt
cp -r "$data/models/hf_llama" "$work/llama"
echo '{"t": 1}' >"$work/llama/tokenizer.json"
echo '{"g": 1}' >"$work/llama/generation_config.json"
expect 0 step-0 "$hylas" import hf "$work/llama" --out "$ckpt"
expect 0 "2 files of tokenizer" "$hylas" export hf "$ckpt" --out "$work/back"
for file in config.json model.safetensors tokenizer.json generation_config.json; do
    cmp "$work/llama/$file" "$work/back/$file" || failed=1
done
expect 0 answers "$hylas" data recall --task mqar --tokens 5000 --sequences 1 --vocab 64 --pairs 4 --out "$work/store.h5"
expect 0 "step 1/1" "$hylas" train "$ckpt/config.yaml" --set data.store="$work/store.h5" --set data.sequence=5000 --set data.batch=1 \
    --set train.steps=1 --set run.dir="$work/longer"
expect 0 "llama, " "$hylas" export hf "$work/longer" --out "$work/long"
sed 's/"max_position_embeddings": 4096/"max_position_embeddings": 5000/' "$work/llama/config.json" | cmp - "$work/long/config.json" || failed=1
cmp "$work/llama/tokenizer.json" "$work/long/tokenizer.json" || failed=1
rm -r "$ckpt/hf"
expect 0 "not there; --rest" "$hylas" export hf "$work/longer" --out "$work/gone"
expect 2 "no layer is gated_deltanet" "$hylas" export hf "$work/longer" --as qwen3_5_text --out "$work/other"
expect 2 "these can be: llama, mamba2" "$hylas" export hf "$work/longer" --as gpt2 --out "$work/other"
expect 0 "transformer, " "$hylas" export hf "$work/transformer.ckpt" --out "$work/same" --as transformer

golden=$data/golden
expect 2 recurrence "$hylas" op recurence --in "$golden/gla.h5" --out "$work/o.h5"
expect 2 zigzag "$hylas" op recurrence --in "$golden/gla.h5" --out "$work/o.h5" --layout diagonal
expect 2 needs "$hylas" op recurrence --in "$golden/gla.h5"
expect 2 needs "$hylas" op model --in "$golden/gla.h5" --out "$work/o.h5"
expect 2 cpu "$hylas" op recurrence --in "$golden/gla.h5" --out "$work/o.h5" --table gpu
expect 4 rule "$hylas" op recurrence --in "$golden/attention_window.h5" --out "$work/o.h5"
expect 4 "value heads" "$hylas" op recurrence --in "$golden/attention.h5" --out "$work/o.h5"
expect 4 tokens "$hylas" op model --model "$gla" --in "$golden/gla.h5" --out "$work/o.h5"
expect 4 missing "$hylas" op attention --in "$gla/check.h5" --out "$work/o.h5"
expect 4 HDF5 "$hylas" op attention --in "$gla/config.json" --out "$work/o.h5"
expect 4 created "$hylas" op attention --in "$golden/attention.h5" --out "$work/nowhere/o.h5"
head -c 5000 "$golden/attention.h5" >"$work/cut.h5"
expect 4 HDF5 "${MPIEXEC:-mpirun}" -np 3 "$hylas" op attention --in "$work/cut.h5" --out "$work/o.h5"
[ -e "$work/bad/latest" ] && { echo 'FAILED: a refused model left a checkpoint'; failed=1; }
[ -e "$work/o.h5" ] && { echo 'FAILED: a refused operation left a file'; failed=1; }
exit $failed
