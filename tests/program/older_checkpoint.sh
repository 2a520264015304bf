#!/usr/bin/env bash
# older_checkpoint.sh HYLAS DATA: a checkpoint that 3 ranks wrote when parameters lay in another order (embedding, norm and head first, then each
# block whole) evaluates and resumes, on any number of ranks, to the losses of the program that wrote it. DATA: tests/data.
set -uo pipefail
hylas=$1 data=$2
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

close() { # what, value, wanted
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(d < 2e-6 && d > -2e-6) }' || fail "$1: $2, wanted $3"
}
"$hylas" data recall --out a.h5 --sequences 40 --tokens 48 --vocab 24 --keys 4 --values 4 --pairs 3 --task mqar --documents 2 >log 2>&1 ||
    fail "no store"
for ranks in 1 2 3; do
    mkdir run && tar -xzf "$data/checkpoints/before-roles.tgz" -C run || fail "no checkpoint"
    launcher=("${MPIEXEC:-mpirun}" -np $ranks)
    [ $ranks -gt 1 ] || launcher=()
    "${launcher[@]}" "$hylas" eval run --store a.h5 --sequences 2 >log 2>&1 || fail "$ranks ranks: no evaluation"
    close "$ranks ranks, validation" "$(sed -n 's/^loss  *//p' log)" 3.0931920
    "${launcher[@]}" "$hylas" train run/order.yaml --set train.steps=6 >log 2>&1 || fail "$ranks ranks: no resume"
    step=4
    for wanted in 3.112175991 3.086509546 3.063902715; do
        close "$ranks ranks, step $step" "$(sed -n "s/^{\"step\": $step, \"loss\": \([0-9.]*\),.*/\1/p" run/metrics.jsonl)" $wanted
        step=$((step + 1))
    done
    rm -r run
done
