#!/usr/bin/env bash
# lost_peer.sh LOST_PEER: a rank that stops, and one whose connections are cut, end the job with exit code 8 and a line that names it.
set -uo pipefail
program=$1 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

ends_with_8() { # mode, what the log says; the rest are settings
    local mode=$1 says=$2 code
    shift 2
    env "$@" timeout 60 "$mpirun" -np 3 "$program" "$mode" >log 2>&1
    code=$?
    [ $code -eq 8 ] || fail "$mode: exit code $code, wanted 8"
    grep -q "$says" log || fail "$mode: no line says '$says'"
}
ends_with_8 stopped 'nothing has come for 2 s; .* waits for rank [0-9]* on host' UCX_TLS=self,sm,tcp
ends_with_8 cut 'rank [0-9]* on host .* is gone' UCX_TLS=tcp
printf 'ended with 8, the peer named\n'
