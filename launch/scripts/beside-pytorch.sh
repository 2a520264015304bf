# Sourced, from the project's root, by the commands that put hylas beside PyTorch: their options, and what must be there.
# shellcheck shell=bash
fail() { # exit code, message
    printf '%s: %s\n' "$(basename "$0")" "$2" >&2
    exit "$1"
}

# Options "--name value" into the variables of those names; --help prints the command's first comment.
read_options() { # the names, in one word; the command's arguments
    local names=" $1 "
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "launch/$(basename "$0")" && exit 0 ;;
        --*) [[ $names == *" ${1#--} "* ]] || fail 2 "unknown option $1 (--help lists them)" ;;
        *) fail 2 "unknown option $1 (--help lists them)" ;;
        esac
        [ $# -ge 2 ] || fail 2 "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
    done
}

# $hylas and $python, with these modules.
need() {
    local modules=$1
    [ -n "$python" ] || fail 2 "--python PATH is missing: a Python with ${modules//,/, }"
    [ -x "$hylas" ] || fail 3 "$hylas is not there: build first, or name it with --hylas"
    command -v "$python" >/dev/null || fail 3 "$python cannot be run"
    "$python" -c "import $modules" 2>/dev/null || fail 3 "$python lacks one of: pip install ${modules//,/ }"
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    export TRANSFORMERS_VERBOSITY=error # it says on every run that the kernels for GPUs are not there
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
}
