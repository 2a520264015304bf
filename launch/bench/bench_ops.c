/* Which operations `hylas bench kernels` measures, by their names or by those of the mixers that are made of them. */
#include <stdio.h>
#include <string.h>

#include "launch/bench/bench.h"
#include "launch/one_mixer.h"
#include "layers/mixers/mixer.h"

static int list_ops(hy_bench_op ops[HY_BENCH_OPS_MAX]) {
    static const hy_rule rules[] = {HY_RULE_ADDITIVE, HY_RULE_DELTA};
    int n = 0;
    for (int rule = 0; rule < 2; rule++) {
        for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++) {
            ops[n++] = (hy_bench_op){.decay = (hy_decay)decay, .rule = rules[rule]};
        }
    }
    ops[n++] = (hy_bench_op){.decay = HY_DECAY_VECTOR, .exclusive = 1};
    ops[n++] = (hy_bench_op){.decay = HY_DECAY_VECTOR, .rule = HY_RULE_DPLR};
    ops[n++] = (hy_bench_op){.attention = true};
    return n;
}

/* Whether a layer of the mixer has the operation. */
static bool has_op(const hy_graph *graph, const hy_bench_op *op) {
    for (int i = 0; i < graph->n_nodes; i++) {
        const hy_node *node = &graph->nodes[i];
        const bool recur = node->class == &hy_class_recur || node->class == &hy_class_levels;
        if (op->attention ? node->class == &hy_class_attention
                          : recur && node->attr.recur.decay == op->decay && node->attr.recur.rule == op->rule &&
                                node->attr.recur.exclusive == op->exclusive) {
            return true;
        }
    }
    return false;
}

/* Marks the operations of every mixer with `only` in its name. */
static hy_status mark_by_mixer(const char *only, const hy_bench_op *all, int n, bool *wanted) {
    for (int i = 0; hy_mixer_row_at(i) != NULL; i++) {
        hy_model *model = NULL;
        if (strstr(hy_mixer_row_at(i)->kind, only) == NULL) {
            continue;
        }
        HY_TRY(hy_one_mixer_create(hy_mixer_row_at(i)->kind, &model));
        for (int k = 0; k < n; k++) {
            wanted[k] = wanted[k] || has_op(hy_model_graph(model), &all[k]);
        }
        hy_model_destroy(model);
    }
    return HY_OK;
}

static hy_status fail_unknown_op(const char *only, const hy_bench_op *all, int n) {
    char text[2048] = "", name[32];
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        hy_bench_op_name(&all[i], name, sizeof name);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "", name);
    }
    for (int i = 0; hy_mixer_row_at(i) != NULL && used < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
                                 i > 0 ? ", " : "; mixers: ", hy_mixer_row_at(i)->kind);
    }
    return hy_fail(HY_ERR_USAGE,
                   "--only %s: no operation has this in its name, and no mixer with it is made of one; operations: %s",
                   only, text);
}

hy_status hy_bench_choose_ops(const char *only, hy_bench_op ops[HY_BENCH_OPS_MAX], int *n_ops) {
    hy_bench_op all[HY_BENCH_OPS_MAX];
    bool wanted[HY_BENCH_OPS_MAX] = {false}, any = false;
    const int n = list_ops(all);
    for (int i = 0; i < n; i++) {
        char name[32];
        hy_bench_op_name(&all[i], name, sizeof name);
        wanted[i] = only == NULL || strstr(name, only) != NULL;
        any = any || wanted[i];
    }
    if (!any) {
        HY_TRY(mark_by_mixer(only, all, n, wanted));
    }
    *n_ops = 0;
    for (int i = 0; i < n; i++) {
        if (wanted[i]) {
            ops[(*n_ops)++] = all[i];
        }
    }
    return *n_ops > 0 ? HY_OK : fail_unknown_op(only, all, n);
}
