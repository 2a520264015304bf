#!/usr/bin/env bash
# cudnn_verify.sh HYLAS DATA STANDIN: hylas verify on cuda_host in bf16, 3 ranks against one, where cuDNN's stand-in computes the pairs of softmax
# attention that it can: layouts, exchanges, also with a stand-in that is found to be wrong.
set -uo pipefail
hylas=$1 data=$2 standin=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

check() { # how the stand-in is wrong, what the log must say; the rest are options
    local wrong=$1 says=$2
    shift 2
    HYLAS_CUDNN=$standin HYLAS_CUDNN_STANDIN=$wrong HYLAS_CUDNN_STANDIN_SAYS=1 "$mpirun" -np 3 "$hylas" verify "$data/verify-whole.yaml" --table cuda_host \
        --tokens 66 --documents 1 --dtype bf16 --bound 0.25 "$@" >log 2>&1 || fail "$wrong, $*"
    grep -q '3 ranks' log || fail "not on 3 ranks: $*"
    grep -q "$says" log || fail "nothing of '$says': $wrong, $*"
    printf '%-6s %-60s %s\n' "$wrong" "$*" "$(grep '^worst' log)"
}
by_plans() { # each rank's last check: the trials of its plans, and more
    awk '/^cuDNN stand-in/ { ranks++; more += $3 > $6 } END { exit !(ranks == 3 && more == 3) }' log || fail "trials alone: $(grep '^cuDNN' log)"
}

check '' 'cuDNN stand-in' --set parallel.layout=zigzag --set parallel.attention=ring
by_plans
check '' 'cuDNN stand-in' --set parallel.layout=contiguous --set parallel.attention=heads
by_plans
check scale 'are not what they should be' --set parallel.layout=contiguous --set parallel.attention=allgather
