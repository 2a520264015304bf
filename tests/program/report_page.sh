#!/usr/bin/env bash
# report_page.sh HYLAS DATA SOURCE KEPT: the page of `hylas report --html` and the pictures of `hylas trace` and `hylas scale` in a browser: everything has a place,
# a size and a colour, no text lies on another, nothing is logged, nothing is loaded. Screenshots stay in KEPT. 77: no browser.
set -uo pipefail
hylas=$1 data=$2 source=$3 kept=$4 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "skipped: no chromium (Debian: apt-get install chromium)"
    exit 77
}

browse() { # file, what to do with it
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-dev-shm-usage --user-data-dir="$work/profile" \
        --window-size=1100,2600 --enable-logging=stderr "${@:2}" "file://$work/$1" 2>err
}
# A page with the check in it, which its policy would not let run.
checked() { # file, pictures that it must have
    sed "s/default-src 'none'; style-src 'unsafe-inline'/default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'/" "$1" |
        sed '$d' | sed '$d' >check.html
    { echo '<script>'; cat "$source/tests/program/page_check.js"; echo '</script></body></html>'; } >>check.html
    browse check.html --dump-dom >dom || fail "$1: the browser ends with $?: $(tail -n 3 err)"
    grep -q 'data-problems="none"' dom || fail "$1: $(grep -o 'data-problems="[^"]*"' dom)"
    grep -q "data-pictures=\"$2\"" dom || fail "$1: $(grep -o 'data-pictures="[^"]*"' dom), not $2"
    ! grep -q CONSOLE err || fail "$1: the browser logs $(grep CONSOLE err)"
}
pictures() { # svg files, all in one page
    { echo '<!DOCTYPE html><html><head><meta charset="utf-8"/></head><body>'; cat "$@"; printf '</body>\n</html>\n'; } >pictures.html
    checked pictures.html $#
}
well_formed() { # files: XML, and nothing that is fetched
    python3 -c 'import sys, xml.etree.ElementTree as tree; [tree.parse(f) for f in sys.argv[1:]]' "$@" || fail "no well-formed XML"
    ! grep -Eq '(src|href)=|url\(|@import|<script' "$@" || fail "$(grep -El '(src|href)=|url\(|@import|<script' "$@"): refers to something"
}

"$hylas" data text "$source/docs" --out tiny.h5 >log 2>&1 || fail "text"
train() { # folder, ranks, options
    "$mpirun" -np "$2" "$hylas" train "$source/configs/tiny.yaml" --set data.store=tiny.h5 --set data.eval_store=tiny.h5 --set run.dir="$1" \
        --set train.steps=6 --set train.eval.every=2 --set data.batch=2 --set data.sequence=1024 "${@:3}" >log 2>&1 || fail "$1: training"
}
train traced 4 --set parallel.data=2 --set trace.steps=4-5
train plain 2 --set trace.on=false

# the check sees what it is for
echo '<!DOCTYPE html><html><body><svg aria-label="x" viewBox="0 0 9 9" width="500" height="500"><path d="M0 0L9 9" fill="none"/><text x="99" y="5">out</text></svg>' >bad.html
printf '</body>\n</html>\n' >>bad.html
(checked bad.html 1) >out
grep -q "a line without colour; x: 'out' sticks out; x: 2 shapes" out || fail "a bad picture passes: $(cat out)"

# whole: six curves, layers, a timeline, the mesh; opened as it is nothing is logged either
"$hylas" report traced --html >log 2>&1 || fail "report"
grep -q "content=\"default-src 'none'; style-src 'unsafe-inline'\"" traced/report.html || fail "no policy that forbids loading"
checked traced/report.html 4
for words in 'Exposed time by layer' 'on all ranks' 'What to change first' 'rank 3: data 1, sequence 1, host' 'data 2 × sequence 2, on 1 host' 'mlp:'; do
    grep -q -- "$words" dom || fail "the page does not say $words"
done
mkdir -p "$kept"
browse traced/report.html --screenshot="$kept/report-page.png" >/dev/null && [ "$(wc -c <"$kept/report-page.png")" -gt 30000 ] || fail "no screenshot"
! grep -q CONSOLE err || fail "the page as it is logs $(grep CONSOLE err)"
browse traced/report.html --force-dark-mode --blink-settings=preferredColorScheme=0 --screenshot="$kept/report-page-dark.png" >/dev/null || fail "dark"

# without a trace; of two runs, one traced
"$hylas" report plain --html >log 2>&1 || fail "report of a run without a trace"
checked plain/report.html 2
grep -q '<p class="why">No trace: ' dom || fail "it does not say why there is no timeline"
"$hylas" report traced plain --html --x tokens --out both.html >log 2>&1 || fail "report of two"
checked both.html 5

# the pictures alone
"$hylas" trace traced --plot --against traced >log 2>&1 || fail "trace: $(tail -n 3 log)"
"$hylas" report traced >log 2>&1 || fail "report.svg"
"$hylas" scale "$data/verify.yaml" --ranks 2,4,8,16 --vary parallel.state=allgather,ring,chain --set data.sequence=4096 --simulate dgx-a100,node=4 \
    --csv study.csv --plot study.svg >log 2>&1 || fail "scale: $(tail -n 3 log)"
pictures study.svg traced/trace/layers.svg traced/trace/timeline.svg traced/trace/against.svg traced/report.svg
if python3 -c '' 2>/dev/null; then
    well_formed traced/report.html plain/report.html both.html traced/report.svg study.svg traced/trace/*.svg
fi
printf 'report_page: ok\n'
