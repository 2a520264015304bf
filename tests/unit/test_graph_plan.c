/* The order of a plan on several ranks. Products that do not depend on an exchange lie between its start and its finish, forward and backward;
 * every sum is made in the reverse order of the nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "layers/nodes/nodes.h"
#include "tests/planned_graph.h"

/* ---- what hides an exchange ---- */

/* The instruction of a node, −1: none. */
static int find(const planned *p, int node, hy_phase phase, hy_sp_part part) {
    for (int i = 0; i < p->plan->n_instructions; i++) {
        const hy_instruction *ins = &p->plan->instructions[i];
        if (ins->node == node && ins->phase == phase && ins->part == part) {
            return i;
        }
    }
    return -1;
}

static bool lies_between(const planned *p, int node, int exchange, hy_phase phase) {
    const int start = find(p, exchange, phase, HY_SP_START), finish = find(p, exchange, phase, HY_SP_FINISH),
              at = find(p, node, phase, HY_SP_WHOLE);
    return start >= 0 && start < at && at < finish;
}

/* The product that makes a block's output gate: of what also reads what the exchange gives, by whatever way. */
static int gate_of(const hy_graph *g, int exchange) {
    for (int n = exchange + 1; n < g->n_nodes && g->nodes[n].block == g->nodes[exchange].block; n++) {
        const char *name = g->nodes[n].class->name;
        if (strcmp(name, "glu") == 0 || strcmp(name, "gated norm") == 0) {
            return g->vars[g->nodes[n].in[1]].producer;
        }
    }
    return -1;
}

static void check_gate(const char *kind, mixer_fields *fields, const hy_node_class *exchange) {
    int seen = 0;
    planned p;
    plan_kind(&p, kind, fields, (planned_how){.size = 2, .train = true, .recompute = HY_RECOMPUTE_BLOCK});
    for (int n = 0; n < p.g.n_nodes; n++) {
        if (p.g.nodes[n].class == exchange) {
            const int gate = gate_of(&p.g, n);
            assert_true(gate >= 0);
            assert_string_equal(p.g.nodes[gate].class->name, "linear");
            if (!lies_between(&p, gate, n, HY_PHASE_FWD) || !lies_between(&p, gate, n, HY_PHASE_BWD)) {
                fail_msg("%s: the gate's products do not hide the exchange of node %d", kind, n);
            }
            seen++;
        }
    }
    assert_int_equal(seen, PLANNED_LAYERS);
    plan_free(&p);
}

static void gated_attention(hy_mixer_config *m) {
    m->output_gate = HY_GATE_CHANNEL;
}

static void test_gates(void **state) {
    (void)state;
    check_gate("gated_deltanet", NULL, &hy_class_recur);
    check_gate("kda", NULL, &hy_class_recur);
    check_gate("mamba2", NULL, &hy_class_recur);
    check_gate("mamba1", NULL, &hy_class_recur);
    check_gate("hgrn", NULL, &hy_class_recur);
    check_gate("log_linear_gated_deltanet", NULL, &hy_class_levels);
    check_gate("attention", gated_attention, &hy_class_attention);
}

static double flops_of(const planned *p, int node) {
    return p->g.nodes[node].class->flops(&p->g.nodes[node], p->dims.T, (int64_t[]){0, p->dims.T}, 1);
}

/* FLOPs of matrix products with T tokens: the gradients of weights that lie apart between the start and the finish of an exchange. */
static double weights_behind(const planned *p, int exchange) {
    const int start = find(p, exchange, HY_PHASE_BWD, HY_SP_START),
              finish = find(p, exchange, HY_PHASE_BWD, HY_SP_FINISH);
    double flops = 0;
    for (int i = start + 1; i < finish; i++) {
        const hy_instruction *ins = &p->plan->instructions[i];
        const hy_node *node = &p->g.nodes[ins->node];
        if (node->class->weights_apart && ins->part != HY_SP_START) {
            flops += flops_of(p, ins->node);
        }
    }
    return flops;
}

/* Behind a block's first exchange backward: all gradients of the MLP's weights and of the mixer's last product but those of the MLP's own last
 * product, whose dy the residual goes on with; and all of the output gate. */
static void check_weights(const char *kind, const hy_node_class *exchange, int products) {
    planned p;
    plan_kind(&p, kind, NULL, (planned_how){.size = 2, .train = true, .recompute = HY_RECOMPUTE_BLOCK});
    for (int n = 0; n < p.g.n_nodes; n++) {
        if (p.g.nodes[n].class == exchange) {
            const double D = 256, T = (double)p.dims.T, mlp = (double)p.mlp_width;
            const double due = 2 * T * D * (2 * mlp + products * D);
            if (weights_behind(&p, n) < due) {
                fail_msg("%s: the gradients of weights behind the exchange of node %d are %g FLOPs of %g", kind, n,
                         weights_behind(&p, n), due);
            }
        }
    }
    plan_free(&p);
}

static void test_weights(void **state) {
    (void)state;
    check_weights("gated_deltanet", &hy_class_recur, 2);
    check_weights("mamba2", &hy_class_recur, 2);
    check_weights("attention", &hy_class_attention, 1);
}

/* Products between the start and the finish of every exchange of this class, forward; backward. */
static void check_products(const char *kind, const hy_node_class *exchange, int fwd, int bwd) {
    planned p;
    plan_kind(&p, kind, NULL, (planned_how){.size = 2, .train = true, .recompute = HY_RECOMPUTE_BLOCK});
    for (int n = 0; n < p.g.n_nodes; n++) {
        int found[3] = {0};
        for (int m = 0; m < p.g.n_nodes && p.g.nodes[n].class == exchange; m++) {
            if (strcmp(p.g.nodes[m].class->name, "linear") == 0) {
                found[HY_PHASE_FWD] += lies_between(&p, m, n, HY_PHASE_FWD);
                found[HY_PHASE_BWD] += lies_between(&p, m, n, HY_PHASE_BWD);
            }
        }
        if (p.g.nodes[n].class == exchange && (found[HY_PHASE_FWD] < fwd || found[HY_PHASE_BWD] < bwd)) {
            fail_msg("%s: node %d has %d products forward, %d backward to hide behind", kind, n, found[HY_PHASE_FWD],
                     found[HY_PHASE_BWD]);
        }
    }
    plan_free(&p);
}

static void test_products(void **state) {
    (void)state;
    check_products("gated_deltanet", &hy_class_conv, 1, 1); /* q's, k's and v's convolutions */
    check_products("attention", &hy_class_attention, 1, 0); /* q's projection: its keys travel first */
    check_products("mla", &hy_class_attention, 1, 0);
    check_products("rwkv7", &hy_class_recur, 3, 2); /* r, and the gate's low-rank pair */
}

/* A block's gradients may travel once they are complete and the exchanges of the block before it, whose gradients come next, are over; behind the
 * first one of block 1, after which no exchange of the pass comes; those of block 1, at its end. Each is told once. */
static void check_told(const char *kind, int size) {
    planned p;
    plan_kind(&p, kind, NULL, (planned_how){.size = size, .train = true, .recompute = HY_RECOMPUTE_BLOCK});
    for (int block = 0; block <= PLANNED_LAYERS; block++) {
        int at = -1, last = -1, times = 0, finish = -1;
        for (int i = 0; i < p.plan->n_instructions; i++) {
            const hy_instruction *ins = &p.plan->instructions[i];
            const hy_node *node = &p.g.nodes[ins->node];
            const bool backward = ins->phase == HY_PHASE_BWD;
            times += ins->block_done == block;
            at = ins->block_done == block ? i : at;
            last = backward && node->block == block ? i : last;
            if (backward && node->block == block - 1 && node->class->mixes && ins->part == HY_SP_FINISH &&
                (block > 2 || finish < 0)) {
                finish = i;
            }
        }
        if (times != 1 || at != (finish >= 0 ? finish : last) || at < last) {
            fail_msg("%s, %d ranks: block %d, complete at %d, is told %d times, at %d instead of %d", kind, size, block,
                     last, times, at, finish);
        }
    }
    plan_free(&p);
}

static void test_told(void **state) {
    (void)state;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        check_told(hy_mixer_row_at(i)->kind, 1);
        check_told(hy_mixer_row_at(i)->kind, 2);
    }
}

/* ---- order ---- */

/* When a node's backward touches this gradient or parameter, if it does; whether it writes it. */
typedef struct touch {
    bool any, writes;
    int time[2];
} touch;

static void touch_in(const planned *p, int node, hy_sp_part part, touch *t) {
    int at = find(p, node, HY_PHASE_BWD, part);
    at = at < 0 ? find(p, node, HY_PHASE_BWD, HY_SP_WHOLE) : at;
    t->time[0] = t->any && t->time[0] < at ? t->time[0] : at;
    t->time[1] = t->any && t->time[1] > at ? t->time[1] : at;
    t->any = true;
}

static touch touch_of(const planned *p, int n, hy_var root, int param) {
    const hy_node *node = &p->g.nodes[n];
    touch t = {.any = false};
    for (int i = 0; i < node->n_in && node->class->bwd; i++) {
        if (node->in[i] != HY_NONE && p->g.vars[node->in[i]].has_grad && hy_grad_root(&p->g, node->in[i]) == root) {
            touch_in(p, n, HY_SP_START, &t);
            touch_in(p, n, node->class->weights_apart ? HY_SP_START : HY_SP_FINISH, &t);
            t.writes = true;
        }
    }
    for (int i = 0; i < HY_NODE_WEIGHTS; i++) {
        if (param >= 0 && node->w[i].param == param) {
            touch_in(p, n, HY_SP_FINISH, &t);
            touch_in(p, n, node->class->weights_apart ? HY_SP_FINISH : HY_SP_START, &t);
            t.writes = true;
        }
    }
    for (int i = 0; i < node->n_out; i++) {
        if (p->g.vars[node->out[i]].has_grad && hy_grad_root(&p->g, node->out[i]) == root) {
            touch_in(p, n, HY_SP_START, &t);
            touch_in(p, n, HY_SP_FINISH, &t);
        }
    }
    return t;
}

/* Two nodes that touch it, one of them writing, run in reverse order of nodes, and not one inside the other. */
static void check_sum(const char *kind, const planned *p, hy_var root, int param) {
    for (int n = p->g.n_nodes - 1; n >= 0; n--) {
        const touch first = touch_of(p, n, root, param);
        for (int m = n - 1; m >= 0 && first.any; m--) {
            const touch second = touch_of(p, m, root, param);
            if (second.any && (first.writes || second.writes) &&
                (first.time[0] < 0 || second.time[0] < 0 || first.time[1] >= second.time[0])) {
                fail_msg("%s: nodes %d and %d add to %s in another order", kind, n, m,
                         root >= 0 ? p->g.vars[root].name : p->g.params[param].name);
            }
        }
    }
}

static void check_sums(const char *kind, const planned *p) {
    for (hy_var v = 0; v < p->g.n_vars; v++) {
        check_sum(kind, p, v, -1);
    }
    for (int param = 0; param < p->g.n_params; param++) {
        check_sum(kind, p, HY_NONE, param);
    }
}

static void test_sums(void **state) {
    (void)state;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        for (int size = 1; size <= 3; size += 2) {
            planned p;
            plan_kind(&p, hy_mixer_row_at(i)->kind, NULL,
                      (planned_how){.size = size, .train = true, .recompute = HY_RECOMPUTE_BLOCK});
            check_sums(hy_mixer_row_at(i)->kind, &p);
            plan_free(&p);
        }
    }
}

/* Two products, of one of which an exchange waits for the gradient of the input: the other hides it, and with one weight for both the gradients
 * of that do, which nobody waits for, in their order. */
static void test_shared_weight(void **state) {
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        planned p;
        hy_graph *g = &p.g;
        hy_graph_init(g);
        hy_weight table = hy_graph_param(g, "table", 2, (int64_t[]){5, 4}, HY_INIT_NORMAL, true);
        hy_weight w = hy_graph_param(g, "w", 2, (int64_t[]){4, 4}, HY_INIT_NORMAL, true), none = {HY_NONE, 0};
        hy_var x = hy_node_embed(g, table, 4, 5, -1), z = hy_node_embed(g, table, 4, 5, -1);
        hy_var far = hy_node_linear_weight(g, hy_node_conv(g, x, "conv", 3, false, HY_ACT_SILU), w, none, 4);
        hy_var near = shared ? hy_node_linear_weight(g, z, w, none, 4) : hy_node_linear(g, z, "own", 4, false);
        hy_var y = hy_node_glu(g, far, near, HY_ACT_SILU);
        const int conv = g->vars[far].producer - 1, product = g->vars[near].producer;
        hy_node_head_loss(g, y, table, 4, 5);
        assert_int_equal(g->status, HY_OK);
        assert_int_equal(hy_graph_roles(g), HY_OK);
        plan_graph(&p, (planned_how){.size = 2, .train = true});
        check_sums("shared weight", &p);
        assert_true(lies_between(&p, product, conv, HY_PHASE_BWD));
        assert_true(weights_behind(&p, conv) == 2 * flops_of(&p, product));
        plan_free(&p);
    }
}

/* ---- residual sums and norms of them ---- */

/* Sums that share their call with a norm, in one phase. */
static int sums_with_norm(const planned *p, hy_phase phase) {
    int n = 0;
    for (int i = 0; i < p->plan->n_instructions; i++) {
        const hy_instruction *ins = &p->plan->instructions[i];
        if (ins->norm >= 0 && ins->phase == phase) {
            const hy_node *sum = &p->g.nodes[ins->node], *norm = &p->g.nodes[ins->norm];
            assert_string_equal(sum->class->name, "residual");
            assert_int_equal(norm->in[0], sum->out[0]);
            assert_int_equal(find(p, ins->norm, phase, HY_SP_WHOLE), -1);
            n++;
        }
    }
    return n;
}

static void check_sums_with_norm(const char *kind, mixer_fields *fields, planned_how how, int forward, int again) {
    planned p;
    plan_kind(&p, kind, fields, how);
    const int sums[] = {sums_with_norm(&p, HY_PHASE_FWD), sums_with_norm(&p, HY_PHASE_RECOMPUTE),
                        sums_with_norm(&p, HY_PHASE_BWD)};
    if (sums[0] != forward || sums[1] != again || sums[2] != 0) {
        fail_msg("%s on %d: %d, %d, %d sums with a norm instead of %d, %d, 0", kind, how.size, sums[0], sums[1],
                 sums[2], forward, again);
    }
    plan_free(&p);
}

static void norms_behind(hy_mixer_config *m) {
    m->norm_place = HY_NORM_POST;
}

/* Two sums in a block with an MLP. Forward each is made with the next block's norm, the model's last; of a block that is computed again, all but
 * the last block, the first with the MLP's, while the second is held. Blocks with norms behind their parts leave the model's norm to the last
 * sum. A mixer without MLP has one sum, and nothing to make it with again. */
static void test_sums_with_norms(void **state) {
    (void)state;
    enum { L = PLANNED_LAYERS };
    for (int size = 1; size <= 3; size += 2) {
        const planned_how eval = {.size = size}, none = {.size = size, .train = true},
                          block = {.size = size, .train = true, .recompute = HY_RECOMPUTE_BLOCK};
        check_sums_with_norm("gated_deltanet", NULL, eval, 2 * L, 0);
        check_sums_with_norm("gated_deltanet", NULL, none, 2 * L, 0);
        check_sums_with_norm("gated_deltanet", NULL, block, 2 * L, L - 1);
        check_sums_with_norm("attention", NULL, block, 2 * L, L - 1);
        check_sums_with_norm("rwkv7", NULL, block, 2 * L, L - 1);
        check_sums_with_norm("mamba2", NULL, block, L, 0);
        check_sums_with_norm("attention", norms_behind, block, 1, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_with_norms), cmocka_unit_test(test_gates), cmocka_unit_test(test_products),
        cmocka_unit_test(test_weights),         cmocka_unit_test(test_told),  cmocka_unit_test(test_sums),
        cmocka_unit_test(test_shared_weight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
