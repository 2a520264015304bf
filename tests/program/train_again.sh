#!/usr/bin/env bash
# train_again.sh HYLAS DATA: a run is what its configuration says. Another lr, window or store with the same run.dir is an error that names
# the key, whether the run is finished or not; what does not change the mathematics is free; what the user allows goes on. A validation that
# is missing is made up for. DATA: tests/data, whose files are the text.
set -uo pipefail
hylas=$1 data=$2
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

expect() { # exit code, pattern of the output, arguments of train
    local code=$1 pattern=$2
    shift 2
    "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.sequence=64 --set train.steps=3 --set run.dir=run "$@" >log 2>&1
    local got=$?
    [ $got -eq "$code" ] || fail "train $*: exit code $got instead of $code"
    grep -qE -- "$pattern" log || fail "train $*: no '$pattern'"
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
"$hylas" data text "$data"/../unit/test_utf8.c --out b.h5 >log 2>&1 || fail "no store"
expect 0 'saved to run/checkpoints/step-3'
expect 0 'nothing to do'

# Finished or not, with equal shapes or not.
cp run/config.yaml before.yaml
expect 2 'train.lr: 0.001 -> 0.002  \(--set train.lr=2e-3\)' --set train.lr=2e-3
expect 2 'model.mixers.attention.window: 0 -> 64' --set model.mixers.attention.window=64 --set train.steps=5
expect 2 'model.schedule.pattern: \[gated_deltanet, attention\] -> \[attention, gated_deltanet\]' --set 'model.schedule.pattern=[attention, gated_deltanet]'
expect 2 'allow-change model.mixers.attention.window,train.lr' --set model.mixers.attention.window=64 --set train.lr=2e-3
expect 2 'train.lr: 0.001 -> 0.002' --set model.mixers.attention.window=64 --set train.lr=2e-3 --allow-change model.mixers
cmp -s run/config.yaml before.yaml || fail "a refused start has changed config.yaml"
expect 2 "no such key; nearest: train.lr" --allow-change train.lrr

# Free keys; the store is its content, not its path.
cp a.h5 moved.h5 && cp a.h5.xxh3 moved.h5.xxh3
expect 0 'nothing to do' --set train.checkpoint.every=2 --set train.recompute=block --set run.device=cpu_ref --set data.store=moved.h5
expect 2 'data.store: [0-9a-f]{16} -> [0-9a-f]{16}' --set data.store=b.h5
expect 0 'nothing to do' --set data.store=b.h5 --allow-change data.store
expect 0 'resuming after step 3' --set train.steps=4
grep -q 'train.steps was 3 in the checkpoint, is 4 now' log || fail "a longer run is not mentioned"

# Allowed once, it is what the run is from its next checkpoint on.
expect 0 'resuming after step 4' --set train.steps=5 --set model.mixers.attention.window=64 --set train.lr=2e-3 --allow-change model.mixers.attention.window,train.lr
expect 0 'nothing to do' --set train.steps=5 --set model.mixers.attention.window=64 --set train.lr=2e-3
expect 2 'train.lr: 0.002 -> 0.001' --set train.steps=5 --set model.mixers.attention.window=64

# Killed between the last checkpoint and the final validation.
validated=(--set run.dir=validated --set data.eval_store=b.h5 --set train.eval.sequences=2)
expect 0 'validation loss' "${validated[@]}"
cp validated/metrics.jsonl whole.jsonl
sed -i '/eval_loss/d' validated/metrics.jsonl
expect 0 'validation loss' "${validated[@]}"
cmp -s validated/metrics.jsonl whole.jsonl || fail "the validation made up for is not the one that was missing"
expect 0 'nothing to do' "${validated[@]}"

# Folders by interpolation.
expect 0 'saved to runs/1gated_deltanet-1attention-32/checkpoints' --set 'run.dir=runs/${model.schedule}-${model.width}'
expect 0 'saved to runs/2gated_deltanet-32/checkpoints' --set 'run.dir=runs/${model.schedule}-${model.width}' --set 'model.schedule.pattern=[gated_deltanet]'
expect 2 'run.dir=.*unknown key in \$\{model.widht\}; nearest: \$\{model.width\}' --set 'run.dir=runs/${model.widht}'
expect 2 'missing after' --set 'run.dir=runs/${model.width'

# The first save of a run fails.
ulimit -f 8
expect 5 'could not be saved \(1 failed saves so far\); there is no checkpoint yet' --set run.dir=full
printf 'refused by name, free where it may, allowed where the user says so\n'
