#!/usr/bin/env bash
# validate-simulation.sh HYLAS [shared|links]...: steps as `hylas scale --simulate` predicts them beside steps that really ran. Rates are measured
# as `auto` measures them, ROUNDS times, the best of each counting, on one model, with 2,048 tokens and 256; what is predicted are other lengths, depths, layouts
# and exchanges, none of which the calibration has seen. A real time is the least of ROUNDS runs of REPEATS steps, settings in turn, so that
# what else the machine does for a while disturbs all of them and not one. The first few steps of a process are slower: REPEATS is not to be below 8.
#
#   shared  2 ranks on this machine, over its memory
#   links   RANKS (2) hosts joined by links of RATE (20mbit): namespaces, see four-hosts.sh
#
# Ends with 1 where fewer than 8 of 10 are within 10%. 77: skipped, where namespaces are not allowed.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/four-hosts.sh"
[ $# -ge 1 ] || { echo "usage: [ROUNDS=3] [REPEATS=12] [WIDTH=...] [RATE=20mbit] [RANKS=2] validate-simulation.sh HYLAS [shared|links]..." >&2; exit 2; }
hylas=$(realpath "$1") source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kinds=${*:2}
case " ${kinds:=shared links} " in *" links "*) enter_namespaces "$hylas" $kinds ;; esac
rounds=${ROUNDS:-3} repeats=${REPEATS:-12} ranks=${RANKS:-2}
source "$source/launch/setup.sh"
mpi_environment
export OMP_NUM_THREADS=1
work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1

# width of one head of each kind times 4; on links small, so that exchanges take most of a step
model_of() { # width
    echo "--set model.width=$1 --set model.mixers.gated_deltanet.heads=4 --set model.mixers.gated_deltanet.head_dim=$(($1 / 4))" \
        "--set model.mixers.attention.heads=4 --set model.mixers.attention.kv_heads=2 --set model.mixers.attention.head_dim=$(($1 / 4))" \
        "--set model.mlp.width=$((2 * $1)) --set data.batch=1 --set train.accumulate=1"
}
# length, layers (the last is attention), layout, states, attention
settings_shared="2048 3 contiguous allgather ring
2048 4 zigzag ring ring
4096 2 contiguous chain allgather
4096 3 zigzag allgather allgather
4096 4 zigzag allgather heads
8192 2 zigzag chain ring
8192 3 contiguous allgather heads
6144 2 zigzag scan ring
6144 3 contiguous ring ring
3072 4 zigzag hierarchical node"
settings_links="1024 2 contiguous allgather ring
1024 2 zigzag ring ring
2048 2 contiguous chain allgather
2048 2 zigzag allgather allgather
2048 3 zigzag allgather heads
4096 2 zigzag chain ring
4096 2 contiguous allgather heads
1536 3 zigzag scan ring
3072 2 contiguous ring ring
3072 2 zigzag allgather ring"

set_words() { # length layers layout states attention
    local pattern=attention i
    for ((i = 1; i < $2; i++)); do pattern=gated_deltanet,$pattern; done
    echo "$(model_of "$width") --set model.layers=$2 --set model.schedule.pattern=[$pattern] --set data.sequence=$1 --set parallel.layout=$3" \
        "--set parallel.state=$4 --set parallel.attention=$5 --set parallel.node=1"
}

run_ranks() { # kind, then the arguments of hylas
    local kind=$1
    shift
    if [ "$kind" = links ]; then
        HOSTS=$ranks on_hosts 300 "$hylas $* --set parallel.transport=ucx" # whose collectives are simulated
    else
        timeout 300 "${MPIEXEC:-mpirun}" -np 2 "$hylas" "$@"
    fi
}

field() { # of JSON on one line or many
    tr ',{}' '\n\n\n' | sed -n "s/^ *\"$1\": *//p" | head -n 1
}

# Machines in words, one a line: of every key the best, which is the most for a rate and the least for a latency.
best_machine() {
    awk '{ n = split($NF, words, ","); for (i = 1; i <= n; i++) { split(words[i], w, "="); order[i] = w[1]; v = w[2] + 0
           if (!(w[1] in best) || (w[1] ~ /latency|launch/ ? v < best[w[1]] : v > best[w[1]])) best[w[1]] = v } }
         END { for (i = 1; i <= n; i++) printf("%s%s=%.4g", (i > 1 ? "," : ""), order[i], best[order[i]]); print "" }'
}

calibrate() { # kind
    local i
    for ((i = 0; i < rounds; i++)); do
        rm -rf calibration
        # shellcheck disable=SC2046
        run_ranks "$1" bench step "$source/configs/tiny.yaml" $(set_words 2048 2 contiguous auto ring) --repeats 1 --json --set "run.dir=$work/calibration" \
            --set parallel.machine=measured >calibration.log 2>&1 || { tail -n 3 calibration.log >&2; exit 1; }
        cat calibration/machine.txt
    done | best_machine
}

validate() { # kind settings
    local kind=$1 machine setting real predicted i n=0
    machine=$(calibrate "$kind") || exit 1
    echo "$kind: $machine"
    for ((i = 0; i < rounds; i++)); do
        n=0
        while read -r setting; do
            # shellcheck disable=SC2046,SC2086
            real=$(run_ranks "$kind" bench step "$source/configs/tiny.yaml" $(set_words $setting) --repeats "$repeats" --json 2>real.log </dev/null | field seconds)
            [ -n "$real" ] || { tail -n 3 real.log >&2; exit 1; }
            echo "$n $real" >>"$kind.real"
            n=$((n + 1))
        done <<<"$2"
    done
    n=0
    printf '%-44s %10s %10s %8s\n' "tokens layers layout states attention" predicted measured error
    while read -r setting; do
        rm -f row.csv
        # shellcheck disable=SC2046,SC2086
        "$hylas" scale "$source/configs/tiny.yaml" $(set_words $setting) --simulate "$machine" --ranks $([ "$kind" = links ] && echo "$ranks" || echo 2) --csv row.csv \
            >scale.log 2>&1 </dev/null || { tail -n 3 scale.log >&2; exit 1; }
        predicted=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } END { print $at["seconds"] }' row.csv)
        real=$(awk -v n=$n '$1 == n && (least == "" || $2 < least) { least = $2 } END { print least }' "$kind.real")
        awk -v s="$setting" -v p="$predicted" -v r="$real" 'BEGIN { printf "%-44s %8.1f ms %7.1f ms %+7.1f%%\n", s, 1e3 * p, 1e3 * r, 100 * (p / r - 1) }'
        n=$((n + 1))
    done <<<"$2" | tee "$kind.table" || return 1
    awk -v kind="$kind" -v wanted=$(wc -l <<<"$2") '{ e = $NF + 0; within += e <= 10 && e >= -10 }
        END { printf "%s: %d of %d within 10%%\n", kind, within, wanted; exit NR != wanted || within < 0.8 * wanted }' "$kind.table"
}

failed=0
for kind in $kinds; do
    case $kind in
    shared)
        width=${WIDTH:-256}
        validate shared "$settings_shared" || failed=1
        ;;
    links)
        width=${WIDTH:-64}
        make_hosts
        shape_links rate "${RATE:-20mbit}" burst 4kb latency 4s # no packet is dropped
        export UCX_NET_DEVICES=eth0 UCX_TLS=tcp,self
        validate links "$settings_links" || failed=1
        ;;
    *) echo "validate-simulation.sh: $kind: not shared or links" >&2; exit 2 ;;
    esac
done
exit $failed
