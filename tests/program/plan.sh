#!/usr/bin/env bash
# plan.sh HYLAS SOURCE: what `hylas plan` says is what a run allocates, within 2%; a step allocates nothing once it runs; mistakes are named.
# Work on 1 and 3 ranks, with and without recomputation, with validation and micro-steps.
set -uo pipefail
hylas=$1 source=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

mebibytes() { # "1.50 GiB" -> MiB
    awk '{ f["B"] = 1 / 1048576; f["KiB"] = 1 / 1024; f["MiB"] = 1; f["GiB"] = 1024; print $1 * f[$2] }' <<<"$1"
}

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >/dev/null || fail "no token store"

compare() { # ranks, overrides "a.b=value"
    local ranks=$1 sets=() set planned allocated
    shift
    for set in data.store=store.h5 run.dir=run data.sequence=8191 data.batch=3 train.steps=4 "$@"; do
        sets+=(--set "$set")
    done
    rm -rf run
    "$hylas" plan "$source/configs/tiny.yaml" --ranks "$ranks" "${sets[@]}" >log 2>&1 || fail "plan $ranks $*"
    planned=$(awk '/^memory/ { inside = 1 } inside && /^total/ { print $2; exit }' log)
    "$mpirun" -np "$ranks" "$hylas" train "$source/configs/tiny.yaml" "${sets[@]}" >log 2>&1 || fail "train $ranks $*"
    grep -q 'should make none' log && fail "a step allocated: $ranks $*"
    allocated=$(sed -n 's/.*allocated at most \([0-9.]* [KMG]*i*B\).*/\1/p' log)
    awk -v p="$planned" -v a="$(mebibytes "$allocated")" 'BEGIN { p /= 1048576; exit !(a > 0 && p > 0 && p / a > 0.98 && p / a < 1.02) }' ||
        fail "$ranks ranks, $*: planned $planned bytes, allocated $allocated"
    printf '%s ranks %-60s planned %s bytes, allocated %s\n' "$ranks" "$*" "$planned" "$allocated"
}
compare 1 train.recompute=none
compare 3 train.recompute=block data.eval_store=store.h5
compare 3 train.recompute=light train.accumulate=3 parallel.layout=contiguous parallel.attention=allgather parallel.state=ring

compare 3 'parallel.weights=[5, 2, 1]' data.eval_store=store.h5

# Pruning: what is planned is what a run has, and says; bytes and messages are fewer by what the table says; where no decay is fixed, it has no effect.
pruned='model.mixers={mix: {kind: retention, heads: 2}, attention: {heads: 2, kv_heads: 1, head_dim: 16}}'
compare 3 "$pruned" 'model.schedule.pattern=[mix, attention]' parallel.prune=1e-8
grep -q '^prune .*of 1 recurrent layers, 1 pass no state .*error of a state at most 4.[0-9]*e-10 of the largest' log || fail "no word of pruning"
for prune in 0 1e-8; do
    "$hylas" plan "$source/configs/tiny.yaml" --ranks 3 --set "$pruned" --set 'model.schedule.pattern=[mix, attention]' --set data.sequence=8191 --set parallel.prune=$prune --json >plan$prune || fail "plan --json"
done
"$hylas" plan "$source/configs/tiny.yaml" --ranks 3 --set "$pruned" --set 'model.schedule.pattern=[mix, attention]' --set data.sequence=8191 --set parallel.prune=1e-8 >log || fail "plan with pruning"
python3 - plan0 plan1e-8 log <<'END' || fail "what pruning saves"
import json, re, sys
def sent(name):
    layer = json.load(open(name))["stages"][0]["layers"][0]
    return sum(layer[side]["messages"] for side in ("forward", "backward")), layer["bytes_sent_forward"] + layer["bytes_sent_backward"]
(all_messages, all_bytes), (messages, left) = sent(sys.argv[1]), sent(sys.argv[2])
prune = json.load(open(sys.argv[2]))["stages"][0]["layers"][0]["prune"]
row = next(line for line in open(sys.argv[3]) if re.match(r"^ *0 +mix +0\.984", line))
said = re.search(r"(-?\d+) of (\d+)$", row.strip())
sys.exit(not (left < all_bytes and int(said[1]) == all_messages - messages and int(said[2]) == all_messages and "4 of 6" in row and
             (prune["fragments_closed"], prune["fragments"]) == (4, 6) and 0.984 < prune["slowest_head_keeps"] < 0.985 and 0 < prune["bound"] <= 1e-8))
END
compare 3 parallel.prune=1e-8
grep -q "^prune .*1e-08 has no effect: no layer's decay is fixed" log || fail "no word of pruning without effect"

# Offload: less of the device's memory, as a run has it, and what is moved.
compare 3 model.layers=6 train.recompute=block train.offload=host train.accumulate=3
"$hylas" plan "$source/configs/tiny.yaml" --set model.layers=6 --set train.recompute=block --set train.offload=host >log 2>&1 || fail "plan with offload"
# Of 512 tokens, 4 bytes each: the inputs of five blocks, 32 channels; what two attentions gave, 32, and their 2 log-sum-exps. The last block's stay.
grep -Eq "^train.offload: activations take .* and 456 KiB of the host's; without it .* of the device's" log || fail "no word of offload"
grep -q "^offload     456 KiB to the host's memory, 456 KiB back" log || fail "no bytes of offload"

# Stages: all are reserved at the start, no step of any allocates, and a stage's own checks come before the first step.
stages='train.stages=[{steps: 1, sequence: 500, batch: 7, accumulate: 2}, {steps: 2, sequence: 4001, batch: 2}, {steps: 1, sequence: 1000, rope_base: 1e6}]'
compare 2 "$stages" data.eval_store=store.h5
grep -q 'step 2  stage 2 of 3, to step 3: 2 sequences of 4001 tokens' log || fail "no word of the second stage"
# The checkpoint is evaluated as its last stage trained it: length and rotary base.
validated=$(sed -n 's/^step 4  validation loss \([0-9.]*\).*/\1/p' log)
"$hylas" eval run >log 2>&1 || fail "eval"
awk -v a="$validated" '/^loss/ { exit !(a > 0 && $2 - a < 1e-4 && a - $2 < 1e-4) }' log || fail "validation said $validated"
grep -q '4 sequences, ' log || fail "not the sequences of validation"

"$hylas" plan "$source/configs/quickstart.yaml" >log 2>&1 || fail "plan of the quickstart"
grep -Eq '^3 +attention +ring attention' log || fail "no method of layer 3"
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 3 >log 2>&1
[ $? -eq 2 ] || fail "3 ranks for a sequence of 4: not refused"
# Nothing of what a thousand ranks would hold is touched: such a plan needs no large machine.
"$hylas" plan "$source/configs/study/gated-deltanet-1.3b.yaml" --ranks 1024 --set data.sequence=8388608 >log 2>&1 || fail "plan of 1,024 ranks"
grep -Eq '^3 +attention +ring attention' log || fail "no layers of 1,024 ranks"
# Layouts compared: a rank's share of pairs grows along the sequence where it is contiguous; short documents leave less to share unevenly.
imbalance() { awk -v layout="$1" '{ sub(/^\*/, " ") } $1 == layout { sub("%", "", $NF); print $NF; exit }' log; }
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 >log 2>&1 || fail "plan of 4 ranks"
awk -v c="$(imbalance contiguous)" -v z="$(imbalance zigzag)" 'BEGIN { exit !(c > 50 && c < 75 && z != "" && z < 0.1) }' || fail "balance"
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 --documents --set data.store=store.h5 >log 2>&1 || fail "plan with documents"
grep -q 'with the documents of the first store' log || fail "no documents"
awk -v c="$(imbalance contiguous)" 'BEGIN { exit !(c > 0 && c < 50) }' || fail "balance of documents"
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 --documents --set data.store=none.h5 >log 2>&1
[ $? -eq 4 ] || fail "documents of no store: not refused"
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 --documents --json --set data.store=none.h5 >out 2>/dev/null
[ $? -eq 4 ] && [ ! -s out ] || fail "documents of no store: a part of a JSON document"
"$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 --set 'parallel.weights=[1, 2, 3]' >log 2>&1
[ $? -eq 2 ] && grep -q 'parallel.weights: 3 numbers for the 4 ranks' log || fail "3 weights for 4 ranks: not refused"
# Fixed fragments: as many as contiguous ranks may be too few for zigzag, which is compared all the same.
invariant="--set model.schedule.pattern=[gated_deltanet] --set parallel.invariant=true --set parallel.layout=contiguous --set parallel.state=chain"
"$hylas" plan "$source/configs/tiny.yaml" --ranks 16 $invariant --machine dgx-h100 >log 2>&1 || fail "plan of fixed fragments"
awk -v c="$(imbalance contiguous)" -v z="$(imbalance zigzag)" 'BEGIN { exit !(c != "" && z != "") }' || fail "balance of fixed fragments"
printf 'plans agree with runs\n'
