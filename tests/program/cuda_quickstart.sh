#!/usr/bin/env bash
# cuda_quickstart.sh HYLAS DATA: 20 steps of configs/quickstart.yaml, two of its layers on short sequences, on cuda_host and on cpu, 1 and 2 ranks: loss
# and norm of the gradient of every step. The learning rate is a tenth of the recipe's: with that, cpu and cpu_ref too are 1e-4 apart after 20 steps in
# float32 and 1e-1 in bf16, since AdamW makes steps of one size of gradients of any.
set -uo pipefail
hylas=$1 data=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # ranks, device, precision
    timeout 200 "$mpirun" -np "$1" "$hylas" train "$data/../../configs/quickstart.yaml" --set data.store=a.h5 --set data.eval_store= --set data.sequence=96 \
        --set model.layers=2 --set 'model.schedule.pattern=[gated_deltanet, attention]' --set train.steps=20 --set train.lr=1e-3 \
        --set train.checkpoint.every=0 --set parallel.sequence=auto --set run.dir=run --set run.device="$2" --set train.precision="$3" >log 2>&1 ||
        fail "training on $2, $1 ranks, $3"
    grep -o '"loss": *[^,}]*, *"grad_norm": *[^,}]*' run/metrics.jsonl | sed 's/"[a-z_]*": *//g; s/,//' >"$2.txt"
    [ "$(wc -l <"$2.txt")" -eq 20 ] || fail "$2, $1 ranks, $3: not 20 losses"
    rm -rf run
}
compare() { # ranks, precision, bounds: of each loss, of each norm
    train "$1" cpu "$2"
    train "$1" cuda_host "$2"
    paste cpu.txt cuda_host.txt | awk -v ranks="$1" -v precision="$2" -v loss="$3" -v norm="$4" '
        function off(x, y) { return x > y ? (x - y) / x : (y - x) / x }
        NF != 4 { bad = 1 }
        { l = off($1, $3); g = off($2, $4); if (!(l <= most)) most = l; if (!(g <= worst)) worst = g }
        END {
            printf "%d ranks, %s: losses within %.1e, norms within %.1e\n", ranks, precision, most, worst
            exit bad || !(most <= loss) || !(worst <= norm)
        }' || fail "cuda_host is not cpu: $1 ranks, $2: $(paste cpu.txt cuda_host.txt)"
}

"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
for ranks in 1 2; do
    compare $ranks f32 1e-5 1e-4
    compare $ranks bf16 5e-3 2e-2
done
[ "$(awk 'NR == 1 { first = $1 } END { print ($1 < 0.9 * first) }' cpu.txt)" = 1 ] || fail "nothing was learnt: $(tail -n 1 cpu.txt)"
