#!/usr/bin/env bash
# Training steps of configs/bench-cpu.yaml beside the same model in PyTorch, turn by turn on this machine: tokens per second, peak memory,
# and their ratios.
#
#     launch/compare-pytorch.sh --python PATH [--tokens 1Ki,4Ki,16Ki] [--ranks 2] [--repeats 3] [--hylas build/bin/hylas]
#
# PATH is a Python with torch and transformers (without them: exit code 3). Both sides use as many cores as there are ranks: hylas one
# thread on each rank, PyTorch that many threads. hylas runs before and after PyTorch: the mean of
# both is printed, and how far they lie apart, which is the noise of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/scripts/beside-pytorch.sh

python="" tokens=1Ki,4Ki,16Ki ranks=2 repeats=3 hylas=build/bin/hylas
read_options "python tokens ranks repeats hylas" "$@"
need torch,transformers

output=$(mktemp)
trap 'rm -f "$output"' EXIT
run() { # a program whose last line is of key=value pairs: that line
    "$@" >"$output" || fail $? "failed: $*"
    tail -n 1 "$output"
}
run_hylas() { OMP_NUM_THREADS=1 run mpirun -np "$ranks" "$hylas" bench step configs/bench-cpu.yaml --tokens "$1" --repeats "$repeats"; }
run_pytorch() { run "$python" launch/scripts/pytorch_step.py "$1" --threads "$ranks" --repeats "$repeats"; }
value() { # key, line
    printf '%s\n' "$2" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

printf '%9s | %10s %8s %7s %9s | %10s %7s %9s | %6s %7s\n' tokens 'hylas t/s' apart '% gemm' MiB 'torch t/s' '% gemm' MiB speed memory
for count in ${tokens//,/ }; do
    before=$(run_hylas "$count")
    count=$(value tokens "$before") # in digits: it may be 16Ki
    torch=$(run_pytorch "$count")
    after=$(run_hylas "$count")
    awk -v tokens="$count" -v a="$(value tokens_per_second "$before")" -v b="$(value tokens_per_second "$after")" \
        -v sa="$(value gemm_share "$before")" -v sb="$(value gemm_share "$after")" -v m="$(value peak_mib "$before")" \
        -v t="$(value tokens_per_second "$torch")" -v st="$(value gemm_share "$torch")" -v mt="$(value peak_mib "$torch")" 'BEGIN {
            ours = (a + b) / 2; apart = 100 * (a > b ? a - b : b - a) / ours
            printf "%9d | %10.0f %7.0f%% %7.1f %9.0f | %10.0f %7.1f %9.0f | %5.2fx %6.3fx\n",
                tokens, ours, apart, 50 * (sa + sb), m, t, 100 * st, mt, ours / t, m / mt
        }'
done
printf 'speed: tokens per second, hylas / PyTorch (above 1: hylas is faster). memory: peak resident, all ranks, hylas / PyTorch\n(its libraries included, which weigh most at few tokens).\n'
