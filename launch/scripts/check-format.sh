#!/usr/bin/env bash
# Checks that every C, C++ and CUDA source is as .clang-format says; --fix makes it so. Needs clang-format 14: other versions break lines elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

format=$(command -v clang-format-14 || command -v clang-format) || { printf 'format: clang-format 14 is not here: not checked\n'; exit 3; }
case "$("$format" --version)" in
    *"version 14."*) ;;
    *) printf 'format: %s is not version 14: not checked\n' "$format" && exit 3 ;;
esac
if [ "${1:-}" = --fix ]; then
    git ls-files '*.c' '*.h' '*.inc' '*.cu' '*.cuh' '*.cc' | xargs "$format" -i
fi
git ls-files '*.c' '*.h' '*.inc' '*.cu' '*.cuh' '*.cc' | xargs "$format" --dry-run --Werror
printf 'format: ok\n'
