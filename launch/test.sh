#!/usr/bin/env bash
# Installs what is missing, builds what quickstart.sh has not, runs every test. Arguments go to ctest (e.g. -R golden).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

install_packages
printf 'building ...\n'
build build all
mpi_environment
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # several tests run at a time
ctest --test-dir build --output-on-failure -j "$(env -u OMP_NUM_THREADS nproc)" "$@"
