#!/usr/bin/env bash
# trace-cost.sh HYLAS [options of hylas train]: what recording spans costs (trace.on). Pairs of short runs of configs/quickstart.yaml, one with and one
# without, in turn which is first. Of each the fastest step, which other work on the machine disturbs least, and the processor's time of the whole job
# (user and system, all ranks, starting and writing files included). Prints of both the median of the pairs' ratios with the interval that holds it with
# 95% (order statistics).
#   PAIRS=31 RANKS=2 STEPS=12
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: [PAIRS=31] [RANKS=2] [STEPS=12] trace-cost.sh HYLAS [options of hylas train]" >&2; exit 2; }
hylas=$(realpath "$1")
shift
source "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
mpi_environment
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
pairs=${PAIRS:-31} ranks=${RANKS:-2} steps=${STEPS:-12} config=$root/configs/quickstart.yaml
work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work"
"$hylas" data text /usr/include --out train.h5 --hold-out eval.h5 >log 2>&1 || { cat log >&2; exit 4; }

measure() { # with trace.on=$1: seconds of the fastest step, of the processor
    rm -rf run
    TIMEFORMAT='%U %S'
    { time mpirun -np "$ranks" "$hylas" train "$config" --set data.store=train.h5 --set data.eval_store=eval.h5 --set run.dir=run --set parallel.sequence=auto \
        --set train.steps="$steps" --set train.eval.every=0 --set train.checkpoint.every=0 --set trace.on="$1" "${@:2}" >log 2>&1; } 2>times ||
        { head -n 5 log >&2; exit 1; }
    sed -n 's/.*"seconds": \([0-9.e-]*\),.*/\1/p' run/metrics.jsonl | sort -g | head -n 1 | tr '\n' ' '
    awk '{ print $1 + $2 }' times
}

: >pairs
measure true "$@" >/dev/null # files are in memory from here on
for ((i = 0; i < pairs; i++)); do
    if ((i % 2 == 0)); then
        on=$(measure true "$@") off=$(measure false "$@")
    else
        off=$(measure false "$@") on=$(measure true "$@")
    fi
    echo "$on $off" >>pairs
done
summary() { # what, its column with spans, without
    awk -v on="$2" -v off="$3" '{ printf "%.6f %s %s\n", $on / $off, $on, $off }' pairs | sort -g | awk -v what="$1" '
        { ratio[NR] = $1; least_on = NR == 1 || $2 < least_on ? $2 : least_on; least_off = NR == 1 || $3 < least_off ? $3 : least_off }
        END { low = int((NR + 1) / 2 - 0.98 * sqrt(NR)); low = low < 1 ? 1 : low
              median = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
              printf "%s with / without spans: %.4f (95%%: %.4f to %.4f) in %d pairs; least of all %.5g and %.5g s\n", what, median, ratio[low],
                     ratio[NR + 1 - low], NR, least_on, least_off }'
}
summary "fastest step," 1 3
summary "processor's time," 2 4
