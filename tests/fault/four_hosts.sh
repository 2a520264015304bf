#!/usr/bin/env bash
# four_hosts.sh HYLAS SOURCE: four hosts, which are network namespaces joined by a bridge; mpirun starts a rank on each through a launch agent, over
# TCP. They train; they train over links of 20 Mbit/s, to the same numbers; a link is cut in the middle of a training, which ends and
# names the host that is out of reach, and goes on once the link is there again. Skipped (77) where namespaces are not allowed.
set -uo pipefail
if [ "${FOUR_HOSTS_INSIDE:-}" != yes ]; then
    command -v ip >/dev/null && command -v tc >/dev/null || { echo "skipped: no ip and tc (iproute2)"; exit 77; }
    unshare -Urnm true 2>/dev/null || { echo "skipped: no user, network and mount namespaces here"; exit 77; }
    FOUR_HOSTS_INSIDE=yes exec unshare -Urnm --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$@"
fi
source "$(dirname "${BASH_SOURCE[0]}")/begin.sh" "$1" "$2"

# ---- the hosts ----

not_here() {
    echo "skipped: $*"
    exit 77
}
mount -t tmpfs none /run || not_here "no mounts"
mkdir /run/netns
printf '127.0.0.1 localhost\n' >hosts.txt
ip link add bridge0 type bridge 2>/dev/null && ip link set bridge0 up || not_here "no bridge"
for i in 1 2 3 4; do
    ip netns add h$i 2>/dev/null || not_here "no network namespaces with names"
    ip link add port$i type veth peer name eth0 netns h$i || not_here "no veth"
    ip link set port$i master bridge0 up
    ip -n h$i addr add 10.0.0.$i/24 dev eth0
    ip -n h$i link set eth0 up
    ip -n h$i link set lo up
    printf '10.0.0.%s h%s\n' $i $i >>hosts.txt
    printf 'h%s slots=1\n' $i >>hostfile
done
mount --bind hosts.txt /etc/hosts || not_here "no bind mounts"
cat >agent <<'END'
#!/bin/sh
host=$1
shift
exec ip netns exec "$host" unshare --uts --ipc sh -c "hostname $host; $*"
END
chmod +x agent

four() { # the program on four hosts, from the first
    timeout -k 5 90 "$work/agent" h1 "$mpirun --hostfile $work/hostfile -np 4 --map-by node --bind-to none --mca plm_rsh_agent $work/agent \
        --mca plm_rsh_no_tree_spawn 1 --mca oob_tcp_if_include eth0 --mca btl tcp,self --mca btl_tcp_if_include eth0 --mca mpi_yield_when_idle 1 \
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 $hylas $*"
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

for i in 1 2 3 4; do
    tc qdisc add dev port$i root tbf rate 20mbit burst 64kb latency 100ms || not_here "no tbf"
done
train shaped 10 >log 2>&1 || fail "a training over shaped links: exit code $?"
for i in 1 2 3 4; do
    tc qdisc del dev port$i root
done
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
grep -Eq 'rank 2 on h3 (does not answer|is gone)' log || fail "the host behind the cut link is not named"
ip link set port3 up
step=$(sed 's/step-//' cut/checkpoints/latest)
train cut $((step + 3)) >log 2>&1 || fail "it does not go on once the link is there again: exit code $?"
grep -q "resuming after step $step " log || fail "it did not resume after step $step"
printf 'four hosts: trained, over slow links the same, after a cut link resumed at step %s (ended with %s in %s s)\n' "$step" $code $((SECONDS - begin))
