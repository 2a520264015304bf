#!/usr/bin/env bash
# slurm.sh HYLAS SOURCE: launch/slurm/train.sbatch under stand-ins for sbatch, srun and scontrol. It goes back into the queue when the ranks
# exit with 75 and at no other time; signals reach them; a real training stopped by USR1 resumes where it was.
set -uo pipefail
hylas=$1 source=$2
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
failures=0
check() { # name, command that must succeed
    local name=$1
    shift
    "$@" && return 0
    printf 'FAILED: %s\n' "$name"
    tail -n 12 log queue 2>/dev/null | sed 's/^/    /'
    failures=$((failures + 1))
}

# ---- stand-ins: sbatch runs the script again for as long as it is put back ----

mkdir bin
cat >bin/sbatch <<'END'
#!/usr/bin/env bash
script=$1
shift
grep '^#SBATCH' "$script" | grep -vqE '^#SBATCH --[a-z-]+(=[^ ]+)?( +#.*)?$' && { echo "sbatch: a directive it does not understand"; exit 1; }
export SLURM_JOB_ID=4711 SLURM_CPUS_PER_TASK=1 SLURM_RESTART_COUNT=0
while :; do
    rm -f put-back
    bash "$script" "$@" &
    echo $! >script-pid
    wait $!
    code=$?
    [ -e put-back ] || exit $code
    SLURM_RESTART_COUNT=$((SLURM_RESTART_COUNT + 1))
done
END
cat >bin/srun <<'END'
#!/usr/bin/env bash
while [ "${1#--}" != "$1" ]; do shift; done # its options; the rest is the program
exec "$@"
END
cat >bin/scontrol <<'END'
#!/usr/bin/env bash
echo "$*" >>queue
touch put-back
END
cat >program <<'END'
#!/usr/bin/env bash
# Ends with the codes of the file `codes`, one per start; `wait`: upon a signal.
code=$(head -n 1 codes)
sed -i 1d codes
echo "$*" >>arguments
if [ "$code" = wait ]; then
    trap 'exit 75' USR1 TERM
    touch started
    while :; do read -r -t 1 <>waiting; done
fi
exit "$code"
END
chmod +x bin/* program
mkfifo waiting
export PATH="$work/bin:$PATH"
submit() { # codes of the starts, then arguments
    printf '%s\n' $1 >codes
    shift
    rm -f queue arguments started
    HYLAS=$work/program timeout -k 5 60 sbatch "$source/launch/slurm/train.sbatch" "$@" >log 2>&1
}
times_put_back() { [ -e queue ] && wc -l <queue || echo 0; }

# ---- exit codes ----

for code in 0 1 2 3 4 5 6 7 8 9 137; do
    submit $code a.yaml
    check "exit code $code is passed on" test $? -eq $code
    check "$code does not go back into the queue" test "$(times_put_back)" -eq 0
done
submit "75 75 0" a.yaml --set "run.dir=a b"
check "it ends with the code of the last start" test $? -eq 0
check "75 goes back into the queue" test "$(cat queue)" = "$(printf 'requeue 4711\nrequeue 4711')"
check "every start has the arguments" test "$(sort -u arguments)" = 'train a.yaml --set run.dir=a b'
submit "75 5" a.yaml
check "an error after a restart ends it" test $? -eq 5
HYLAS_RESTARTS=2 submit "75 75 75 0" a.yaml
check "not for ever" test $? -eq 75
check "as often as allowed" test "$(times_put_back)" -eq 2

# ---- signals ----

signal() { # to the script, once the ranks run
    rm -f script-pid started
    submit "wait 0" a.yaml &
    local submitted=$!
    while [ ! -e started ]; do :; done
    kill "-$1" "$(cat script-pid)"
    wait $submitted
}
signal USR1
check "USR1 reaches the ranks and the job goes on" test $? -eq 0
check "it went back into the queue for USR1" test "$(times_put_back)" -eq 1
signal TERM
check "TERM reaches the ranks and the job ends" test $? -eq 75
check "a cancelled job stays away" test "$(times_put_back)" -eq 0

# ---- a training ----

sed -e "s|data/tiny.h5|store.h5|" "$source/configs/tiny.yaml" >tiny.yaml
"$hylas" data text "$source/layers" --out store.h5 >log 2>&1 || check "a token store" false
HYLAS=$hylas
export HYLAS
rm -f queue
steps() { cat runs/metrics.jsonl 2>/dev/null | wc -l; }
for launcher in "srun --mpi=pmix" "${MPIEXEC:-mpirun} -np 2"; do
    rm -rf runs queue
    HYLAS_LAUNCHER=$launcher timeout -k 5 100 sbatch "$source/launch/slurm/train.sbatch" tiny.yaml --set run.dir=runs --set train.steps=300 \
        --set train.checkpoint.every=100000 >log 2>&1 &
    submitted=$!
    while [ "$(steps)" -lt 3 ] && kill -0 $submitted 2>/dev/null; do :; done
    kill -USR1 "$(cat script-pid)"
    wait $submitted
    check "$launcher: the training ends" test $? -eq 0
    check "$launcher: it was put back once" test "$(times_put_back)" -eq 1
    check "$launcher: it resumed" grep -q 'resuming after step' log
    check "$launcher: its last checkpoint is there" test -e runs/checkpoints/step-300
done
[ $failures -eq 0 ]
