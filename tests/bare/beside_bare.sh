#!/usr/bin/env bash
# beside_bare.sh COMPARE_BARE [LARGEST [REPEATS]]: what exchanges of two ranks on this host take beside the bare libraries (compare_bare.c), over shared
# memory and over TCP.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/setup.sh"
mpi_environment
compare=$1
shift
side_by_side() { # title, transports of Open MPI, of UCX, then arguments of compare_bare
    local title=$1 btl=$2
    export UCX_TLS=$3
    shift 3
    printf '\n%s\n' "$title"
    "${MPIEXEC:-mpirun}" -np 2 --mca pml ob1 --mca btl "$btl" --mca btl_tcp_if_include lo "$compare" "$@"
}
side_by_side "shared memory" self,vader shm,self "$@" || exit
export UCX_NET_DEVICES=lo
side_by_side "TCP" self,tcp tcp,self "$@"
