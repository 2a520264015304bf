#!/usr/bin/env bash
# cudnn_verify.sh HYLAS DATA STANDIN: hylas verify on cuda_host in bf16, 3 ranks against one, where cuDNN's stand-in computes the pairs of softmax
# attention that it can: layouts, exchanges, one document and several, also with a stand-in that is found to be wrong.
set -uo pipefail
hylas=$1 data=$2 standin=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

check() { # documents, how the stand-in is wrong, what the log must say; the rest are options
    local documents=$1 wrong=$2 says=$3
    shift 3
    HYLAS_CUDNN=$standin HYLAS_CUDNN_STANDIN=$wrong HYLAS_CUDNN_STANDIN_SAYS=1 "$mpirun" -np 3 "$hylas" verify "$data/verify-whole.yaml" --table cuda_host \
        --tokens 67 --documents "$documents" --dtype bf16 --bound 0.25 "$@" >log 2>&1 || fail "$documents documents, $wrong, $*"
    grep -q '3 ranks' log || fail "not on 3 ranks: $*"
    grep -q "$says" log || fail "nothing of '$says': $documents documents, $wrong, $*"
    printf '%s documents %-6s %-60s %s\n' "$documents" "$wrong" "$*" "$(grep '^worst' log)"
}

computed='cuDNN stand-in: [1-9]'
check 1 '' "$computed" --set parallel.layout=zigzag --set parallel.attention=ring
check 1 '' "$computed" --set parallel.layout=contiguous --set parallel.attention=allgather
check 1 '' "$computed" --set parallel.layout=zigzag --set parallel.attention=allgather
check 1 '' "$computed" --set parallel.layout=contiguous --set parallel.attention=heads
check 3 '' "$computed" --set parallel.layout=contiguous --set parallel.attention=ring
check 1 scale 'are not what they should be' --set parallel.layout=zigzag --set parallel.attention=ring
