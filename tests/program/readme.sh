#!/usr/bin/env bash
# readme.sh HYLAS SOURCE: the lines that the README and the pages of docs/ tell a user to type (the blocks marked sh) run in order, in a copy
# of the repository whose program is this build's and whose quickstart is made small. The words of the README's table of contents exist.
set -uo pipefail
hylas=$(realpath "$1") source=$(realpath "$2")
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
failures=0 lines=0
failed() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

mkdir -p copy/build/bin copy/tests shims
for entry in README.md configs docs launch; do cp -r "$source/$entry" copy/; done
for folder in base comm kernels layers sp train; do ln -s "$source/$folder" copy/$folder; done
ln -s "$source/tests/data" copy/tests/data
ln -s "$hylas" copy/build/bin/hylas
sed -i -e 's/steps: 40$/steps: 2/; s/sequence: 32768 /sequence: 512 /' copy/configs/quickstart.yaml
grep -q 'steps: 2$' copy/configs/quickstart.yaml && grep -q 'sequence: 512 ' copy/configs/quickstart.yaml || failed "configs/quickstart.yaml has changed"
printf 'localhost slots=4\n' >copy/hosts
printf '#!/bin/sh\n' >shims/cmake # it is built
printf '#!/bin/sh\nprintf installed\n' >shims/dpkg-query
printf '#!/bin/sh\necho ctest "$@"\n' >shims/ctest # this runs inside of it
chmod +x shims/*
export PATH="$work/shims:$PATH"

in_blocks() { awk '/^```/ { inside = $0 == "```sh"; next } inside && NF' "$1"; }

cd copy || exit 1
for page in README.md docs/*.md; do
    while IFS= read -r line; do
        lines=$((lines + 1))
        case $line in # a host of one socket stands for several
            *--hostfile*) line=${line/--map-by socket --bind-to socket/--bind-to none} line=${line/OMP_NUM_THREADS=16/OMP_NUM_THREADS=1} ;;
        esac
        if ! timeout -k 5 200 bash -c "$line" >../log 2>&1 </dev/null; then
            failed "$page: $line"
            tail -n 20 ../log | sed 's/^/    /'
        fi
        cat ../log >>../output
    done < <(in_blocks $page)
done
[ $lines -ge 10 ] || failed "only $lines lines found"

# What does not depend on what was made small is printed as the README says.
grep -qxF "$(grep '^model  ' README.md)" ../output || failed "the quickstart prints no \"$(grep '^model  ' README.md)\""

# Every path between backquotes or in a link of the README is there; what a build or a run makes is not looked for.
while read -r path; do
    [ -e "$source/$path" ] || failed "README.md: $path is not there"
done < <(grep -oE '(`|\()(\.ci|configs|docs|launch|tests|base|comm|kernels|sp|layers|train)/[A-Za-z0-9_./-]*' README.md | sed 's/^.//')
# Every command of the program has its row, and no other.
told=$(sed -n 's/^| `\(.*\)` |.*/\1/p' README.md | tr -d '`' | tr ',' '\n' | awk '{ print $1 }' | sort -u)
"$hylas" --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' | grep -vx help | while read -r command; do
    grep -qx "$command" <<<"$told" || printf '%s\n' "$command"
done >../missing
[ ! -s ../missing ] || failed "README.md: no row for $(cat ../missing)"
printf '%s lines, %s failures\n' $lines $failures
[ $failures -eq 0 ]
