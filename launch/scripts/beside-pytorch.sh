# Sourced, from the project's root, by the commands that put hylas beside PyTorch: what must be there.
# shellcheck shell=bash
source launch/scripts/options.sh

# $hylas and $python, with these modules.
need() {
    local modules=$1
    [ -n "$python" ] || fail 2 "--python PATH is missing: a Python with ${modules//,/, }"
    need_hylas
    command -v "$python" >/dev/null || fail 3 "$python cannot be run"
    "$python" -c "import $modules" 2>/dev/null || fail 3 "$python lacks one of: pip install ${modules//,/ }"
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    export TRANSFORMERS_VERBOSITY=error # it says on every run that the kernels for GPUs are not there
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
}
