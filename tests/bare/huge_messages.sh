#!/usr/bin/env bash
# huge_messages.sh PROGRAM [TRANSPORT...]: every kind of exchange with messages of more than 2^31 bytes between two ranks, over mpi and ucx, or those that
# are named, and on one rank alone (self). By hand: it takes up to 17 GiB, and minutes. What the memory at hand does not allow is left out, and said.
set -uo pipefail
program=$(realpath "$1") mpirun=${MPIEXEC:-mpirun}
transports=("${@:2}") failures=0 left_out=0
[ ${#transports[@]} -gt 0 ] || transports=(self mpi ucx)
gib() { awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo; }
for transport in "${transports[@]}"; do
    for kind in send:5 broadcast:5 all-reduce:9 all-gather:9 reduce-scatter:17 all-to-all:17; do # and GiB that it takes
        ranks=2 over=$transport
        [ "$transport" != self ] || { ranks=1 over=auto; }
        if [ "$(gib)" -lt $((${kind#*:} + 2)) ]; then
            printf '%s, %s: left out: %s GiB are wanted, %s there\n' "$transport" "${kind%:*}" "${kind#*:}" "$(gib)"
            left_out=$((left_out + 1))
            continue
        fi
        timeout 580 "$mpirun" -np $ranks "$program" "$over" "${kind%:*}" ${BYTES:+"$BYTES"} || {
            printf 'FAILED: %s, %s: exit code %s\n' "$transport" "${kind%:*}" $?
            failures=$((failures + 1))
        }
    done
done
printf '%s failed, %s left out\n' $failures $left_out
[ $failures -eq 0 ]
