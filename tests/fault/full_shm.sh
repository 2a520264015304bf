#!/usr/bin/env bash
# full_shm.sh HYLAS SOURCE TRANSPORTS: a training of three ranks where /dev/shm has next to no room, and one where it has some: over each of TRANSPORTS
# (words of mpi, ucx, nccl; nccl: the library that HYLAS_NCCL names) it does without, with the losses it has with room, or ends within a bound with a documented
# exit code and says what was wanted. Skipped (77) where a mount namespace is not allowed.
set -uo pipefail
if [ "${SMALL_SHM:-}" = "" ]; then
    unshare --mount true || { printf 'skipped: no mount namespace here\n'; exit 77; }
    SMALL_SHM=yes exec unshare --mount "$BASH_SOURCE" "$@"
fi
read -r -a transports <<<"$3"
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"
skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}
"$hylas" data text "$source/sp" --out store.h5 >log 2>&1 || fail "no token store"
run() { # transport, folder
    local device=cpu
    [ "$1" != nccl ] || device=cpu_async
    timeout -k 5 60 "$mpirun" -np 3 "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set data.sequence=96 --set data.batch=1 \
        --set run.dir="$2" --set train.steps=3 --set run.timeout=3 --set parallel.transport="$1" --set run.device=$device
}
losses() { grep -o '"loss": [^,]*' "$1/metrics.jsonl"; }
for transport in "${transports[@]}"; do
    run "$transport" "room-$transport" >log 2>&1 || fail "$transport: with room"
done
for size in 16k 1m; do
    mount -t tmpfs -o size=$size tmpfs /dev/shm 2>err || skip "$(cat err)"
    for transport in "${transports[@]}"; do
        begin=$SECONDS
        run "$transport" "$transport-$size" >log 2>&1
        code=$?
        [ $((SECONDS - begin)) -lt 60 ] || fail "$transport, $size: it hangs"
        if [ $code -eq 0 ]; then
            [ "$(losses "room-$transport")" = "$(losses "$transport-$size")" ] || fail "$transport, $size: other losses"
        else
            [[ $code = [3-8] ]] || fail "$transport, $size: exit code $code"
            grep -Eq 'error \[[0-2]/3\]' log && grep -Eqi '/dev/shm|NCCL stand-in: .*No space left' log || fail "$transport, $size: it does not say what was wanted"
        fi
        printf '%s, %s: exit code %s after %s s\n' "$transport" $size $code $((SECONDS - begin))
    done
    umount /dev/shm
done
