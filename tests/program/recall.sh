#!/usr/bin/env bash
# recall.sh HYLAS DATA: from `data recall` to accuracy. The same options make the same file, others another; what is asked too much is
# refused; training on answers lowers their loss; eval counts the same right answers on any number of ranks.
set -uo pipefail
hylas=$1 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

make() { # store, options
    local out=$1
    shift
    "$hylas" data recall --out "$out" --sequences 200 --tokens 50 --vocab 24 --keys 4 --values 4 --pairs 3 "$@" >log 2>&1
}
refused() { # exit code, words, options
    local code=$1 words=$2
    shift 2
    make bad.h5 "$@"
    [ $? -eq "$code" ] || fail "$*: not exit code $code"
    grep -Eq -- "$words" log || fail "$*: no '$words'"
    [ ! -e bad.h5 ] && [ ! -e bad.h5.tmp ] || fail "$*: a store is left"
}

make a.h5 --task mqar --documents 3 --hold-out held.h5 || fail "mqar"
grep -q '600 documents, 1800 answers' log || fail "counts of documents and answers"
grep -q '4 of these 200 sequences' log || fail "held out"
sleep 1.1 # a file must not know when it was made
make b.h5 --task mqar --documents 3 --hold-out held-b.h5 || fail "mqar again"
cmp -s a.h5.xxh3 b.h5.xxh3 && cmp -s held.h5.xxh3 held-b.h5.xxh3 || fail "the same options make another file"
make b.h5 --task mqar --documents 3 --seed 2 || fail "another seed"
cmp -s a.h5.xxh3 b.h5.xxh3 && fail "another seed makes the same file"
"$hylas" data info held.h5 >log 2>&1 || fail "info"
grep -Eq 'answers +36 tokens' log || fail "info shows no answers"

printf 'a text of some length, once and again. %.0s' $(seq 300) >text
"$hylas" data text text --out text.h5 >log 2>&1 || fail "text"
make needle.h5 --task needle --filler text.h5 --vocab 300 --pairs 1 || fail "needle in a text"
refused 2 'nearest: mqar' --task mqarr
refused 2 'task mqar' --pairs 2
refused 2 'too short for 3 facts' --task mqar --documents 5
refused 2 'keys are distinct' --task needle --pairs 5
refused 2 'needs --vocab 264' --task needle --filler text.h5
refused 4 'used up after' --task needle --filler text.h5 --vocab 264 --sequences 400

cat >recall.yaml <<END
model:
  layers: 2
  width: 16
  vocab: 24
  init_std: 0.2
  mlp: {width: 24}
  schedule: {pattern: [gla, attention]}
  mixers: {gla: {heads: 2, conv: 4}, attention: {heads: 2, conv: 4}}
data: {store: a.h5, eval_store: held.h5, sequence: 50, batch: 8, loss: answers}
train: {steps: 30, lr: 1e-2, warmup: 5, eval: {every: 1, sequences: 4}}
run: {dir: run}
END
"$mpirun" -np 2 "$hylas" train recall.yaml >log 2>&1 || fail "train"
grep -Eq 'validation loss .* answers [0-9.]+% of 36' log || fail "no accuracy in the validation's line"
first=$(sed -n 's/.*"answer_loss": *\([0-9.]*\).*/\1/p' run/metrics.jsonl | head -n 1)
last=$(sed -n 's/.*"answer_loss": *\([0-9.]*\).*/\1/p' run/metrics.jsonl | tail -n 1)
awk -v a="$first" -v b="$last" 'BEGIN { exit !(b > 0 && b < a) }' || fail "the answers' loss went from $first to $last"
grep -q '"targets": 72,' run/metrics.jsonl || fail "targets of a step are not its answers alone"

for ranks in 1 2 3; do
    "$mpirun" -np $ranks "$hylas" eval run --store b.h5 --sequences 50 >log 2>&1 || fail "eval on $ranks ranks"
    sed -n 's/^\(answers *[0-9]*, [0-9]* of them right\).*/\1/p' log >answers-$ranks
    grep -q 'answers *450, ' answers-$ranks || fail "$ranks ranks: no line of answers"
    cmp -s answers-1 answers-$ranks || fail "$ranks ranks: $(cat answers-$ranks), one rank: $(cat answers-1)"
done
"$hylas" eval run --store b.h5 --sequences 50 --set data.batch=7 >log 2>&1 || fail "eval in batches"
grep -q "$(cat answers-1)" log || fail "eval in batches counts others"
"$hylas" eval run --store held.h5 --store b.h5 --sequences 50 >log 2>&1 || fail "eval of two stores"
[ "$(grep -Ec '^store +(held|b)\.h5' log)" = 2 ] && grep -q "$(cat answers-1)" log || fail "two stores are not reported each"
"$hylas" train recall.yaml --set data.store=text.h5 --set data.eval_store=held.h5 --set model.vocab=256 --set run.dir=other >log 2>&1
[ $? -eq 4 ] && grep -q 'marks no answers' log || fail "a store without answers"
printf 'recall: %s\n' "$(cat answers-1)"
