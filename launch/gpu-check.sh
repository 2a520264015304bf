#!/usr/bin/env bash
# Everything that can be checked on a machine with a GPU, with one command and in under 9 minutes on 16 cores: builds for the GPU that is found,
# compares every operation with cpu_ref, golden files, models, sharded training with unsharded, a training run with that of cpu, one with graphs
# with one without, looks for errors with compute-sanitizer, measures the kernels. Goes on after failures; prints one table and writes it to a file.
# Exit code 1: something failed.
#
#     launch/gpu-check.sh [--device cuda] [--out runs/gpu-check] [--build build-gpu] [--only parity,golden,...] [--minutes 9] [--prebuilt]
#
# Needs the CUDA toolkit, gcc, g++, cmake and ninja; what else is missing it installs (launch/setup.sh). Where nothing can be installed,
# HYLAS_PACKAGES names a folder of unpacked Debian packages (`dpkg -x FILE FOLDER` of each that setup.sh lists, and of what they depend on).
# --device cuda_host rehearses all but the sanitizer on a machine without a GPU, each with fewer cases; --prebuilt takes the build as it is.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 3
source launch/scripts/options.sh

device=cuda out=runs/gpu-check build=build-gpu only="" minutes=9 prebuilt=0
read_options "device out build only minutes prebuilt?" "$@"
mkdir -p "$out"
out=$(cd "$out" && pwd)
table=$out/table.txt seed=$(date +%s) begun=$SECONDS failed=0
# Of a device that is interpreted: one case of so many, shorter runs.
each=1 steps=20 tokens=4096 slower=1 few=4x2048x16x128,8x1024x8x64
shapes=1x8192x96x128,2x16384x16x128,4x2048x16x128,4x4096x64x128,8x2048x32x256,8x1024x8x64
[ "$device" = cuda ] || each=29 steps=3 tokens=256 slower=4 few=2x96x2x32 shapes=2x96x2x32
: >"$table"

say() { printf '%s\n' "$*" | tee -a "$table"; }

left() { echo $((minutes * 60 - SECONDS + begun)); } # seconds

row() { # check, result, seconds, figure
    say "$(printf '%-26s %-7s %7s  %s' "$@")"
    [ "$2" != FAILED ] || failed=1
}

wanted() { # check
    [ -z "$only" ] || [[ ,$only, == *",$1,"* ]]
}

# One check: its name, the most seconds it may take, what to say of its log where it passes (a command that reads the log), its command.
check() {
    local name=$1 limit=$(($2 * slower)) figure=$3 start=$SECONDS code log
    shift 3
    log=$out/${name//[ \/]/-}.log
    [ "$limit" -le "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 5 ]; then
        row "$name" "NOT RUN" 0 "no time left of $minutes minutes"
        failed=1
        return
    fi
    timeout -k 5 "$limit" bash -c '"$@"' check "$@" >"$log" 2>&1 # it may be a function of ours
    code=$?
    if [ $code -eq 0 ]; then
        row "$name" passed $((SECONDS - start)) "$(eval "$figure" <"$log" | tail -n 1)"
    elif [ $code -ge 124 ] && [ $((SECONDS - start)) -ge "$limit" ]; then
        row "$name" FAILED $((SECONDS - start)) "not done after $limit s: $log"
    else
        row "$name" FAILED $((SECONDS - start)) "exit code $code: $(grep -aiE 'error|failed|want ' "$log" | head -n 1 | cut -c 1-120) ($log)"
    fi
}

skip() { # check, why
    row "$1" skipped 0 "$2"
}

# ---- the checks ----

parity() { # worst error of every group of cases, as a share of the tolerance
    local figure="grep -o 'cases on.*worst error [0-9.e+-]*' | sed 's/.*error //' | sort -g | tail -n 1 | sed 's/\$/ of the tolerance at worst/'"
    for test in $parity_tests; do
        check "parity ${test#test_}" 150 "$figure" env HYLAS_PARITY_DEVICE="$device" HYLAS_PARITY_SEED="$seed" HYLAS_PARITY_EACH=$each "$bin/$test"
    done
}

golden() {
    for kind in ops models; do
        check "golden $kind" 90 "grep -c ' ranks, ' | sed 's/\$/ runs/'" tests/golden/golden.sh $kind "$hylas" "$bin/compare_tensors" tests/data 1 zigzag "$device"
    done
}

verify() {
    for precision in f32 bf16; do
        for config in verify verify-blocks verify-linear verify-recurrent verify-convolution; do
            [ "$device" = cuda ] || [ $config = verify-blocks ] || continue
            check "$config $precision" 40 "grep -aoiE 'worst.*|largest.*' | head -n 1" \
                "${MPIEXEC:-mpirun}" -np 2 "$hylas" verify tests/data/$config.yaml --table "$device" --dtype $precision --seed "$seed" --tokens $((tokens / 4)) --set parallel.transport=mpi
        done
    done
}

train() { # device, precision, run.graph, store: losses and gradient norms into a file
    local of=$1${3:+-$3}-$2
    "$hylas" train configs/quickstart.yaml --set data.store="$out/${4:-text}.h5" --set data.eval_store= --set data.sequence=$tokens \
        --set train.steps=$steps --set parallel.sequence=1 --set run.dir="$out/train-$of" --set run.device="$1" --set train.precision="$2" \
        --set run.graph="${3:-auto}" &&
        grep -o '"\(loss\|grad_norm\)":[^,}]*' "$out/train-$of/metrics.jsonl" | tr -d '":' >"$out/train-$of.txt"
}

beside_cpu() { # precision, bound: the largest relative differences between both runs; norms of gradients may be off by ten times as much
    rm -rf "$out"/train-*-"$1"
    [ -f "$out/text.h5" ] || "$hylas" data text docs launch --out "$out/text.h5" || return
    train cpu "$1" && train "$device" "$1" || return
    paste "$out/train-cpu-$1.txt" "$out/train-$device-$1.txt" | awk -v bound="$2" '
        NF != 4 { bad = 1 }
        { d = ($2 - $4) / $2; if (d < 0) d = -d; if (!(d <= worst[$1])) worst[$1] = d }
        END {
            printf "%d numbers; off by at most: losses %.2g, gradients %.2g; allowed %g, %g\n", NR, worst["loss"], worst["grad_norm"], bound, 10 * bound
            exit bad || NR == 0 || !(worst["loss"] <= bound) || !(worst["grad_norm"] <= 10 * bound)
        }'
}

quickstart() {
    check "quickstart f32" 90 "tail -n 1" beside_cpu f32 1e-4
    check "quickstart bf16" 90 "tail -n 1" beside_cpu bf16 1e-2
}

with_and_without() { # precision: graphs of what comes again, which all steps do whose sequences lie in one document
    rm -rf "$out/train-$device-"{auto,off}"-$1"
    if [ ! -f "$out/one.h5" ]; then
        cat docs/*.md launch/*.[ch] >"$out/one.txt" && "$hylas" data text "$out/one.txt" --out "$out/one.h5" || return
    fi
    train "$device" "$1" auto one && train "$device" "$1" off one &&
        cmp "$out/train-$device-auto-$1.txt" "$out/train-$device-off-$1.txt" || return
    local kept
    kept=$(grep -a '^repeated ' "$out/train-$device-auto-$1/log.txt" | tail -n 1)
    [ -n "$kept" ] || [ "$device" != cuda ] || { echo "error: nothing came again"; return 1; }
    echo "$(wc -l <"$out/train-$device-off-$1.txt") numbers, the same bits; ${kept#repeated  * }"
}

graphs() {
    check "graphs f32" 60 "tail -n 1" with_and_without f32
    check "graphs bf16" 60 "tail -n 1" with_and_without bf16
}

by_cudnn() { # parity of attention; cuDNN must have computed some of it, and nothing may have been refused
    HYLAS_CUDNN=${HYLAS_CUDNN:-on} HYLAS_PARITY_DEVICE=$device HYLAS_PARITY_EACH=1 "$bin/test_attn_parity" 2>&1 | tee "$out/by-cudnn.txt" &&
        [ "${PIPESTATUS[0]}" -eq 0 ] || return
    grep -aq '^[1-9][0-9]* calls by cuDNN' "$out/by-cudnn.txt" || { echo "error: cuDNN computed nothing"; return 1; }
    ! grep -aE 'goes on with kernels of its own|the own kernel computes it' "$out/by-cudnn.txt"
}

cudnn() {
    [ "$device" = cuda ] || [ -n "${HYLAS_CUDNN:-}" ] || { skip cudnn "only on a GPU"; return; }
    [ -n "$only" ] || [ "${HYLAS_CUDNN:-off}" != off ] || { skip cudnn "off: ask for it with --only cudnn"; return; }
    check "cudnn parity" 90 "grep -ao '[0-9]* calls by cuDNN'" by_cudnn
    [ "$device" = cuda ] || return
    for library in "${HYLAS_CUDNN:-on}" off; do
        check "bench attention cudnn $library" 30 "tail -n 1" \
            env HYLAS_CUDNN="$library" "$hylas" bench kernels --table "$device" --dtype bf16 --only attention --shapes 1x16384x16x128
    done
}

sanitizer() {
    local tool=compute-sanitizer
    [ "$device" = cuda ] || { skip sanitizer "only on a GPU"; return; }
    command -v $tool >/dev/null || { skip sanitizer "compute-sanitizer is not in the toolkit here"; return; }
    for what in memcheck racecheck initcheck synccheck; do
        check "$what" 120 "grep -E '(ERROR|RACECHECK) SUMMARY'" env HYLAS_PARITY_DEVICE=cuda HYLAS_PARITY_EACH=211 \
            $tool --tool $what --error-exitcode 9 --target-processes all "$bin/test_table_parity"
    done
    # Arrays that lie beside nothing of ours.
    check "memcheck train" 45 "grep 'ERROR SUMMARY'" $tool --tool memcheck --error-exitcode 9 "$hylas" bench step configs/tiny.yaml --tokens 256 \
        --repeats 1 --set run.device=cuda
}

bench() {
    check "bench kernels" 60 "grep -c ' 0\$' | sed 's/\$/ rows without a wrong element/'" \
        "$hylas" bench kernels --table "$device" --dtype bf16 --shapes $few --repeats 5
    check "bench beside fla" $(($(left) - 5)) "tail -n 1" \
        "$(command -v python3 || echo python3)" launch/scripts/compare-fla.py --hylas "$hylas" --table "$device" --shapes $shapes
}

# ---- what is here ----

use_packages() { # a folder of unpacked packages: as if it were installed
    local root=$1 arch
    arch=$(gcc -print-multiarch)
    [ -d "$root/usr" ] || fail 3 "HYLAS_PACKAGES=$root: no folder of unpacked packages (there is no usr in it)"
    export CMAKE_PREFIX_PATH=$root/usr OPAL_PREFIX=$root/usr PATH=$root/usr/bin:$PATH
    local libraries=$root/usr/lib/$arch
    LD_LIBRARY_PATH=$(find "$libraries" -maxdepth 3 -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:):${LD_LIBRARY_PATH:-}
    export LD_LIBRARY_PATH LIBRARY_PATH=$libraries
    export MPICC=$root/usr/bin/mpicc.openmpi MPIEXEC=$root/usr/bin/mpirun.openmpi
    [ -x "$MPICC" ] || fail 3 "HYLAS_PACKAGES=$root: openmpi-bin and libopenmpi-dev are not in it"
}

gpu_targets() { # of the GPUs here, as nvcc names architectures; empty: unknown
    nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -u |
        sed 's/\.//; s/^8[0-9]$/80/; s/^90$/90a/' | sort -u | paste -sd';'
}

build_all() {
    local options=() targets
    targets=$(gpu_targets)
    [ -z "$targets" ] || options+=("-DHY_CUDA_TARGETS=$targets")
    [ -z "${MPICC:-}" ] || options+=("-DMPI_C_COMPILER=$MPICC" "-DMPIEXEC_EXECUTABLE=$MPIEXEC")
    (
        source launch/setup.sh
        [ -n "${HYLAS_PACKAGES:-}" ] || install_packages
        build "$build" "hylas compare_tensors $parity_tests" "${options[@]}"
    )
}

parity_tests="test_table_parity test_recur_parity test_recur_cuda test_attn_parity test_levels_cuda test_long_conv_cuda"
[ -z "${HYLAS_PACKAGES:-}" ] || use_packages "$HYLAS_PACKAGES"
PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin:/usr/local/cuda/bin:/opt/cuda/bin
if [ "$device" = cuda ]; then
    command -v nvcc >/dev/null || fail 3 "nvcc is not in PATH, \$CUDA_HOME/bin or /usr/local/cuda/bin: install the CUDA toolkit"
fi
mpi_variables() { ( source launch/setup.sh; mpi_environment; env | grep ^OMPI_ ); }
while IFS= read -r setting; do export "${setting?}"; done < <(mpi_variables)

say "hylas $(git describe --always --dirty 2>/dev/null), device $device, inputs from $seed, $(date -u +%FT%TZ)"
say "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi')"
say "$(nvcc --version 2>/dev/null | tail -n 2 | head -n 1 || echo 'no nvcc'), $(gcc --version | head -n 1), $(env -u OMP_NUM_THREADS nproc) cores"
say ""
say "$(printf '%-26s %-7s %7s  %s' check result seconds figure)"

# ---- all of it ----

hylas=$(pwd)/$build/bin/hylas
[ "${build#/}" = "$build" ] || hylas=$build/bin/hylas
bin=${hylas%/bin/hylas}/tests
export device out build bin hylas tokens steps parity_tests
export -f fail build_all gpu_targets train beside_cpu with_and_without by_cudnn
if [ $prebuilt -eq 0 ]; then
    check build 300 "echo targets: $(gpu_targets)" build_all
fi
if [ ! -x "$hylas" ]; then
    tail -n 20 "$out/build.log" 2>/dev/null
    row all FAILED 0 "there is no $hylas"
    exit 1
fi

for part in parity cudnn golden verify quickstart graphs sanitizer bench; do
    ! wanted $part || $part
done
for log in bench-kernels bench-beside-fla; do
    [ ! -f "$out/$log.log" ] || { say "" && tee -a "$table" <"$out/$log.log"; }
done
say ""
say "$([ $failed -eq 0 ] && echo 'all passed' || echo FAILED), $((SECONDS - begun)) s; this table: $table"
exit $failed
