#!/usr/bin/env bash
# Installs what is missing, builds what quickstart.sh has not, runs every test. Arguments go to ctest (e.g. -R golden).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

install_packages
printf 'building ...\n'
build build all
mpi_environment
ctest --test-dir build --output-on-failure -j "$(nproc)" "$@"
