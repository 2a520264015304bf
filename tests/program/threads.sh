#!/usr/bin/env bash
# threads.sh HYLAS SOURCE JSON_GET: with nothing set in the environment every rank takes its share of the cores, however mpirun binds, and
# `doctor` says so truly; a choice of the user that is too much is warned of once, with the line that mends it, and done as asked.
set -uo pipefail
hylas=$1 source=$2 get=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS OMP_THREAD_LIMIT OMPI_MCA_hwloc_base_binding_policy OMPI_MCA_mpi_yield_when_idle
cores=$(nproc)
if read -r quota period </sys/fs/cgroup/cpu.max && [ "$quota" != max ] && [ $((quota / period)) -lt "$cores" ]; then
    cores=$((quota / period > 0 ? quota / period : 1)) # a container with less time than that
fi 2>/dev/null
share=$((cores / 2 > 0 ? cores / 2 : 1))

train() { # warnings wanted, a pattern of them; the rest is mpirun's options
    local count=$1 pattern=$2
    shift 2
    rm -rf run
    "$mpirun" "$@" "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set run.dir=run --set train.steps=1 >out 2>err ||
        fail "$*: exit code $?"
    [ "$(grep -cE ' warn .*(NUM_THREADS|bind-to)' err)" -eq "$count" ] || fail "$*: not $count warnings"
    [ "$count" -eq 0 ] || grep -Eq "$pattern" err || fail "$*: no $pattern"
    [ "$count" -eq 0 ] || grep -Eq "$pattern" run/log.txt || fail "$*: the warning is not in the log"
}

shares() { # what env.json must say of the host: cores, threads of each rank; the rest is mpirun's options. No warning.
    local want=$1 got rank
    shift
    train 0 '' "$@"
    got="$("$get" hosts.0.cores <run/env.json) cores:"
    for rank in $(seq 0 $(($("$get" hosts.0.ranks <run/env.json) - 1))); do
        got+=" $("$get" hosts.0.threads.$rank hosts.0.blas_threads.$rank <run/env.json | sort -u)"
    done
    [ "$got" = "$want" ] || fail "$*: $got, wanted $want"
}

"$hylas" data text "$source/layers/graph" --out store.h5 >/dev/null 2>&1 || fail "no token store"
shares "$cores cores: $cores" --bind-to none -np 1
shares "$cores cores: $share $share" --bind-to none -np 2
if [ "$cores" -ge 2 ]; then
    shares "2 cores: 1 1" --bind-to core -np 2
    "$mpirun" --bind-to core -np 2 "$hylas" doctor >out 2>err
    grep -Eq '^threads +ok +2 \(2 ranks\) on the 2 cores of' out || fail "doctor, one core per rank"
fi
"$mpirun" --bind-to none -np 2 "$hylas" doctor >out 2>err
grep -Eq "^threads +(ok|note) +$((2 * share)) \(2 ranks\) on the $cores cores? of" out || fail "doctor, not bound"
if [ "$cores" -le 4 ]; then
    shares "$cores cores: 1 1 1 1 1" --oversubscribe --bind-to none -np 5
fi

# too many by the user's choice: for one rank the cores are all it may have, for two half of them
train 1 "OMP_NUM_THREADS=$((cores + 1)) for each of 1 rank on $cores cores? is very slow; mend it with: export OMP_NUM_THREADS=$cores\$" \
    --bind-to none -x OMP_NUM_THREADS=$((cores + 1)) -np 1
[ "$("$get" hosts.0.threads.0 <run/env.json)" -eq $((cores + 1)) ] || fail "the user's choice was not done"
train 1 "mend it with: export OMP_NUM_THREADS=$share\$" --bind-to none -x OMP_NUM_THREADS=$((cores + 1)) -np 2
train 0 '' --bind-to none -x OMP_NUM_THREADS=$share -np 2 # the line that mends it
if [ "$cores" -ge 2 ]; then
    train 1 'mend it with: mpirun --bind-to none$' --bind-to core -x OMP_NUM_THREADS=2 -np 1
    train 0 '' --bind-to none -x OMP_NUM_THREADS=2 -np 1
fi
printf '%d cores are shared rightly\n' "$cores"
