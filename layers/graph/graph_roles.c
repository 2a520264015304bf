/* Roles of variables. A consumer that reads a statistic says so in its class (stat_in); from there the role goes back through
 * everything that can produce it, so that nothing is rounded on the way: a decay is float32 from the product whose columns it begins
 * as. Nodes stand in the order in which they run, so one pass from the last to the first meets every consumer before its producer. */
#include "layers/graph/graph.h"

static bool bit(unsigned bits, int i) {
    return bits >> i & 1;
}

static bool can_make_stat(const hy_graph *g, hy_var v) {
    return g->nodes[g->vars[v].producer].class->either_out;
}

/* What a node wants its inputs to be, its outputs being settled. */
static void ask(hy_graph *g, const hy_node *node) {
    const hy_node_class *class = node->class;
    const bool stat = class->either_out && node->n_out > 0 && g->vars[node->out[0]].role == HY_ROLE_STAT;
    for (int i = 0; i < node->n_in; i++) {
        const hy_var v = node->in[i];
        if (v != HY_NONE && (bit(class->stat_in, i) || (stat && bit(class->same_in, i)) ||
                             (stat && bit(class->either_in, i) && can_make_stat(g, v)))) {
            g->vars[v].role = HY_ROLE_STAT;
        }
    }
}

static hy_status check_outputs(const hy_graph *g, const hy_node *node) {
    const hy_node_class *class = node->class;
    for (int i = 0; i < node->n_out; i++) {
        const hy_variable *var = &g->vars[node->out[i]];
        if (var->role == HY_ROLE_STAT && !bit(class->stat_out, i) && !class->either_out) {
            return hy_fail(HY_ERR_FAILED,
                           "graph: node '%s' makes activations, but '%s' is read as a statistic; put an identity "
                           "unary between",
                           class->name, var->name);
        }
    }
    return HY_OK;
}

static hy_status check_inputs(const hy_graph *g, const hy_node *node) {
    const hy_node_class *class = node->class;
    const hy_role out = node->n_out > 0 ? g->vars[node->out[0]].role : HY_ROLE_ACT;
    for (int i = 0; i < node->n_in; i++) {
        if (node->in[i] == HY_NONE || bit(class->either_in, i)) {
            continue;
        }
        const hy_variable *var = &g->vars[node->in[i]];
        const hy_role wanted = bit(class->stat_in, i) ? HY_ROLE_STAT : bit(class->same_in, i) ? out : HY_ROLE_ACT;
        if (var->role != wanted) {
            return hy_fail(HY_ERR_FAILED,
                           "graph: node '%s' cannot read '%s' as the %s that another node needs it to be; put an "
                           "identity unary between",
                           class->name, var->name, var->role == HY_ROLE_STAT ? "statistic" : "activation");
        }
    }
    return HY_OK;
}

hy_status hy_graph_roles(hy_graph *graph) {
    for (int n = 0; n < graph->n_nodes; n++) {
        const hy_node *node = &graph->nodes[n];
        for (int i = 0; i < node->n_out; i++) {
            graph->vars[node->out[i]].role = bit(node->class->stat_out, i) ? HY_ROLE_STAT : HY_ROLE_ACT;
        }
    }
    for (int n = graph->n_nodes - 1; n >= 0; n--) {
        ask(graph, &graph->nodes[n]);
    }
    for (int n = 0; n < graph->n_nodes; n++) {
        HY_TRY(check_outputs(graph, &graph->nodes[n]));
        HY_TRY(check_inputs(graph, &graph->nodes[n]));
    }
    return HY_OK;
}
