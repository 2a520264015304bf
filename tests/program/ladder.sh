#!/usr/bin/env bash
# ladder.sh HYLAS DATA SOURCE: a ladder of three sizes, trained: its rows are what its runs did and what plan counts; a second time nothing is trained; a run
# that was stopped goes on; the curve, on two ranks as on one; what is no ladder.
set -uo pipefail
hylas=$1 source=$3 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

cell() { # row, name
    awk -F, -v row="$1" -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } NR == row + 1 { print $at }' "${3:-rows.csv}"
}

"$hylas" data text "$source/docs" --out a.h5 --hold-out b.h5 >log 2>&1 || fail "no store"
sets=(--set data.store=a.h5 --set data.sequence=64 --set run.dir=runs/a)
ladder=(scale "$source/configs/tiny.yaml" "${sets[@]}" --sizes model.width=8,16,32 --sizes model.layers=1,2,2 --tokens-per-parameter 0.5 --csv rows.csv)

# Stopped after the first step of the first run; then all of it, the first run from there on.
"$hylas" "${ladder[@]}" --set train.time_limit=1e-9 >log 2>&1
[ $? -eq 75 ] || fail "a training that stops does not end the ladder with 75"
[ "$(wc -l <rows.csv)" -eq 1 ] || fail "a row of a run that is not done"
"$hylas" "${ladder[@]}" --plot ladder.svg >log 2>&1 || fail "ladder: $(tail -n 3 log)"
grep -q 'resuming after step 1 ' log || fail "the stopped run began anew"
[ "$(wc -l <rows.csv)" -eq 4 ] || fail "not three rows: $(cat rows.csv)"

# What the rows say: plan's parameters and work, the loss of metrics.jsonl.
for row in 1 2 3; do
    width=$(cell $row model.width) layers=$(cell $row model.layers) steps=$(cell $row steps)
    folder="runs/a/width=$width,layers=$layers,steps=$steps"
    "$hylas" plan "$folder/config.yaml" >plan 2>&1 || fail "$folder has no configuration"
    awk -v count="$(cell $row parameters)" -v bare="$(cell $row parameters_without_embeddings)" -v width="$width" \
        '$1 == "total" && $3 == count { found = 1 } END { exit !(found && count - bare == 256 * width) }' plan || fail "row $row: other parameters than plan"
    awk -v p="$(cell $row parameters)" -v s="$steps" -v t="$(cell $row tokens)" 'BEGIN { exit !(t == s * 128 && t >= p / 2 && t - 128 < p / 2) }' ||
        fail "row $row: not half a token for each parameter"
    "$hylas" plan "$folder/config.yaml" --json | grep -o '"flops_per_step": *[0-9.e+]*' | head -n 1 | sed 's/.*: *//' |
        awk -v flops="$(cell $row flops)" -v s="$steps" '{ exit !(($1 * s / flops - 1) ^ 2 < 1e-14) }' || fail "row $row: other FLOPs than plan"
    [ "$(grep -c '"loss"' "$folder/metrics.jsonl")" -eq "$steps" ] || fail "row $row: not $steps steps"
    tail -n 10 "$folder/metrics.jsonl" | sed 's/.*"loss": \([0-9.e+-]*\).*/\1/' | awk -v loss="$(cell $row loss)" \
        '{ sum += $1 / 10 } END { exit !((sum - loss) ^ 2 < 1e-10) }' || fail "row $row: not the loss of its last steps"
done

# A curve, in figures.
grep -Eq '^curve +loss = ([0-9.]+ \+ )?[0-9.e+]+ \* C\^-[0-9.]+ +R\^2 [01]\.[0-9]+, largest residual' log || fail "no curve: $(grep '^curve' log)"
grep -Eiq 'nan|inf\b' <(grep '^curve' log; sed -n '/^model.width/,/^curve/p' log) && fail "no numbers in the table"
[ "$(grep -c '<circle' ladder.svg)" -eq 3 ] && [ "$(grep -c '<path class="s0 d0"' ladder.svg)" -eq 1 ] || fail "not three points and a curve in the picture"

# Again: the same, and nothing is trained, neither with the rows nor without them.
cp rows.csv first.csv
grep -A9 '^loss of' log >shown
find runs -name metrics.jsonl -exec cksum {} + | sort >before
"$hylas" "${ladder[@]}" >log 2>&1 || fail "again: $(tail -n 3 log)"
cmp -s rows.csv first.csv || fail "rows that are there were made again"
diff <(grep -A9 '^loss of' log) shown >/dev/null || fail "rows that were kept are shown otherwise"
grep -q '^point \|nothing to do' log && fail "a run whose row is there was looked at"
rm rows.csv
"$hylas" "${ladder[@]}" >log 2>&1 || fail "without rows: $(tail -n 3 log)"
[ "$(grep -c 'nothing to do' log)" -eq 3 ] || fail "runs that are done were trained again"
cmp -s rows.csv first.csv || fail "other rows of the same runs"
find runs -name metrics.jsonl -exec cksum {} + | sort | cmp -s - before || fail "metrics were written"
head -n 2 first.csv >rows.csv && rm -r runs/a/width=32* # a ladder that was stopped
"$hylas" "${ladder[@]}" >log 2>&1 || fail "went on: $(tail -n 3 log)"
[ "$(grep -c 'nothing to do' log)" -eq 1 ] && cmp -s rows.csv first.csv || fail "a ladder that goes on has other rows: $(diff rows.csv first.csv)"

# A loss of something else is not read from the runs that are there, and a folder's name is taken as it is.
"$hylas" "${ladder[@]}" --set data.eval_store=b.h5 --set train.eval.sequences=2 --csv other.csv >log 2>&1
[ $? -eq 2 ] && grep -q 'take another run.dir' log || fail "the loss of another store is read from runs that have none: $(tail -n 2 log)"
"$hylas" scale "$source/configs/tiny.yaml" "${sets[@]}" --set "run.dir='runs/a #1: b'" --sizes model.width=8,16 --set train.steps=2 --tokens-per-parameter 0 >log 2>&1 ||
    fail "a folder with odd characters: $(tail -n 3 log)"
for width in 8 16; do
    grep -q '^started ' "runs/a #1: b/width=$width,steps=2/log.txt" || fail "the log of a point does not say how it was started"
done

# Two families, a curve each, validated, on two ranks.
families=(scale "$source/configs/tiny.yaml" "${sets[@]}" --set run.dir=runs/b --set data.eval_store=b.h5 --set train.eval.sequences=2 --sizes model.width=8,24
    --vary 'model.schedule.pattern=[gated_deltanet],[attention]' --tokens-per-parameter 0.3 --csv families.csv)
timeout 120 "$mpirun" -np 2 "$hylas" "${families[@]}" >log 2>&1 || fail "families: $(tail -n 3 log)"
[ "$(cut -d, -f2,3 families.csv | tr '\n' ' ')" = "model.schedule.pattern,model.width [gated_deltanet],8 [gated_deltanet],24 [attention],8 [attention],24 " ] ||
    fail "not two families: $(cat families.csv)"
[ "$(cell 4 loss_of families.csv)" = validation ] || fail "not the loss of validation"
grep -h '"eval_loss"' runs/b/pattern=_attention_,width=24,*/metrics.jsonl | tail -n 1 | sed 's/.*"eval_loss": \([0-9.e+-]*\).*/\1/' |
    awk -v loss="$(cell 4 loss families.csv)" '{ exit !(($1 - loss) ^ 2 < 1e-12) }' || fail "not what validation found"
[ "$(grep -Ec '^curve +pattern=\[(gated_deltanet|attention)\]: loss = [0-9.e+]+ \* C\^-.*two amounts' log)" -eq 2 ] || fail "not two plain curves: $(grep '^curve' log)"

# One size has no curve, and says so.
"$hylas" scale "$source/configs/tiny.yaml" "${sets[@]}" --sizes model.width=8 --set model.layers=1 --set train.steps=3 --tokens-per-parameter 0 >log 2>&1 ||
    fail "one size: $(tail -n 3 log)"
grep -q '^curve  *none: .*two amounts' log || fail "one size: $(tail -n 1 log)"
[ -f runs/a/width=8,steps=3/config.yaml ] || fail "train.steps are not those of the configuration"

# What is no ladder.
refused() { # what it says, options
    local wanted=$1
    shift
    "$hylas" scale "$source/configs/tiny.yaml" "${sets[@]}" "$@" >log 2>&1
    [ $? -eq 2 ] && grep -q -- "$wanted" log || fail "taken, or not said why: $*"
}
refused 'as many' --sizes model.width=8,16 --sizes model.layers=1,2,3
refused 'of --sizes' --tokens-per-parameter 20
refused 'on the ranks of this job' --sizes model.width=8,16 --ranks 2
refused 'on the ranks of this job' --sizes model.width=8,16 --simulate flat
refused 'KEY=VALUE' --sizes model.width
refused 'model.widht' --sizes model.widht=8,16
refused 'tokens-per-parameter 0' --sizes train.steps=8,16
refused 'no ratio' --sizes model.width=8,16 --tokens-per-parameter -1
refused 'other columns\|its columns' --sizes model.width=8,16 --csv first.csv
printf 'ladder: ok\n'
