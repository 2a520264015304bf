#!/usr/bin/env bash
# scale.sh HYLAS DATA: simulated runs: rows of a study, kept and not made again; the time of a flat network and of a slow one; what plan
# says of methods; `auto` in a training, and that it is the same choice after a stop.
set -uo pipefail
hylas=$1 data=$2 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"
config=$data/verify.yaml

column() { # name: of the last row
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } END { print $at }' rows.csv
}

# 64 ranks, two exchanges: four rows; a second time the same file without computing.
study=(scale "$config" --ranks 4,64 --vary parallel.state=allgather,ring --set data.sequence=8192 --csv rows.csv)
"$hylas" "${study[@]}" --simulate dgx-h100 >log 2>&1 || fail "scale: $(tail -n 3 log)"
[ "$(wc -l <rows.csv)" -eq 5 ] || fail "not four rows: $(cat rows.csv)"
cp rows.csv first.csv
"$hylas" "${study[@]}" --simulate dgx-h100 >again 2>&1 || fail "again: $(tail -n 3 again)"
cmp -s rows.csv first.csv || fail "rows that are there were made again"
diff log again >/dev/null || fail "rows that were kept are shown otherwise"
head -n 3 first.csv >rows.csv # a study that was stopped
"$hylas" "${study[@]}" --simulate dgx-h100 >log 2>&1 || fail "went on: $(tail -n 3 log)"
cmp -s rows.csv first.csv || fail "a study that goes on has other rows: $(diff rows.csv first.csv)"

# Three processes share the work: the same rows, some of them there already.
head -n 4 first.csv >rows.csv
"$mpirun" -np 3 "$hylas" "${study[@]}" --simulate dgx-h100 >shared 2>&1 || fail "three processes: $(tail -n 3 shared)"
cmp -s rows.csv first.csv || fail "three processes make other rows: $(diff rows.csv first.csv)"
diff again shared >/dev/null || fail "three processes show rows otherwise: $(diff again shared)"
"$mpirun" -np 2 "$hylas" "${study[@]}" --simulate dgx-h101 >log 2>&1
[ $? -eq 2 ] && [ "$(grep -c "machine 'dgx-h101'" log)" -eq 1 ] || fail "a machine that is none, two processes: $(cat log)"

# A thousandth of the bandwidth: the same bytes, more time, more of it exposed.
fast=$(column seconds) bytes=$(column sent_bytes_per_rank) exposed=$(column exposed_share)
"$hylas" "${study[@]}" --simulate dgx-h100,far=5e7,near=5e7 >log 2>&1 || fail "slow network: $(tail -n 3 log)"
[ "$(column sent_bytes_per_rank)" = "$bytes" ] || fail "other bytes on another network"
awk "BEGIN { exit !($(column seconds) > 2 * $fast && $(column exposed_share) > $exposed) }" || fail "a slow network is not slower"

# A picture of the file: lines in order of ranks whatever the rows' order, the ideal beside them; of a machine each.
"$hylas" "${study[@]}" --simulate dgx-h100 --plot study.svg >log 2>&1 || fail "plot: $(tail -n 3 log)"
for name in 'machine dgx-h100, state allgather' 'machine dgx-h100, state ring' 'machine dgx-h100;far=5e7;near=5e7, state ring'; do
    grep -q -- ">$name<" study.svg || fail "the picture does not name $name"
done
[ "$(grep -c '<path class="s[0-3] d0"' study.svg)" -eq 16 ] && [ "$(grep -c '<path class="ideal"' study.svg)" -eq 2 ] || fail "not 4 lines in 4 panels"
[ "$(sed -n 's/.*<path class="s[0-9] d0" d="M\([0-9.]*\) [0-9.]*L\([0-9.]*\) .*/\1 \2/p' study.svg | awk '$1 < $2' | wc -l)" -eq 16 ] || fail "lines run backwards"
{ head -n 1 rows.csv; tail -n +2 rows.csv | tac; printf 'torn,4'; } >turned.csv
cp turned.csv before.csv
"$hylas" scale "$config" --ranks 4,64 --vary parallel.state=allgather,ring --set data.sequence=8192 --simulate dgx-h100 --csv turned.csv --plot turned.svg >log 2>&1 ||
    fail "plot of a turned file: $(tail -n 3 log)"
[ "$(sed -n 's/.*<path class="s[0-9] d0" d="M\([0-9.]*\) [0-9.]*L\([0-9.]*\) .*/\1 \2/p' turned.svg | awk '$1 < $2' | wc -l)" -eq 16 ] || fail "lines follow the rows"
"$hylas" "${study[@]:0:8}" --simulate dgx-h100 --plot none.svg >log 2>&1
[ $? -eq 2 ] && grep -q -- '--csv' log || fail "--plot without --csv"

# The sequence grows with the ranks: as many tokens for each.
"$hylas" scale "$config" --ranks 2,8 --per-rank 512 --simulate flat --csv weak.csv >log 2>&1 || fail "per rank: $(tail -n 3 log)"
[ "$(cut -d, -f5 weak.csv | tail -n 2 | tr '\n' ' ')" = "1024 4096 " ] || fail "tokens do not grow: $(cat weak.csv)"

# Really run, on one rank and two; a second time kept. The bytes are those of the simulation: 2 ranks of the same grid.
real=(scale "$config" --ranks 1,2 --vary data.sequence=96,160 --set data.batch=1 --csv real.csv --repeats 2)
timeout 120 "$hylas" "${real[@]}" --launch "$mpirun -np {ranks}" >log 2>&1 || fail "launch: $(tail -n 3 log)"
[ "$(wc -l <real.csv)" -eq 5 ] || fail "not four rows: $(cat real.csv)"
[ "$(cut -d, -f6 real.csv | tail -n 4 | tr '\n' ' ')" = "96 96 160 160 " ] || fail "tokens of real runs: $(cat real.csv)"
"$hylas" "${real[@]}" --launch "$mpirun -np {ranks}" >again 2>&1 || fail "launch again: $(tail -n 3 again)"
diff log again >/dev/null || fail "rows that really ran were made again"
ls hylas-scale-* >/dev/null 2>&1 && fail "a configuration is left"
"$hylas" "${real[@]}" --launch "false {ranks}" --set data.sequence=97 --csv other_real.csv >log 2>&1 && fail "a run that fails was taken"
"$hylas" "${real[@]}" --launch "$mpirun -np 2" --csv more_real.csv >log 2>&1
[ $? -eq 2 ] || fail "a launcher without {ranks} was taken"
"$hylas" "${real[@]}" --launch "$mpirun -np {ranks}" --simulate flat --csv more_real.csv >log 2>&1
[ $? -eq 2 ] || fail "both launched and simulated"

# What is not understood.
for words in nowhere near=fast flat,near=0 far flat,dgx-h100; do
    "$hylas" scale "$config" --ranks 2 --simulate "$words" >log 2>&1
    [ $? -eq 2 ] && grep -q "machine '" log || fail "machine $words was taken"
done
"$hylas" scale "$config" --ranks 8,4 --simulate flat >log 2>&1
[ $? -eq 2 ] || fail "ranks that fall were taken"
"$hylas" scale "$config" --ranks 4 --vary parallel.state=nothing --simulate flat >log 2>&1
[ $? -eq 2 ] && grep -q 'parallel.state' log || fail "an unknown exchange was taken"
echo "other,columns" >other.csv
"$hylas" scale "$config" --ranks 4 --simulate flat --csv other.csv >log 2>&1
[ $? -eq 2 ] || fail "a file with other columns was taken"

# plan: every way of the lists, the fastest, and what an open configuration gets.
"$hylas" plan "$config" --ranks 8 --machine dgx-a100,far=1e9,node=2 --set data.sequence=4096 >log 2>&1 || fail "plan: $(tail -n 3 log)"
for way in contiguous zigzag allgather ring; do
    grep -q "$way" <(sed -n '/^methods/,/^fastest/p' log) || fail "plan does not show $way"
done
left_open=(plan "$config" --ranks 8 --set parallel.machine=dgx-a100,far=1e9,node=2 --set data.sequence=4096 --set parallel.layout=auto --set parallel.state=auto
    --set parallel.attention=auto)
"$hylas" "${left_open[@]}" >open 2>&1 || fail "open plan: $(tail -n 3 open)"
"$mpirun" -np 3 "$hylas" "${left_open[@]}" >shared 2>&1 || fail "open plan, three processes: $(tail -n 3 shared)"
cmp -s open shared || fail "three processes plan otherwise: $(diff open shared | head -n 5)"
[ "$(grep '^fastest' log)" = "$(grep '^fastest' open)" ] && [ -n "$(grep '^auto takes' log)" ] && [ "$(grep '^auto takes' log)" = "$(grep '^auto takes' open)" ] ||
    fail "the open plan takes another way"
layout=$(sed -n 's/^auto takes.*parallel.layout=\([a-z]*\).*/\1/p' log)
grep -q "^mesh .*layout $layout" open || fail "the layout that auto takes is not the plan's"

# A training that leaves its methods open: measured once, then kept.
"$hylas" data text "$data"/../unit/test_table.c --out a.h5 >log 2>&1 || fail "no store"
train() {
    timeout 120 "$mpirun" -np 3 "$hylas" train "$config" --set data.store=a.h5 --set data.eval_store=a.h5 --set model.vocab=256 --set data.sequence=149 \
        --set train.eval.sequences=2 --set run.dir=run --set parallel.layout=auto --set parallel.state=auto --set parallel.attention=auto "$@" >log 2>&1 ||
        fail "auto: $(tail -n 3 log)"
}
train --set train.steps=2
grep -q 'auto: layout ' log || fail "the choice is not said"
chosen=$(grep -o 'auto: layout .*, states .*, attention [a-z0-9]*' log) machine=$(cat run/machine.txt)
train --set train.steps=4
grep -q 'resuming after step 2' log || fail "it began anew"
[ "$(grep -o 'auto: layout .*, states .*, attention [a-z0-9]*' log)" = "$chosen" ] || fail "another choice after a stop"
[ "$(cat run/machine.txt)" = "$machine" ] || fail "measured again"
printf 'scale: ok\n'
