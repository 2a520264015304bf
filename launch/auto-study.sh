#!/usr/bin/env bash
# auto-study.sh HYLAS: whether `auto` takes a way to exchange states, or keys and values, that is within 10% of the best one, on steps that really ran.
# Hosts are network namespaces on this machine (launch/four-hosts.sh) with links of RATES; the device is paced:cpu at PACE (8e9,32e9), so that four ranks
# need a part of one core and do not take it from each other. A point for each of SIZES ("2 4"), MIXERS, TOKENS of a sequence and RATES: `auto` measures the
# machine and takes a way; then every way runs ROUNDS times REPEATS steps, in turn, and the least time of each counts. Ends with 1 where fewer than 9 of 10 points
# are within 10%. Half an hour; SUBSET=n: every n-th point. Skipped (77) where namespaces are not allowed.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/four-hosts.sh"
[ $# -eq 1 ] || { echo "usage: [SIZES=\"2 4\"] [MIXERS=...] [TOKENS=...] [RATES=...] [PACE=8e9,32e9] [ROUNDS=2] [REPEATS=3] [SUBSET=1] auto-study.sh HYLAS" >&2; exit 2; }
enter_namespaces "$@"
hylas=$(realpath "$1") source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$source/launch/setup.sh"
mpi_environment
work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1
export HYLAS_PACE=${PACE:-8e9,32e9} OMP_NUM_THREADS=1 UCX_NET_DEVICES=eth0 UCX_TLS=tcp,self

ways_of() { # mixer
    if [ "$1" = attention ]; then echo ring allgather heads; else echo allgather ring chain scan heads; fi
}

step() { # mixer, tokens, way, run folder: into log.txt
    local key=state
    [ "$1" != attention ] || key=attention
    on_hosts 300 "$hylas bench step $source/configs/tiny.yaml --set model.width=64 --set model.layers=2 --set model.schedule.pattern=[$1] \
        --set model.mlp.width=32 --set model.mixers.$1.heads=4 --set model.mixers.$1.head_dim=32 --set data.sequence=$2 --set data.batch=1 --set train.accumulate=1 \
        --set parallel.layout=zigzag --set parallel.node=1 --set parallel.transport=ucx --set parallel.$key=$3 --set run.device=paced:cpu --set run.dir=$work/$4 --repeats ${REPEATS:-3}" \
        >log.txt 2>&1 || { tail -n 5 log.txt >&2; exit 1; }
}

seconds() { sed -n 's/^tokens=.* seconds=\([0-9.]*\) .*/\1/p' log.txt; }

study() { # hosts, mixer, tokens, rate: a row
    local HOSTS=$1 way round name=states taken
    [ "$2" != attention ] || name=attention
    shape_links rate "$4" burst "${BURST:-4kb}" latency 4s
    rm -rf auto times
    step "$2" "$3" auto auto
    taken=$(sed -n "s/.*auto: .*$name \([a-z0-9]*\)[,:].*/\1/p" log.txt | head -n 1)
    for ((round = 0; round < ${ROUNDS:-2}; round++)); do
        for way in $(ways_of "$2"); do
            step "$2" "$3" "$way" fixed
            echo "$way $(seconds)" >>times
        done
    done
    unshape_links
    awk -v point="$*" -v taken="$taken" '!($1 in least) || $2 < least[$1] { if (!($1 in least)) order[++n] = $1; least[$1] = $2 }
        END { best = order[1]; for (i = 2; i <= n; i++) if (least[order[i]] < least[best]) best = order[i]
            if (!(taken in least)) { print "no way was taken: " taken > "/dev/stderr"; exit 1 }
            split(point, p, " "); printf "%-5s %-15s %6s %8s  %-12s %-12s %6.1f%%", p[1], p[2], p[3], p[4], taken, best, 100 * (least[taken] / least[best] - 1)
            for (i = 1; i <= n; i++) printf "  %s %.0f", order[i], 1e3 * least[order[i]]; print "" }' times
}

make_hosts
printf '%-5s %-15s %6s %8s  %-12s %-12s %7s  %s\n' hosts mixer tokens rate auto best longer "milliseconds of each"
point=0
for hosts in ${SIZES:-2 4}; do
    for mixer in ${MIXERS:-gated_deltanet retention attention}; do
        for tokens in ${TOKENS:-512 4096}; do
            for rate in ${RATES:-20mbit 100mbit 500mbit}; do
                [ $((point++ % ${SUBSET:-1})) -eq 0 ] || continue
                study "$hosts" "$mixer" "$tokens" "$rate" || exit 1
            done
        done
    done
done | tee rows
awk '{ n++; near += $7 + 0 <= 10 } END { printf "within 10%% of the best: %d of %d\n", near, n; exit !(n > 0 && near >= 0.9 * n) }' rows
