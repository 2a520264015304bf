#!/usr/bin/env bash
# overlap_study.sh HYLAS DATA SOURCE: launch/overlap-study.sh comes to its tables, of every exchange over every transport this program has. Skipped (77)
# where namespaces are not allowed.
set -uo pipefail
hylas=$(realpath "$1") study=$(realpath "$3")/launch/overlap-study.sh
transports=mpi
"$hylas" doctor 2>/dev/null | grep -q 'ucx.*UCX' && transports="mpi ucx"
out=$(TRANSPORTS=$transports "$study" "$hylas" -n 1 -w 0 --elsewhere 2>&1)
code=$?
printf '%s\n' "$out"
[ $code -eq 0 ] || exit $code
for row in 'state +all-gather' 'attention K,V +send' 'gradients +reduce-scatter' 'parameters +all-gather'; do
    [ "$(grep -Ec "^$row .* [0-9]+%$" <<<"$out")" -eq "$(wc -w <<<"$transports")" ] || { echo "FAILED: no row: $row"; exit 1; }
done
