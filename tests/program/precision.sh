#!/usr/bin/env bash
# precision.sh HYLAS DATA: runs in bf16. A stop and resume gives the bits of the run without one, on 1 rank and on 3, because checkpoints
# hold float32 masters; they are the same files in either precision, so a run goes from float32 to bf16 and back; losses stay near those of
# float32; another rank count changes them by rounding only; activations take half the memory. DATA: tests/data.
set -uo pipefail
hylas=$1 data=$2
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # ranks, steps, folder, more
    local ranks=$1 steps=$2 folder=$3
    shift 3
    local launcher=("${MPIEXEC:-mpirun}" -np "$ranks")
    [ "$ranks" -gt 1 ] || launcher=()
    "${launcher[@]}" "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.sequence=64 --set data.batch=6 \
        --set train.schedule=constant --set train.warmup=0 --set train.lr=1e-2 --set train.checkpoint.keep=9 \
        --set train.steps="$steps" --set run.dir="$folder" "$@" >log 2>&1 || fail "training in $folder"
}
contents() { # folder, step: hashes of parameters, m and v
    grep -o '"content": *"[0-9a-f]*"' "$1/checkpoints/step-$2/manifest.json"
}
losses() { # folder
    grep -o '"loss": [0-9.e-]*' "$1/metrics.jsonl" | cut -d' ' -f2
}
near() { # folder, folder, relative difference of losses, line by line
    paste <(losses "$1") <(losses "$2") | awk -v most="$3" '
        NF != 2 { bad = 1 }
        { d = ($1 - $2) / $2; if (d < 0) d = -d; if (d > most) bad = 1 }
        END { exit bad || NR == 0 }' || { paste <(losses "$1") <(losses "$2"); fail "losses of $1 and $2 differ by more than $3"; }
}
half=(--set train.precision=bf16)

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
for ranks in 1 3; do
    train $ranks 6 full$ranks
    train $ranks 6 half$ranks "${half[@]}"
    train $ranks 3 stopped$ranks "${half[@]}"
    train $ranks 6 stopped$ranks "${half[@]}"
    [ "$(contents half$ranks 6)" = "$(contents stopped$ranks 6)" ] || fail "$ranks ranks: a resume in bf16 changes bits"
    [ "$(contents half$ranks 6)" != "$(contents full$ranks 6)" ] || fail "$ranks ranks: bf16 is float32"
    [ "$(losses half$ranks)" = "$(losses stopped$ranks)" ] || fail "$ranks ranks: a resume in bf16 changes losses"
    near half$ranks full$ranks 0.02
    sizes=$(stat -c %s full$ranks/checkpoints/step-6/*.h5) # masters and moments, whatever the precision
    [ "$(stat -c %s half$ranks/checkpoints/step-6/*.h5)" = "$sizes" ] || fail "$ranks ranks: a checkpoint of another size"

    train $ranks 2 mixed$ranks
    train $ranks 4 mixed$ranks "${half[@]}"
    grep -q 'train.precision was f32 in the checkpoint, is bf16 now' log || fail "the change of precision is not mentioned"
    train $ranks 6 mixed$ranks
    near mixed$ranks full$ranks 0.02
done
near half1 half3 0.01
train 3 3 moved "${half[@]}"
train 1 6 moved "${half[@]}"
near moved half3 0.01
"$hylas" eval half3 --store a.h5 --sequences 2 --sequence 64 >log 2>&1 || fail "no evaluation in bf16"
"$hylas" eval half3 --store a.h5 --sequences 2 --sequence 64 --set train.precision=f32 >log 2>&1 || fail "no evaluation in float32"

# Activations of a million tokens on 4 ranks: at most 60% of those in float32.
activations() { # precision: bytes
    "$hylas" plan "$data/../../configs/million.yaml" --ranks 4 --set train.precision="$1" | awk '
        /^activations held|^working set of a block/ { sum += $(NF - 2) }
        END { printf "%.0f", sum }'
}
full=$(activations f32) part=$(activations bf16)
[ "$full" -gt 1000000000 ] && [ $((part * 10)) -le $((full * 6)) ] || fail "activations take $part bytes in bf16, $full in float32"

# The curves of both precisions, reduced.
"$data"/../../launch/compare-precision.sh --hylas "$hylas" --out "$work/curves" --models recall --seeds "1 2" --steps 16 >log 2>&1 || fail "compare-precision.sh"
[ "$(grep -Ec "^ +[0-9]+ +[0-9.]+ \+- [0-9.]+ +[0-9.]+ \+- [0-9.]+ +[-+][0-9.]+%$" log)" -eq 8 ] || fail "compare-precision.sh prints no table"
