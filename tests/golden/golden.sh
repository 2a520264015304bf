#!/usr/bin/env bash
# golden.sh ops|models HYLAS COMPARE DATA RANKS LAYOUT [DEVICE [TRANSPORT]]: every golden file of that kind on so many ranks: exchanges in turn, float64 on
# cpu_ref, float32 and bf16 on cpu (DEVICE, TRANSPORT: these only, on it, over it); the overlaps (ops) and recomputes (models) take turns. Bounds: tests/tolerance.h.
set -euo pipefail
kind=$1 hylas=$2 compare=$3 data=$4 ranks=$5 layout=$6 device=${7:-cpu} transport=${8:-auto}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
launcher=()
[ "$ranks" -eq 1 ] || launcher=("${MPIEXEC:-mpirun}" -np "$ranks")

run() { # dtype table: the rest of the arguments are options of hylas op
    local dtype=$1 table=$2 op args=() pairs=() file name
    shift 2
    [ "$dtype" != f64 ] || [ "$device,$transport" = cpu,auto ] || return 0
    printf '%s, %s ranks, %s, %s on %s, %s\n' "$kind" "$ranks" "$layout" "$dtype" "$table" "$*"
    for op in $ops; do
        args=()
        for file in $(inputs "$op"); do
            name=$(basename "$file")
            if [ "$op" = model ]; then
                name=$(basename "$(dirname "$file")")
                args+=(--model "$(dirname "$file")")
                name=$name.h5
            fi
            args+=(--in "$file")
            pairs+=("$work/out/$name" "$file")
        done
        "${launcher[@]}" "$hylas" op "$op" "${args[@]}" --out "$work/out" --layout "$layout" --dtype "$dtype" --table "$table" --transport "$transport" "$@"
    done
    "$compare" "$kind" "$dtype" "${pairs[@]}"
    rm -rf "$work/out"
}

inputs() {
    case $1 in
    attention) ls "$data"/golden/attention*.h5 ;;
    conv | dplr | rwkv6 | hgrn | log_linear) ls "$data"/golden/"$1"*.h5 ;;
    recurrence) ls "$data"/golden/*.h5 | grep -Ev '/(attention|conv|dplr|rwkv6|hgrn|log_linear)[^/]*$' ;;
    model) ls "$data"/models/*/check.h5 ;;
    esac
}

if [ "$kind" = ops ]; then
    ops="recurrence dplr rwkv6 hgrn log_linear attention conv"
    run f64 cpu_ref --state allgather --attention ring --overlap split
    run f64 cpu_ref --state ring --attention allgather --overlap seeded
    run f64 cpu_ref --state heads --attention heads
    run f32 "$device" --state allgather --attention allgather --overlap seeded
    run f32 "$device" --state ring --attention ring --overlap split
    run bf16 "$device" --state allgather --attention ring --overlap split
    run bf16 "$device" --state ring --attention allgather --overlap seeded
    run bf16 "$device" --state heads --attention heads
    ops=attention
    run f64 cpu_ref --attention node --node 2
    run f32 "$device" --attention node --node 3
    run bf16 "$device" --attention 2d --node 2
else
    ops=model
    run f64 cpu_ref --state allgather --attention ring --overlap split --recompute light
    run f64 cpu_ref --state ring --attention allgather --overlap seeded --recompute block
    run f32 "$device" --state allgather --attention allgather --overlap seeded --recompute block
    run f32 "$device" --state ring --attention ring --overlap split
    if [ "$layout" = contiguous ]; then
        run bf16 "$device" --state allgather --attention ring --overlap split --recompute block
    else
        run bf16 "$device" --state ring --attention allgather --overlap seeded
    fi
fi
