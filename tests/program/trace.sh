#!/usr/bin/env bash
# trace.sh HYLAS DATA SOURCE SLOW: hylas trace on real runs. A run whose spans cover its steps; a rank that is slowed, an exchange that blocks
# and a wrong layout, on purpose (SLOW is what makes them: tests/trace/slow.c), are each the first thing to change.
set -uo pipefail
hylas=$1 source=$3 slow=$4 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # ranks, folder, options
    local ranks=$1 run=$2
    shift 2
    "$mpirun" -np "$ranks" "${environment[@]}" "$hylas" train "$source/configs/tiny.yaml" --set data.store=tiny.h5 --set run.dir="$run" \
        --set train.steps=6 --set trace.steps=3-5 --set parallel.transport=mpi "$@" >log 2>&1 || fail "$run: training"
    "$hylas" trace "$run" >out 2>&1 || fail "$run: trace"
}
first() { grep -A1 '^what to change first' out | tail -n 1; }
environment=()

"$hylas" data text "$source/docs" --out tiny.h5 >log 2>&1 || fail "text"

# ---- what is printed ----

train 2 plain --set data.sequence=4096 --set data.batch=1
grep -q '2 ranks (data 1, sequence 2), 6 steps, 3 of them whole' out || fail "what the trace is of"
grep -Eq '^clocks +aligned with rank 0.s to [0-9.]+ us' out || fail "no error of the clocks"
[ "$(awk '/^rank +step ms/ { on = 1; next } /^$/ { on = 0 } on && /^ +[0-9]/ && $8 + 0 <= 1' out | wc -l)" -eq 2 ] || fail "computing, waiting and the host's work are not the step"
for word in 'gradients +reduce-scatter +0 ' 'state +all-gather +0 ' 'attention K,V +receive +1 ' 'critical path of step [345], '; do
    grep -Eq "^$word" out || fail "no '$word'"
done
"$hylas" trace plain --chrome plain.json --all >out 2>&1 || fail "chrome"
for word in '"ph": "s"' '"ph": "f"' '"rank 1"' '"exchanges 1"'; do
    grep -q -- "$word" plain.json || fail "no $word in plain.json"
done
[ "$(grep -o '"ph": "s"' plain.json | wc -l)" -gt 20 ] || fail "few arrows"

# totals alone; none at all; a rank's file that is missing
train 2 totals --set trace.steps=
grep -q '6 steps, 0 of them whole' out && grep -Eq '^parameters +all-gather' out || fail "a run without trace.steps"
train 2 plain3 --set trace.steps=2
rm plain3/trace/rank-1.h5
"$hylas" trace plain3 >out 2>&1
[ $? -eq 4 ] && grep -q 'rank-1.h5: not there, and the run had 2 ranks' out || fail "a missing rank"
"$mpirun" -np 1 "$hylas" train "$source/configs/tiny.yaml" --set data.store=tiny.h5 --set run.dir=off --set train.steps=2 --set trace.on=false >log 2>&1 || fail "off"
[ ! -e off/trace ] || fail "trace.on=false leaves files"
"$hylas" trace off >out 2>&1
[ $? -eq 4 ] && grep -q 'that was traced' out || fail "a run without a trace"
"$hylas" train "$source/configs/tiny.yaml" --set trace.steps=5-3 >out 2>&1
[ $? -eq 2 ] && grep -q 'trace.steps' out || fail "trace.steps that names nothing"

# ---- what is wrong is said first ----

# one rank is slow: the other computes a third as long
environment=(-x "LD_PRELOAD=$slow" -x SLOW_RANK=1)
train 2 slow --set data.sequence=8192 --set data.batch=1
first | grep -q '1. rank 1 is slow' || fail "the slow rank is not first: $(first)"

# all-gathers take long (of more than four ranks: those of fewer are messages), and a pass that waits for them waits all the time
environment=(-x "LD_PRELOAD=$slow" -x SLOW_GATHER=20)
train 5 seeded --set model.schedule.pattern='[gated_deltanet]' --set parallel.overlap=seeded --set data.sequence=2048
first | grep -q "1. the exchange 'state.*blocks.*parallel.overlap: split" || fail "the blocking exchange is not first: $(first)"

# the last of three ranks has five ninths of causal attention
environment=()
train 3 contiguous --set model.schedule.pattern='[attention]' --set parallel.layout=contiguous --set data.sequence=6144 --set data.batch=1
first | grep -q '1. parallel.layout: zigzag instead of contiguous' || fail "the layout is not first: $(first)"
printf 'trace: ok\n'
