#!/usr/bin/env bash
# doctor.sh HYLAS DATA: hylas doctor names what is here, alone and on several ranks; without mpirun in PATH it ends with exit code 3, with an
# unknown instruction set with 2; what it says about limits and threads follows the limits and threads it has.
set -uo pipefail
hylas=$1 mpirun=${MPIEXEC:-mpirun} failed=0

fail() {
    printf 'FAILED: %s\n' "$1"
    cat doctor.out doctor.err
    failed=1
}
expect() { # exit code, what; the rest is the command
    local want=$1 what=$2 got
    shift 2
    "$@" >doctor.out 2>doctor.err
    got=$?
    [ $got -eq "$want" ] || fail "$what: exit code $got, wanted $want"
}
says() { grep -Eq "$1" doctor.out || fail "does not say: $1"; }

cd "$(mktemp -d)" || exit 1
trap 'rm -rf "$PWD"' EXIT
expect 0 "alone" "$hylas" doctor
for line in 'processor ok +[^ ]' 'table +(ok|note) +cpu' 'mpi +ok +Open MPI' 'ucx +ok +[^ ]' 'nccl +ok +[^ ]' 'launch +ok +one process' 'hdf5 +ok +1\.' 'memory .*available' 'disk .*free' \
    'gpu +ok' 'device +ok +run.device: auto is (cpu \(no GPU here: .+\)|cuda \([0-9]+ here, .+\))$' 'limits +ok +open files' 'products +ok +[0-9]+ GFLOP' 'copying +ok'; do
    says "$line"
done
expect 0 "3 ranks" "$mpirun" -np 3 "$hylas" doctor
says 'launch +ok +3 ranks'
says 'hosts +ok +1$'
says "^host +ranks +cores +bound to +threads +GPUs +memlock +/dev/shm +clock +round trip +trouble"
says "^$(uname -n) +0-2 +[0-9]+ +[0-9,-]+ .* (none|[a-z/, ]+)$"
expect 0 "plain" env HYLAS_CPU=plain "$hylas" doctor
says 'table +note +cpu \(plain\)'
expect 0 "few files" bash -c "ulimit -n 100; exec '$hylas' doctor"
says 'limits +note .*open files 100'
expect 3 "no mpirun" env PATH=/nowhere "$hylas" doctor
says 'launch +LACKS'
expect 2 "unknown instruction set" env HYLAS_CPU=none "$hylas" doctor
expect 2 "too many arguments" "$hylas" doctor everything
expect 0 "help" "$hylas" doctor --help
exit $failed
