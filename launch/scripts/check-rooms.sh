#!/usr/bin/env bash
# Checks the include rules of docs/design.md: which room may include which, which vendor header belongs where, and that what is included
# is used (needs python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bad=0
report() { # rule, offending lines
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2" >&2
        bad=1
    fi
}

rooms="base comm kernels sp layers train launch"
allowed_base="base"
allowed_comm="comm base kernels/device.h kernels/gpus.h"
allowed_kernels="kernels base"
allowed_sp="sp comm kernels base"
allowed_layers="layers sp comm kernels base"
allowed_train="train layers sp comm kernels base"
allowed_launch="launch train layers sp comm kernels base"

for room in $rooms; do
    variable="allowed_$room"
    pattern=$(printf '%s' "${!variable}" | sed 's/ /|/g')
    other=$(printf '%s' "$rooms" | sed 's/ /|/g')
    found=$(grep -rnE "#include \"($other)/" "$room" --include='*.[ch]' --include='*.inc' --include='*.cu' --include='*.cuh' | grep -vE "#include \"($pattern)[/\"]" || true)
    report "room $room may include only: ${!variable}" "$found"
done

vendor() { # header pattern, folders that may include it
    local found
    found=$(grep -rnE "#include <($1)" $rooms --include='*.[ch]' --include='*.inc' --include='*.cu' --include='*.cuh' | grep -vE "^($2)/" || true)
    report "<$1> belongs to $2" "$found"
}
vendor 'mpi\.h' 'comm'
vendor 'nccl\.h|ucp/' 'comm'
vendor 'cuda|cublas|cudnn|cufft|nvtx' 'kernels/cuda'
vendor 'cblas\.h|fftw3\.h|oneapi/dnnl' 'kernels/cpu'
vendor 'hdf5\.h' 'train|launch'

found=$(grep -rnE '\basm\b|<<<|__(shared|global|device)__|__sync(threads|warp)|_sync *\(|threadIdx|blockIdx' kernels/cuda --include='*.cu' --include='*.cuh' |
    grep -vE '^kernels/cuda/prim' || true)
report "PTX and CUDA's built-ins belong to kernels/cuda/prim*.cuh" "$found"

found=$(grep -rnE '(^|[^a-z_])(v?printf|puts|putchar) ?\(|table_print\([a-z]+, stdout' train/run --include='*.c' || true)
report "a run prints through base/log.h (hy_print, hy_print_detail, hy_text_table_show), so that log.txt has it too" "$found"

duplicates=$(git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cc' | sed 's#.*/##' | sort | uniq -d)
report "file names must be unique in the tree" "$duplicates"

launch/scripts/check-includes.py || bad=1
[ $bad -eq 0 ] && echo "rooms: ok"
exit $bad
