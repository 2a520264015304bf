#!/usr/bin/env bash
# report.sh HYLAS DATA SOURCE: what a run logs is what its pictures show. A run killed and resumed; its metrics.jsonl, its TensorBoard files
# (read by a reader of their own, where Python is there) and `hylas report`; then reports of several runs and of damaged files.
set -uo pipefail
hylas=$1 source=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

train() { # options: three steps and a stop, or all that are left
    "$mpirun" -np 2 "$hylas" train "$source/configs/tiny.yaml" --set data.store=tiny.h5 --set data.eval_store=tiny.h5 \
        --set train.eval.every=4 --set train.checkpoint.every=3 --set run.dir=runs/a --set train.tensorboard=true "$@" >log 2>&1
}

"$hylas" data text "$source/docs" --out tiny.h5 >log 2>&1 || fail "text"
train --set train.time_limit=1e-9
[ $? -eq 75 ] || fail "the first step does not end with 75"
rm -r runs/a/checkpoints/step-1 # as if killed before its save: the step is taken again
train || fail "the run is not taken up again"

# ---- peak, records ----

grep -q '"undisturbed"' runs/a/peak.json || fail "no peak is kept with the run"
[ "$(grep -c '"flops_per_second"' runs/a/peak.json)" -eq 1 ] || fail "one host has several peaks"
[ "$(grep -c '"loss"' runs/a/metrics.jsonl)" -eq 20 ] || fail "not 20 steps in metrics.jsonl"
for key in exposed moving memory; do
    [ "$(grep -c "\"$key\": [0-9]" runs/a/metrics.jsonl)" -eq 20 ] || fail "steps without $key"
done
long=$(grep -E '^step +[0-9]+/' log | awk 'length > 80' | head -n 1)
[ -z "$long" ] || fail "a step line of more than 80 columns: $long"
grep -q '^moving exchanges' log || fail "no row of the time inside progress calls"

# ---- TensorBoard ----

[ "$(ls runs/a/events.out.tfevents.* | wc -l)" -eq 2 ] || fail "not one event file per start"
for file in runs/a/events.out.tfevents.*; do
    grep -q 'brain.Event:2' "$file" || fail "$file has no version"
done
if python3 -c '' 2>/dev/null; then
    ls runs/a/events.out.tfevents.* | while read -r file; do
        python3 "$source/tests/program/read_events.py" "$file" || exit 1
    done >events || fail "an event file cannot be read"
    [ "$(grep -c session events)" -eq 2 ] || fail "not a session mark per start"
    # the same figures as in metrics.jsonl; step 1 stands in both files, the later one counts
    awk '/session/ { next } { if (!(($1 SUBSEP $2) in value)) order[n++] = $1 SUBSEP $2; value[$1, $2] = $3 }
        END { for (i = 0; i < n; i++) { split(order[i], k, SUBSEP); printf "%s %s %.6g\n", k[1], k[2], value[order[i]] } }' events | sort >from-events
    sed -E 's/[{}",]//g; s/: / /g' runs/a/metrics.jsonl | awk '
        { delete f; for (i = 1; i < NF; i += 2) f[$i] = $(i + 1)
          if ("eval_loss" in f) printf "%s validation %.6g\n", f["step"], f["eval_loss"]
          else { split("loss grad_norm lr tokens_per_second mfu exposed", tags, " ")
                 for (t = 1; t <= 6; t++) printf "%s %s %.6g\n", f["step"], tags[t], f[tags[t]] } }' | sort >from-metrics
    [ "$(wc -l <from-metrics)" -eq 125 ] || fail "$(wc -l <from-metrics) figures of 20 steps and 5 validations"
    paste -d' ' from-events from-metrics | awk '
        $1 != $4 || $2 != $5 || ($3 - $6) ^ 2 > 1e-10 * $6 ^ 2 { print "event:", $1, $2, $3, "metrics:", $4, $5, $6; bad = 1 } END { exit bad }' >log ||
        fail "event files and metrics.jsonl differ"
fi

# ---- report ----

mkdir -p runs/b runs/c runs/none
cp runs/a/metrics.jsonl runs/b/
printf '{"step": 21, "loss": 2.0, "seco' >>runs/b/metrics.jsonl # killed
awk 'function step(s) {
        printf "{\"step\": %d, \"loss\": %s, \"grad_norm\": 1, \"lr\": 0.001, \"tokens\": %d, ", s, s % 700 == 0 ? "null" : "2.5", s * 256
        print "\"seconds\": 0.5, \"tokens_per_second\": 512, \"mfu\": 0.5, \"exposed\": 0.125}"
        if (s % 500 == 0) printf "{\"step\": %d, \"eval_loss\": 3.%d, \"store\": \"web\"}\n{\"step\": %d, \"eval_loss\": 2.5, \"store\": \"code\"}\n", s, s, s
    }
    BEGIN { for (s = 1; s <= 1000; s++) step(s); for (s = 901; s <= 2000; s++) step(s) }' >runs/c/metrics.jsonl # resumed after step 900; two stores; skipped steps

"$hylas" report runs/a >log 2>&1 || fail "report of one run"
grep -Eq '^a +20 ' log && [ -s runs/a/report.svg ] || fail "no row, or no picture"
"$hylas" report runs/a runs/b/ runs/c/metrics.jsonl --x tokens --out all.svg >log 2>&1 || fail "report of three runs"
grep -Eq '^b +20 ' log || fail "a torn last line is not passed over"
grep -Eq '^c +2000 +512 k +2\.5000 +16m40s +512 +12\.5% +50\.0%' log || fail "figures of a run that was resumed"
grep -Eq '^c +web +2000 +3\.2000 +3\.1000 +1000' log || fail "validation by store"
grep -Eq '^c +code +2000 +2\.5000 ' log || fail "validation of the second store"
head -c 200 all.svg | grep -q '<svg' || fail "no SVG"
for word in '>a<' '>b<' '>c<' '>web<' '>code<' '>loss<' 'learning rate' 'gradient norm' 'tokens per second' 'exposed exchange time' 'validation loss' '>tokens<' '>200k<'; do
    grep -q -- "$word" all.svg || fail "the picture does not say $word"
done
[ "$(grep -c '<path class="s[0-9] d[0-9]"' all.svg)" -eq 4 ] || fail "not a line per run and store of validation"
[ "$(grep -c '<path class="f2 pale"' all.svg)" -eq 5 ] && ! grep -q '<path class="f[01] pale"' all.svg || fail "not a band for each curve of the long run alone"
[ "$(ls -A . | grep -c 'all.svg')" -eq 1 ] || fail "a draft is left"

# a name that is no text of XML stays a name: in a picture, and in a page without a trace, a configuration and a record of its start
mkdir "runs/<b> & \"q\" <script>x" && cp runs/a/metrics.jsonl runs/*script*/
"$hylas" report runs/*script* >log 2>&1 && grep -q '>&lt;b&gt; &amp; &quot;q&quot; &lt;script&gt;x<' runs/*script*/report.svg || fail "a name with marks"
"$hylas" report runs/*script* --html >log 2>&1 && grep -q '<title>&lt;b&gt; &amp; &quot;q&quot; &lt;script&gt;x - ' runs/*script*/report.html || fail "a page of a name with marks"
grep -q '<p class="why">No trace: ' runs/*script*/report.html && grep -q 'has no config.yaml' runs/*script*/report.html || fail "a page does not say what is left out"

refused() { # exit code, words, arguments
    local code=$1 words=$2
    shift 2
    "$hylas" report "$@" >log 2>&1
    [ $? -eq "$code" ] || fail "$*: not exit code $code"
    grep -q -- "$words" log || fail "$*: no '$words'"
}
refused 4 'takes the folders of runs' runs/none
printf '' >runs/none/metrics.jsonl
refused 4 'has no step yet' runs/none
refused 2 'nearest: tokens' runs/a --x token
refused 2 'too few' --out x.svg
refused 1 'missing/x.svg' runs/a --out missing/x.svg

# Validations only: no rate, loss or share of steps is made up.
mkdir -p runs/evals
grep -h '"eval' runs/*/metrics.jsonl | head -n 1 >runs/evals/metrics.jsonl
[ -s runs/evals/metrics.jsonl ] || fail "no validation to take"
"$hylas" report runs/evals >log 2>&1 || fail "a run of validations only"
grep -qi 'nan' log && fail "nan is printed"

# ---- the picture of the recall study, from its tables ----

"$source/launch/recall-plot.sh" "$source"/docs/recall/seed-*.dat --out recall.svg >log 2>&1 || fail "the recall picture"
for word in '>guessing<' '>gated_deltanet<' '>gated_deltanet-3-1<' '>gla<' '>gla-3-1<' '>attention<' 'above the lowest run (1.898)'; do
    grep -q -- "$word" recall.svg || fail "the recall picture does not say $word"
done
[ "$(grep -c 'gnuplot_plot_' recall.svg)" -eq 35 ] || fail "not 5 x (1 + 3) lines and 15 bars"
"$source/launch/recall-plot.sh" runs/a/metrics.jsonl --out recall.svg >log 2>&1
[ $? -eq 4 ] || fail "what is no table is drawn"
printf 'report: ok\n'
