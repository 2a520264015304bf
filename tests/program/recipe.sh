#!/usr/bin/env bash
# recipe.sh HYLAS CONFIG: a recipe keeps what its comments promise. `# parameters: N` is the count by hand, which `hylas plan` must give;
# with the overrides of `# reduced: a.b=value ...` it is narrow enough to verify here: 1, 2, 3, 4 and 7 ranks, packed and not. A length that
# divides by nothing and is longer than the widest window or filter.
set -uo pipefail
hylas=$1 config=$2 mpirun=${MPIEXEC:-mpirun}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
    printf 'FAILED: %s: %s\n' "$config" "$*"
    tail -n 30 "$log"
    exit 1
}

promised=$(sed -n 's/^# parameters: //p' "$config")
[ -n "$promised" ] || fail "no line '# parameters: N'"
"$hylas" plan "$config" >"$log" 2>&1 || fail "plan"
planned=$(awk '$1 == "total" { print $3; exit }' "$log")
[ "$planned" = "$promised" ] || fail "$planned parameters, but the count by hand is $promised"

eval "overrides=($(sed -n 's/^# reduced: //p' "$config"))"
[ ${#overrides[@]} -gt 0 ] || fail "no line '# reduced: ...'"
sets=()
for override in "${overrides[@]}"; do sets+=(--set "$override"); done
for documents in 1 6; do
    "$mpirun" -np 7 "$hylas" verify "$config" --tokens 211 --documents "$documents" "${sets[@]}" >"$log" 2>&1 || fail "verify, $documents documents"
    grep -q '7 ranks' "$log" || fail "no column for 7 ranks"
done
