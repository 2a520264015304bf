#!/usr/bin/env bash
# gpu_check.sh SOURCE BUILD: a rehearsal of launch/gpu-check.sh without a GPU passes, with a row for each check in the table that it leaves;
# failures are in the table, with what comes after them, and in the exit code. Its parity is tested by device/*.
set -uo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() { # exit code; the rest: arguments
    local want=$1 got
    shift
    "$source/launch/gpu-check.sh" --prebuilt --build "$build" --out "$work/out" "$@" >"$work/log" 2>&1
    got=$?
    [ $got -eq "$want" ] || { echo "FAILED: $*: exit code $got, wanted $want" && cat "$work/log" "$work"/out/*.log && exit 1; }
}
rows() { # that begin with a check and a result
    local found
    found=$(grep -Ec "^$1 +$2 +[0-9]+ " "$work/out/table.txt")
    [ "$found" -eq "$3" ] || { echo "FAILED: $found rows of $1 that $2, wanted $3" && cat "$work/out/table.txt" && exit 1; }
}

run 0 --device cuda_host --only verify,quickstart,sanitizer
rows 'verify-blocks (f32|bf16)' passed 2
rows 'quickstart (f32|bf16)' passed 2
rows sanitizer skipped 1
grep -q '^all passed' "$work/out/table.txt" || { echo "FAILED: no last line" && exit 1; }

run 1 --device abacus --only verify,quickstart
rows 'verify-blocks (f32|bf16)' FAILED 2
rows 'quickstart (f32|bf16)' FAILED 2
run 2 --device
HYLAS_PACKAGES=$work/none run 3 --device cuda_host
grep -q 'no folder of unpacked packages' "$work/log" || { echo "FAILED: does not say what is wrong" && exit 1; }
