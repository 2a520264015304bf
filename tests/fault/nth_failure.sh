#!/usr/bin/env bash
# nth_failure.sh HYLAS LIBRARY SOURCE [--all | --seconds N | CASE]: in a short run with saves the n-th write, sync, rename, ... fails, is cut
# short, or is the last thing the process does (tests/fault/nth_failure.c, the LIBRARY). Afterwards: it ended by itself with an exit code
# that is documented, every checkpoint in place holds what the undisturbed run's holds, `latest` names one of them, and the same command
# resumes from the newest and ends where the undisturbed run ended, bit for bit. By random draw for N seconds (default 30; RANDOM_SEED
# repeats it), or --all of them (KINDS="alloc:error ..." PLACES="3:0 ..." EVERY=n: some of them), or one CASE: "RANKS RANK CALL MODE N", as a
# failure prints it.
set -uo pipefail
library=$(realpath "$2") what=${4:---seconds}
seconds=30
[ "$what" != --seconds ] || seconds=${5:-30}
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$3"
mkdir files
patience=50 # seconds; less than the minute after which ranks leave each other
cases=0 failures=0

sed "s|data/tiny.h5|$work/files/store.h5|" "$source/configs/tiny.yaml" >tiny.yaml
"$hylas" data text "$source/layers" "$source/sp" --out files/store.h5 >log 2>&1 || { cat log; exit 1; }

run() { # ranks, run folder, checkpoints kept, words before the program
    local ranks=$1 dir=$2 keep=$3 launcher=()
    shift 3
    [ "$ranks" -eq 1 ] || launcher=("$mpirun" -np "$ranks")
    timeout -k 5 $patience "${launcher[@]}" "$@" "$hylas" train tiny.yaml --set run.dir="$work/files/$dir" --set train.steps=6 \
        --set train.checkpoint.every=2 --set train.checkpoint.keep="$keep" \
        --set data.eval_store="$work/files/store.h5" --set train.eval.every=3 --set train.eval.sequences=1
}
faulty() { # ranks, rank, call, mode, n: the run with that fault
    rm -f count
    run "$1" run 2 env FAULT_RANK="$2" FAULT_CALL="$3" FAULT_MODE="$4" FAULT_AT="$5" FAULT_UNDER="$work/files" FAULT_COUNT="$work/count" \
        LD_PRELOAD="$library" >log 2>&1
}
content() { grep -o '"content": *"[0-9a-f]*"' "$1/manifest.json" 2>/dev/null; } # of a checkpoint: the hashes of what it holds

declare -A whole
for ranks in 1 3; do
    run $ranks whole-$ranks 3 env >log 2>&1 || { printf 'FAILED: the undisturbed run on %s ranks\n' $ranks && cat log && exit 1; }
    for step in 2 4 6; do
        whole[$ranks,$step]=$(content files/whole-$ranks/checkpoints/step-$step)
        [ -n "${whole[$ranks,$step]}" ] || { printf 'FAILED: no hashes in a manifest\n' && exit 1; }
    done
done

faulty 1 0 sync error 0
if [ $? -eq 77 ]; then
    printf 'skipped: no seccomp filter here\n'
    exit 77
fi

# ---- one case ----

wrong() { # what
    printf 'FAILED: "%s": %s\n' "$case" "$*"
    tail -n 12 log | sed 's/^/    /'
    failures=$((failures + 1))
}

newest=0
look_at_checkpoints() { # ranks: each one that is there is whole; the newest's step into `newest`
    local step
    newest=0
    for step in 2 4 6; do
        [ -e files/run/checkpoints/step-$step ] || continue
        [ "$(content files/run/checkpoints/step-$step)" = "${whole[$1,$step]}" ] || wrong "step-$step is not what it should be" || return
        newest=$step
    done
    [ ! -e files/run/checkpoints/latest ] || [ -e "files/run/checkpoints/$(cat files/run/checkpoints/latest)" ] ||
        wrong "latest names $(cat files/run/checkpoints/latest), which is not there"
}

try() { # ranks, rank, call, mode, n
    local case="$*" before=$failures code begin=$SECONDS
    cases=$((cases + 1))
    rm -rf files/run
    faulty "$@"
    code=$?
    [ $((SECONDS - begin)) -lt $patience ] || wrong "it hangs"
    case $code,$4 in
        137,kill) ;;
        0,short) ;;
        *,short) wrong "exit code $code after a write that was cut short and could be continued" ;;
        [0345678],*) ;;
        *) wrong "exit code $code" ;;
    esac
    look_at_checkpoints "$1"
    [ $code -ne 0 ] || [ $newest -eq 6 ] || wrong "exit code 0 without the last checkpoint"
    run "$1" run 2 env >log 2>&1 || wrong "exit code $? when it is run again"
    if [ $newest -eq 6 ]; then
        grep -Eq 'nothing to do|resuming after step 6 ' log || wrong "the newest checkpoint, of step 6, was not taken"
    elif [ $newest -gt 0 ]; then
        grep -q "resuming after step $newest " log || wrong "the newest checkpoint, of step $newest, was not taken"
    fi
    look_at_checkpoints "$1"
    [ $newest -eq 6 ] || wrong "it does not end in step 6"
    [ -z "$(find files/run -name '*.tmp' -o -name '*.part')" ] || [ $newest -eq 6 ] || # what is done tidies no more
        wrong "left behind: $(find files/run -name '*.tmp' -o -name '*.part')"
    ! grep -qvE '^\{"step": [0-9]+, .*\}$' files/run/metrics.jsonl || wrong "a line of metrics.jsonl is torn"
    [ $failures -eq $before ]
}

# The newest checkpoint is damaged, so that its step is taken and saved again: in its place there is always one, the old or the new.
try_again() { # n of rename
    local case="again: rename error $1" before=$failures
    cases=$((cases + 1))
    rm -rf files/run
    cp -r files/whole-1 files/run
    truncate -s -10 files/run/checkpoints/step-6/rank-00000.h5
    faulty 1 0 rename error "$1"
    [ -e files/run/checkpoints/step-6 ] || wrong "step-6 is gone"
    run 1 run 2 env >log 2>&1 || wrong "exit code $? when it is run again"
    look_at_checkpoints 1
    [ $newest -eq 6 ] || wrong "it does not end in step 6"
    run 1 run 2 env >log 2>&1 && grep -q 'nothing to do' log || wrong "step-6 is not whole"
    [ $failures -eq $before ]
}

if [ "$what" != --all ] && [ "$what" != --seconds ]; then
    read -r -a words <<<"$what"
    try "${words[@]}" && printf '"%s": ok\n' "$what"
    exit $failures
fi

# ---- all of them, or a draw ----

kinds=${KINDS:-"write:error write:full write:short write:kill sync:error sync:kill rename:error rename:kill open:error open:kill read:error
make:error remove:error remove:kill alloc:error alloc:full"}
places=${PLACES:-"1:0 3:0 3:2"} # ranks, and the one that meets the fault

count_calls() { # ranks, rank, call: into `count`
    if [ -z "${calls[$1,$2,$3]:-}" ]; then
        rm -rf files/run
        faulty "$1" "$2" "$3" error 0 || { printf 'FAILED: the run that counts\n' && cat log && exit 1; }
        calls[$1,$2,$3]=$(tail -n 1 count)
    fi
    count=${calls[$1,$2,$3]}
}
declare -A calls
for n in 1 2 3 4 5 6 7 8; do
    try_again $n
done
end=$((SECONDS + seconds))
while :; do
    for place in $places; do
        for kind in $(printf '%s\n' $kinds | shuf --random-source=<(yes $RANDOM)); do
            [ "$what" = --all ] || [ $SECONDS -lt $end ] || break 3
            count_calls "${place%:*}" "${place#*:}" "${kind%:*}"
            first=1 last=$count
            [ "$what" = --all ] || [ "$count" -eq 0 ] || first=$((1 + (RANDOM * 32768 + RANDOM) % count)) last=$first
            for ((n = first; n <= last; n += ${EVERY:-1})); do
                try "${place%:*}" "${place#*:}" "${kind%:*}" "${kind#*:}" $n
            done
            [ "$what" != --all ] || printf '%s ranks, rank %s, %s: %s calls, %s failures so far\n' "${place%:*}" "${place#*:}" "$kind" $count $failures
        done
    done
    [ "$what" != --all ] || break
done
printf '%s cases, %s failed\n' $cases $failures
[ $failures -eq 0 ]
