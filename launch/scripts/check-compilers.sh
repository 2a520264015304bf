#!/usr/bin/env bash
# Builds and tests with every compiler and with sanitizers, all warnings as errors.
#
# usage: launch/scripts/check-compilers.sh [gcc] [clang] [sanitize] [fuzz]     (default: the first three; clang needs clang, libclang-rt-*-dev and
# libomp-dev; fuzz: 20,000 cases per target of launch/fuzz.sh)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
mpi_environment

check() { # name, ctest arguments after --, CMake options
    local name=$1
    shift
    printf '== %s\n' "$name"
    build "build-$name" -DHY_WERROR=ON "$@"
    ctest --test-dir "build-$name" --output-on-failure -j "$(nproc)" | tail -n 25
}

for what in "${@:-gcc clang sanitize}"; do
    for name in $what; do
        case $name in
            gcc) check gcc -DCMAKE_C_COMPILER=gcc ;;
            clang) check clang -DCMAKE_C_COMPILER=clang ;;
            sanitize)
                # Open MPI and libhdf5 hold memory until exit, so leaks are looked for in the unit tests' own counters instead.
                export ASAN_OPTIONS=detect_leaks=0
                check sanitize -DCMAKE_C_COMPILER=gcc -DHY_SANITIZE=ON -DCMAKE_C_FLAGS=-O1
                ;;
            fuzz) launch/fuzz.sh --cases 20000 ;;
            *) fail 2 "unknown compiler check '$name'; known: gcc clang sanitize fuzz" ;;
        esac
    done
done
