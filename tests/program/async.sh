#!/usr/bin/env bash
# async.sh HYLAS DATA [SEEDS] [RANKS] [MICRO_STEPS]: runs on cpu_async, whose calls return early and whose memory the host cannot touch, leave the same bits as
# on cpu: training, saved, stopped and resumed, with validation; operations and models on tensors from files; verify passes; a mark that gets lost is noticed. By hand more seeds.
set -uo pipefail
hylas=$1 data=$2 seeds=${3:-2} most=${4:-2} accumulate=${5:-2} mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # ranks, folder, device; the rest are options
    local ranks=$1 run=$2 device=$3
    shift 3
    timeout 120 "$mpirun" -np "$ranks" "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.eval_store=a.h5 --set data.sequence=64 \
        --set train.steps=4 --set train.eval.sequences=3 --set train.accumulate="$accumulate" --set run.dir="$run" --set run.device="$device" "$@" >log 2>&1
}
same() { # two runs: parameters, moments, losses
    local file
    for file in "$1"/checkpoints/step-4/rank-*.h5; do
        cmp -s "$file" "$2/checkpoints/step-4/${file##*/}" || return 1
    done
    diff <(losses "$1") <(losses "$2") >/dev/null
}
losses() { # of every step, and of the last validation
    grep -v eval_loss "$1/metrics.jsonl" | grep -o '"\(step\|loss\|grad_norm\)":[^,}]*'
    grep -o '"eval_loss":[^,}]*' "$1/metrics.jsonl" | tail -n 1
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
for ranks in $(seq "$most"); do
    train "$ranks" "cpu$ranks" cpu || fail "cpu, $ranks ranks"
    [ "$(losses "cpu$ranks" | wc -l)" -ge 9 ] || fail "no losses in the metrics"
    for seed in $(seq "$seeds"); do
        HYLAS_ASYNC_SEED=$seed train "$ranks" "async$ranks-$seed" cpu_async || fail "cpu_async, $ranks ranks, seed $seed"
        same "cpu$ranks" "async$ranks-$seed" || fail "$ranks ranks, seed $seed: not the bits of cpu"
    done
done
train "$most" pages cpu_async --set train.steps=2 || fail "first half"
HYLAS_GUARD=pages train "$most" pages cpu_async || fail "resumed, with pages instead of keys"
same "cpu$most" pages || fail "stopped and resumed: not the bits of cpu"

# Operations and models on tensors from files: the same files.
op() { # ranks, device, operation, input, output; the rest are options
    local ranks=$1 device=$2 op=$3 in=$4 out=$5
    shift 5
    "$mpirun" -np "$ranks" "$hylas" op "$op" --in "$in" --out "$out" --table "$device" "$@" >log 2>&1 || fail "op $op on $device, $ranks ranks, $*"
}
same_op() { # ranks, operation, input; the rest are options
    local ranks=$1 op=$2 in=$3
    shift 3
    op "$ranks" cpu "$op" "$in" op-cpu.h5 "$@"
    op "$ranks" cpu_async "$op" "$in" op-async.h5 "$@"
    cmp -s op-cpu.h5 op-async.h5 || fail "op $op, $ranks ranks, $*: not the bits of cpu"
}
turn=0
for row in recurrence:gated_deltanet_packed dplr:dplr_packed rwkv6:rwkv6_packed hgrn:hgrn_packed log_linear:log_linear_packed \
    attention:attention_sinks_packed conv:conv_states; do
    dtypes=(f32 bf16 f64) ranks=$((1 + turn % most))
    same_op "$ranks" "${row%:*}" "$data/golden/${row#*:}.h5" --dtype "${dtypes[turn % 3]}" --state "$([ $((turn % 2)) = 0 ] && echo ring || echo allgather)"
    turn=$((turn + 1))
done
same_op "$most" model "$data/models/hf_qwen3_5/check.h5" --model "$data/models/hf_qwen3_5" --dtype bf16 --recompute block

for config in "$data"/verify.yaml "$data"/verify-recurrent.yaml; do
    [ "$most" -gt 1 ] || continue
    "$mpirun" -np 2 "$hylas" verify "$config" --table cpu_async --tokens 67 --all --dtype f64 >log 2>&1 || fail "verify ${config##*/}"
done

# A lost mark ends the run or shows in its numbers, unless the other side happened to be early, or the wait was for safety: among
# those of two steps there is one.
noticed=0
for drop in $(seq 30 90); do
    rm -rf lost
    if ! HYLAS_ASYNC_DROP=$drop train 1 lost cpu_async || ! same cpu1 lost; then
        noticed=$drop
        break
    fi
done
[ "$noticed" -gt 0 ] || fail "marks were lost and nothing was noticed"
printf 'the same bits with %s seeds; lost mark %s noticed\n' "$seeds" "$noticed"
