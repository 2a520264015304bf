#!/usr/bin/env bash
# plan_devices.sh HYLAS SOURCE: bytes that a rank holds in a run, workspace, staging, lists, tokens and all, are what `hylas plan` says, within 2%: on
# cuda_host, where operations take the scratch that GPUs do, and on cpu_async, whose memory is the device's own. Several models, 1 to 3 ranks, both
# precisions, recomputation and micro-steps.
set -uo pipefail
hylas=$1 source=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

"$hylas" data text "$source/layers/graph" --out store.h5 >/dev/null || fail "no token store"
compare() { # configuration, device, ranks, precision, tokens; the rest are overrides "a.b=value"
    local config=$source/configs/$1.yaml device=$2 ranks=$3 precision=$4 tokens=$5 sets=() overrides set planned allocated
    shift 5
    eval "overrides=($(sed -n 's/^# reduced: //p' "$config"))"
    for set in "${overrides[@]}" model.vocab=256 data.store=store.h5 data.eval_store= data.tokenizer= run.dir=run data.sequence="$tokens" data.batch=1 \
        train.steps=1 train.accumulate=1 train.init= parallel.sequence=auto run.device="$device" train.precision="$precision" "$@"; do
        sets+=(--set "$set")
    done
    rm -rf run
    "$hylas" plan "$config" --ranks "$ranks" "${sets[@]}" >log 2>&1 || fail "plan of $config"
    planned=$(awk '/^memory/ { inside = 1 } inside && /^total/ { print $2; exit }' log)
    "$mpirun" -np "$ranks" "$hylas" train "$config" "${sets[@]}" >log 2>&1 || fail "$config on $device, $ranks ranks, $precision"
    allocated=$(sed -n 's/.*allocated at most \([0-9.]* [KMG]*i*B\).*/\1/p' log)
    awk -v p="$planned" -v a="$allocated" -v what="${config##*/} on $device, $ranks ranks, $precision" 'BEGIN {
        split(a, x, " "); f["KiB"] = 1024; f["MiB"] = 1048576; f["GiB"] = 1073741824; a = x[1] * f[x[2]]
        printf "%-52s planned %9d bytes, allocated %9d: %.4f\n", what, p, a, p / (a + 1)
        exit !(a > 0 && p > 0 && p / a > 0.98 && p / a < 1.02) }' || fail "planned $planned bytes, allocated $allocated"
}

# Wide MLPs and no recomputation: what a run holds is then far more than the few 100 KiB that no plan lists (its tables, HDF5's list of documents).
wide=(model.mlp.width=1024 train.recompute=none)
compare tiny cuda_host 1 bf16 601 "${wide[@]}"
compare quickstart cuda_host 2 f32 301 "${wide[@]}" data.batch=2 train.accumulate=2
compare hybrids/kimi-linear-like cuda_host 3 bf16 401 "${wide[@]}"
compare hybrids/multi-hybrid cuda_host 1 f32 301 "${wide[@]}"
compare quickstart cpu_async 3 f32 16001
compare hybrids/minimax-01-like cpu_async 2 bf16 8001 train.recompute=light data.batch=2
compare hybrids/lizard-like cpu_async 1 bf16 4001 train.recompute=none
