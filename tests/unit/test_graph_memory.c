/* The arena of a plan: nothing is overwritten while it is wanted. The instructions of every mixer are followed, with what each reads and writes,
 * on one rank and on several, where what an exchange needs must live from its start to its finish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/planned_graph.h"

/* What an instruction reads and writes, as places in the arena; `valid`: what was written there is still there. */
typedef struct place {
    int64_t offset, bytes;
    bool valid;
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
    a->places[a->n] = (place){offset, bytes, false};
    return &a->places[a->n++];
}

static void writes(arena *a, int64_t offset, int64_t bytes) {
    place *mine = place_of(a, offset, bytes);
    assert_true(offset >= 0 && offset + bytes <= a->p->plan->arena_bytes);
    for (int i = 0; i < a->n; i++) {
        place *other = &a->places[i];
        if (other != mine && other->offset < offset + bytes && offset < other->offset + other->bytes) {
            other->valid = false;
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

static void follow(arena *a, const hy_instruction *ins) {
    const hy_node *node = &a->p->g.nodes[ins->node];
    const hy_node_class *class = node->class;
    const hy_graph_plan *plan = a->p->plan;
    const int64_t kept = class->kept ? class->kept(&a->p->sizing, node) : 0,
                  work = class->work ? class->work(&a->p->sizing, node) : 0;
    const bool bwd = ins->phase == HY_PHASE_BWD, start = ins->part == HY_SP_START, finish = ins->part == HY_SP_FINISH;
    values(a, reads, node->in, node->n_in, bwd ? class->bwd_reads_in : start ? ~class->late_in : ~0u, ins->phase);
    if (finish) {
        reads(a, plan->work_offset[ins->phase][ins->node], work);
    }
    if (finish || ins->phase != HY_PHASE_FWD) {
        reads(a, plan->kept_offset[ins->node], kept);
    }
    if (bwd) {
        values(a, reads, node->out, node->n_out, class->bwd_reads_out, ins->phase);
        if (!class->loss) {
            gradients(a, reads, node->out, node->n_out);
        }
        for (int i = 0; i < node->n_in && class->bwd; i++) {
            gradients(a, plan->acc[ins->node][i] || finish ? reads : writes, &node->in[i], 1);
        }
    } else if (!start) {
        values(a, writes, node->out, node->n_out, ~0u, ins->phase);
    }
    if (!finish && work > 0) {
        writes(a, plan->work_offset[ins->phase][ins->node], work);
    }
    if (ins->phase == HY_PHASE_FWD && kept > 0) {
        writes(a, plan->kept_offset[ins->node], kept);
    }
}

static void check_memory(const char *kind, const planned *p) {
    arena a = {.p = p, .kind = kind, .places = calloc((size_t)(4 * p->g.n_vars + 4 * p->g.n_nodes), sizeof(place))};
    for (a.time = 0; a.time < p->plan->n_instructions; a.time++) {
        follow(&a, &p->plan->instructions[a.time]);
    }
    free(a.places);
}

static void check_kind(const char *kind, int size, bool train, hy_recompute recompute) {
    planned p;
    plan_kind(&p, kind, NULL, size, train, recompute);
    check_memory(kind, &p);
    plan_free(&p);
}

static void test_memory(void **state) {
    (void)state;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        for (int size = 1; size <= 3; size += 2) {
            check_kind(hy_mixer_row_at(i)->kind, size, false, HY_RECOMPUTE_NONE);
            for (int recompute = 0; hy_recompute_names[recompute]; recompute++) {
                check_kind(hy_mixer_row_at(i)->kind, size, true, (hy_recompute)recompute);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
