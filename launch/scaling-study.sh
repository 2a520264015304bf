#!/usr/bin/env bash
# scaling-study.sh HYLAS FOLDER: the simulated figures of docs/scaling.md: rows into FOLDER/*.csv, kept and not made again, then tables. RANKS ("8,64,256,1024")
# and TOKENS ("64Ki,512Ki,8Mi") thin the grid out. Uses two cores.
#
#   states.csv     linear layers of the 1.3B recipe, every way of parallel.state, on three networks
#   attention.csv  its softmax layers, every way of parallel.attention, likewise
#   lasp2.csv      a linear model of 1B on 64 A100: what LASP-2's Table 6 compares
#   zeco.csv       GLA as wide as 1.3B, 8 layers, on 256 H100, 32,768 tokens a rank: what ZeCO compares
set -uo pipefail
[ $# -eq 2 ] || { echo "usage: [RANKS=8,64,256,1024] [TOKENS=64Ki,512Ki,8Mi] scaling-study.sh HYLAS FOLDER" >&2; exit 2; }
hylas=$(realpath "$1") out=$(realpath -m "$2") source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
study=$source/configs/study
ranks=${RANKS:-8,64,256,1024} tokens=${TOKENS:-64Ki,512Ki,8Mi}
mkdir -p "$out"
common=(--set data.batch=1 --set train.accumulate=1 --set train.precision=bf16 --set 'model.schedule.overrides={}')
dgx=dgx-h100 flat=dgx-h100,node=1 slow=dgx-h100,far=12.5e9,uplink=25e9 # eight adapters a node; no NVLink; two 100 Gbit/s adapters for a node

simulate() { # file machine config options
    local file=$1 machine=$2 config=$3
    shift 3
    "$hylas" scale "$study/$config.yaml" --simulate "$machine" "${common[@]}" --csv "$out/$file.csv" "$@" >"$out/$file.log" 2>&1 || {
        tail -n 3 "$out/$file.log" >&2
        exit 1
    }
}

winners() { # file: for every machine, tokens and ranks the ways from the fastest on, as times of it
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; way = 6; next }
             { key = $1 " | " $at["tokens"] " | " $2; if (!(key in best) || $at["seconds"] < best[key]) { best[key] = $at["seconds"]; name[key] = $way }
               keys[NR] = key; time[NR] = $at["seconds"]; ways[NR] = $way; share[NR] = $at["exposed_share"] }
             END { for (i = 2; i <= NR; i++) line[keys[i]] = line[keys[i]] sprintf(" %s %.2f", ways[i], time[i] / best[keys[i]])
                   for (i = 2; i <= NR; i++) if (!(keys[i] in shown)) { shown[keys[i]] = 1; printf "| %s | %.4g s | %s |%s |\n", keys[i], best[keys[i]], name[keys[i]], line[keys[i]] } }' "$out/$1.csv"
}

linear_layers() {
    for machine in $dgx $flat $slow; do
        simulate states "$machine" gated-deltanet-1.3b --set model.layers=3 --set parallel.layout=contiguous --ranks "$ranks" --vary "data.sequence=$tokens" \
            --vary parallel.state=allgather,ring,chain,scan,hierarchical,heads
    done
    simulate lasp2 dgx-a100 retention-1.3b --set model.layers=16 --set model.mixers.retention.heads=16 --set parallel.layout=contiguous --ranks 64 \
        --vary data.sequence=512Ki,2Mi --vary parallel.state=allgather,ring,chain
    simulate zeco dgx-h100 gla-1.3b --set model.layers=8 --set parallel.layout=contiguous --ranks 8,256 --per-rank 32768 --vary parallel.state=allgather,chain,ring
}

fewer=$(tr , '\n' <<<"$ranks" | awk '$1 < 1024' | paste -sd ,) # messages of all pairs at once take an hour on 1,024

softmax_layers() {
    for machine in $dgx $flat $slow; do
        layer=(attention "$machine" gated-deltanet-1.3b --set model.layers=1 --set 'model.schedule.pattern=[attention]' --set parallel.layout=zigzag
            --vary "data.sequence=$tokens")
        simulate "${layer[@]}" --ranks "$ranks" --vary parallel.attention=ring,heads,2d,node
        [ -z "$fewer" ] || simulate "${layer[@]}" --ranks "$fewer" --vary parallel.attention=allgather
    done
}

linear_layers &
linear=$!
softmax_layers &
softmax=$!
trap 'for job in $linear $softmax; do pkill -P $job; kill $job; done; exit 1' INT TERM
failed=0
wait $linear || failed=1
wait $softmax || failed=1
[ $failed = 0 ] || exit 1
for file in states attention; do
    printf '\n%s\n| machine | tokens | ranks | step | fastest | times of the fastest |\n|---|---|---|---|---|---|\n' "$file"
    winners $file
done
printf '\nlasp2\n' && cut -d, -f2,5- "$out/lasp2.csv"
printf '\nzeco\n' && cut -d, -f2,5- "$out/zeco.csv"
