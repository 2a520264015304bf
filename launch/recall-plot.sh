#!/usr/bin/env bash
# The picture of docs/recall.md from the tables of launch/recall-study.sh, one table per seed: a panel per model with the answers it gives, a line
# per seed, over the line of guessing; below, how far each run's loss on text is above the lowest of all.
#
#     launch/recall-plot.sh docs/recall/seed-*.dat --out docs/recall.svg [--values 16]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/scripts/options.sh"

out="" values=16
read_options "out values ..." "$@"
tables=("${words[@]}")
[ -n "$out" ] || fail 2 "--out FILE is missing: where the picture goes"
[ ${#tables[@]} -gt 0 ] || fail 2 "no table is named: seed-*/table.dat of a study"
for table in "${tables[@]}"; do
    [ -r "$table" ] || fail 4 "$table cannot be read"
    head -n 1 "$table" | grep -q '^# variant softmax-layers text-loss .*mqar-' || fail 4 "$table is no table of the study"
done
command -v gnuplot >/dev/null || fail 3 "gnuplot is not there (Debian, Ubuntu: apt-get install gnuplot-nox)"

# Names as the study writes them: what gnuplot could take for a command is no name.
variants=$(awk '!/^#/ { gsub(/[^a-zA-Z0-9_.+-]/, "", $1); print $1 }' "${tables[0]}")
lowest=$(awk '!/^#/ && (least == "" || $3 < least) { least = $3 } END { print least }' "${tables[@]}")
colour() { # of a variant: one per mixer
    case $1 in gated_deltanet*) echo '#c44e52' ;; gla*) echo '#4c72b0' ;; *) echo '#404040' ;; esac
}
curve() { # table, variant: facts and answers right
    awk -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if (sub(/^mqar-/, "", $i)) facts[i - 1] = $i }
        $1 == name { for (i in facts) print facts[i], $i }' "$1" | sort -n
}

n=$(wc -w <<<"$variants") first=1 place=0
{
    cat <<END
set terminal svg size 960,520 font "sans,12" background "#ffffff"
set output '${out//\'/\'\'}'
set multiplot
set border 3 lc rgb "#606060"; set tics nomirror; set grid lc rgb "#e0e0e0"; set key off
left = 0.075; width = (0.985 - left) / $n
set label "each line, each bar: one run (${#tables[@]} seeds)" at screen 0.985,0.975 right tc rgb "#606060"
set bmargin at screen 0.53; set tmargin at screen 0.9
set xrange [0:17]; set yrange [0:105]; set xtics 4; set ytics 25; set title offset 0,-0.5
END
    for variant in $variants; do
        i=0
        for table in "${tables[@]}"; do
            printf '$curve%d << END\n%s\nEND\n' "$i" "$(curve "$table" "$variant")"
            i=$((i + 1))
        done
        printf 'set lmargin at screen left + %d * width; set rmargin at screen left + (%d + 0.9) * width\n' $place $place
        printf "set title '%s' noenhanced\n" "$variant"
        [ $first -eq 1 ] && printf 'set ylabel "answers right, %%"\nset label 2 "guessing" at 16.5,%s right tc rgb "#808080"\n' "$(awk "BEGIN { print 100 / $values + 5 }")"
        [ $place -eq $((n / 2)) ] && printf 'set xlabel "facts in the document" offset 0,0.5\n'
        printf 'plot 100.0 / %s with lines lc rgb "#808080" dt 2' "$values"
        i=0
        for table in "${tables[@]}"; do
            printf ', $curve%d with linespoints lc rgb "%s" lw 1.5 pt %d ps 0.5' $i "$(colour "$variant")" $((2 * i + 5))
            i=$((i + 1))
        done
        printf '\nset format y ""; unset ylabel; unset label; unset xlabel\n'
        first=0 place=$((place + 1))
    done
    cat <<END
set bmargin at screen 0.08; set tmargin at screen 0.34
set lmargin at screen left; set rmargin at screen 0.985
set title "loss on text: nats per byte above the lowest run ($lowest)"; set format y "%g"; set yrange [0:*]; set ytics auto
set xrange [-0.5:$n - 0.5]; unset grid; set grid y lc rgb "#e0e0e0"; set boxwidth 0.8 / ${#tables[@]}
set xtics ($(i=0; for variant in $variants; do printf '%s"%s" %d' "$([ $i -eq 0 ] || printf ', ')" "$variant" $i; i=$((i + 1)); done)) noenhanced scale 0
END
    i=0 plots=""
    for table in "${tables[@]}"; do
        for variant in $variants; do
            loss=$(awk -v name="$variant" '$1 == name { print $3 }' "$table")
            at=$(awk -v v="$(grep -nx "$variant" <<<"$variants" | cut -d: -f1)" -v i=$i -v n=${#tables[@]} 'BEGIN { print v - 1 + 0.8 * ((i + 0.5) / n - 0.5) }')
            printf '$bar%d_%s << END\n%s %s\nEND\n' $i "${variant//[^a-zA-Z0-9]/_}" "$at" "$(awk "BEGIN { print $loss - $lowest }")"
            plots="$plots, \$bar${i}_${variant//[^a-zA-Z0-9]/_} with boxes fs solid 0.6 border lc rgb \"#ffffff\" fc rgb \"$(colour "$variant")\""
        done
        i=$((i + 1))
    done
    printf 'plot %s\nunset multiplot\n' "${plots#, }"
} | gnuplot -d
