# Sourced by tests that are scripts: an empty folder to work in, which goes in the end, and `fail`, which shows what the last command said
# (in log, or in out and err) and ends the test.
# shellcheck shell=bash
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
    printf 'FAILED: %s\n' "$*"
    tail -n 30 log out err run/log.txt 2>/dev/null
    exit 1
}
