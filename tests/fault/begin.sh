# Sourced, with HYLAS SOURCE, by the tests of this folder that run long by hand: what mpirun wants to hear, and a folder to work in that goes
# in the end. RANDOM_SEED in the environment repeats a run.
# shellcheck shell=bash
hylas=$(realpath "$1") source=$(realpath "$2") mpirun=${MPIEXEC:-mpirun}
source "$source/launch/setup.sh"
mpi_environment
RANDOM=${RANDOM_SEED:-$$}
source "$source/tests/work_folder.sh"

