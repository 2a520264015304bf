/* A model bound to memory on one rank: plans the arena, reserves it, and executes the instructions of a step. */
#include <string.h>

#include "base/memory.h"
#include "base/span.h"
#include "layers/graph/runner_internal.h"
#include "layers/model_build.h"

/* As many logits at a time as the device likes, at least 256 rows (a tile's product with the head's gradient touches all of it),
 * at most T. */
static int64_t head_tile_rows(const hy_run_shape *shape, const hy_tuning *tuning, const hy_layout_dims *dims,
                              int64_t vocab) {
    const int64_t T = hy_layout_call_tokens(dims);
    int64_t rows = shape->head_tile;
    if (rows == 0) {
        const int64_t liked = tuning->head_logits > 0 ? tuning->head_logits / vocab : T;
        rows = liked > 256 ? liked : 256;
    }
    rows = rows < T ? rows : T;
    return rows > 0 ? rows : 1;
}

/* Softmax attention adds up blocks of keys by rank, and a long convolution shares out channels. */
static hy_status check_fixed(const hy_model *model, const hy_layout_dims *dims) {
    const hy_graph *g = hy_model_graph(model);
    const hy_model_config *config = hy_model_config_of(model);
    for (int n = 0; n < g->n_nodes && dims->cuts.fixed > 0; n++) {
        const hy_node *node = &g->nodes[n];
        if (node->class->mixes && !node->class->by_fragment) {
            const hy_mixer_config *mixer = &config->mixers[config->layer_mixer[node->block - 1]];
            return hy_fail(
                HY_ERR_USAGE,
                "parallel.invariant: layer %d (model.mixers.%s, kind %s) depends on the number of ranks in its "
                "last bits: its %s; recurrences, log-linear attention, short convolutions and token shifts "
                "do not",
                node->block - 1, mixer->name, mixer->kind, node->class->name);
        }
    }
    return HY_OK;
}

/* Everything of *r but memory: sizes and plan. */
static hy_status prepare(const hy_model *model, const hy_run_shape *shape, const hy_profile *profile, hy_runner *r) {
    *r = (hy_runner){.model = model, .shape = *shape};
    HY_TRY(hy_cuts_check(shape->method.layout, &shape->method.cuts, shape->sequence_size));
    HY_TRY(hy_model_config_check_reach(hy_model_config_of(model), shape->len, "sequences"));
    HY_TRY(hy_graph_check_tokens(hy_model_graph(model), shape->n_seq, shape->len, shape->sequence_size));
    r->dims = hy_layout_sizes_cut(shape->method.layout, &shape->method.cuts, shape->sequence_size, shape->sequence_rank,
                                  shape->n_seq, shape->len);
    HY_TRY(check_fixed(model, &r->dims));
    r->sp = (hy_sp){.profile = profile, .method = shape->method, .carries = shape->carry};
    r->shape.head_tile = head_tile_rows(shape, &profile->tuning, &r->dims, hy_model_config_of(model)->vocab);
    const hy_graph *graph = hy_model_graph(model);
    r->needs.method = shape->method;
    r->needs.frag_min = r->dims.frag_min;
    r->needs.frag_max = r->dims.frag_max;
    r->needs.carries = shape->carry;
    for (int n = 0; n < graph->n_nodes; n++) {
        if (graph->nodes[n].class->lists) {
            graph->nodes[n].class->lists(&graph->nodes[n], &r->needs);
        }
    }
    HY_TRY(r->needs.status);
    hy_sizing sizing = {.sp = &r->sp, .dims = &r->dims, .train = shape->train, .head_tile = r->shape.head_tile};
    HY_TRY(shape->carry ? hy_graph_carry_init(graph, &sizing, hy_model_config_of(model), &r->needs, &r->carry) : HY_OK);
    return hy_graph_plan_create(hy_model_graph(model), &sizing, shape->recompute, shape->offload == HY_OFFLOAD_HOST,
                                &r->plan);
}

hy_run_bytes hy_runner_bytes(const hy_runner *runner) {
    const hy_graph_plan *plan = runner->plan;
    return (hy_run_bytes){.arena = plan->arena_bytes, .held = plan->held_bytes, .host = plan->offload.bytes};
}

hy_status hy_runner_plan_bytes(const hy_model *model, const hy_run_shape *shape, const hy_profile *profile,
                               hy_run_bytes *bytes) {
    hy_runner r;
    const hy_status status = prepare(model, shape, profile, &r);
    if (status == HY_OK) {
        *bytes = hy_runner_bytes(&r);
    }
    hy_graph_plan_destroy(r.plan);
    hy_graph_carry_fini(&r.carry);
    return status;
}

static hy_status reserve_memory(hy_runner *r) {
    const hy_run_bytes bytes = hy_runner_bytes(r);
    r->owns_memory = true;
    HY_TRY(hy_device_alloc(r->sp.device, "activation arena", (size_t)bytes.arena, &r->memory.arena));
    return bytes.host > 0
               ? hy_device_host_alloc(r->sp.device, "offloaded activations", (size_t)bytes.host, &r->memory.host)
               : HY_OK;
}

/* memory NULL: the runner's own. */
static hy_status runner_create(const hy_model *model, const hy_run_shape *shape, hy_device *device, hy_comm *sequence,
                               void *params, void *grads, int broken, const hy_run_memory *memory, hy_runner **out) {
    hy_runner *r = NULL;
    HY_TRY(HY_NEW("runner", 1, &r));
    hy_status status = prepare(model, shape, hy_device_profile(device), r);
    r->sp.device = device;
    r->sp.comm = sequence;
    r->sp.broken = broken;
    if (status == HY_OK) {
        hy_lists_plan_attention(device, &r->dims, &r->needs); /* while there is room */
    }
    if (status == HY_OK && memory == NULL) {
        status = reserve_memory(r);
    } else if (status == HY_OK) {
        r->memory = *memory;
    }
    if (status == HY_OK) {
        status = HY_NEW("ends of copies", r->plan->offload.n_values, &r->copied);
    }
    if (status == HY_OK) {
        status = hy_lists_create(device, &r->dims, &r->needs, &r->lists);
    }
    if (status != HY_OK) {
        hy_runner_destroy(r);
        return status;
    }
    r->sp.lists = r->lists;
    hy_device_not_in_children(device, r->memory.arena);
    r->exec = (hy_exec){.device = device,
                        .sp = &r->sp,
                        .graph = hy_model_graph(model),
                        .T = r->dims.T,
                        .sums = hy_sp_sums(&shape->method, shape->sequence_size),
                        .sum_ld = (size_t)hy_model_flat_size(model) * hy_role_size(shape->dtype, HY_ROLE_GRAD),
                        .dtype = shape->dtype,
                        .arena = r->memory.arena,
                        .params = params,
                        .grads = grads,
                        .grad_offset = r->plan->grad_offset,
                        .acc = (const uint8_t(*)[HY_NODE_INPUTS])r->plan->acc,
                        .kept_offset = r->plan->kept_offset,
                        .carried_offset = r->carry.offset,
                        .head_tile = r->shape.head_tile};
    *out = r;
    return HY_OK;
}

hy_status hy_runner_create(const hy_model *model, const hy_run_shape *shape, hy_device *device, hy_comm *sequence,
                           void *params, void *grads, int broken, hy_runner **out) {
    return runner_create(model, shape, device, sequence, params, grads, broken, NULL, out);
}

hy_status hy_runner_create_in(const hy_model *model, const hy_run_shape *shape, hy_device *device, hy_comm *sequence,
                              void *params, void *grads, const hy_run_memory *memory, hy_runner **out) {
    return runner_create(model, shape, device, sequence, params, grads, 0, memory, out);
}

void hy_runner_destroy(hy_runner *runner) {
    if (runner) {
        hy_graph_plan_destroy(runner->plan);
        hy_graph_carry_fini(&runner->carry);
        hy_lists_destroy(runner->lists);
        if (runner->owns_memory) {
            hy_device_free(runner->sp.device, runner->memory.arena);
            hy_device_host_free(runner->sp.device, runner->memory.host);
        }
        hy_free(runner->copied);
        hy_free(runner);
    }
}

void hy_runner_set_watch(hy_runner *runner, hy_run_watch *watch) {
    runner->watch = watch;
}

/* What spans of exchanges and operations say of where they are from; ins NULL: between the instructions of a block. */
static void set_place(int block, const hy_instruction *ins) {
    hy_span_place place = {.step = hy_span_here().step, .node = -1, .block = block};
    if (ins != NULL) {
        place.node = ins->node;
        place.phase = (int32_t)ins->phase;
        place.part = (int32_t)ins->part;
    }
    hy_span_set_place(place);
}

static void call_class(hy_exec *x, const hy_instruction *ins) {
    const hy_node *node = &x->graph->nodes[ins->node];
    const hy_node_class *class = node->class;
    x->sp->part = ins->part;
    if (ins->norm >= 0) {
        const hy_node *norm = &x->graph->nodes[ins->norm];
        norm->class->fwd_of_sum(x, norm, node);
    } else if (ins->phase == HY_PHASE_FWD) {
        class->fwd(x, node);
    } else if (ins->phase == HY_PHASE_RECOMPUTE) {
        (class->recompute ? class->recompute : class->fwd)(x, node);
    } else if (class->bwd) {
        class->bwd(x, node);
    }
}

/* Fixed fragments are computed one by one, so that every call and every sum is the same whoever has them. What mixes does so itself. */
static void call_node(hy_exec *x, const hy_instruction *ins) {
    const hy_layout *layout = x->sp->layout;
    if (layout->cuts.fixed == 0 || x->graph->nodes[ins->node].class->mixes) {
        call_class(x, ins);
        return;
    }
    const int64_t T = x->T;
    for (x->slot = 0; x->slot < layout->n_local; x->slot++) {
        const hy_fragment *f = &layout->frags[layout->local[x->slot]];
        x->row = f->local;
        x->T = f->len;
        call_class(x, ins);
    }
    x->slot = x->row = 0;
    x->T = T;
}

static void runner_tell_watch(const hy_runner *r, const hy_instruction *ins, bool begins) {
    if (r->watch != NULL) {
        const hy_node *node = &r->exec.graph->nodes[ins->node];
        r->watch->node(r->watch, node->block, ins->phase != HY_PHASE_FWD, begins);
    }
}

/* What moves exchanges on between instructions belongs to the one before. */
static void execute(hy_runner *r, const hy_instruction *ins) {
    const hy_node *node = &r->exec.graph->nodes[ins->node];
    set_place(node->block, ins);
    const int64_t span = hy_span_begin(HY_SPAN_WORK, node->class->name);
    runner_tell_watch(r, ins, true);
    call_node(&r->exec, ins);
    if (r->sp.comm) {
        hy_sp_progress(&r->sp);
    }
    runner_tell_watch(r, ins, false);
    hy_span_end(span);
    hy_spans_pass();
    set_place(node->block, NULL);
}

void hy_runner_set_needed(hy_runner *runner, hy_bucket_needed needed, void *context) {
    runner->needed = needed;
    runner->needed_context = context;
}

/* Vectors of any block may be read from the start, where the embedding is read too; a block's matrices from its first node on. */
static void tell_needed(const hy_runner *r, int block) {
    if (block == 0) {
        r->needed(r->needed_context, HY_BUCKET_STATS);
        r->needed(r->needed_context, HY_BUCKET_ENDS);
    } else {
        r->needed(r->needed_context, HY_BUCKET_BLOCKS + block - 1);
    }
}

/* With the backward of a block its matrices' gradients are complete; with that of the ends, which come last, all others. */
static void tell_ready(int block, hy_bucket_ready ready, void *context) {
    if (block > 0) {
        ready(context, HY_BUCKET_BLOCKS + block - 1);
    } else {
        ready(context, HY_BUCKET_ENDS);
        ready(context, HY_BUCKET_STATS);
    }
}

/* What happens before the instruction of what is offloaded, from move `next` on; the one after. */
static int move_values(const hy_runner *r, int next, int instruction) {
    const hy_graph_plan *plan = r->plan;
    while (next < plan->offload.n_moves && plan->offload.moves[next].before == instruction) {
        hy_offload_move(&plan->offload, &plan->offload.moves[next++], &r->exec, plan->value_offset, r->memory.host,
                        r->copied);
    }
    return next;
}

static void run_instructions(hy_runner *r, const hy_batch *batch, double d_scale, hy_bucket_ready ready,
                             void *context) {
    hy_exec *x = &r->exec;
    x->batch = batch;
    r->sp.layout = batch->layout;
    const int64_t span = hy_span_begin(HY_SPAN_HOST, "lists");
    hy_lists_set(r->lists, batch->layout, batch->tokens, batch->labels, d_scale);
    hy_span_end(span);
    int last_block = -1, move = 0;
    for (int i = 0; i < r->plan->n_instructions; i++) {
        const hy_instruction *ins = &r->plan->instructions[i];
        x->value_offset = r->plan->value_offset[ins->phase != HY_PHASE_FWD];
        x->work_offset = r->plan->work_offset[ins->phase];
        const int block = x->graph->nodes[ins->node].block;
        if (r->needed && ins->phase == HY_PHASE_FWD && block != last_block) {
            set_place(block, NULL);
            tell_needed(r, block);
            last_block = block;
        }
        move = move_values(r, move, i);
        execute(r, ins);
        if (ins->block_done >= 0 && ready) {
            set_place(ins->block_done, NULL);
            tell_ready(ins->block_done, ready, context);
        }
    }
    set_place(-1, NULL);
}

void hy_runner_step(hy_runner *runner, const hy_batch *batch, double d_scale, double *loss_sum, hy_bucket_ready ready,
                    void *context) {
    runner->exec.loss_sum = loss_sum;
    run_instructions(runner, batch, d_scale, ready, context);
}

void hy_runner_eval(hy_runner *runner, const hy_batch *batch, double *loss_sum, const hy_eval_rows *rows) {
    runner->exec.loss_sum = loss_sum;
    runner->exec.rows = *rows;
    run_instructions(runner, batch, 0.0, NULL, NULL);
    runner->exec.rows = (hy_eval_rows){0};
}

void hy_model_layer_info(const hy_model *model, const hy_run_shape *shape, int64_t layer, hy_layer_info *out) {
    const hy_graph *g = hy_model_graph(model);
    const hy_model_config *config = hy_model_config_of(model);
    const hy_mixer_config *mixer = &config->mixers[config->layer_mixer[layer]];
    *out = (hy_layer_info){.mixer = mixer->name, .kind = mixer->kind, .window = -1};
    for (int n = 0; n < g->n_nodes; n++) {
        const hy_node *node = &g->nodes[n];
        if (node->block != layer + 1) {
            continue;
        }
        for (int64_t s = 0; s < shape->n_seq && node->class->flops; s++) {
            out->flops_fwd += node->class->flops(node, shape->len, (int64_t[]){0, shape->len}, 1);
        }
        if (node->class == &hy_class_recur || node->class == &hy_class_levels) {
            out->method = hy_sp_state_title(&shape->method);
            out->recurs = true;
            out->log_decay_max = node->attr.recur.log_decay_max;
        } else if (node->class == &hy_class_long_conv) {
            out->method = "channel all-to-all";
        } else if (node->class == &hy_class_conv && !out->method) {
            out->method = "halo"; /* of a mixer that has nothing else; others replace it */
        } else if (node->class == &hy_class_attention) {
            out->method = hy_sp_attn_title(&shape->method, node->attr.attn.rank > 0);
            out->window = node->attr.attn.window;
        }
    }
}
