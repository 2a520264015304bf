#!/usr/bin/env bash
# failed_exchange.sh FAILED_EXCHANGE STANDIN: an exchange of NCCL that fails ends the job with exit code 8, although what stands on the lane before it never
# ends: another communicator's, or one that waits for the device.
set -uo pipefail
program=$1 standin=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

for what in communicator device; do
    HYLAS_NCCL=$standin HYLAS_STANDIN_FAIL=3 HYLAS_STANDIN_SECONDS=50 timeout -k 5 30 "$mpirun" -np 2 "$program" $what >log 2>&1
    code=$?
    [ $code -eq 8 ] || fail "$what: exit code $code, wanted 8"
    grep -q 'rank 0 of 2: NCCL: all-reduce: internal error' log || fail "$what: not said"
done
printf 'ended with 8, the exchange named\n'
