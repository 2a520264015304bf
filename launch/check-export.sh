#!/usr/bin/env bash
# Models made here in transformers: trains five tiny ones from scratch, exports them without saying as what, loads them with transformers'
# AutoModelForCausalLM and compares logits, and what it generates greedily, with hylas' own in float64.
#
#     launch/check-export.sh --python PATH [--hylas build/bin/hylas]
#
# PATH is a Python with torch, transformers and h5py (without them: exit code 3). Exit code 1 if a model does not open there or its logits
# differ by more than float32 rounds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/scripts/beside-pytorch.sh

python="" hylas=build/bin/hylas
read_options "python hylas" "$@"
need torch,transformers,h5py
export OMP_NUM_THREADS=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quiet() { # a command whose output is of interest only if it fails
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2 && fail 1 "failed: $*"; }
}
quiet "$hylas" data text docs/mixers.md --out "$work/store.h5"
quiet "$python" launch/scripts/export_logits.py tokens docs/mixers.md "$work/tokens.h5"

sizes="layers: 4, width: 48, vocab: 256, mlp: {width: 64}"
hybrid="schedule: {pattern: [gated_deltanet, gated_deltanet, gated_deltanet, attention]}"
declare -A models=(
    [llama]="tied: true, pad_token: 32, schedule: {pattern: [attention]}, mixers: {attention: {heads: 4, kv_heads: 2}}"
    [mamba2]="schedule: {pattern: [mamba2]}, mixers: {mamba2: {value_dim: 16, proj_bias: true}}"
    [qwen3_5_text]="zero_centred: true, $hybrid, mixers: {gated_deltanet: {heads: 2, value_heads: 4, head_dim: 16},
        attention: {heads: 4, kv_heads: 2, head_dim: 16, qk_norm: rms_head, qk_norm_eps: 1e-6, output_gate: channel, rope_fraction: 0.25}}"
    [olmo_hybrid]="$hybrid, mixers: {gated_deltanet: {heads: 4, head_dim: 9, value_dim: 18, norm_eps: 1e-5, negative_eigenvalues: true},
        attention: {heads: 4, qk_norm: rms_all, qk_norm_eps: 1e-6, norm_place: post}}"
    [bamba]="schedule: {pattern: [mamba2, mamba2, attention, mamba2]}, mixers: {mamba2: {value_dim: 16, mlp: true},
        attention: {heads: 4, kv_heads: 2, rope_fraction: 0.5}}"
)
for name in "${!models[@]}"; do
    cat >"$work/$name.yaml" <<YAML
model: {$sizes, ${models[$name]}}
data: {store: $work/store.h5, sequence: 128, batch: 4}
train: {steps: 5, lr: 1e-2, warmup: 2}
run: {dir: $work/run-$name}
YAML
    quiet "$hylas" train "$work/$name.yaml"
    quiet "$hylas" export hf "$work/run-$name" --out "$work/$name"
    quiet "$hylas" op model --model "$work/$name" --in "$work/tokens.h5" --out "$work/$name.h5"
done
"$python" launch/scripts/export_logits.py compare "$work" "${!models[@]}" || fail 1 "not the same model"
