#!/usr/bin/env bash
# bad_inputs.sh HYLAS SOURCE: what users get wrong and what disks do. Each case: the exit code, the words of the message, an end within a
# minute, and nothing lost that was there before. SOURCE: this repository, whose files are the text.
set -uo pipefail
hylas=$1 source=$2 mpirun=${MPIEXEC:-mpirun}
work=$(mktemp -d)
mounted=""
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$work"' EXIT
cd "$work" || exit 1
cases=0 failures=0

expect() { # name, exit code, extended regular expression in the output, command
    local name=$1 code=$2 words=$3 got
    shift 3
    timeout -k 5 60 "$@" >log 2>&1
    got=$?
    cases=$((cases + 1))
    if [ $got -ne "$code" ]; then
        printf 'FAILED: %s: exit code %s, not %s\n' "$name" $got "$code"
    elif ! grep -Eq -- "$words" log; then
        printf 'FAILED: %s: the output has no "%s"\n' "$name" "$words"
    else
        return 0
    fi
    failures=$((failures + 1))
    tail -n 12 log | sed 's/^/    /'
    return 1
}

check() { # name, command that must succeed
    local name=$1
    shift
    cases=$((cases + 1))
    "$@" && return 0
    printf 'FAILED: %s\n' "$name"
    failures=$((failures + 1))
    tail -n 12 log | sed 's/^/    /'
}

train() { # run folder, steps, overrides "a.b=value"
    local dir=$1 steps=$2 sets=() set
    shift 2
    for set in "$@"; do
        sets+=(--set "$set")
    done
    "$mpirun" -np 2 "$hylas" train tiny.yaml --set run.dir="$dir" --set train.steps="$steps" "${sets[@]}"
}
flip_bit() { # file, offset: one bit of one byte
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
size() { stat -c %s "$1"; }
hashes() { find "$1" -type f -name '*.h5' -exec cksum {} + | sort; }
count_is() { [ "$(grep -c -- "$2" log)" -eq "$1" ]; }
export -f train
export hylas mpirun

sed 's|data/tiny.h5|store.h5|' "$source/configs/tiny.yaml" >tiny.yaml
"$hylas" data text "$source/layers" "$source/sp" --out store.h5 >/dev/null || exit 1

# A run on 2 ranks: name, exit code, words; run folder, steps, overrides.
run() { expect "$1" "$2" "$3" bash -c 'train "$@"' _ "${@:4}"; }

# ---- configuration ----
run "unknown key" 2 'train\.step.*nearest.*train\.steps' a 2 train.stepz=3
run "mistyped value" 2 'data\.sequence.*many' a 2 data.sequence=many
run "a unit that means two things" 2 'data\.sequence.*32K.*Ki' a 2 data.sequence=32K
run "value out of range" 2 'parallel\.data' a 2 parallel.data=0
run "unknown name" 2 'zigzag' a 2 parallel.layout=zikzak
run "key of another mixer" 2 'mixers\.attention\.kv_rank: attention has no such key; nearest' a 2 model.mixers.attention.kv_rank=3
run "a default that does not fit" 2 'heads = 4 does not divide value_heads = 1 \(by default' a 2 'model.schedule.pattern=[mamba2]' model.mixers.mamba2.heads=4
expect "help on mixers" 0 'gated_deltanet: delta rule' "$hylas" help mixers
expect "help on a mixer" 0 'value_heads +2\*width/value_dim ' "$hylas" help mixers mamba2
expect "help on no mixer" 2 'nearest: gla' "$hylas" help mixers gal
run "mixer without a row" 2 'gated_deltanet' a 2 'model.schedule.pattern=[gated_deltanett]'
run "layer that is not there" 2 'layer 7' a 2 'model.schedule.overrides={7: attention}'
run "more groups than sequences" 2 'data\.batch.*nearest' a 2 parallel.data=3
run "more micro-steps than sequences" 2 'train\.accumulate.*nearest' a 2 train.accumulate=5
run "impossible mesh" 2 '2 ranks' a 2 parallel.sequence=3
expect "several ranks without mpirun" 2 'started without mpirun.*mpirun -np 4 .*parallel\.sequence=auto' "$hylas" train tiny.yaml --set parallel.sequence=4
expect "what the message says to do" 0 'step 1/1' "$hylas" train tiny.yaml --set parallel.sequence=auto --set train.steps=1 --set run.dir=alone
run "unknown device" 2 'device.*abacus.*cpu_ref' a 2 run.device=abacus
run "steps and stages" 2 'train\.steps 7.*stages have 5 steps' a 2 train.steps=7 'train.stages=[{steps: 2}, {steps: 3}]'
sed 's/  width: 32/  widht: 32/' tiny.yaml >bad.yaml
expect "unknown key in the file" 2 'bad\.yaml:[0-9]+:.*widht.*nearest.*width' "$hylas" train bad.yaml
printf 'model: [\n' >bad.yaml
expect "broken YAML" 2 'bad\.yaml:[0-9]+' "$hylas" train bad.yaml
expect "no such config" 2 'none\.yaml' "$hylas" train none.yaml
expect "unknown command" 2 'nearest: train' "$hylas" trian tiny.yaml
expect "no ranks" 2 '--ranks 0.*at least 1' "$hylas" plan tiny.yaml --ranks 0
expect "less than no ranks" 2 '--ranks -2.*at least 1' "$hylas" plan tiny.yaml --ranks -2
expect "a count that is none" 2 '--ranks 1\.5.*not a whole number' "$hylas" plan tiny.yaml --ranks 1.5
expect "counts with units" 0 'step +1 sequences of 1024 tokens' "$hylas" plan tiny.yaml --ranks 1e0 --set data.sequence=1Ki --set data.batch=0.001k
expect "unknown option" 2 'nearest: --set' "$hylas" train tiny.yaml --sett a.b=1
check "no run folder after errors of the configuration" test ! -e a
sed 's/lr: 1e-3/lr: 2e-3/' tiny.yaml >other.yaml
expect "a rank with another config" 2 'train\.lr|config' "$mpirun" -np 1 "$hylas" train tiny.yaml : -np 1 "$hylas" train other.yaml
expect "folder that cannot be made" 3 'run/deep|file|cannot' "$hylas" train tiny.yaml --set run.dir=store.h5/run

# ---- token store ----
run "no store" 4 'none\.h5.*hylas data text' b 2 data.store=none.h5
cp store.h5 cut.h5 && cp store.h5.xxh3 cut.h5.xxh3 && truncate -s -1000 cut.h5
run "truncated store" 4 'cut\.h5' b 2 data.store=cut.h5
rm cut.h5.xxh3
run "truncated store without a seal" 4 'cut\.h5' b 2 data.store=cut.h5
cp store.h5 flip.h5 && cp store.h5.xxh3 flip.h5.xxh3 && flip_bit flip.h5 $(($(size flip.h5) / 2))
run "flipped bit in the store" 4 'flip\.h5' b 2 data.store=flip.h5
rm flip.h5.xxh3
run "flipped bit in a store without a seal" 4 'flip\.h5' b 2 data.store=flip.h5
printf 'not a store' >text.h5
run "something else as a store" 4 'text\.h5' b 2 data.store=text.h5
run "store with a larger vocabulary than the model's" 4 'vocab' b 2 model.vocab=100
run "store shorter than a sequence" 4 'data\.sequence' b 2 data.sequence=2M
check "a short store is mentioned once" count_is 1 'less than one sequence'
"$hylas" data text "$source/layers" --vocab 250 --out other.h5 >/dev/null || exit 1
run "stores of two vocabularies" 4 'store\.h5 has 256 ids, other\.h5 has 250' b 2 'data.store=[store.h5, other.h5]'
run "validation store of another vocabulary" 4 'store\.h5 has 256 ids, other\.h5 has 250' b 2 data.eval_store=other.h5
run "a late stage's sequence" 4 'train\.stages\.1\.sequence 2000000' b 2 'train.stages=[{steps: 1}, {steps: 1, sequence: 2000000}]'
check "said once" count_is 1 'train\.stages\.1\.sequence'
check "no step was taken" count_is 0 '^step'
run "a stage's store that is not there" 4 'none\.h5' b 2 'train.stages=[{steps: 1}, {steps: 1, store: none.h5}]'
mkdir texts && printf 'some text' >texts/a && : >texts/empty
expect "byte outside the vocabulary" 4 'byte 1[0-9][0-9] .*vocab' "$hylas" data text texts --vocab 100 --out small.h5
check "no store after an error" test ! -e small.h5
expect "empty file" 0 '1 documents \(1 empty' "$hylas" data text texts --out small.h5
expect "nothing but empty files" 4 'no file' "$hylas" data text texts/empty --out small.h5
expect "the store that was there is still whole" 0 'seal +ok' "$hylas" data info small.h5
for name in a.jsonl b.NPY c.parquet d.txt.gz; do
    printf '{"text": "some text"}\n' >texts/$name
    expect "$name as a text" 4 "$name: .*first, or .*--any-file" "$hylas" data text texts --out refused.h5
    check "no store of $name" test ! -e refused.h5
    expect "$name as bytes" 0 '2 documents' "$hylas" data text texts --any-file --out any.h5
    rm texts/$name
done
"$hylas" data recall --task needle --pairs 2 --vocab 64 --sequences 32 --tokens 1024 --out facts.h5 >/dev/null
run "validation with another tokenizer" 4 "tokenizers differ: store\.h5 has 'bytes', facts\.h5 has 'recall: .*data\.tokenizer=" f 2 data.eval_store=facts.h5
check "tokenizers are mentioned once" count_is 1 'tokenizers differ'
run "a run of bytes" 0 'step 2/2' f 2
run "resuming on another store" 2 'data\.store: .* data\.store=facts\.h5' f 3 data.store=facts.h5
expect "resuming on another tokenizer" 4 "facts\.h5 has 'recall: .* f/checkpoints/step-2 has 'bytes'" "$mpirun" -np 2 "$hylas" train tiny.yaml \
    --set run.dir=f --set train.steps=3 --set data.store=facts.h5 --allow-change data.store
run "starting from another tokenizer" 4 "facts\.h5 has 'recall: .* f/checkpoints/step-2 has 'bytes'" g 3 data.store=facts.h5 train.init=f
expect "eval with another tokenizer" 4 "facts\.h5 has 'recall: .* f/checkpoints/step-2 has 'bytes'" "$hylas" eval f --store facts.h5
expect "eval where the ids mean the same" 0 'perplexity' "$hylas" eval f --store facts.h5 --sequences 1 --set data.tokenizer=bytes
run "document longer than the sequence" 0 'longer than data\.sequence' c 2 data.sequence=64
check "long documents are mentioned once" count_is 1 'longer than data.sequence'

# ---- checkpoints ----
run "a run to damage" 0 'step 10/10' run 10
before=$(hashes run/checkpoints/step-5)
newest=run/checkpoints/step-10/rank-00001.h5
flip_bit $newest $(($(size $newest) / 2))
run "flipped bit in the newest checkpoint" 0 'resuming after step 5' run 15
check "the damaged checkpoint is named" grep -q 'step-10' log
newest=run/checkpoints/step-15/rank-00000.h5
truncate -s -100 $newest
run "truncated checkpoint" 0 'resuming after step 10' run 20
rm run/checkpoints/step-20/rank-00000.h5
run "checkpoint without one of its files" 0 'resuming after step 15' run 20
for file in run/checkpoints/step-*/rank-00000.h5; do
    truncate -s -100 "$file"
done
kept=$(hashes run/checkpoints)
run "no checkpoint is whole" 5 'step-20' run 25
check "damaged checkpoints are left as they are" test "$kept" = "$(hashes run/checkpoints)"
expect "eval of damaged checkpoints" 5 'step-20' "$hylas" eval run --store store.h5
run "no such checkpoint to start from" 5 'nowhere' d 2 train.init=nowhere
run "a run of one model" 0 'step 5/5' e 5
run "resuming with another model" 2 'model\.width: 32 -> 48' e 8 model.width=48
expect "resuming with another model, allowed" 5 'has [0-9]+ elements' "$hylas" train tiny.yaml --set data.store=store.h5 --set run.dir=e \
    --set train.steps=8 --set model.width=48 --allow-change model.width
check "a tensor that does not fit is mentioned once" count_is 1 'elements'
check "steps of the first model are still there" test -e e/checkpoints/step-5/manifest.json

# ---- disk full during a save ----
mkdir disk
if mount -t tmpfs -o size=6m none disk 2>/dev/null; then
    mounted=$work/disk
    run "steps before the tmpfs is full" 0 'step 4/4' disk/run 4 train.checkpoint.every=4
    good=$(hashes disk/run/checkpoints/step-4)
    free=$(df --output=avail -k disk | tail -n 1)
    dd if=/dev/zero of=disk/ballast bs=1k count=$((free - 128)) status=none # room for metrics, not for a checkpoint
    expect "full disk: training goes on" 5 'step 12/12' bash -c 'train "$@"' _ disk/run 12 train.checkpoint.every=4
    check "failed saves are reported" grep -q 'could not be saved' log
    check "nothing half-written is left" test -z "$(find disk/run/checkpoints -name '*.tmp')"
    check "the last good save is whole" test "$good" = "$(hashes disk/run/checkpoints/step-4)"
    rm disk/ballast
    run "after there is room again" 0 'resuming after step 4' disk/run 12 train.checkpoint.every=4
else
    printf 'skipped: full disk on a tmpfs (may not mount)\n'
fi

printf '%s cases, %s failed\n' $cases $failures
[ $failures -eq 0 ]
