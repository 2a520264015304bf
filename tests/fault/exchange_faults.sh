#!/usr/bin/env bash
# exchange_faults.sh HYLAS SOURCE LIBRARY TRANSPORTS [--all | CASE]: in a training of three ranks with a checkpoint behind it, at the n-th exchange of
# a step one rank meets an error of the transport, is killed or stops (tests/fault/nth_exchange.c, the LIBRARY), over each of TRANSPORTS (words of mpi,
# ucx, nccl; nccl: the library that HYLAS_NCCL names). Afterwards: the job ended by itself within a bound with exit code 8 (a kill: or mpirun's 137), the
# log names the rank, all checkpoints in place hold what the undisturbed run's hold, and the same command resumes from the newest and ends where the
# undisturbed run ended, bit for bit. One draw of each kind (RANDOM_SEED repeats it), or --all n of the step on every rank in turn (MODES: only these;
# EVERY=k: each k-th of the stops, which take long), or one CASE: "TRANSPORT RANK MODE N", as a failure prints it.
set -uo pipefail
library=$(realpath "$3") transports=$4 what=${5:-}
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"
host=$(uname -n)
ranks=3 steps=6 step=4 # checkpoints after steps 2, 4 and 6: the step at hand saves too
patience=5 bound=50    # seconds: run.timeout where a rank stops; within which all is over
cases=0 failures=0
declare -A whole counts ended

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >log 2>&1 || fail "no token store"

run() { # transport, run folder, words before the program
    local transport=$1 dir=$2 device=cpu every=2 timeout=${limit:-600}
    shift 2
    [[ "$dir" != whole-* ]] || every=1 # a rank that is asked to end saves the step before, whichever it is
    [ "$transport" != nccl ] || device=cpu_async
    timeout -k 5 $bound "$mpirun" -np $ranks "$@" "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set data.sequence=96 \
        --set data.batch=1 --set run.dir="$dir" --set train.steps=$steps --set train.checkpoint.every=$every --set train.checkpoint.keep=$steps \
        --set run.timeout=$timeout --set parallel.transport="$transport" --set run.device=$device
}
faulty() { # transport, rank, mode, n
    local limit=600
    [ "$3" != stop ] || limit=$patience
    rm -f count
    run "$1" run env EXCHANGE_OVER="$1" EXCHANGE_RANK="$2" EXCHANGE_MODE="$3" EXCHANGE_AT="$4" EXCHANGE_STEP=$step EXCHANGE_COUNT="$work/count" \
        LD_PRELOAD="$library" >log 2>&1
}
content() { grep -o '"content": *"[0-9a-f]*"' "$1/manifest.json" 2>/dev/null; } # of a checkpoint: the hashes of what it holds

prepare() { # transport: the undisturbed run, and how many exchanges each rank posts in the step
    local s r
    run "$1" "whole-$1" env >log 2>&1 || fail "the undisturbed run over $1"
    for ((s = 1; s <= steps; s++)); do
        whole[$1,$s]=$(content "whole-$1/checkpoints/step-$s")
        [ -n "${whole[$1,$s]}" ] || fail "no hashes in a manifest"
    done
    for ((r = 0; r < ranks; r++)); do
        rm -rf run
        faulty "$1" $r error 0 || fail "the run that counts, over $1"
        counts[$1,$r]=$(cat count)
        [ "${counts[$1,$r]:-0}" -gt 0 ] || fail "no exchange of rank $r over $1 was seen in step $step"
    done
}

wrong() { # what
    printf 'FAILED: "%s": %s\n' "$case" "$*"
    grep -Ev '^(step|wait:|mesh|model|device|layer|\[|--|$)' log | head -n 14 | sed 's/^/    /'
    failures=$((failures + 1))
}

newest=0
look_at_checkpoints() { # transport: each one that is there is whole; the newest's step into `newest`
    local s
    newest=0
    for ((s = 1; s <= steps; s++)); do
        [ -e "run/checkpoints/step-$s" ] || continue
        [ "$(content run/checkpoints/step-$s)" = "${whole[$1,$s]}" ] || wrong "step-$s is not what it should be" || return
        newest=$s
    done
}
resume() { # transport: from the newest checkpoint, or from the step after it, if a rank that was asked to end has put that aside
    local from
    run "$1" run env >log 2>&1 || wrong "exit code $? when it is run again"
    from=$(sed -n 's/.*resuming after step \([0-9]*\) .*/\1/p' log | tail -n 1)
    [ "${from:-0}" -ge $newest ] || wrong "the checkpoint of step $newest was not taken"
    look_at_checkpoints "$1"
    [ $newest -eq $steps ] || wrong "it does not end in step $steps"
}

try() { # transport, rank, mode, n
    local case="$*" before=$failures begin=$SECONDS code says
    cases=$((cases + 1))
    rm -rf run
    faulty "$@"
    code=$?
    [ $((SECONDS - begin)) -lt $bound ] || wrong "it hangs"
    case $3 in
        error) says="error \[$2/$ranks\] .*(on host $host|NCCL: )" ;;
        kill) says="rank $2 on (host )?$host is gone|rank $2 with PID .* exited on signal 9" ;;
        stop) says="run\.timeout.*: rank $2 on $host does not answer" ;;
    esac
    [ $code -eq 8 ] || { [ "$3" = kill ] && [ $code -eq 137 ]; } || wrong "exit code $code"
    ended[$3,$code]=$((${ended[$3,$code]:-0} + 1))
    grep -Eq "$says" log || wrong "rank $2 is not named"
    look_at_checkpoints "$1"
    [ $newest -ge 2 ] || wrong "the checkpoint of step 2 is gone"
    resume "$1"
    [ $failures -eq $before ]
}

if [ -n "$what" ] && [ "$what" != --all ]; then
    read -r -a words <<<"$what"
    prepare "${words[0]}"
    try "${words[@]}" && printf '"%s": ok\n' "$what"
    exit $failures
fi

for transport in $transports; do
    prepare "$transport"
    [ "$what" = --all ] || printf '%s: %s exchanges in the step of rank 0\n' "$transport" "${counts[$transport,0]}"
    for mode in ${MODES:-error kill stop}; do
        rank=$((RANDOM % ranks))
        if [ "$what" != --all ]; then
            try "$transport" $rank $mode $((1 + RANDOM % ${counts[$transport,$rank]}))
            continue
        fi
        every=1
        [ $mode != stop ] || every=${EVERY:-1}
        for ((n = 1; n <= ${counts[$transport,0]}; n += every)); do
            rank=$(((n - 1) / every % ranks))
            [ "$n" -gt "${counts[$transport,$rank]}" ] || try "$transport" $rank $mode "$n"
        done
        printf '%s, %s: %s exchanges in the step, %s cases and %s failures so far\n' "$transport" $mode "${counts[$transport,0]}" $cases $failures
    done
done
for key in "${!ended[@]}"; do
    printf '%s: exit code %s %s times\n' "${key%,*}" "${key#*,}" "${ended[$key]}"
done
printf '%s cases, %s failed\n' $cases $failures
[ $failures -eq 0 ]
