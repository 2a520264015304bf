#!/usr/bin/env bash
# same_on_all.sh HYLAS SOURCE: ranks that were started with another configuration, for another command or as another program than rank 0 are
# named before anything happens; another set of kernels is a warning.
set -uo pipefail
hylas=$1 source=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
host=$(uname -n)

expect() { # exit code, what the log says, how often; the rest is the command
    local want=$1 text=$2 times=$3 got
    shift 3
    timeout -k 5 100 "$@" >log 2>&1
    got=$?
    [ $got -eq "$want" ] || fail "exit code $got, wanted $want: $*"
    [ "$(grep -Ec "$text" log)" -eq "$times" ] || fail "not said $times times: $text"
}

"$hylas" data text "$source/base" --out store.h5 >log 2>&1 || fail "no token store"
train=("$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set run.dir=run --set train.steps=2)

expect 2 "error .*rank 1,3 of 4 was started with another configuration than rank 0: train.lr is 0.5, and [0-9.e-]+ on rank 0 and more \(rank 1 on $host, rank 0 on $host\)" 1 \
    "$mpirun" -np 1 "${train[@]}" : -np 1 "${train[@]}" --set train.lr=0.5 --set train.seed=7 : -np 1 "${train[@]}" : -np 1 "${train[@]}" --set train.clip=7
[ ! -e run ] || fail "a run folder was made"
expect 2 "error .*rank 1 was started for another command than rank 0: plan on $host, train on $host" 1 \
    "$mpirun" -np 1 "${train[@]}" : -np 1 "$hylas" plan "$source/configs/tiny.yaml"

# Another build: one byte of the build id.
if readelf -SW "$hylas" 2>/dev/null | grep -q note.gnu.build-id; then
    read -r offset size < <(readelf -SW "$hylas" | sed -n 's/.*note.gnu.build-id *NOTE *[0-9a-f]* \([0-9a-f]*\) \([0-9a-f]*\).*/\1 \2/p')
    cp "$hylas" other
    last=$((0x$offset + 0x$size - 1))
    byte=$(od -An -tu1 -j $last -N 1 other)
    printf "\\x$(printf %x $(((byte + 1) % 256)))" | dd of=other bs=1 seek=$last conv=notrunc status=none
    expect 3 "error .*rank 2 runs another program than rank 0: hylas .* build [0-9a-f]{16} on $host, hylas .* build [0-9a-f]{16} on $host" 1 \
        "$mpirun" -np 2 "$hylas" --version : -np 1 "$work/other" --version
fi

# Other instruction sets.
if ! "$hylas" doctor | grep -q 'table .*plain'; then
    expect 0 "warn .*rank 1 computes with cpu \(plain\) on $host, rank 0 with cpu \([a-z0-9]+\) on $host" 1 \
        "$mpirun" -np 1 "${train[@]}" : -np 1 env HYLAS_CPU=plain "${train[@]}"
fi
expect 0 "computes with|another" 0 "$mpirun" -np 2 "${train[@]}" --set run.dir=run2
