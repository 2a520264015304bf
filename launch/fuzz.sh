#!/usr/bin/env bash
# Fuzzes what reads files from strangers, with clang's libFuzzer and address and undefined behaviour sanitizers, one target after the other.
#
# usage: launch/fuzz.sh [--cases N] [--minutes M] [target...]
#
# --cases N    inputs per target, 10000000 unless told; --minutes M: at most so long per target (default: no limit)
# targets      config set config_json safetensors index manifest store op (default: all); see tests/fuzz
#
# Needs clang with its runtime (Debian: apt-get install clang libclang-rt-14-dev, or the -dev of another version). What was found is left in
# build-fuzz/found; inputs that reach new code are kept in build-fuzz/seeds for the next time. A summary line per target: cases, found.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

cases=10000000 seconds=0 targets=""
while [ $# -gt 0 ]; do
    case $1 in
        --cases) cases=${2:?--cases needs a number} && shift 2 ;;
        --minutes) seconds=$((60 * ${2:?--minutes needs a number})) && shift 2 ;;
        -*) fail 2 "unknown option $1; known: --cases N, --minutes M" ;;
        *) targets="$targets $1" && shift ;;
    esac
done
known=$(ls tests/fuzz/fuzz_*.c | sed 's#.*/fuzz_##; s#\.c$##' | grep -vE '^(common|model)$')
for target in $targets; do
    grep -qx "$target" <<<"$known" || fail 2 "no target $target; known: $(tr '\n' ' ' <<<"$known")"
done

# Skipped, with a reason, where there is no libFuzzer.
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n);\nint LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }\n' >"$probe/probe.c"
if ! clang -fsanitize=fuzzer,address "$probe/probe.c" -o "$probe/probe" 2>"$probe/log"; then
    printf 'skipped: no clang with libFuzzer here (apt-get install clang libclang-rt-14-dev): %s\n' "$(tail -n 1 "$probe/log")"
    exit 0
fi

build build-fuzz all -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-O1 -DHY_FUZZ=ON
mkdir -p build-fuzz/found
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 # libraries hold memory until exit; ours is counted by the targets

bad=0
for target in ${targets:-$known}; do
    seeds=build-fuzz/seeds/$target log=build-fuzz/found/$target.log
    mkdir -p "$seeds"
    cp tests/fuzz/corpus/"$target"/* "$seeds"
    case $target in
        config) find configs -name '*.yaml' -exec cp {} "$seeds" \; ;;
        config_json) for model in tests/data/models/*/; do cp "$model/config.json" "$seeds/$(basename "$model")"; done ;;
    esac
    begin=$(date +%s) code=0
    build-fuzz/tests/fuzz/fuzz_"$target" -runs="$cases" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix=build-fuzz/found/"$target"- "$seeds" >"$log" 2>&1 || code=$?
    ran=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %10s cases in %6s s: %s\n' "$target" "${ran:-?}" $(($(date +%s) - begin)) "$([ $code -eq 0 ] && echo 'nothing found' || echo "FOUND, see $log")"
    [ $code -eq 0 ] || bad=1
done
exit $bad
