#!/usr/bin/env bash
# cuda_host.sh HYLAS DATA: the CUDA sources on the interpreter. Training equals that of cpu within rounding, and to the bit on cpu_async:cuda_host,
# whose memory the host cannot touch: no launcher reads what lies on the device. verify passes in two orders of lanes. `cuda` runs,
# or says why not.
set -uo pipefail
hylas=$1 data=$2 mpirun=${MPIEXEC:-mpirun}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
    printf 'FAILED: %s\n' "$*"
    cat log
    exit 1
}
train() { # device, precision, overrides
    timeout 200 "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.eval_store=a.h5 --set data.sequence=96 --set train.steps=5 \
        --set train.eval.sequences=3 --set run.dir="$1-$2" --set run.device="$1" --set train.precision="$2" "${@:3}" >log 2>&1 || fail "train on $1, $2"
    grep -o '"\(loss\|grad_norm\)":[^,}]*' "$1-$2/metrics.jsonl" | sed 's/.*: *//' >"$1-$2.txt"
    [ "$(wc -l <"$1-$2.txt")" -ge 10 ] || fail "$1, $2: no losses"
}
near() { # two files of numbers, relative difference
    paste "$1" "$2" | awk -v bound="$3" '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (!(d <= bound)) bad = 1 } END { exit bad }' ||
        fail "$1 and $2 differ by more than $3: $(paste "$1" "$2" | tr '\n' ' ')"
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
for device in cpu cuda_host cpu_async:cuda_host; do
    train "$device" f32
done
near cpu-f32.txt cuda_host-f32.txt 1e-5
cmp -s cuda_host-f32.txt cpu_async:cuda_host-f32.txt || fail "cpu_async:cuda_host: other bits than cuda_host"
cp cuda_host-f32.txt plain.txt
for device in cuda_host cpu_async:cuda_host; do
    rm -r "$device-f32"
    train "$device" f32 --set train.offload=host --set train.recompute=block
    cmp -s plain.txt "$device-f32.txt" || fail "$device, offload: other bits"
done
train cpu bf16
train cuda_host bf16
near cpu-bf16.txt cuda_host-bf16.txt 2e-2

for order in reverse shuffle; do
    HYLAS_SIMT_ORDER=$order "$mpirun" -np 2 "$hylas" verify "$data/verify-blocks.yaml" --table cuda_host --tokens 67 --dtype f32 >log 2>&1 ||
        fail "verify, lanes in order $order"
done
"$mpirun" -np 3 "$hylas" verify "$data/verify-convolution.yaml" --table cpu_async:cuda_host --tokens 301 --dtype f32 >log 2>&1 || fail "verify, convolutions"
HYLAS_SIMT_ORDER=sideways "$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set run.dir=no --set run.device=cuda_host >log 2>&1 &&
    fail "an unknown order of lanes"
grep -q 'HYLAS_SIMT_ORDER=sideways is unknown' log || fail "an unknown order of lanes: no message"

"$hylas" train "$data/../../configs/tiny.yaml" --set data.store=a.h5 --set data.sequence=96 --set train.steps=2 --set run.dir=gpu --set run.device=cuda >log 2>&1 ||
    grep -Eq "device 'cuda'( cannot run models yet: [0-9]+ of [0-9]+ operations are not written: [a-z]|: no GPU here: |: this program was built)" log ||
    fail "cuda"
exit 0
