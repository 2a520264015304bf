#!/usr/bin/env bash
# The recall study of docs/recall.md: gated_deltanet and gla, each pure and with every fourth layer softmax, and softmax alone, at a size that
# a laptop trains in minutes. Recall tasks (train/data/recall_data.h) show what a model finds in its context, text what it costs as a language
# model. Prints one table per seed (of the initial parameters and the order of the data) and writes them with a picture of all
# (launch/recall-plot.sh) into the output folder. Goes on where it was stopped; --fresh starts over.
#
#     launch/recall-study.sh [--out runs/recall] [--jobs 2] [--steps 4000] [--seeds "1 2"] [--hylas build/bin/hylas] [--fresh]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/scripts/options.sh

out=runs/recall jobs=2 steps=4000 seeds="1 2" hylas=build/bin/hylas fresh=0
read_options "out jobs steps seeds hylas fresh?" "$@"
need_hylas
export OMP_NUM_THREADS=1
[ $fresh -eq 0 ] || rm -rf "$out"
mkdir -p "$out/data"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# name, layers of the pattern, softmax layers of four
variants="gated_deltanet:gated_deltanet:0
gated_deltanet-3-1:gated_deltanet,gated_deltanet,gated_deltanet,attention:1
gla:gla:0
gla-3-1:gla,gla,gla,attention:1
attention:attention:4"
counts="2 4 6 8 10 12 14 16" # facts per document in the evaluation

# ---- data ----

recall() { # store, then options: made once
    local store=$out/data/$1.h5
    shift
    [ -f "$store" ] || "$hylas" data recall --vocab 40 --keys 16 --values 16 --tokens 256 --out "$store" "$@"
}
recall mqar --task mqar --documents 4 --pairs 16 --pairs-min 1 --queries 16 --sequences $((4 * steps))
for n in $counts; do
    recall "mqar-$n" --task mqar --documents 4 --pairs "$n" --sequences 128 --seed 2
done
recall needle --task needle --pairs 4 --pairs-min 1 --queries 16 --sequences $((steps / 2))
recall needle-1 --task needle --pairs 1 --sequences 1024 --seed 2
recall needle-4 --task needle --pairs 4 --sequences 256 --seed 2
if [ ! -f "$out/data/text.h5" ]; then # the sources and pages of this repository, as bytes
    "$hylas" data text base comm docs kernels launch layers sp train tests/unit --out "$out/data/text.h5" --hold-out "$out/data/text-eval.h5"
fi

# ---- trainings, and what their models give ----

train() { # variant, pattern, run, overrides "a.b=value"
    local name=$1 pattern=$2 run=$3 sets=() set
    shift 3
    for set in "run.dir=$here/$name/$run" "train.seed=$seed" "model.schedule.pattern=[$pattern]" "$@"; do
        sets+=(--set "$set")
    done
    "$hylas" train configs/recall.yaml "${sets[@]}" >>"$here/$name-$run.log" 2>&1
}
evaluate() { # variant, run, stores: the output of eval, kept
    local name=$1 run=$2 store result
    shift 2
    for store in "$@"; do
        result=$here/result/$name-$store
        [ ! -f "$result" ] || continue
        "$hylas" eval "$here/$name/$run" --store "$out/data/$store.h5" --sequences 1024 --set data.batch=16 >"$result.tmp" 2>>"$here/$name-$run.log"
        mv "$result.tmp" "$result"
    done
}
stage_mqar() { # variant, pattern
    train "$1" "$2" mqar "data.store=$out/data/mqar.h5" "data.eval_store=$out/data/mqar-16.h5" "train.steps=$steps"
    evaluate "$1" mqar $(printf 'mqar-%s ' $counts)
}
stage_text() {
    train "$1" "$2" text "data.store=$out/data/text.h5" "data.eval_store=$out/data/text-eval.h5" "train.steps=$((steps / 8))" \
        data.loss=all data.sequence=512 data.batch=4 model.vocab=256
    evaluate "$1" text text-eval
}
stage_needle() { # the model of stage_mqar goes on, on haystacks of 256 tokens
    train "$1" "$2" needle "data.store=$out/data/needle.h5" "data.eval_store=$out/data/needle-4.h5" "train.steps=$((steps / 8))" \
        "train.init=$here/$1/mqar" train.lr=1e-3
    evaluate "$1" needle needle-1 needle-4
}

collect() { # until no more than $1 run
    while [ $running -gt "$1" ]; do
        wait -n || fail 1 "a training failed; see the logs in $here"
        running=$((running - 1))
    done
}
running=0
for seed in $seeds; do
    here=$out/seed-$seed
    mkdir -p "$here/result"
    for stage in mqar text needle; do
        while IFS=: read -r name pattern _; do
            collect $((jobs - 1))
            printf '%s  seed %s  %-6s  %s\n' "$(date +%T)" "$seed" $stage "$name"
            stage_$stage "$name" "$pattern" &
            running=$((running + 1))
        done <<<"$variants"
        collect 0
    done
done

# ---- tables and picture ----

accuracy() { sed -n 's/^answers .*right: \([0-9.]*\)%.*/\1/p' "$here/result/$1-$2"; }
loss() { sed -n 's/^loss *\([0-9.]*\)$/\1/p' "$here/result/$1-text-eval"; }
for seed in $seeds; do
    here=$out/seed-$seed
    {
        printf '# variant softmax-layers text-loss needle-1 needle-4 %s\n' "$(printf 'mqar-%s ' $counts)"
        while IFS=: read -r name _ softmax; do
            printf '%s %s %s %s %s' "$name" "$softmax" "$(loss "$name")" "$(accuracy "$name" needle-1)" "$(accuracy "$name" needle-4)"
            for n in $counts; do
                printf ' %s' "$(accuracy "$name" "mqar-$n")"
            done
            printf '\n'
        done <<<"$variants"
    } >"$here/table.dat"
    printf '\nseed %s\n' "$seed"
    column -t "$here/table.dat" 2>/dev/null || cat "$here/table.dat"
done

tables=()
for seed in $seeds; do
    tables+=("$out/seed-$seed/table.dat")
done
launch/recall-plot.sh "${tables[@]}" --out "$out/recall.svg"
printf '\ntables      %s/seed-*/table.dat\npicture     %s/recall.svg\n' "$out" "$out"
