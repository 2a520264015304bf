# Sourced by quickstart.sh and test.sh: packages, build, MPI environment. Works on Debian and Ubuntu; elsewhere CMake says what
# is missing. Each entry is a package, or alternatives separated by |, of which the first is installed if none is there.
packages="gcc g++ libc6-dev cmake ninja-build openmpi-bin libopenmpi-dev libhdf5-dev libyaml-dev libjansson-dev libxxhash-dev
librandom123-dev libopenblas-openmp-dev|libopenblas-pthread-dev|libopenblas-serial-dev libfftw3-dev libcmocka-dev gnuplot-nox|gnuplot-qt|gnuplot-x11"
[ "$(uname -m)" = x86_64 ] && packages="$packages libdnnl-dev" # optional: products of bf16
packages="$packages libucx-dev" # optional: parallel.transport ucx

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cores=$(env -u OMP_NUM_THREADS nproc) # nproc would count threads where that is set

fail() { # exit code, message
    printf '%s: %s\n' "$(basename "$0")" "$2" >&2
    exit "$1"
}

installed() { # is one of the alternatives "a|b|c" there?
    local name
    for name in ${1//|/ }; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && return 0
    done
    return 1
}

install_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing="" entry as_root=""
    for entry in $packages; do
        installed "$entry" || missing="$missing ${entry%%|*}"
    done
    [ -n "$missing" ] || return 0
    printf 'missing packages; the line that installs them:\n\n    apt-get update && apt-get install -y --no-install-recommends%s\n\n' "$missing"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || fail 3 "needs root or sudo to install them; run the line above as root, then this again"
        as_root=sudo
    fi
    $as_root apt-get update -qq || fail 3 "apt-get update failed"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || fail 3 "apt-get install failed"
}

build() { # build folder, targets, then CMake options: those given once stay
    local folder=$1 targets=$2
    shift 2
    mkdir -p "$folder"
    if ! cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$folder/configure.log" 2>&1; then
        cat "$folder/configure.log" >&2
        fail 3 "configuration failed (see above)"
    fi
    cmake --build "$folder" --target $targets -j "$cores" >"$folder/build.log" 2>&1 ||
        { tail -n 40 "$folder/build.log" >&2; fail 1 "build failed; all of it: $folder/build.log"; }
}

# What Open MPI wants to hear as root and with more ranks than cores.
mpi_environment() {
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
}
