#!/usr/bin/env bash
# transports.sh HYLAS DATA [SETS] [RANKS...]: training of every mixer leaves the same bits whether a transport moves the device's memory (cpu, cpu_async) or
# blocks of it through the host's (cpu_apart), and over UCX those of MPI where sums of gradients have one order (2 ranks), else the same within rounding;
# verify passes over UCX; a transport that is not there is refused. By hand: every set of mixers, 1 2 3 4.
set -uo pipefail
hylas=$1 data=$2 sets=${3:-"verify verify-recurrent verify-convolution"} mpirun=${MPIEXEC:-mpirun}
shift $(($# < 3 ? $# : 3))
counts=${*:-2 3}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # ranks, folder, device, transport, set of mixers
    timeout 120 "$mpirun" -np "$1" "$hylas" train "$data/$5.yaml" --set data.store=a.h5 --set data.eval_store=a.h5 --set model.vocab=256 --set data.sequence=149 \
        --set train.steps=2 --set train.eval.sequences=2 --set run.dir="$2" --set run.device="$3" --set parallel.transport="$4" >log 2>&1 ||
        fail "$5, $1 ranks, $3 over $4: $(tail -n 3 log)"
}
losses() {
    grep -o '"\(loss\|grad_norm\|eval_loss\)":[^,}]*' "$1/metrics.jsonl"
}
same() { # two runs: parameters, moments, losses
    local file
    for file in "$1"/checkpoints/step-2/rank-*.h5; do
        cmp -s "$file" "$2/checkpoints/step-2/${file##*/}" || return 1
    done
    diff <(losses "$1") <(losses "$2") >/dev/null
}
near() { # two runs: losses and norms
    paste -d: <(losses "$1") <(losses "$2") | awk -F: '{ d = $2 - $4; if (d < 0) d = -d; if (d > 1e-4 * ($2 < 0 ? -$2 : $2)) bad = 1; n++ } END { exit bad || n < 4 }'
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
have_ucx=1
"$hylas" op recurrence --in "$data/golden/gated_deltanet_packed.h5" --out none.h5 --transport ucx >log 2>&1
grep -q 'ucx cannot be had' log && have_ucx=0

for set in $sets; do
    for ranks in $counts; do
        train "$ranks" "$set-$ranks" cpu mpi "$set"
        train "$ranks" "$set-$ranks-apart" cpu_apart mpi "$set"
        same "$set-$ranks" "$set-$ranks-apart" || fail "$set, $ranks ranks: through the host's memory not the same bits"
        [ $have_ucx = 1 ] || continue
        train "$ranks" "$set-$ranks-ucx" cpu ucx "$set"
        train "$ranks" "$set-$ranks-both" cpu_apart ucx "$set"
        same "$set-$ranks-ucx" "$set-$ranks-both" || fail "$set, $ranks ranks, UCX: through the host's memory not the same bits"
        if [ "$ranks" -le 2 ]; then
            same "$set-$ranks" "$set-$ranks-ucx" || fail "$set, $ranks ranks: over UCX not the bits of MPI"
        else
            near "$set-$ranks" "$set-$ranks-ucx" || fail "$set, $ranks ranks: over UCX not the losses of MPI"
        fi
    done
done

"$hylas" op recurrence --in "$data/golden/gated_deltanet_packed.h5" --out none.h5 --transport nccl >log 2>&1
code=$?
if [ $code -ne 0 ]; then
    [ $code -eq 2 ] && grep -q 'parallel.transport: nccl cannot be had: ' log || fail "no reason why nccl is refused: $code"
fi

if [ $have_ucx = 1 ]; then
    "$mpirun" -np 4 "$hylas" verify "$data/verify.yaml" --tokens 67 --all --dtype f64 --set parallel.transport=ucx >log 2>&1 || fail "verify over UCX: $(tail -n 5 log)"
    "$mpirun" -np 2 "$hylas" op recurrence --in "$data/golden/gated_deltanet_packed.h5" --out mpi.h5 --transport mpi >log 2>&1 || fail "op over MPI"
    "$mpirun" -np 2 "$hylas" op recurrence --in "$data/golden/gated_deltanet_packed.h5" --out ucx.h5 --transport ucx >log 2>&1 || fail "op over UCX"
    cmp -s mpi.h5 ucx.h5 || fail "op over UCX: not the bits of MPI"
    printf 'the same over MPI and UCX\n'
else
    printf 'the same through the host; UCX is not here\n'
fi
