#!/usr/bin/env bash
# kill_resume.sh HYLAS SOURCE [KILLS]: a random rank is killed (SIGKILL) at random moments, every other time inside a save; after each the
# same command goes on. In the end parameters and optimizer state equal those of an uninterrupted run bit for bit.
# SOURCE: this repository, whose files are the text.
set -uo pipefail
kills=${3:-20}
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >/dev/null || fail "no token store"
steps=$((150 * kills))
train() { # run folder
    exec "$mpirun" -np 4 "$hylas" train "$source/configs/tiny.yaml" --set data.store=store.h5 --set run.dir="$1" --set train.steps=$steps \
        --set train.checkpoint.every=7 --set train.checkpoint.keep=2
}
contents() { # run folder: the hashes of what its last checkpoint holds
    grep -o '"content": *"[0-9a-f]*"' "$1/checkpoints/step-$steps/manifest.json"
}

(train whole) >log 2>&1 || fail "the uninterrupted run"

lines() { cat "$1" 2>/dev/null | wc -l; }

wait_for_steps() { # until so many steps more are in the metrics, or the run has ended
    local before wanted=$1
    before=$(lines killed/metrics.jsonl)
    while [ "$(lines killed/metrics.jsonl)" -lt $((before + wanted)) ] && kill -0 "$job" 2>/dev/null; do :; done
}

wait_for_save() {
    while ! compgen -G 'killed/checkpoints/step-*.tmp' >/dev/null && kill -0 "$job" 2>/dev/null; do :; done
}

in_save=0
for ((i = 1; i <= kills; i++)); do
    (train killed) >log 2>&1 &
    job=$!
    wait_for_steps $((1 + RANDOM % 60))
    if ((i % 2 == 0)); then
        wait_for_save
        compgen -G 'killed/checkpoints/step-*.tmp' >/dev/null && in_save=$((in_save + 1))
    fi
    ranks=($(pgrep -P $job))
    [ ${#ranks[@]} -gt 0 ] || fail "the run ended before kill $i of $kills"
    kill -9 "${ranks[RANDOM % ${#ranks[@]}]}" 2>/dev/null
    wait $job && fail "kill $i: the job ended with 0"
done
(train killed) >log 2>&1 || fail "the last run: exit code $?"
grep -q 'resuming after step' log || fail "the last run did not resume"

[ -n "$(contents whole)" ] || fail "no hashes in the manifest"
[ "$(contents whole)" = "$(contents killed)" ] || fail "the final state differs from the uninterrupted run's"
[ "$(lines whole/metrics.jsonl)" = "$(lines killed/metrics.jsonl)" ] || fail "metrics.jsonl: steps missing or twice"
printf '%s kills, %s of them seen inside a save: final state equal bit for bit\n' "$kills" "$in_save"
