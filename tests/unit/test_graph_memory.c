/* The arena of a plan: nothing is overwritten while it is wanted. The instructions of every mixer are followed, with what each reads and writes,
 * on one rank and on several, where what an exchange needs must live from its start to its finish; what is offloaded is there when it leaves,
 * stays until it has left, and is not read before it is back. Its memory does not grow with depth then, but by what nodes keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/memory.h"
#include "tests/planned_graph.h"

/* What an instruction reads and writes, as places in the arena; `valid`: what was written there is still there. */
typedef struct place {
    int64_t offset, bytes;
    bool valid, coming; /* coming: a copy to it is on its way */
} place;

typedef struct arena {
    const planned *p;
    const char *kind;
    int n;
    place *places;
    int time;
} arena;

static place *place_of(arena *a, int64_t offset, int64_t bytes) {
    for (int i = 0; i < a->n; i++) {
        if (a->places[i].offset == offset && a->places[i].bytes == bytes) {
            return &a->places[i];
        }
    }
    a->places[a->n] = (place){offset, bytes, false, false};
    return &a->places[a->n++];
}

static void writes(arena *a, int64_t offset, int64_t bytes) {
    place *mine = place_of(a, offset, bytes);
    assert_true(offset >= 0 && offset + bytes <= a->p->plan->arena_bytes);
    for (int i = 0; i < a->n; i++) {
        place *other = &a->places[i];
        if (other != mine && other->offset < offset + bytes && offset < other->offset + other->bytes) {
            other->valid = other->coming = false;
        }
    }
    mine->valid = true;
}

static void reads(arena *a, int64_t offset, int64_t bytes) {
    if (bytes > 0 && !place_of(a, offset, bytes)->valid) {
        const hy_instruction *ins = &a->p->plan->instructions[a->time];
        fail_msg("%s: instruction %d, node '%s' %d, phase %d, part %d, reads what is not there", a->kind, a->time,
                 a->p->g.nodes[ins->node].class->name, ins->node, ins->phase, ins->part);
    }
}

static int64_t bytes_of(const arena *a, hy_var v) {
    const hy_variable *var = &a->p->g.vars[v];
    return var->cols * (var->per_token ? a->p->dims.T : 1) * (int64_t)hy_sp_size(&a->p->sp, var->role);
}

typedef void access(arena *a, int64_t offset, int64_t bytes);

static void values(arena *a, access *how, const hy_var *vars, int n, unsigned which, hy_phase phase) {
    for (int i = 0; i < n; i++) {
        if (vars[i] != HY_NONE && (which >> i & 1)) {
            how(a, a->p->plan->value_offset[phase != HY_PHASE_FWD][vars[i]], bytes_of(a, vars[i]));
        }
    }
}

static void gradients(arena *a, access *how, const hy_var *vars, int n) {
    for (int i = 0; i < n; i++) {
        if (vars[i] != HY_NONE && a->p->g.vars[vars[i]].has_grad) {
            how(a, a->p->plan->grad_offset[vars[i]], bytes_of(a, vars[i]));
        }
    }
}

/* One node of an instruction. */
static void follow(arena *a, const hy_instruction *ins, int n) {
    const hy_node *node = &a->p->g.nodes[n];
    const hy_node_class *class = node->class;
    const hy_graph_plan *plan = a->p->plan;
    const int64_t kept = class->kept ? class->kept(&a->p->sizing, node) : 0,
                  work = class->work ? class->work(&a->p->sizing, node) : 0;
    const bool bwd = ins->phase == HY_PHASE_BWD, start = ins->part == HY_SP_START, finish = ins->part == HY_SP_FINISH;
    const bool apart = bwd && class->weights_apart, inputs_only = apart && start, weights_only = apart && finish;
    const unsigned bwd_reads_in = inputs_only ? 0 : class->bwd_reads_in;
    values(a, reads, node->in, node->n_in, bwd ? bwd_reads_in : start ? ~class->late_in : ~0u, ins->phase);
    if (finish) {
        reads(a, plan->work_offset[ins->phase][n], work);
    }
    if (finish || ins->phase != HY_PHASE_FWD) {
        reads(a, plan->kept_offset[n], kept);
    }
    if (bwd) {
        values(a, reads, node->out, node->n_out, class->bwd_reads_out, ins->phase);
        if (!class->loss) {
            gradients(a, reads, node->out, node->n_out);
        }
        for (int i = 0; i < node->n_in && class->bwd && !weights_only; i++) {
            gradients(a, plan->acc[n][i] || finish ? reads : writes, &node->in[i], 1);
        }
    } else if (!start) {
        values(a, writes, node->out, node->n_out, ~0u, ins->phase);
    }
    if (!finish && work > 0) {
        writes(a, plan->work_offset[ins->phase][n], work);
    }
    if (ins->phase == HY_PHASE_FWD && kept > 0) {
        writes(a, plan->kept_offset[n], kept);
    }
}

static void follow_move(arena *a, const hy_move *move) {
    const hy_graph_plan *plan = a->p->plan;
    const hy_offloaded *value = &plan->offload.values[move->value];
    const int64_t out = plan->value_offset[0][value->var], in = plan->value_offset[1][value->var];
    if (move->kind == HY_MOVE_OUT || move->kind == HY_MOVE_FREE) {
        reads(a, out, value->bytes);
    } else if (move->kind == HY_MOVE_IN) {
        writes(a, in, value->bytes);
        place_of(a, in, value->bytes)->valid = false;
        place_of(a, in, value->bytes)->coming = true;
    } else {
        assert_true(place_of(a, in, value->bytes)->coming);
        *place_of(a, in, value->bytes) = (place){in, value->bytes, true, false};
    }
}

static int follow_moves(arena *a, int next) {
    const hy_offload *offload = &a->p->plan->offload;
    while (next < offload->n_moves && offload->moves[next].before == a->time) {
        follow_move(a, &offload->moves[next++]);
    }
    return next;
}

static void check_memory(const char *kind, const planned *p) {
    arena a = {.p = p, .kind = kind, .places = calloc((size_t)(4 * p->g.n_vars + 4 * p->g.n_nodes), sizeof(place))};
    int moved = 0;
    for (a.time = 0; a.time < p->plan->n_instructions; a.time++) {
        moved = follow_moves(&a, moved);
        const hy_instruction *ins = &p->plan->instructions[a.time];
        follow(&a, ins, ins->node);
        if (ins->norm >= 0) {
            follow(&a, ins, ins->norm);
        }
    }
    assert_int_equal(moved, p->plan->offload.n_moves);
    free(a.places);
}

/* Places in the host's memory, each its own. */
static void check_host(const hy_offload *offload) {
    for (int i = 0; i < offload->n_values; i++) {
        assert_true(offload->values[i].at >= 0 && offload->values[i].bytes > 0);
        assert_true(offload->values[i].at + offload->values[i].bytes <= offload->bytes);
        for (int j = 0; j < i; j++) {
            const hy_offloaded *a = &offload->values[i], *b = &offload->values[j];
            assert_true(a->at + a->bytes <= b->at || b->at + b->bytes <= a->at);
        }
    }
}

static void check_kind(const char *kind, planned_how how) {
    planned p;
    plan_kind(&p, kind, NULL, how);
    check_memory(kind, &p);
    check_host(&p.plan->offload);
    assert_int_equal(p.plan->offload.n_values > 0, how.train && how.offload);
    plan_free(&p);
}

static void test_memory(void **state) {
    (void)state;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        for (int size = 1; size <= 3; size += 2) {
            const char *kind = hy_mixer_row_at(i)->kind;
            check_kind(kind, (planned_how){.size = size, .offload = true});
            for (int how = 0; hy_recompute_names[how / 2]; how++) {
                check_kind(kind, (planned_how){size, 0, true, how % 2, (hy_recompute)(how / 2)});
            }
        }
    }
}

/* ---- depth ---- */

typedef struct depth {
    int64_t arena, host, kept, input;
} depth;

static depth at_depth(const char *kind, int layers, bool offload) {
    planned p;
    plan_kind(&p, kind, NULL, (planned_how){1, layers, true, offload, HY_RECOMPUTE_BLOCK});
    depth d = {.arena = p.plan->arena_bytes, .host = p.plan->offload.bytes, .input = 256 * p.dims.T * 2};
    for (int n = 0; n < p.g.n_nodes; n++) {
        const hy_node *node = &p.g.nodes[n];
        d.kept += node->class->kept ? node->class->kept(&p.sizing, node) + HY_ALIGN : 0;
    }
    plan_free(&p);
    return d;
}

/* Eight blocks more: without offload their inputs lie on the device, with it in the host's memory. */
static void test_depth(void **state) {
    (void)state;
    static const char *const kinds[] = {"gated_deltanet", "gla", "attention", "mamba2", "rwkv7", "mla"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const depth few = at_depth(kinds[i], 6, true), many = at_depth(kinds[i], 14, true),
                    plain_few = at_depth(kinds[i], 6, false), plain_many = at_depth(kinds[i], 14, false);
        assert_true(plain_many.arena - plain_few.arena >= 8 * few.input);
        assert_true(many.host - few.host >= 8 * few.input);
        assert_true(plain_few.host == 0 && many.arena < plain_many.arena);
        if (many.arena - few.arena > many.kept - few.kept) {
            fail_msg("%s: 8 blocks more take %lld bytes more, %lld of them what nodes keep", kinds[i],
                     (long long)(many.arena - few.arena), (long long)(many.kept - few.kept));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_depth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
