#!/usr/bin/env bash
# cuda_verify.sh HYLAS DATA [full]: hylas verify on cuda_host, 2 and 3 ranks against one, float32 and bf16, every kind of mixer: narrow heads in the
# kernels that go token by token, heads of 32 in those of chunks and tiles. Layouts, exchanges and overlaps take turns; full: each model with all of
# them, 20 minutes. The bound in bf16 is half of verify's own, twice what is measured.
set -uo pipefail
hylas=$1 data=$2 full=${3:-} mpirun=${MPIEXEC:-mpirun} turn=0
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

check() { # model, tokens, precision; the rest are options
    local model=$1 tokens=$2 precision=$3 bound=1e-4
    shift 3
    [ "$precision" = f32 ] || bound=0.25
    "$mpirun" -np 3 "$hylas" verify "$data/verify$model.yaml" --table cuda_host --tokens "$tokens" --documents 3 --dtype "$precision" --bound $bound "$@" \
        >log 2>&1 || fail "verify$model, $tokens tokens, $precision, $*"
    grep -q '3 ranks' log || fail "verify$model: not on 3 ranks"
    printf 'verify%-12s %4s tokens %-4s %s\n' "$model" "$tokens" "$precision" "$(grep '^worst' log)"
}
methods() { # each choice with either of its two, and with others' in all pairs, over four turns
    local layouts=(zigzag contiguous) ways=(allgather ring) overlaps=(split seeded) i=$1
    printf -- '--set parallel.%s=%s ' layout "${layouts[i % 2]}" state "${ways[i / 2 % 2]}" attention "${ways[(i + i / 2) % 2]}" overlap "${overlaps[(i + i / 2 + 1) % 2]}"
}

for row in :67 -linear:67 -blocks:67 -convolution:67 -recurrent:67 -chunks:117; do
    for precision in f32 bf16; do
        if [ -n "$full" ]; then
            check "${row%:*}" "${row#*:}" $precision --all
        else
            check "${row%:*}" "${row#*:}" $precision $(methods $turn)
            turn=$((turn + 1))
        fi
    done
    turn=$((turn + 1)) # so that either precision has either of each
done
