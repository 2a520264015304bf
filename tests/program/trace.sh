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

if python3 -c '' 2>/dev/null; then # as Perfetto reads it; and one that breaks its rules
    python3 "$source/tests/program/read_chrome.py" plain.json >log 2>&1 || fail "chrome: Perfetto's rules"
    for change in 's/"ph": "f"/"ph": "s"/' 's/"dur": /"dur": -/' 's/"id": 7,/"id": 8,/'; do
        sed "$change" plain.json >broken.json
        ! python3 "$source/tests/program/read_chrome.py" broken.json >/dev/null 2>&1 || fail "chrome: $change breaks no rule"
    done
fi

# pictures: what is in flight for a layer is a union: no less than any of its exchanges, no more than their sum
"$hylas" trace plain --plot --all >out 2>&1 || fail "plot"
bars=$(sed -nE 's/.*<title>(layer )?([a-z0-9 ]+): (hidden behind computing|exposed) ([0-9.e-]+) ms of a step.*/\2 \4/p' plain/trace/layers.svg |
    sed 's/^embedding and head/ends/; s/^no layer/-/')
awk -v bars="$bars" '
    BEGIN { n = split(bars, line, "\n"); for (i = 1; i <= n; i++) { split(line[i], word, " "); bar[word[1]] += word[2] } }
    /^exchange  / { at = index($0, "layer"); times = index($0, "ms in flight"); on = 1; next } /^$/ { on = 0 } /^-/ || !on { next }
    { split(substr($0, at), word, " "); flight = substr($0, times, 12) + 0; layer = word[1]
      sum[layer] += flight; most[layer] = flight > most[layer] ? flight : most[layer] }
    END { for (l in sum) { rows++; if (bar[l] < 0.99 * most[l] - 0.002 || bar[l] > 1.01 * sum[l] + 0.002) { print l, bar[l], most[l], sum[l]; bad = 1 } }
          exit bad || rows != 4 }' out >log || fail "bars of layers: $(cat log) $bars"
grep -q '>rank 1<' plain/trace/timeline.svg && grep -q '<path class="path"' plain/trace/timeline.svg || fail "no timeline"
"$hylas" trace plain --against plain --plot >out 2>&1 || fail "against itself"
grep -Eq '^step +[0-9.]+ +[0-9.]+ +\+0.000 +\+0.0%' out && [ "$(grep -c '<title>after: ' plain/trace/against.svg)" -gt 3 ] || fail "a run is another than itself"

# totals alone; none at all; a rank's file that is missing
train 2 totals --set trace.steps=
"$hylas" trace totals --plot --against plain >out 2>&1 || fail "plot of totals"
[ -s totals/trace/layers.svg ] && [ ! -e totals/trace/timeline.svg ] && grep -q '^in flight, by layer: exposed' out || fail "pictures of totals"
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
