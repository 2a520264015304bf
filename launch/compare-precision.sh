#!/usr/bin/env bash
# Loss curves of float32 and bf16 beside each other: the models of configs/quickstart.yaml (C headers of this machine) and configs/recall.yaml
# (associative recall), each with the same data and seeds in both precisions. Prints a table per model: mean loss of the last tenth of the steps up to
# each mark, its spread over seeds, and the difference. Goes on where it was stopped; --fresh starts over.
#
#     launch/compare-precision.sh [--out runs/precision] [--seeds "1 2 3"] [--ranks 1] [--models "quickstart recall"] [--fresh]
#                                 [--steps 0] [--tokens 0] [--hylas build/bin/hylas]      (0: as the configuration says)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/scripts/options.sh

out=runs/precision seeds="1 2 3" ranks=1 models="quickstart recall" steps=0 tokens=0 hylas=build/bin/hylas fresh=0
read_options "out seeds ranks models steps tokens hylas fresh?" "$@"
need_hylas
[ $fresh -eq 0 ] || rm -rf "$out"
mkdir -p "$out/data"

store() { # model
    local to=$out/data/$1.h5
    [ ! -f "$to" ] || return 0
    case $1 in
    quickstart) "$hylas" data text /usr/include --out "$to" ;;
    recall) "$hylas" data recall --vocab 40 --keys 16 --values 16 --tokens 256 --out "$to" \
        --task mqar --documents 4 --pairs 16 --pairs-min 1 --queries 16 --sequences 16000 ;;
    *) fail 2 "no model '$1': quickstart or recall" ;;
    esac >"$out/data/$1.log" 2>&1 || fail 4 "no data for $1: $out/data/$1.log"
}

train() { # model, precision, seed
    local folder=$out/$1-$2-$3 sets=() launcher=()
    [ "$steps" = 0 ] || sets+=(--set "train.steps=$steps")
    [ "$tokens" = 0 ] || sets+=(--set "data.sequence=$tokens")
    [ "$ranks" = 1 ] || launcher=("${MPIEXEC:-mpirun}" -np "$ranks")
    "${launcher[@]}" "$hylas" train "configs/$1.yaml" --set "data.store=$out/data/$1.h5" --set "data.eval_store=" --set "run.dir=$folder" \
        --set parallel.sequence=auto --set "train.seed=$3" --set "train.precision=$2" "${sets[@]}" >"$folder.out" 2>&1 ||
        fail 5 "training failed: $folder.out"
}

# Of each mark (an eighth of the steps): the mean over the tenth of all steps before it, then mean and spread of that over seeds.
table() { # model
    local precision seed
    printf '\n%s: mean loss over a tenth of the run, seeds %s\n%8s %18s %18s %12s\n' "$1" "$seeds" step f32 bf16 difference
    for precision in f32 bf16; do
        for seed in $seeds; do
            sed -n "s/^{\"step\": \([0-9]*\), \"loss\": \([-+0-9.e]*\),.*/$precision $seed \1 \2/p" "$out/$1-$precision-$seed/metrics.jsonl"
        done
    done | awk '
        { loss[$1, $2, $3] = $4; seeds[$2] = 1; if ($3 > last) last = $3 }
        function curve(p, mark,    s, i, n, sum, total, squares, m) {
            m = total = squares = 0
            for (s in seeds) {
                n = sum = 0
                for (i = mark; i > 0 && i > mark - window; i--) if ((p, s, i) in loss) { sum += loss[p, s, i]; n++ }
                if (n == 0) return "none"
                total += sum / n; squares += (sum / n) ^ 2; m++
            }
            mean = total / m
            spread = m > 1 ? sqrt((squares - m * mean * mean > 0 ? squares - m * mean * mean : 0) / (m - 1)) : 0
            return sprintf("%.4f +- %.4f", mean, spread)
        }
        END {
            window = last / 10 >= 1 ? int(last / 10) : 1
            for (k = 1; k <= 8; k++) {
                mark = int(last * k / 8); if (mark < 1) continue
                a = curve("f32", mark); ma = mean; b = curve("bf16", mark); mb = mean
                printf "%8d %18s %18s %+11.2f%%\n", mark, a, b, 100 * (mb - ma) / ma
            }
        }'
}

for model in $models; do
    store "$model"
    for seed in $seeds; do
        for precision in f32 bf16; do
            train "$model" $precision "$seed"
        done
    done
    table "$model" | tee "$out/$model.txt"
done
