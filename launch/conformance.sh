#!/usr/bin/env bash
# Every kind of mixer with every exchange, layout, packing, number of ranks, recompute, device and transport, forward and backward, against the
# float64 oracle, token by token (tests/conformance). Without --full: rows that have every combination of ranks, exchange, layout and packing, and
# every pair of any two values; a minute. With it: the whole product, hours on few cores; --part 3/20: a twentieth of it, by lot. Prints how many rows each
# value had, the largest errors with their rows, and how many passed and failed. Exit code 1: rows failed.
#
#     launch/conformance.sh [--full] [--part I/N] [--seed S] [--ranks "1 2 3 4 5 7 8"] [--folder build]
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/scripts/options.sh"
full=0 part=1/1 seed=1 ranks="1 2 3 4 5 7 8" folder=build
read_options "full? part seed ranks folder" "$@"
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

build "$folder" conformance
standin=$root/$folder/tests/libnccl_standin.so # built with it where there is a header of NCCL
[ ! -e "$standin" ] || export HYLAS_NCCL="${HYLAS_NCCL:-$standin}"
mpi_environment
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
options=(--seed "$seed" --part "$part")
[ "$full" = 0 ] || options+=(--full)

bad=0
for p in $ranks; do
    "${MPIEXEC:-mpirun}" -np "$p" "$folder/tests/conformance" "${options[@]}" | tee -a "$log" | grep -E '^(conformance|FAILED)' || bad=1
    [ "${PIPESTATUS[0]}" -eq 0 ] || bad=1
done

printf '\nrows with each value:\n'
awk '$1 == "count" { if (!($2 in seen)) { seen[$2] = 1; order[++n] = $2 }
        if (!(($2, $3) in rows)) names[$2] = names[$2] " " $3
        rows[$2, $3] += $4 }
     END { for (i = 1; i <= n; i++) { axis = order[i]; line = sprintf("  %-10s", axis); m = split(names[axis], values, " ")
               for (j = 1; j <= m; j++) line = line " " values[j] " " rows[axis, values[j]] (j < m ? "," : "")
               print line } }' "$log"
printf '\nlargest errors:\n'
for type in f64 f32; do
    for what in "output" "input's gradient" "parameter's gradient"; do
        grep -F "worst $type " "$log" | grep -F ", $what" | sort -g -k3,3 | tail -n 1 | sed 's/^worst/ /'
    done
done
awk '/^conformance:/ { passed += $4; failed += $6 } END { printf "\n%d passed, %d failed\n", passed, failed }' "$log"
exit $bad
