# Sourced: four hosts on this machine, which are network namespaces joined by a bridge, 10.0.0.1 to 10.0.0.4, named h1 to h4. mpirun starts a rank on
# each through a launch agent, over TCP. Who needs it is in namespaces of its own from the start; all is gone when it ends.
# shellcheck shell=bash

not_here() { # why; 77 is what the tests take for skipped
    echo "skipped: $*"
    exit 77
}

# The script that calls it, "$@" its arguments, starts again as root of namespaces of its own.
enter_namespaces() {
    [ "${FOUR_HOSTS_INSIDE:-}" != yes ] || return 0
    command -v ip >/dev/null && command -v tc >/dev/null || not_here "no ip and tc (iproute2)"
    unshare -Urnm true 2>/dev/null || not_here "no user, network and mount namespaces here"
    FOUR_HOSTS_INSIDE=yes exec unshare -Urnm --pid --fork --kill-child --mount-proc "$0" "$@"
}

make_hosts() { # writes hostfile, hosts.txt and agent into the current folder
    local i
    hosts_folder=$PWD
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
}

on_hosts() { # seconds at most, then what a rank on each host runs, as a shell reads it; HOSTS: the first so many (4)
    local seconds=$1
    shift
    timeout -k 5 "$seconds" "$hosts_folder/agent" h1 "${MPIEXEC:-mpirun} --hostfile $hosts_folder/hostfile -np ${HOSTS:-4} --map-by node --bind-to none \
        --mca plm_rsh_agent $hosts_folder/agent --mca plm_rsh_no_tree_spawn 1 --mca oob_tcp_if_include eth0 --mca btl tcp,self \
        --mca btl_tcp_if_include eth0 --mca mpi_yield_when_idle 1 \
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 $*"
}

# Sockets hold SOCKET_BYTES (32768: 13 ms of 20 Mbit/s; a link of 1 Gbit/s wants more), as the queues do not drop: else all that a rank sends lies in a queue, acknowledgements of what it gets wait behind it,
# and a link that sends both ways at once loses a tenth to a third of its rate, each time another part.
socket_bytes() { # of hosts, as sysctl has it: least, first, most
    local i
    for i in 1 2 3 4; do
        ip netns exec h$i sh -c "echo $1 >/proc/sys/net/ipv4/tcp_wmem && echo $2 >/proc/sys/net/ipv4/tcp_rmem" 2>/dev/null || not_here "no sizes of sockets"
    done
}

shape_links() { # arguments of tbf; what comes to a host
    local i most=${SOCKET_BYTES:-32768}
    usual_wmem=$(ip netns exec h1 cat /proc/sys/net/ipv4/tcp_wmem) usual_rmem=$(ip netns exec h1 cat /proc/sys/net/ipv4/tcp_rmem)
    socket_bytes "4096 $most $most" "4096 $most $most"
    for i in 1 2 3 4; do
        tc qdisc add dev port$i root tbf "$@" || not_here "no tbf"
    done
}

unshape_links() {
    local i
    socket_bytes "$usual_wmem" "$usual_rmem"
    for i in 1 2 3 4; do
        tc qdisc del dev port$i root
    done
}
