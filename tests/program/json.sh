#!/usr/bin/env bash
# json.sh HYLAS DATA JSON_GET SOURCE: --json gives one document and nothing else on standard output, with the keys of docs/json.md and the
# numbers that the text has; --version; --quiet.
set -uo pipefail
hylas=$1 data=$2 get=$3 source=$4 mpirun=${MPIEXEC:-mpirun}
source "$(dirname "${BASH_SOURCE[0]}")/../work_folder.sh"

json() { # command, after it " -- " the paths that must be there
    local command=()
    while [ "$1" != -- ]; do command+=("$1") && shift; done
    shift
    "${command[@]}" --json >out 2>err || fail "${command[*]}: exit code $?"
    "$get" "$@" <out >values || fail "${command[*]}: $*"
}
value() { "$get" "$1" <out; }
same() { [ "$1" = "$2" ] || fail "$3: $1, wanted $2"; }

"$hylas" data text "$source/layers/graph" "$source/sp/state" --out store.h5 >out 2>err || fail "no token store"
run=(--set data.store=store.h5 --set run.dir=run --set train.steps=2 --set data.sequence=256)
"$mpirun" -np 2 "$hylas" train "$source/configs/tiny.yaml" "${run[@]}" >out 2>err || fail "no run"

"$hylas" data info store.h5 >text 2>&1 || fail "info"
json "$hylas" data info store.h5 -- store tokens token_bytes documents vocab tokenizer sealed answers length_quantiles.5.tokens
same "$(value tokens)" "$(awk '$1 == "tokens" { print $2 }' text)" "tokens of the store"
same "$(value length_quantiles.5.tokens)" "$(sed -n 's/.*100%: //p' text)" "longest document"
same "$(value answers)" null "answers"

"$hylas" plan "$source/configs/tiny.yaml" --ranks 3 >text 2>&1 || fail "plan"
json "$hylas" plan "$source/configs/tiny.yaml" --ranks 3 -- ranks data_groups sequence_ranks layout model.layers model.width model.vocab \
    model.parameters model.parts.0.name model.parts.0.parameters memory.rank memory.bytes memory.activations memory.activations_without_offload memory.offloaded memory.entries.0.lifetime gradient_bytes_sent \
    parameter_bytes_sent stages.0.steps stages.0.sequence stages.0.batch stages.0.micro_steps stages.0.tokens_per_step \
    stages.0.flops_per_step stages.0.bytes_to_host stages.0.bytes_from_host stages.0.layers.1.exchange stages.0.layers.1.flops_forward stages.0.layers.1.bytes_sent_backward \
    stages.0.balance.1.imbalance stages.0.balance.0.ranks.2.softmax_pairs
same "$(value model.parameters)" "$(sed -n 's/^# parameters: //p' "$source/configs/tiny.yaml")" "parameters"
same "$(value memory.bytes)" "$(awk '/^memory/ { inside = 1 } inside && /^total/ { print $2; exit }' text)" "memory"
same "$(value stages.0.layers)" 2 "layers"

"$hylas" eval run --store store.h5 >text 2>&1 || fail "eval"
json "$mpirun" -np 2 "$hylas" eval run --store store.h5 -- checkpoint step stores.0.store stores.0.sequences stores.0.targets stores.0.loss \
    stores.0.perplexity stores.0.answers stores.0.by_position.0.first stores.0.by_position.0.loss
same "$(printf '%.3f' "$(value stores.0.loss)")" "$(awk '$1 == "loss" { printf "%.3f", $2; exit }' text)" "loss"

json "$mpirun" -np 2 "$hylas" bench step "$source/configs/tiny.yaml" --tokens 131 --repeats 1 --times --operations --machine flat -- config ranks \
    data_groups sequence_ranks tokens parameters seconds exposed_seconds sent_bytes tokens_per_second work_flops_per_second gemm_flops_per_second peak_bytes \
    operations.0.name operations.0.calls operations.0.flops operations.0.bytes operations.0.seconds operations.0.predicted_seconds
same "$(value ranks)" 2 "ranks of the bench"
json "$hylas" bench step "$source/configs/tiny.yaml" --tokens 131 --repeats 6 --spans -- spans.per_step spans.ratio spans.low spans.high
same "$(value spans.pairs)" 6 "pairs of steps"
json "$hylas" bench kernels --tokens 70 --sizes 16 --only 'vector delta' --repeats 1 -- table gemm_flops_per_second \
    gemm_flops_per_second_after rows.0.operation rows.0.heads rows.0.key_dim rows.0.value_dim rows.0.forward_seconds \
    rows.0.forward_backward_seconds rows.0.forward_flops
same "$(value rows.0.wrong) $(value rows.0.tokens) $(value rows)" "0 70 1" "bench kernels"

json "$mpirun" -np 2 "$hylas" doctor -- version commit build.type build.flags build.compiler libraries.mpi libraries.hdf5 libraries.blas \
    hosts.0.host hosts.0.cores hosts.0.bindings.1 hosts.0.blas_threads.1 checks.0.name checks.0.state checks.0.text \
    product_flops_per_second copy_bytes_per_second verdict
same "$(value hosts.0.ranks) $(value hosts.0.threads.1)" "2 1" "ranks and threads of doctor"
PATH=/nowhere "$hylas" doctor --json >out 2>err
same "$?" 3 "exit code of a doctor that lacks something"
same "$(value verdict)" lacks "verdict"

"$hylas" --version >out 2>err || fail "version"
grep -Eqx 'hylas [0-9]+\.[0-9]+\.[0-9]+ \(([0-9a-f]{7,}(-dirty)?|unknown|.*-g[0-9a-f]+(-dirty)?)\)' out || fail "not a version"

# results and warnings only; the log has the rest
"$mpirun" -np 2 "$hylas" train "$source/configs/tiny.yaml" "${run[@]}" --set train.steps=4 --set data.eval_store=store.h5 --quiet >out 2>err ||
    fail "quiet run"
same "$(grep -c . out) $(grep -c ' info ' err)" "1 0" "lines of a quiet run"
grep -q '^step 4  validation loss' out || fail "a quiet run without its result"
grep -q '^step 4/4' run/log.txt && grep -q ' info .*resuming after step 2' run/log.txt || fail "the log of a quiet run is not whole"
printf 'documents are whole\n'
