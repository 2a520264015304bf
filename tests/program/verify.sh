#!/usr/bin/env bash
# verify.sh HYLAS DATA: hylas verify passes with every layout, exchange and overlap, and on more ranks than 4; with damaged exchanges it
# fails with exit code 9, for linear and for softmax layers alone. Without mpirun it starts itself.
set -uo pipefail
hylas=$1 config=$2/verify.yaml mpirun=${MPIEXEC:-mpirun} failed=0

expect() { # exit code, what; the rest is the command
    local want=$1 what=$2 got
    shift 2
    "$@" >verify.out 2>verify.err
    got=$?
    if [ $got -ne "$want" ]; then
        printf 'FAILED: %s: exit code %s, wanted %s\n' "$what" $got "$want"
        cat verify.out verify.err
        failed=1
    fi
}

cd "$(mktemp -d)" || exit 1
trap 'rm -rf "$PWD"' EXIT
expect 0 "every method" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 --all
# as many as the configuration's choices make, exchanges in pairs: --all takes them from the same lists
methods=$("$hylas" help config | awk '/^[a-z]/ { inside = $1 == "parallel:" } inside && !/moves exchanges/ && /one of/ { pair = /# exchange of/
    sub(/.*one of/, ""); sub(/, auto$/, ""); k = split($0, names, ","); if (pair) { most = k > most ? k : most } else n = (n ? n : 1) * k } END { print n * most }')
grep -q "ok ($methods methods" verify.out || { printf 'FAILED: not %s methods\n' "$methods"; cat verify.out; failed=1; }
expect 0 "7 ranks, fewer tokens than a chunk" "$mpirun" -np 7 "$hylas" verify "$config" --tokens 61 --documents 3
expect 0 "more ranks than tokens" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 3 --documents 1
expect 0 "starting itself" "$hylas" verify "$config" --tokens 97 --dtype f64 --set train.recompute=block
grep -q '4 ranks' verify.out || { printf 'FAILED: no column for 4 ranks\n'; failed=1; }
nodes=(--set parallel.attention=node --set parallel.node=2)
expect 0 "nodes of 2 ranks, the last of 1" "$mpirun" -np 5 "$hylas" verify "$config" --tokens 149 "${nodes[@]}"
expect 0 "heads in groups of 2, a ring of these" "$mpirun" -np 6 "$hylas" verify "$config" --tokens 149 "${nodes[@]}" --set parallel.attention=2d
expect 9 "broken exchange between nodes" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 "${nodes[@]}" --break-exchange --set "model.schedule.pattern=[attention]"
expect 0 "other linear mixers on 7 ranks" "$mpirun" -np 7 "$hylas" verify "${config%.yaml}-linear.yaml" --tokens 149
expect 0 "other linear mixers, every method" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-linear.yaml" --tokens 67 --all --dtype f64
expect 0 "convolutions on 7 ranks" "$mpirun" -np 7 "$hylas" verify "${config%.yaml}-convolution.yaml" --tokens 149
expect 0 "convolutions, every method" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-convolution.yaml" --tokens 97 --all --dtype f64
blocks=${config%.yaml}-blocks.yaml
expect 0 "blocks on 7 ranks" "$mpirun" -np 7 "$hylas" verify "$blocks" --tokens 149 --set model.zero_centred=true
expect 0 "blocks, every method" "$mpirun" -np 4 "$hylas" verify "$blocks" --tokens 67 --all --dtype f64 --set model.norm=layer --set model.pre_norm=true
expect 0 "recurrent mixers on 7 ranks" "$mpirun" -np 7 "$hylas" verify "${config%.yaml}-recurrent.yaml" --tokens 149
expect 0 "recurrent mixers, every method" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-recurrent.yaml" --tokens 67 --all --dtype f64
for mixer in gated_deltanet attention mla; do
    expect 9 "broken exchange of heads, $mixer" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 --dtype f64 --break-exchange --set parallel.state=heads --set parallel.attention=heads --set "model.schedule.pattern=[$mixer]"
done
uneven=(--set 'parallel.weights=[7, 2, 5, 1]' --dtype f64)
expect 0 "uneven ranks, every method" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 67 --all "${uneven[@]}"
for kind in linear convolution blocks recurrent; do
    expect 0 "uneven ranks, $kind" "$mpirun" -np 7 "$hylas" verify "${config%.yaml}-$kind.yaml" --tokens 149 "${uneven[@]}"
done
recurrent=("${config%.yaml}-recurrent.yaml" --tokens 321 --dtype f64 --set train.carry_state=true)
for layout in contiguous zigzag; do
    expect 0 "documents that go on, $layout" "$mpirun" -np 4 "$hylas" verify "${recurrent[@]}" --set model.mixers.attention.window=15 --set parallel.layout=$layout
    expect 0 "and on uneven ranks" "$mpirun" -np 4 "$hylas" verify "${recurrent[@]}" --set model.mixers.attention.window=15 --set parallel.layout=$layout --set 'parallel.weights=[4, 5, 3, 4]'
    grep -q 'losses of tokens, two steps' verify.out || { printf 'FAILED: no row of what is carried\n'; cat verify.out; failed=1; }
done
expect 2 "a layer that cannot go on" "$mpirun" -np 4 "$hylas" verify "${recurrent[@]}" --set model.mixers.attention.window=0
grep -q 'layer 3 (model.mixers.attention, kind attention) cannot go on' verify.err || { printf 'FAILED: it is not named\n'; cat verify.err; failed=1; }
for mixer in hgrn rwkv6 rwkv7; do
    expect 9 "broken exchange, $mixer" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-recurrent.yaml" --tokens 149 --break-exchange --set "model.schedule.pattern=[$mixer]"
done
for mixer in conv_short conv_long; do
    expect 9 "broken exchange, $mixer" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-convolution.yaml" --tokens 149 --break-exchange --set "model.schedule.pattern=[$mixer]"
done
for mixer in gated_deltanet gla attention mla log_linear_mamba2; do
    expect 9 "broken exchange, $mixer" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 --break-exchange --set "model.schedule.pattern=[$mixer]"
done
expect 0 "bf16" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 --dtype bf16
expect 0 "bf16, recurrent mixers" "$mpirun" -np 4 "$hylas" verify "${config%.yaml}-recurrent.yaml" --tokens 149 --dtype bf16
for mixer in gated_deltanet gla; do
    expect 9 "broken exchange in bf16, $mixer" "$mpirun" -np 4 "$hylas" verify "$config" --tokens 149 --dtype bf16 --break-exchange --set "model.schedule.pattern=[$mixer]"
done
expect 2 "unknown type" "$hylas" verify "$config" --dtype f16
expect 9 "a bound that nothing meets" "$mpirun" -np 2 "$hylas" verify "$config" --tokens 149 --dtype f32 --bound 1e-30
expect 2 "one rank" "$mpirun" -np 1 "$hylas" verify "$config"
expect 2 "unknown key" "$hylas" verify "$config" --set model.widht=3
exit $failed
