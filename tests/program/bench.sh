#!/usr/bin/env bash
# bench.sh HYLAS DATA: the benches run, print a row for each operation with no wrong element and numbers above 0, on one rank and on several;
# bad options end with exit code 2.
set -uo pipefail
hylas=$1 config=$2/verify.yaml mpirun=${MPIEXEC:-mpirun} failed=0

fail() {
    printf 'FAILED: %s\n' "$1"
    cat bench.out bench.err
    failed=1
}
expect() { # exit code, what; the rest is the command
    local want=$1 what=$2 got
    shift 2
    "$@" >bench.out 2>bench.err
    got=$?
    [ $got -eq "$want" ] || fail "$what: exit code $got, wanted $want"
}
rows() { # rows of an operation, all of them right
    awk -v name="^$1 " '$0 ~ name && $NF == 0 && $(NF - 4) > 0 {n++} END {print n + 0}' bench.out
}

cd "$(mktemp -d)" || exit 1
trap 'rm -rf "$PWD"' EXIT
expect 0 "kernels" "$hylas" bench kernels --tokens 70,200 --sizes 16,20 --heads 2 --repeats 1
[ "$(rows recur)" -eq 40 ] || fail "kernels: not 10 recurrences at 2 sizes and 2 lengths"
[ "$(rows attention)" -eq 4 ] || fail "kernels: not 2 sizes and 2 lengths of attention"
expect 0 "kernels, some" "$mpirun" -np 2 "$hylas" bench kernels --tokens 70 --sizes 16 --only 'vector delta' --repeats 1
[ "$(rows recur)" -eq 1 ] || fail "kernels --only: not one row"
for only in gated:recur.scalar.delta mamba2:recur.scalar.additive kda:recur.vector.delta mla:attention; do
    expect 0 "kernels of mixer $only" "$hylas" bench kernels --tokens 0.07k --sizes 16 --heads 2 --only "${only%%:*}" --repeats 1
    [ "$(rows "${only#*:}")" -eq 1 ] && [ "$(rows recur)" -le 1 ] || fail "kernels --only ${only%%:*}: not one row of ${only#*:}"
done
expect 0 "kernels, shapes on a device" "$hylas" bench kernels --table cpu_async --shapes 2x70x3x16,3x0.04kx2x24 --repeats 1 --only a
[ "$(rows 'recur|attention')" -eq 18 ] || fail "kernels --shapes: not 9 operations of 2 shapes"
[ "$(grep -Ec '^attention +[23] +(70|40) +[32] ' bench.out)" -eq 2 ] || fail "kernels --shapes: other shapes"
for shapes in 1x2x3 1x2x3x4x5 1x2x3x4, 65x2x3x4; do
    expect 2 "kernels, shapes $shapes" "$hylas" bench kernels --shapes $shapes
done
expect 2 "kernels, a list that is none" "$hylas" bench kernels --tokens 70,
expect 2 "kernels, none of that name" "$hylas" bench kernels --tokens 70 --sizes 16 --only nothing
grep -q 'recur scalar delta.*mixers: attention.*gated_deltanet' bench.err || fail "kernels --only nothing: does not say what there is"
comm_rows() { # rows of the table with N wrong elements in each column that has any
    awk -v wrong="$1" '$1 ~ /^[0-9]+$/ && NF == 12 {n += ($8 == wrong || $8 == "-") && ($12 == wrong || $12 == "-")} END {print n + 0}' bench.out
}
for ranks in 1 3; do
    expect 0 "comm on $ranks" "$mpirun" -np $ranks "$hylas" bench comm -b 12 -e 12k -f 10 -n 2 -w 1 -c 2
    [ "$(comm_rows 0)" -eq 24 ] || fail "comm on $ranks: not 6 exchanges of 4 sizes, all right"
done
expect 0 "comm of double, max" "$mpirun" -np 2 "$hylas" bench comm -b 16 -e 16 -n 1 -w 0 -d double -o max --device cpu_async
[ "$(comm_rows 0)" -eq 6 ] && grep -Eq ' double +max ' bench.out || fail "comm of double, max: not 6 exchanges"
expect 9 "comm, 3 elements spoiled" "$mpirun" -np 2 "$hylas" bench comm -b 64 -e 1Ki -n 1 -w 0 -c 2 --spoil 3 -d int64
[ "$(comm_rows 3)" -eq 18 ] || fail "comm --spoil 3: not 3 wrong elements in each row"
grep -Eq '^# wrong elements: 72$' bench.out || fail "comm --spoil 3: not 72 in all" # 3 sizes of 6 exchanges, two of them also in place
expect 0 "comm of a configuration" "$mpirun" -np 3 "$hylas" bench comm "$config" --set data.sequence=400 -n 2 -w 1 --compute-ms 1 --piece-ms 0.2 --elsewhere
grep -Eq '^gradients +reduce-scatter +all .* [0-9]+%' bench.out || fail "comm of a configuration: no bucket"
grep -Eq ' K,V +send +sequence .* [0-9]+%' bench.out || fail "comm of a configuration: no hop"
expect 2 "comm, sizes the wrong way round" "$hylas" bench comm -b 100 -e 10
for ranks in 1 2 3; do
    expect 0 "step on $ranks" "$mpirun" -np $ranks "$hylas" bench step "$config" --tokens 131 --repeats 1 --times --set run.device=cpu_ref
    grep -Eq "^tokens=131 ranks=$ranks seconds=0\.[0-9]+ .* peak_mib=[1-9]" bench.out || fail "step on $ranks: no line for programs"
done
expect 0 "step, data and sequence" "$mpirun" -np 4 "$hylas" bench step "$config" --tokens 131 --repeats 1 --set parallel.data=2 --set data.batch=2
grep -q 'data 2 x sequence 2' bench.out || fail "step: wrong mesh"
expect 0 "step, operations" "$mpirun" -np 2 "$hylas" bench step "$config" --tokens 131 --repeats 2 --operations --machine flat,launch=1e-3
awk '$1 == "together" { inside = 0; good = rows > 10 && $2 == calls && $8 >= calls && $8 < 1.1 * calls && $5 > 0.9 * ms && $5 < 1.1 * ms }
    inside && /^[a-z]/ { rows++; calls += $2; ms += $5 } /^-----/ { inside = 1 } /^tokens=/ { good = good && $3 != "" } END { exit !good }' bench.out ||
    fail "step, operations: not each and together, with a millisecond and little more predicted of a call"
for ranks in 1 2; do # about 1, however busy the machine is
    expect 0 "step, spans on $ranks" "$mpirun" -np $ranks "$hylas" bench step "$config" --tokens 131 --repeats 9 --spans
    sed -n 's/^recording \([0-9]*\) spans a step (rank 0): \([0-9.]*\) times .*95%: \([0-9.]*\) to \([0-9.]*\)), 9 pairs$/\1 \2 \3 \4/p' bench.out |
        awk -v ranks=$ranks '{ good = $1 > 30 * ranks && $2 > 0.1 && $2 < 10 && $3 <= $2 && $2 <= $4 } END { exit !good }' || fail "step, spans on $ranks: no cost"
done
[ ! -e runs ] || fail "step, spans: something was written"
expect 2 "step, spans and operations" "$hylas" bench step "$config" --repeats 9 --spans --times
expect 2 "step, too few pairs" "$hylas" bench step "$config" --spans
expect 2 "step, a machine for nothing" "$hylas" bench step "$config" --machine flat
expect 2 "step, no machine" "$hylas" bench step "$config" --operations --machine flut
expect 2 "step, no tokens" "$hylas" bench step "$config" --tokens 0k --repeats 0
expect 2 "step, unknown key" "$hylas" bench step "$config" --set model.widht=1
rows_of_sp() { # wrong elements: rows that have as many
    awk -v wrong="$1" '/^-----/ { inside = 1; next } inside && NF > 9 && (wrong == "any" ? $NF > 0 : $NF == wrong) { n++ } END { print n + 0 }' bench.out
}
sp=("$hylas" bench sp "$2/../../configs/tiny.yaml" --tokens 40 --rounds 1)
expect 0 "sp on 2 and 3" "$mpirun" -np 3 "${sp[@]}" --ranks 2,3
ways=$("$hylas" help config | awk '/^parallel:/ { inside = 1 } inside && /exchange of/ { sub(/.*one of/, ""); n += split($0, names, ",") - 1 } END { print n }') # but for auto
[ "$ways" -ge 8 ] && [ "$(rows_of_sp 0)" -eq $((ways * 2 * 2)) ] || fail "sp: not $ways exchanges in 2 layouts on 2 numbers of ranks, all right"
expect 9 "sp, damaged" "$mpirun" -np 3 "${sp[@]}" --break-exchange --only gated
[ "$(rows_of_sp any)" -ge 10 ] || fail "sp, damaged: it is not seen"
expect 0 "sp, unchecked" "$mpirun" -np 2 "${sp[@]}" --check 0 --only attention --json
python3 -c 'import json, sys; rows = json.load(open("bench.out")); sys.exit(not (len(rows) == 10 and all(r["wrong"] == -1 and r["sent_bytes"] > 0 for r in rows)))' ||
    fail "sp: no JSON"
expect 2 "sp, too many ranks" "$mpirun" -np 2 "${sp[@]}" --ranks 2,3
expect 2 "no such bench" "$hylas" bench kernel
expect 0 "help" "$hylas" bench --help
expect 0 "help of step" "$hylas" bench step --help
compare=$2/../../launch/compare-pytorch.sh
expect 0 "compare, help" "$compare" --help
expect 2 "compare, no Python named" "$compare" --hylas "$hylas"
expect 3 "compare, a Python without torch" "$compare" --hylas "$hylas" --python false
exit $failed
