#!/usr/bin/env bash
# exposed_study.sh HYLAS DATA SOURCE: launch/exposed-study.sh comes to its row, in which the state was in flight, and was hidden at least in part; `auto` measured links between
# hosts in two ways, of no more than they carry. Skipped (77) where namespaces are not allowed.
set -uo pipefail
hylas=$(realpath "$1") study=$(realpath "$3")/launch/exposed-study.sh
out=$(STATES=auto SEQUENCE=1024 PACE=2e9,8e9 "$study" "$hylas" 2>&1)
code=$?
printf '%s\n' "$out"
[ $code -eq 0 ] || exit $code
awk '$1 == "auto" && NF == 10 && $2 > 0 && $3 > $2 && $4 > 0 && $5 < $4 && $6 > 0 && $7 < $6 && $8 ~ /%$/ {found = 1} END {exit !found}' <<<"$out" ||
    { echo "FAILED: no row of figures"; exit 1; }
awk '/^a layer forward/ {link = 1000 / 8 * $(NF - 1)}
    /^auto took/ {n = split($0, word, "="); for (i = 2; i <= n; i++) {good += word[i] + 0 > 0 && word[i] + 0 < 1.1 * link}} END {exit good != 2}' <<<"$out" ||
    { echo "FAILED: links were measured wrongly"; exit 1; }
