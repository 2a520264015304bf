#!/usr/bin/env bash
# watchdog.sh HYLAS SOURCE ASTRAY: a rank that stops, loops, waits in another exchange, dies or is slow is named with its host, and the job ends
# with exit code 8; in a training the last checkpoint is intact and the same command goes on.
set -uo pipefail
astray=$(realpath "$3")
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"
host=$(uname -n) # where it is cut, so are names in the log

run() { # mode, rank, timeout, then what the log must say; gives its exit code in `code`
    local mode=$1 rank=$2 begin=$SECONDS
    timeout -k 5 60 "$mpirun" -np 3 "$astray" "$mode" "$rank" "$3" >log 2>&1
    code=$?
    took=$((SECONDS - begin))
    shift 3
    local wanted
    for wanted in "$@"; do
        grep -Eq "$wanted" log || fail "$mode, rank $rank: the log does not say: $wanted"
    done
}
once() { # what the log must say once
    [ "$(grep -Ec "$1" log)" -eq 1 ] || fail "$2: said $(grep -Ec "$1" log) times: $1"
}

exchange='all-reduce "step counts" [0-9]+ has not come about within 2.00 s \(run.timeout\) in gradients: '
run stop 0 2 "$exchange""rank 0 on $host does not answer: it is stopped"
[ $code -eq 8 ] || fail "stop: exit code $code"
[ $took -le 12 ] || fail "stop: named after $took s"
once "$exchange" stop
run loop 1 2 "$exchange""rank 1 on $host has been computing for [0-9.]+ s \(step 20, gradients\); it last waited in all-reduce \"step counts\" [0-9]+"
[ $code -eq 8 ] || fail "loop: exit code $code"
once "$exchange" loop
run other 1 2 "has not come about within .*: rank 1 on $host has been waiting in another exchange, receive \"states\" 1 from rank 0, for [0-9.]+ s \(step 20, gradients\)"
[ $code -eq 8 ] || fail "other: exit code $code"
run message 2 2 "receive \"states\" [0-9]+ from rank 2 has not come about within .*: rank 2 on $host does not answer"
[ $code -eq 8 ] || fail "message: exit code $code"
run kill 1 60 "rank 1 on $host is gone: it was killed, or crashed"
[ $code -ne 0 ] && [ $took -le 10 ] || fail "kill: exit code $code after $took s"
run slow 1 4 "warn .*rank 1 on $host is slow: the others waited for it [0-9]+% of the last [0-9.]+ (s|ms) \(run.slow\)" '^done$'
[ $code -eq 0 ] || fail "slow: exit code $code"
run abort 1 60
[ $code -eq 6 ] || fail "abort: exit code $code"
! grep -q 'is gone' log || fail "a rank that leaves with its own exit code is called dead"
run none 1 2 '^done$'
[ $code -eq 0 ] && ! grep -q ' warn ' log || fail "nobody astray: exit code $code"

# ---- a training ----

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >/dev/null || fail "no token store"
train() { # device, steps
    exec timeout -k 5 100 "$mpirun" -np 3 "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set run.dir="run-$1" \
        --set train.steps="$2" --set train.checkpoint.every=5 --set run.timeout=3 --set run.device="$1"
}
stop_and_resume() { # device
    local i step from
    (train "$1" 100000) >log 2>&1 &
    job=$!
    for ((i = 0; i < 600; i++)); do
        [ -e "run-$1/checkpoints/step-10" ] && break
        sleep 0.05
    done
    [ -e "run-$1/checkpoints/step-10" ] || fail "no checkpoint"
    ranks=($(for pid in $(pgrep -P "$(pgrep -P $job)"); do ! grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$pid/environ" || printf '%s\n' "$pid"; done))
    [ ${#ranks[@]} -eq 1 ] || fail "${#ranks[@]} processes are rank 1"
    kill -STOP "${ranks[0]}"
    wait $job
    code=$?
    [ $code -eq 8 ] || fail "a training on $1 with a stopped rank: exit code $code"
    grep -Eq "run.timeout.*: rank 1 on $host does not answer" log || fail "the stopped rank is not named"
    grep -Eq "run.timeout.*: rank 1 on $host does not answer" "run-$1/log.txt" || fail "the stopped rank is not named in log.txt"
    step=$(sed 's/step-//' "run-$1/checkpoints/latest")
    (train "$1" $((step + 20))) >log 2>&1 || fail "the training does not go on: exit code $?"
    from=$(sed -n 's/.*resuming after step \([0-9]*\) .*/\1/p' log) # later, where mpirun woke the rank and all could still save a step that was done
    [ "${from:--1}" -ge "$step" ] && [ "$from" -lt $((step + 20)) ] || fail "it resumed after step ${from:-none}, not $step or later"
}
stop_and_resume cpu
stop_and_resume cpu_async
printf 'stopped, looping, elsewhere, dead, slow: named\n'
