#!/usr/bin/env bash
# stop_resume.sh HYLAS SOURCE [STOPS] [DEVICE] [PRECISION]: SIGINT or SIGTERM at random moments of long steps, in turn to mpirun (which kills its ranks a second
# after telling them), to all ranks, as SIGUSR1 to all, and to one rank; after each the same command goes on. No step that was finished is made again, and in
# the end parameters and optimizer state equal those of an uninterrupted run bit for bit. There are no other checkpoints than those that the
# stops make. SOURCE: this repository, whose files are the text.
set -uo pipefail
stops=${3:-20} device=${4:-cpu} precision=${5:-f32}
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >/dev/null || fail "no token store"
steps=2
train() { # run folder
    exec "$mpirun" -np 3 "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set data.eval_store= --set run.dir="$1" \
        --set train.steps=$steps --set train.checkpoint.every=0 --set data.sequence=${SEQUENCE:-9000} \
        --set run.device="$device" --set train.precision="$precision"
}
contents() { # run folder: the hashes of what its last checkpoint holds
    grep -o '"content": *"[0-9a-f]*"' "$1/checkpoints/step-$steps/manifest.json"
}
finished() { # run folder: the last step in its metrics
    tail -n 1 "$1/metrics.jsonl" 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/'
}

# A stop takes up to two steps more, at mpirun those of a second too.
(train probe) >log 2>&1 || fail "two steps"
step_ms=$(awk '{ print int(1 + 1000 * $2); exit }' < <(sed -n '2s/.*"seconds"//p' probe/metrics.jsonl))
steps=$((4 + 3 * stops + (stops / 4 + 1) * 3000 / step_ms))
(train whole) >log 2>&1 || fail "the uninterrupted run"

wait_for_step() { # until step $1 is in the metrics, or the run has ended
    while [ "$(finished stopped)" != "$1" ] && kill -0 "$job" 2>/dev/null; do sleep 0.01; done
}

at=0 clean=0 killed=0 parts=0
for ((i = 1; i <= stops; i++)); do
    (train stopped) >log 2>&1 &
    job=$!
    wait_for_step $((at + 1))
    kill -0 $job 2>/dev/null || fail "stop $i: the run ended on its own"
    sleep "$(printf '0.%03d' $((RANDOM % (step_ms < 999 ? step_ms : 999))))" # anywhere in the next step
    ranks=($(pgrep -P $job))
    signal=$([ $((RANDOM % 2)) -eq 0 ] && echo INT || echo TERM)
    seen=$(finished stopped)
    [ $((i % 4)) -eq 3 ] && signal=USR1
    case $((i % 4)) in
        0) kill -$signal "${ranks[RANDOM % ${#ranks[@]}]}" ;;
        1) kill -$signal $job ;;
        2 | 3) kill -$signal "${ranks[@]}" ;;
    esac
    wait $job
    code=$?
    [ $code -eq 0 ] && fail "stop $i (SIG$signal): the job ended with 0"
    if [ $code -eq 75 ]; then clean=$((clean + 1)); else killed=$((killed + 1)); fi
    [ $((i % 4)) -eq 1 ] || [ $code -eq 75 ] || fail "stop $i (SIG$signal): exit code $code"
    [ $signal = USR1 ] || grep -q "SIG[A-Z]*: the last finished step is being saved" log || fail "stop $i (SIG$signal): no word of it"
    parts=$((parts + $(compgen -G 'stopped/checkpoints/*.stop/*.part' | wc -l)))
    # What is there now, made a checkpoint where it is parts: it must hold every step that was finished before the signal.
    "$hylas" eval stopped --store store.h5 --sequences 1 --sequence 100 >eval.log 2>&1 || { cat eval.log; fail "stop $i: no checkpoint"; }
    at=$(sed -n 's/^checkpoint .*(step \([0-9]*\)).*/\1/p' eval.log)
    [ "$at" -ge "$seen" ] || fail "stop $i (SIG$signal): step $seen was finished, but the newest checkpoint is that of step $at"
    [ "$at" -lt $steps ] || fail "stop $i: the run was over"
done
[ $parts -gt 0 ] || fail "nothing was saved in the middle of a step"
(train stopped) >log 2>&1 || fail "the last run: exit code $?"
grep -q "resuming after step $at" log || fail "the last run did not resume"

[ -n "$(contents whole)" ] || fail "no hashes in the manifest"
[ "$(contents whole)" = "$(contents stopped)" ] || fail "the final state differs from the uninterrupted run's"
[ "$(wc -l <whole/metrics.jsonl)" = "$(wc -l <stopped/metrics.jsonl)" ] || fail "metrics.jsonl: steps missing or twice"
compgen -G 'stopped/checkpoints/*.stop' && fail "parts are left"
printf '%s stops in steps of %s ms, %s with exit code 75, %s killed by the launcher: no finished step lost, final state equal bit for bit\n' \
    "$stops" $step_ms $clean $killed
