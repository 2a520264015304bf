#!/usr/bin/env bash
# overlap-study.sh HYLAS [options of hylas bench comm]: how much of each exchange of a training step hides behind computing, on four hosts joined by
# links of RATE (1gbit): network namespaces on this machine (launch/four-hosts.sh), over each of TRANSPORTS ("mpi ucx"). docs/overlap.md says how to
# read it. Skipped (77) where namespaces are not allowed.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/four-hosts.sh"
[ $# -ge 1 ] || { echo "usage: [RATE=1gbit] [TRANSPORTS=\"mpi ucx\"] overlap-study.sh HYLAS [options of hylas bench comm]" >&2; exit 2; }
enter_namespaces "$@"
hylas=$(realpath "$1") source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
shift
source "$source/launch/setup.sh"
mpi_environment
work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1

make_hosts
SOCKET_BYTES=${SOCKET_BYTES:-6291456} shape_links rate "${RATE:-1gbit}" burst 128kb latency 100ms
export UCX_NET_DEVICES=eth0 UCX_TLS=tcp,self OMP_NUM_THREADS=1
model="--set model.width=512 --set model.mixers.gated_deltanet.heads=8 --set model.mixers.gated_deltanet.head_dim=64 \
    --set model.mixers.attention.heads=8 --set model.mixers.attention.kv_heads=4 --set model.mixers.attention.head_dim=64 \
    --set model.mlp.width=1024 --set data.sequence=4096"
for transport in ${TRANSPORTS:-mpi ucx}; do
    on_hosts 600 "$hylas bench comm $source/configs/tiny.yaml $model --transport $transport $*" || exit
done
