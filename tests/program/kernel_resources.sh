#!/usr/bin/env bash
# kernel_resources.sh SOURCE BUILD LAUNCH_SHAPES: what the hot kernels take of a multiprocessor keeps within tests/data/kernel-bounds.txt, and a
# bound that is too tight is told of. Exit code 77, which is "skipped", where nvcc or python3 was not.
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
