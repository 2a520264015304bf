#!/usr/bin/env bash
# four_hosts.sh HYLAS SOURCE: four hosts, which are network namespaces joined by a bridge; mpirun starts a rank on each through a launch agent, over
# TCP. They train; they train over links of 20 Mbit/s, to the same numbers; a link is cut in the middle of a training, which ends and
# names the host that is out of reach, and goes on once the link is there again. Skipped (77) where namespaces are not allowed.
set -uo pipefail
source "$2/launch/four-hosts.sh"
enter_namespaces "$@"
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"
MPIEXEC=$mpirun
make_hosts

four() { # the program on four hosts, from the first
    on_hosts 90 "$hylas $*"
}
train() { # run folder, steps, then more
    local dir=$1 steps=$2
    shift 2
    four train "$source/configs/tiny.yaml" --set data.store="$work/store.h5" --set run.dir="$work/$dir" --set train.steps="$steps" \
        --set train.checkpoint.every=5 --set run.timeout=4 "$@"
}
contents() { grep -o '"content": *"[0-9a-f]*"' "$1/checkpoints/step-$2/manifest.json"; }

"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >log 2>&1 || fail "no token store"
four doctor >log 2>&1 || fail "doctor on four hosts"
grep -Eq '^hosts +ok +4$' log || fail "doctor does not see four hosts"
for i in 1 2 3 4; do
    grep -Eq "^h$i +$((i - 1)) +" log || fail "doctor: no row of h$i"
done
train whole 10 >log 2>&1 || fail "a training on four hosts: exit code $?"

# ---- slow links ----

shape_links rate 20mbit burst 64kb latency 100ms
train shaped 10 >log 2>&1 || fail "a training over shaped links: exit code $?"
unshape_links
[ -n "$(contents whole 10)" ] && [ "$(contents whole 10)" = "$(contents shaped 10)" ] || fail "shaped links change the numbers"

# ---- a cut link ----

train cut 100000 >log 2>&1 &
job=$!
for ((i = 0; i < 400; i++)); do
    [ -e cut/checkpoints/step-10 ] && break
    sleep 0.05
done
[ -e cut/checkpoints/step-10 ] || fail "no checkpoint before the cut"
begin=$SECONDS
ip link set port3 down
wait $job
code=$?
[ $code -ne 0 ] && [ $code -ne 124 ] || fail "the training over a cut link: exit code $code after $((SECONDS - begin)) s"
[ $((SECONDS - begin)) -le 30 ] || fail "the training over a cut link ended after $((SECONDS - begin)) s"
# by the program, or by a launcher that missed its own daemon first and ends the job
grep -Eq 'rank 2 on h3 (does not answer|is gone)|Remote daemon: .* on node h3' log || fail "the host behind the cut link is not named"
ip link set port3 up
step=$(sed 's/step-//' cut/checkpoints/latest)
sleep 2 # neighbours are found again
train cut $((step + 3)) >log 2>&1 || train cut $((step + 3)) >>log 2>&1 || fail "it does not go on once the link is there again: exit code $?"
grep -q "resuming after step $step " log || fail "it did not resume after step $step"
printf 'four hosts: trained, over slow links the same, after a cut link resumed at step %s (ended with %s in %s s)\n' "$step" $code $((SECONDS - begin))
