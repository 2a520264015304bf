#include "layers/graph/graph_plan.h"

#include <string.h>

#include "base/memory.h"
#include "layers/graph/interval_pack.h"

/* Facts gathered while the plan is made; all arrays are indexed by variable or node. */
typedef struct planner {
    const hy_graph *g;
    const hy_sizing *s;
    hy_recompute recompute;
    bool offload;
    int last_block;
    bool *crosses;           /* [vars] read by a node of another segment (stretch of nodes of one block) */
    bool *needed;            /* [vars] its value is read after the forward pass */
    bool *again;             /* [nodes] runs in recompute */
    int *segment;            /* [nodes] */
    hy_segment_times *times; /* [segments] */
    int (*life)[2][2];       /* [vars][phase][first, last] */
    int (*grad_life)[2];
    int (*node_life)[2]; /* [nodes] its first and last instruction */
    int *stretch;        /* [nodes] scratch: what is put in order */
    hy_ordered *ordered;
    hy_graph_plan *plan;
    hy_interval *intervals;
    int n_intervals;
} planner;

/* The last block's backward follows its forward at once, so nothing is won by computing it again. */
static bool may_recompute(const planner *p, const hy_node *node) {
    bool wanted = p->recompute == HY_RECOMPUTE_BLOCK || (p->recompute == HY_RECOMPUTE_LIGHT && node->class->light);
    return wanted && node->block >= 1 && node->block != p->last_block;
}

static bool is_available(const planner *p, hy_var v) {
    const hy_variable *var = &p->g->vars[v];
    return p->crosses[v] || var->kept || !may_recompute(p, &p->g->nodes[var->producer]);
}

/* Which values backward needs, and which nodes must run again to have them. */
static void find_needs(planner *p) {
    const hy_graph *g = p->g;
    for (int n = 0; n < g->n_nodes; n++) {
        const hy_node *node = &g->nodes[n];
        p->segment[n] = n == 0 ? 0 : p->segment[n - 1] + (node->block != g->nodes[n - 1].block);
        for (int i = 0; i < node->n_in; i++) {
            hy_var v = node->in[i];
            if (v != HY_NONE) {
                p->crosses[v] |= p->segment[n] != p->segment[g->vars[v].producer];
                p->needed[v] |= p->s->train && (node->class->bwd_reads_in >> i & 1);
            }
        }
        for (int i = 0; i < node->n_out; i++) {
            p->needed[node->out[i]] |= p->s->train && (node->class->bwd_reads_out >> i & 1);
        }
    }
    for (int n = g->n_nodes - 1; n >= 0; n--) {
        const hy_node *node = &g->nodes[n];
        for (int i = 0; i < node->n_out; i++) {
            p->again[n] |= p->needed[node->out[i]] && !is_available(p, node->out[i]);
        }
        for (int i = 0; i < node->n_in && p->again[n]; i++) {
            if (node->in[i] != HY_NONE) {
                p->needed[node->in[i]] = true;
            }
        }
    }
}

/* The instruction before the next one if it is the sum, of any block, that `node` normalises. */
static hy_instruction *sum_before(const planner *p, const hy_node *node, hy_phase phase) {
    const int n = p->plan->n_instructions;
    if (n == 0 || phase == HY_PHASE_BWD || node->class->fwd_of_sum == NULL) {
        return NULL;
    }
    hy_instruction *last = &p->plan->instructions[n - 1];
    const hy_node *sum = &p->g->nodes[last->node];
    return last->phase == phase && sum->class->sums && sum->out[0] == node->in[0] ? last : NULL;
}

static void add_instruction(planner *p, int node, hy_phase phase, hy_sp_part part) {
    hy_instruction *sum = sum_before(p, &p->g->nodes[node], phase);
    if (sum != NULL && sum->norm < 0) {
        sum->norm = node;
        return;
    }
    p->plan->instructions[p->plan->n_instructions++] =
        (hy_instruction){.node = node, .phase = phase, .part = part, .norm = -1, .block_done = -1};
}

/* Nodes begin … end − 1 forward, or back from the last. */
static hy_status add_stretch(planner *p, int begin, int end, hy_phase phase) {
    int n = 0, n_ordered;
    for (int i = 0; i < end - begin; i++) {
        const int node = phase == HY_PHASE_BWD ? end - 1 - i : begin + i;
        const bool runs = phase == HY_PHASE_RECOMPUTE
                              ? p->again[node]
                              : phase == HY_PHASE_BWD || !p->s->train || !p->g->nodes[node].class->loss;
        if (runs) {
            p->stretch[n++] = node;
        }
    }
    if (phase == HY_PHASE_RECOMPUTE || p->s->dims->size == 1) { /* nothing is exchanged */
        for (int i = 0; i < n; i++) {
            add_instruction(p, p->stretch[i], phase, HY_SP_WHOLE);
        }
        return HY_OK;
    }
    HY_TRY(hy_graph_order(p->g, phase, p->stretch, n, p->ordered, &n_ordered));
    for (int i = 0; i < n_ordered; i++) {
        add_instruction(p, p->ordered[i].node, phase, p->ordered[i].part);
    }
    return HY_OK;
}

/* The first or the last end of an exchange among instructions begin … end − 1, −1: none. */
static int find_finish(const planner *p, int begin, int end, bool last) {
    int finish = -1;
    for (int i = begin; i < end && (last || finish < 0); i++) {
        const hy_instruction *ins = &p->plan->instructions[i];
        if (p->g->nodes[ins->node].class->mixes && ins->part == HY_SP_FINISH) {
            finish = i;
        }
    }
    return finish;
}

/* The gradients of a block are complete with its last instruction, but told behind the last exchange of the next one: what somebody waits
 * for has the links to itself, and they have the time up to the first exchange of the block after that. Block 1 has none after it: what is told
 * late there is waited for, so they are told behind its first. */
typedef struct told {
    int block, last; /* complete and not told; −1: none */
} told;

/* In instructions `begin` up to now, which are the backward of `next`. */
static void tell_behind(planner *p, told *t, int begin, int next) {
    const int finish = find_finish(p, begin, p->plan->n_instructions - 1, next > 1);
    if (t->block >= 0) {
        p->plan->instructions[finish >= 0 ? finish : t->last].block_done = t->block;
    }
}

static hy_status order_instructions(planner *p) {
    const hy_graph *g = p->g;
    told waiting = {-1, -1};
    for (int begin = 0, end; begin < g->n_nodes; begin = end) {
        for (end = begin + 1; end < g->n_nodes && p->segment[end] == p->segment[begin];) {
            end++;
        }
        HY_TRY(add_stretch(p, begin, end, HY_PHASE_FWD));
        p->times[p->segment[begin]].fwd_end = p->plan->n_instructions;
    }
    p->plan->n_forward = p->plan->n_instructions;
    for (int begin, end = g->n_nodes; p->s->train && end > 0; end = begin) {
        for (begin = end - 1; begin > 0 && p->segment[begin - 1] == p->segment[end - 1];) {
            begin--;
        }
        p->times[p->segment[begin]].bwd_begin = p->plan->n_instructions;
        HY_TRY(add_stretch(p, begin, end, HY_PHASE_RECOMPUTE));
        const int first = p->plan->n_instructions;
        HY_TRY(add_stretch(p, begin, end, HY_PHASE_BWD));
        if (g->nodes[begin].block > 0 || begin == 0) {
            tell_behind(p, &waiting, first, g->nodes[begin].block);
            waiting = (told){g->nodes[begin].block, p->plan->n_instructions - 1};
        }
    }
    if (waiting.block >= 0) {
        p->plan->instructions[waiting.last].block_done = waiting.block;
    }
    return HY_OK;
}

static void touch(int life[2], int time) {
    if (life[0] < 0) {
        life[0] = time;
    }
    life[1] = time;
}

static bool is_made_again(const planner *p, hy_var v) {
    return p->again[p->g->vars[v].producer] && !is_available(p, v);
}

/* Value v is read or written at `time` of `phase`. What may be offloaded has a second life too. */
static void touch_value(planner *p, hy_var v, hy_phase phase, int time) {
    if (v != HY_NONE) {
        touch(p->life[v][phase != HY_PHASE_FWD && (p->offload || is_made_again(p, v))], time);
    }
}

/* Gradient writes of one backward instruction: who overwrites, who accumulates. */
static hy_status touch_gradients(planner *p, int n, hy_sp_part part, int time) {
    const hy_graph *g = p->g;
    const hy_node *node = &g->nodes[n];
    for (int i = 0; i < node->n_out; i++) {
        if (g->vars[node->out[i]].has_grad) {
            hy_var root = hy_grad_root(g, node->out[i]);
            if (p->grad_life[root][0] < 0) {
                return hy_fail(HY_ERR_FAILED, "graph: no node gives variable '%s' of node '%s' a gradient",
                               g->vars[root].name, node->class->name);
            }
            touch(p->grad_life[root], time);
        }
    }
    const bool weights_only = node->class->weights_apart && part == HY_SP_FINISH;
    for (int i = 0; i < node->n_in && node->class->bwd && !weights_only; i++) {
        hy_var v = node->in[i];
        if (v != HY_NONE && g->vars[v].has_grad) {
            hy_var root = hy_grad_root(g, v);
            if (part != HY_SP_FINISH) {
                p->plan->acc[n][i] = p->grad_life[root][0] >= 0;
            }
            if (p->plan->acc[n][i] && node->class->overwrites) {
                return hy_fail(HY_ERR_FAILED, "graph: an input of node '%s' has a second consumer; give it a copy",
                               node->class->name);
            }
            touch(p->grad_life[root], time);
        }
    }
    return HY_OK;
}

/* Bit i: the instruction touches the value of input (output) i. */
static unsigned inputs_of(const hy_instruction *ins, const hy_node_class *class) {
    if (ins->phase == HY_PHASE_BWD) {
        return class->weights_apart && ins->part == HY_SP_START ? 0 : class->bwd_reads_in;
    }
    return ins->part == HY_SP_START ? ~class->late_in : ~0u;
}

static unsigned outputs_of(const hy_instruction *ins, const hy_node_class *class) {
    if (ins->phase == HY_PHASE_BWD) {
        return class->bwd_reads_out;
    }
    return ins->part == HY_SP_START ? 0 : ~0u;
}

static void touch_values(planner *p, const hy_instruction *ins, int n, int time) {
    const hy_node *node = &p->g->nodes[n];
    touch(p->node_life[n], time);
    for (int i = 0; i < node->n_in; i++) {
        if (inputs_of(ins, node->class) >> i & 1) {
            touch_value(p, node->in[i], ins->phase, time);
        }
    }
    for (int i = 0; i < node->n_out; i++) {
        if (outputs_of(ins, node->class) >> i & 1) {
            touch_value(p, node->out[i], ins->phase, time);
        }
    }
}

static hy_status find_lifetimes(planner *p) {
    const hy_graph *g = p->g;
    memset(p->life, 0xff, (size_t)g->n_vars * sizeof(*p->life));
    memset(p->grad_life, 0xff, (size_t)g->n_vars * sizeof(*p->grad_life));
    memset(p->node_life, 0xff, (size_t)g->n_nodes * sizeof(*p->node_life));
    for (int t = 0; t < p->plan->n_instructions; t++) {
        const hy_instruction *ins = &p->plan->instructions[t];
        touch_values(p, ins, ins->node, t);
        if (ins->norm >= 0) {
            touch_values(p, ins, ins->norm, t);
        }
        if (ins->phase == HY_PHASE_BWD) {
            HY_TRY(touch_gradients(p, ins->node, ins->part, t));
        }
    }
    return HY_OK;
}

/* What is no token's has one for every fragment that is computed by itself. */
static int64_t gradient_bytes(const planner *p, hy_var v) {
    const hy_variable *var = &p->g->vars[v];
    const int64_t rows = var->per_token ? p->s->dims->T : hy_layout_call_count(p->s->dims);
    return var->cols * rows * (int64_t)hy_sp_size(p->s->sp, var->role);
}

static int64_t value_bytes(const planner *p, hy_var v) {
    const hy_variable *var = &p->g->vars[v];
    return var->cols * (var->per_token ? p->s->dims->T : 1) * (int64_t)hy_sp_size(p->s->sp, var->role);
}

/* Of a value that is held from forward to backward: it waits in the host's memory, and each life reaches to where the copies are done; or
 * the two lives are one. */
static void part_or_join_lives(planner *p, hy_var v) {
    int *forward = p->life[v][0], *backward = p->life[v][1], before[HY_MOVE_KINDS];
    const hy_instruction *instructions = p->plan->instructions;
    if (p->g->vars[v].per_token && value_bytes(p, v) > 0 &&
        hy_offload_times(p->times, p->segment[p->g->n_nodes - 1], p->segment[p->g->vars[v].producer],
                         p->segment[instructions[forward[1]].node], p->segment[instructions[backward[0]].node],
                         before)) {
        hy_offload_add(&p->plan->offload, v, value_bytes(p, v), before);
        forward[1] = before[HY_MOVE_FREE] - 1;
        backward[0] = before[HY_MOVE_IN];
    } else {
        forward[1] = backward[1];
        backward[0] = backward[1] = -1;
    }
}

static hy_status choose_offloaded(planner *p) {
    HY_TRY(hy_offload_init(&p->plan->offload, p->offload ? p->g->n_vars : 0));
    for (hy_var v = 0; v < p->g->n_vars && p->offload; v++) {
        if (p->life[v][0][0] >= 0 && p->life[v][1][0] >= 0 && !is_made_again(p, v)) {
            part_or_join_lives(p, v);
        }
    }
    hy_offload_order(&p->plan->offload);
    return HY_OK;
}

static void add_interval(planner *p, int64_t bytes, const int life[2], int64_t *offset) {
    *offset = -1;
    if (life[0] >= 0) {
        p->intervals[p->n_intervals++] =
            (hy_interval){.bytes = bytes, .first = life[0], .last = life[1], .offset = offset};
    }
}

static void collect_intervals(planner *p) {
    const hy_graph *g = p->g;
    hy_graph_plan *plan = p->plan;
    for (int v = 0; v < g->n_vars; v++) {
        const int64_t bytes = value_bytes(p, v);
        add_interval(p, bytes, p->life[v][0], &plan->value_offset[0][v]);
        add_interval(p, bytes, p->life[v][1], &plan->value_offset[1][v]);
        add_interval(p, gradient_bytes(p, v), p->grad_life[v], &plan->grad_offset[v]);
    }
    for (int n = 0; n < g->n_nodes; n++) {
        const hy_node_class *class = g->nodes[n].class;
        add_interval(p, class->kept ? class->kept(p->s, &g->nodes[n]) : 0, p->node_life[n], &plan->kept_offset[n]);
    }
    for (int t = 0, started = 0; t < plan->n_instructions; t++) {
        const hy_instruction *ins = &plan->instructions[t];
        const hy_node *node = &g->nodes[ins->node];
        if (node->class->mixes && ins->part == HY_SP_START) {
            started = t; /* one at a time */
            continue;
        }
        const bool ends = node->class->mixes && ins->part == HY_SP_FINISH;
        add_interval(p, node->class->work ? node->class->work(p->s, node) : 0, (int[]){ends ? started : t, t},
                     &plan->work_offset[ins->phase][ins->node]);
    }
}

/* What shares a place: values that exist once serve both phases, aliased gradients their root's. */
static void share_offsets(planner *p) {
    hy_graph_plan *plan = p->plan;
    for (int v = 0; v < p->g->n_vars; v++) {
        if (plan->value_offset[1][v] < 0) {
            plan->value_offset[1][v] = plan->value_offset[0][v];
        }
        plan->grad_offset[v] = plan->grad_offset[hy_grad_root(p->g, v)];
    }
}

static int64_t held_bytes(const planner *p) {
    int64_t held = 0;
    for (int i = 0; i < p->n_intervals; i++) {
        const hy_interval *life = &p->intervals[i];
        held += life->first < p->plan->n_forward && life->last > p->plan->n_forward ? life->bytes : 0;
    }
    return held;
}

static hy_status allocate(planner *p) {
    size_t vars = (size_t)p->g->n_vars, nodes = (size_t)p->g->n_nodes;
    hy_graph_plan *plan = p->plan;
    HY_TRY(HY_NEW("plan crossing", vars, &p->crosses));
    HY_TRY(HY_NEW("plan needs", vars, &p->needed));
    HY_TRY(HY_NEW("plan recompute", nodes, &p->again));
    HY_TRY(HY_NEW("plan segments", nodes, &p->segment));
    HY_TRY(HY_NEW("plan times", nodes, &p->times));
    HY_TRY(HY_NEW("plan lifetimes", vars, &p->life));
    HY_TRY(HY_NEW("plan gradient lifetimes", vars, &p->grad_life));
    HY_TRY(HY_NEW("plan node lifetimes", nodes, &p->node_life));
    HY_TRY(HY_NEW("plan order", nodes, &p->stretch));
    HY_TRY(HY_NEW("plan order", 2 * nodes, &p->ordered));
    HY_TRY(HY_NEW("plan intervals", 3 * vars + 4 * nodes, &p->intervals));
    HY_TRY(HY_NEW("instructions", 5 * nodes, &plan->instructions));
    HY_TRY(HY_NEW("value offsets", vars, &plan->value_offset[0]));
    HY_TRY(HY_NEW("value offsets", vars, &plan->value_offset[1]));
    HY_TRY(HY_NEW("gradient offsets", vars, &plan->grad_offset));
    HY_TRY(HY_NEW("kept offsets", nodes, &plan->kept_offset));
    for (int phase = 0; phase < 3; phase++) {
        HY_TRY(HY_NEW("work offsets", nodes, &plan->work_offset[phase]));
    }
    return HY_NEW("accumulate flags", nodes, &plan->acc);
}

static hy_status make(planner *p) {
    HY_TRY(allocate(p));
    for (int n = 0; n < p->g->n_nodes; n++) {
        p->last_block = p->g->nodes[n].block > p->last_block ? p->g->nodes[n].block : p->last_block;
    }
    find_needs(p);
    HY_TRY(order_instructions(p));
    HY_TRY(find_lifetimes(p));
    HY_TRY(choose_offloaded(p));
    collect_intervals(p);
    HY_TRY(hy_interval_pack(p->intervals, p->n_intervals, &p->plan->arena_bytes));
    share_offsets(p);
    p->plan->held_bytes = p->s->train ? held_bytes(p) : 0;
    return HY_OK;
}

hy_status hy_graph_plan_create(const hy_graph *graph, const hy_sizing *sizing, hy_recompute recompute, bool offload,
                               hy_graph_plan **out) {
    planner p = {.g = graph, .s = sizing, .recompute = recompute, .offload = offload && sizing->train};
    HY_TRY(HY_NEW("graph plan", 1, &p.plan));
    hy_status status = make(&p);
    hy_free(p.crosses);
    hy_free(p.needed);
    hy_free(p.again);
    hy_free(p.segment);
    hy_free(p.times);
    hy_free(p.life);
    hy_free(p.grad_life);
    hy_free(p.node_life);
    hy_free(p.stretch);
    hy_free(p.ordered);
    hy_free(p.intervals);
    if (status != HY_OK) {
        hy_graph_plan_destroy(p.plan);
        return status;
    }
    *out = p.plan;
    return HY_OK;
}

void hy_graph_plan_destroy(hy_graph_plan *plan) {
    if (!plan) {
        return;
    }
    hy_free(plan->instructions);
    hy_free(plan->value_offset[0]);
    hy_free(plan->value_offset[1]);
    hy_free(plan->grad_offset);
    hy_free(plan->kept_offset);
    for (int phase = 0; phase < 3; phase++) {
        hy_free(plan->work_offset[phase]);
    }
    hy_free(plan->acc);
    hy_offload_fini(&plan->offload);
    hy_free(plan);
}
