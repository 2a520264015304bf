#!/usr/bin/env bash
# exposed-study.sh HYLAS: how much of a training step the exchanges of states are exposed, on four hosts (network namespaces on this machine,
# launch/four-hosts.sh) whose links (queues that let BURST, 4kb, through at once) are as slow as it takes for one all-gather of states to last half of its layer's forward (SHARE=0.5 of it). The model is
# configs/quickstart.yaml, with sequences of SEQUENCE (4096) tokens; the device is paced:cpu at PACE (1e9,4e9), so that four ranks need a fraction of
# one core and do not take it from each other. A row for each of STATES ("allgather ring chain hierarchical scan"; behind that of auto what it took, and what it measured of the
# slow links, bytes/s): the step, without and with slow links, the time per step that states and their gradients are exposed, the mean of ranks, and of halos and their
# gradients. docs/overlap.md says how to read it. Skipped (77) where namespaces are not allowed.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/four-hosts.sh"
[ $# -eq 1 ] || { echo "usage: [STATES=\"chain scan\"] [SEQUENCE=4096] [SHARE=0.5] [BURST=4kb] [PACE=1e9,4e9] exposed-study.sh HYLAS" >&2; exit 2; }
enter_namespaces "$@"
hylas=$(realpath "$1") source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$source/launch/setup.sh"
mpi_environment
work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1

export HYLAS_PACE=${PACE:-1e9,4e9} OMP_NUM_THREADS=1
sets="--set data.sequence=${SEQUENCE:-4096} --set data.store=$work/train.h5 --set data.eval_store= --set train.checkpoint.every=0 --set train.steps=4
    --set trace.steps=2-3 --set run.device=paced:cpu --set parallel.node=2 ${SETS:-}"
sets=$(tr '\n' ' ' <<<"$sets")
"$hylas" data text "$source/docs" "$source/sp" "$source/layers" "$source/kernels" --out train.h5 --quiet >/dev/null || exit
# shellcheck disable=SC2086
plan=$("$hylas" plan "$source/configs/quickstart.yaml" --ranks 4 --json $sets --set parallel.state=allgather) || exit
forward=$(sed 's/.*"layer": 0, [^{]*"forward": {[^}]*"operation_flops": \([0-9.e+]*\).*/\1/' <<<"$plan")
bytes=$(sed 's/.*"name": "state", "kind": "all-gather", "count": 3, "bytes": \([0-9]*\).*/\1/' <<<"$plan")
kbit=$(awk -v flops="$forward" -v bytes="$bytes" -v pace="${HYLAS_PACE%,*}" -v share="${SHARE:-0.5}" \
    'BEGIN {printf "%d", bytes / 3 * 8 / 1000 / (share * flops / pace)}')

train() { # the way to exchange states, where the run's folder is
    on_hosts 900 "$hylas train $source/configs/quickstart.yaml $sets --set parallel.state=$1 --set run.dir=$work/$2 --quiet" >log.txt 2>&1 ||
        { cat log.txt; exit 1; }
}

mean_step() { # of a run: milliseconds, of all ranks and kept steps
    "$hylas" trace "$1" | awk '$1 == "rank" && $2 == "step" {on = 1; next} on && /^-/ {next} on && NF == 0 {exit} on {n++; ms += $2} END {printf "%.0f", ms / n}'
}

exposed() { # in trace.txt: milliseconds of a step that exchanges of this name are in flight, and exposed, over all layers, mean of ranks
    awk -v name="$1" '/ms in flight/ {on = 1; next} /^critical/ {exit}
        on && ($1 == name && $2 != "gradient" || $1 " " $2 == name) {
            for (i = 1; i <= NF; i++) if ($i ~ /B\/s$/) last = i
            flight += $(last + 1); ms += $(last + 4)} END {printf "%.1f %.1f", flight, ms}' trace.txt
}

taken() { # of a run with auto
    sed -n 's/.*auto: .*states \([a-z]*\),.*\(near=[^,]*\),.*\(far=[^,]*\),far_latency.*/auto took \1, and measured \2 \3/p' "$1/log.txt" | head -n 1
}

make_hosts
printf 'a layer forward %.0f ms; links of %d kbit/s\n' "$(awk -v f="$forward" -v p="${HYLAS_PACE%,*}" 'BEGIN {print 1000 * f / p}')" "$kbit"
printf '%-14s %10s %10s %12s %10s %12s %10s %8s %10s %10s\n' state 'step ms' 'slow ms' 'in flight' exposed 'gradients' exposed share halos gradients
for state in ${STATES:-allgather ring chain hierarchical scan}; do
    train "$state" "fast-$state"
    shape_links rate "${kbit}kbit" burst "${BURST:-4kb}" latency 4s
    train "$state" "slow-$state"
    unshape_links
    "$hylas" trace "slow-$state" --all >trace.txt
    read -r flight shown <<<"$(exposed state)"
    read -r flight_back shown_back <<<"$(exposed "state gradient")"
    fast=$(mean_step "fast-$state") slow=$(mean_step "slow-$state")
    read -r _ halos <<<"$(exposed halo)"
    read -r _ halos_back <<<"$(exposed "halo gradient")"
    printf '%-14s %10s %10s %12s %10s %12s %10s %7s%% %10s %10s\n' "$state" "$fast" "$slow" "$flight" "$shown" "$flight_back" "$shown_back" \
        "$(awk -v a="$shown" -v b="$shown_back" -v s="$fast" 'BEGIN {printf "%.1f", 100 * (a + b) / s}')" "$halos" "$halos_back"
    taken "slow-$state"
done
