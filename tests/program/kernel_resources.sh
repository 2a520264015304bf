#!/usr/bin/env bash
# kernel_resources.sh SOURCE BUILD LAUNCH_SHAPES: what the hot kernels take of a multiprocessor keeps within tests/data/kernel-bounds.txt, and a
# bound that is too tight is told of; the roofline is made of them. Exit code 77, which is "skipped", where nvcc or python3 was not.
set -uo pipefail
source=$1 build=$2 program=$3
report() {
    python3 "$source/launch/scripts/kernel-resources.py" "$build" --program "$program" --bounds "$1"
}
python3 -c '' 2>/dev/null || { echo "no python3 here" && exit 77; }
report "$source/tests/data/kernel-bounds.txt" || exit $?

tight=$(mktemp)
trap 'rm -f "$tight"' EXIT
awk '!/^#/ && NF { $2 = 16; $3 = 33 } { print }' "$source/tests/data/kernel-bounds.txt" >"$tight"
told=$(report "$tight" | grep -c '^BROKEN: .*\(registers, at most 16\|blocks per multiprocessor\)')
[ "$told" -ge 20 ] || { echo "FAILED: of bounds that nothing keeps $told are told of" && exit 1; }

# The roofline has a row with finite times and a launch for every operation.
python3 "$source/launch/scripts/kernel-roofline.py" "$build" --program "${program%shapes}costs" --markdown >"$tight" || { cat "$tight" && exit 1; }
rows=$(grep -Ec '^\| [a-z0-9_]+ \| [0-9.e+-]+ \| [0-9.e+-]+ \| [0-9.]+, [0-9.]+; [a-zA-Z]+, [a-zA-Z]+ \| .*`[a-z_]+' "$tight")
[ "$rows" -ge 40 ] || { echo "FAILED: $rows rows of the roofline" && cat "$tight" && exit 1; }
