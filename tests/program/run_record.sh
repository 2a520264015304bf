#!/usr/bin/env bash
# run_record.sh HYLAS SOURCE JSON_GET: log.txt has every line that the console showed, standard output and error of every rank, and why the
# run ended; env.json has what each start ran on, in order, and how it ended: done, stopped by a signal, failed, killed.
set -uo pipefail
hylas=$1 source=$2 get=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

value() { "$get" "$1" <run/env.json; }
same() { [ "$1" = "$2" ] || fail "$3: $1, wanted $2"; }
train() { # overrides
    local sets=() set
    for set in data.store=store.h5 run.dir=run data.sequence=256 "$@"; do sets+=(--set "$set"); done
    "$mpirun" -np 2 "$hylas" train "$source/configs/tiny.yaml" "${sets[@]}" >out 2>err
}
all_in_log() { # every line of this start's console
    local line
    while IFS= read -r line; do
        grep -Fqx -- "$line" run/log.txt || fail "$1: not in the log: $line"
    done < <(grep . out && grep -E '^[0-9:]{8} (info|warn|error) ' err) # mpirun's own lines are no part of it
}

"$hylas" data text "$source/layers/graph" "$source/sp/state" --out store.h5 >/dev/null 2>&1 || fail "no token store"

train train.steps=3 || fail "first start"
all_in_log "first start"
grep -q '^started     20.*Z by hylas .* on 2 ranks: .*tiny.yaml$' run/log.txt || fail "no line of the start"
[[ $(tail -n 1 run/log.txt) =~ ^ended.*\ after\ step\ 3\ of\ 3:\ done,\ exit\ code\ 0$ ]] || fail "no line of the end"
same "$(value ranks) $(value ended.exit_code) $(value ended.reason) $(value ended.step) $(value earlier)" "2 0 done 3 0" "env.json"
same "$(value version) $(value commit)" "$("$hylas" --version | sed 's/hylas \(.*\) (\(.*\))/\1 \2/')" "version"
same "$(value command.0) $(value command.1) $(value command.2)" "hylas train $source/configs/tiny.yaml" "command line"
same "$(value directory)" "$PWD" "folder"
same "$(value hosts.0.ranks) $(value hosts.0.threads.1) $(value hosts.0.host)" "2 1 $(hostname)" "hosts"
for key in build.flags build.compiler build.type libraries.mpi libraries.hdf5 libraries.blas libraries.onednn libraries.fftw \
    libraries.yaml libraries.jansson libraries.xxhash processor table hosts.0.cores hosts.0.bindings.0 hosts.0.blas_threads.0; do
    value "$key" >/dev/null || fail "env.json has no $key"
done
same "$(value device) $(value precision)" "cpu f32" "precision"

# a time limit: what is on disk says so
train train.steps=100000 train.time_limit=0.3
same "$?" 75 "exit code at the time limit"
all_in_log "time limit"
[[ $(tail -n 1 run/log.txt) =~ :\ time\ limit,\ exit\ code\ 75$ ]] || fail "no reason"
same "$(value ended.reason) $(value ended.exit_code) $(value earlier) $(value earlier.0.ended.step)" "time limit 75 1 3" "env.json"

# an error
rm -rf run
train train.steps=100000 train.lr=1e3 train.clip=0 train.weight_decay=1e3 train.max_bad_steps=2
same "$?" 7 "exit code where nothing is finite"
all_in_log "not finite"
grep -q ' error .*not finite in 2 steps in a row' run/log.txt || fail "the error is not in the log"
[[ $(tail -n 1 run/log.txt) =~ :\ not\ finite,\ exit\ code\ 7$ ]] || fail "no reason"
same "$(value ended.reason)" "not finite" "env.json"

# killed: the newest start has no end, and the next one keeps that
rm -rf run
(exec "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set run.dir=run --set train.steps=1000000 >out 2>err) &
job=$!
until grep -q '^step 2/' run/log.txt 2>/dev/null; do kill -0 $job 2>/dev/null || fail "ended too soon"; done
kill -KILL $job
wait $job 2>/dev/null
value ended 2>/dev/null && fail "a killed start has an end"
train train.steps=1 train.precision=bf16 run.device=cpu_async || fail "after a kill"
same "$(value device) $(value precision) $(value earlier.0.precision)" "cpu_async bf16 f32" "precision of either start"
same "$("$hylas" doctor | sed -n 's/^bf16 *ok *cpu (\([a-z0-9]*\)), products by .*/\1/p')" "$(value table)" "variant of bf16 beside that of doctor"

# run.device: auto: a GPU where there is one, else cpu, with the reason in the log and in what doctor says
rm -rf run
auto=$("$hylas" doctor | sed -n 's/^device *ok *\(run.device: auto is .*\)/\1/p')
[[ $auto =~ ^run.device:\ auto\ is\ (cpu\ \(no\ GPU\ here:\ .+|cuda\ \([0-9]+\ here.+)\)$ ]] || fail "doctor: '$auto'"
train train.steps=1 run.device=auto || fail "run.device: auto"
[ "$(grep -cF " $auto" run/log.txt)" = 1 ] || fail "run.device: auto: not in the log"
same "$(value device)" "$(awk '{ print $4 }' <<<"$auto")" "what run.device: auto was"
printf 'records are whole\n'
