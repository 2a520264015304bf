#!/usr/bin/env bash
# nccl.sh HYLAS DATA STANDIN: parallel.transport: nccl, over the stand-in of libnccl (tests/nccl). Training has the losses of mpi, and the same bits on a
# device of the host whose lanes are late and whose memory nobody else can touch; verify passes with every method on four ranks. Sends and receives
# that are not grouped, an exchange that fails and a rank that dies are noticed, and the job ends with exit code 8. Devices of the host have no NCCL.
set -uo pipefail
hylas=$1 data=$2 standin=$3 mpirun=${MPIEXEC:-mpirun}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export HYLAS_STANDIN_SECONDS=30

fail() {
    printf 'FAILED: %s\n' "$*"
    cat log
    exit 1
}
train() { # ranks, transport, device, folder; overrides
    timeout 200 "$mpirun" -np "$1" "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.sequence=96 --set train.steps=4 \
        --set parallel.transport="$2" --set run.device="$3" --set run.dir="$4" "${@:5}" >log 2>&1
}
trained() {
    train "$@" || fail "training: $*"
    grep -o '"\(loss\|grad_norm\)":[^,}]*' "$4/metrics.jsonl" | sed 's/.*: *//' >"$4.txt"
    [ "$(wc -l <"$4.txt")" -ge 8 ] || fail "$4: no losses"
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
train 2 nccl cpu no && fail "nccl moves the memory of cpu"
grep -q 'parallel.transport: nccl cannot be had: it moves what GPUs hold' log || fail "no reason why not"

export HYLAS_NCCL=$standin
ring=(--set parallel.state=ring --set parallel.attention=ring)
for np in 2 3; do
    trained $np mpi cpu mpi-$np "${ring[@]}"
    trained $np nccl cpu nccl-$np "${ring[@]}"
    trained $np nccl cpu_async async-$np "${ring[@]}"
    paste mpi-$np.txt nccl-$np.txt | awk '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (!(d <= 1e-6)) bad = 1 } END { exit bad }' || fail "$np ranks: not mpi's losses"
    cmp -s nccl-$np.txt async-$np.txt || fail "$np ranks: other bits where lanes are late"
done
trained 4 nccl cpu_async data-4 --set parallel.data=2

# In steps that are kept the lane says how long exchanges are in flight.
trained 2 nccl cpu_async timed "${ring[@]}" --set trace.steps=2-3
cmp -s nccl-2.txt timed.txt || fail "a trace changes the losses"
"$hylas" trace timed --all >log 2>&1 || fail "no trace"
in_flight=$(awk '/ms in flight/ { on = 1; next } /^critical/ { exit } on { for (i = 1; i <= NF; i++) if ($i ~ /B\/s$/) last = i; n += $(last + 1) > 0; rows++ } END { print n + 0, rows + 0 }' log)
read -r n rows <<<"$in_flight"
[ "$rows" -gt 5 ] && [ "$n" -gt $((rows / 2)) ] || fail "of $rows exchanges $n were in flight for any time"

# All that a training exchanges over it is registered: windows where the version has them, else plain; or nothing at all, for the same losses.
HYLAS_STANDIN_SAY=1 trained 2 nccl cpu_async windows "${ring[@]}"
grep -Eq 'rank 0: [1-9][0-9]* ranges were registered, with all of ([1-9][0-9]*) of \1 operations' log || fail "not all that is exchanged is registered"
HYLAS_STANDIN_SAY=1 HYLAS_STANDIN_VERSION=21900 trained 2 nccl cpu_async plain "${ring[@]}"
grep -Eq 'rank 0: [1-9][0-9]* ranges were registered, with all of ([1-9][0-9]*) of \1 operations' log || fail "2.19: not all that is exchanged is registered"
HYLAS_STANDIN_SAY=1 HYLAS_STANDIN_VERSION=21400 trained 2 nccl cpu_async older "${ring[@]}"
grep -Eq 'rank 0: 0 ranges were registered' log || fail "2.14 has nothing to register with"
for name in windows plain older; do
    cmp -s $name.txt nccl-2.txt || fail "$name: registered memory changes the losses"
done
for config in verify verify-recurrent verify-convolution; do
    timeout 200 "$mpirun" -np 4 "$hylas" verify "$data/$config.yaml" --tokens 131 --dtype f32 --table cpu_async --set parallel.transport=nccl --all >log 2>&1 ||
        fail "verify $config"
done

if grep -q cuda_host <<<"$("$hylas" doctor 2>/dev/null)"; then
    trained 2 nccl cpu_async:cuda_host host-2 "${ring[@]}"
fi

HYLAS_STANDIN_SECONDS=3 HYLAS_STANDIN_UNGROUPED=1 train 2 nccl cpu_async apart "${ring[@]}" && fail "groups taken apart"
grep -q 'are sends and receives that wait for each other in one group' log || fail "groups taken apart: something else"
for n in 1 2 9 40; do
    HYLAS_STANDIN_FAIL=$n train 2 nccl cpu_async "fail-$n" "${ring[@]}"
    code=$?
    [ $code -eq 8 ] || fail "exchange $n failed: exit code $code"
    grep -q 'NCCL: .*internal error' log || fail "exchange $n failed: not said"
done

# A rank dies: the others' kernels would wait for ever.
train 3 nccl cpu_async lost --set train.steps=100000 &
job=$!
for _ in $(seq 100); do
    [ -s lost/metrics.jsonl ] && break
    sleep 0.2
done
victim=$(pgrep -f "run.dir=lost" | while read -r p; do tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx 'OMPI_COMM_WORLD_RANK=1' && echo "$p"; done | head -1)
kill -KILL "$victim"
wait $job && fail "a rank died"
exit 0
