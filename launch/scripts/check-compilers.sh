#!/usr/bin/env bash
# Builds and tests with every compiler and with sanitizers, all warnings as errors.
#
# usage: launch/scripts/check-compilers.sh [gcc] [clang] [sanitize] [sanitize-unit] [tsan] [tsan-few] [fuzz]
#
# sanitize-unit and tsan-few are the parts of sanitize and tsan that continuous integration has the time for. fuzz: 20,000 cases per target
# of launch/fuzz.sh. tsan: ThreadSanitizer over the threads there are, of the asynchronous device and of what reads ahead; one OpenMP thread,
# since it cannot see how OpenMP orders more. Default: the first three. clang needs clang, libclang-rt-*-dev and libomp-dev.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
mpi_environment
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # several tests run at a time

check() { # name, targets, tests (a regular expression), CMake options
    local name=$1 targets=$2 tests=$3
    shift 3
    printf '== %s\n' "$name"
    build "build-$name" "$targets" -DHY_WERROR=ON "$@"
    ctest --test-dir "build-$name" -R "$tests" --output-on-failure -j "$cores" >"build-$name/tests.log" 2>&1 ||
        { cat "build-$name/tests.log"; fail 1 "$name: tests failed (see above)"; }
    tail -n 3 "build-$name/tests.log"
}

# Open MPI and libhdf5 hold memory until exit, so leaks are looked for in the unit tests' own counters instead.
sanitize() { # target, tests
    ASAN_OPTIONS=detect_leaks=0 check sanitize "$1" "$2" -DCMAKE_C_COMPILER=gcc -DHY_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DCMAKE_C_FLAGS_DEBUG=-g1
}

tsan() { # targets, tests
    check tsan "$1" "$2" -DCMAKE_C_COMPILER=gcc -DHY_TSAN=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DCMAKE_C_FLAGS_DEBUG=-g1
}

for what in "${@:-gcc clang sanitize}"; do
    for name in $what; do
        case $name in
            gcc) check gcc all . -DCMAKE_C_COMPILER=gcc ;;
            clang) check clang all . -DCMAKE_C_COMPILER=clang ;;
            sanitize) sanitize all . ;;
            sanitize-unit) sanitize unit_tests '^unit/' ;;
            tsan) tsan 'dist_tests test_device_async test_feed test_log test_memory test_phase_report' \
                '^unit/test_(device_async|feed|log|memory|phase_report)|^dist_async/|^dist/test_(async_run|comm_device)' ;;
            tsan-few) tsan 'test_device_async test_feed test_async_run test_comm_device test_exchange_adjoint test_step_without_targets test_model_parallel' \
                '^unit/test_(device_async|feed)|^dist/test_(async_run|comm_device)/np[23]|^dist_async/test_(exchange_adjoint|step_without_targets|model_parallel)/np3' ;;
            fuzz) launch/fuzz.sh --cases 20000 ;;
            *) fail 2 "unknown compiler check '$name'; known: gcc clang sanitize sanitize-unit tsan tsan-few fuzz" ;;
        esac
    done
done
