# Sourced by commands of launch/ that take options.
# shellcheck shell=bash
fail() { # exit code, message
    printf '%s: %s\n' "$(basename "$0")" "$2" >&2
    exit "$1"
}

# Options "--name value" into the variables of those names; a name with ? behind it has no value, and becomes 1; where ... is among
# the names, other words go into the array `words`. --help prints the command's first comment.
read_options() { # the names, in one word; the command's arguments
    local names=" $1 "
    shift
    words=()
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]%/*}/../${0##*/}" && exit 0 ;;
        --*[!a-z]*) fail 2 "unknown option $1 (--help lists them)" ;;
        --*)
            if [[ $names == *" ${1#--}? "* ]]; then
                printf -v "${1#--}" 1
                shift
                continue
            fi
            [[ $names == *" ${1#--} "* ]] || fail 2 "unknown option $1 (--help lists them)"
            [ $# -ge 2 ] || fail 2 "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        *)
            [[ $names == *" ... "* && $1 != -* ]] || fail 2 "unknown option $1 (--help lists them)"
            words+=("$1")
            shift
            ;;
        esac
    done
}

need_hylas() { # $hylas
    [ -x "$hylas" ] || fail 3 "$hylas is not there: build first, or name it with --hylas"
}
