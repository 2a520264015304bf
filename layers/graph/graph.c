#include "layers/graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"

void hy_graph_init(hy_graph *graph) {
    memset(graph, 0, sizeof(*graph));
    graph->init_std = 0.02;
    graph->first_value = HY_NONE;
    graph->shift_taps = HY_NONE;
}

void hy_graph_fini(hy_graph *graph) {
    hy_free(graph->vars);
    hy_free(graph->nodes);
    hy_free(graph->params);
    hy_graph_init(graph);
}

/* Far above any model, and so far below 2^63 that what follows from sizes cannot overflow: sums over layers, bytes, scratch. */
static const int64_t ELEMENTS_MAX = (int64_t)1 << 40;

static hy_status too_large(const hy_graph *graph, const char *name, int64_t elements) {
    if (elements >= 0 && elements <= ELEMENTS_MAX) {
        return HY_OK;
    }
    return hy_fail(HY_ERR_USAGE, "%s%s: more than %lld elements; nothing in a model may be larger", graph->prefix, name,
                   (long long)ELEMENTS_MAX);
}

void hy_graph_state(hy_graph *graph, const char *name, int64_t elements) {
    if (graph->status == HY_OK) {
        graph->status = too_large(graph, name, elements);
    }
    graph->largest_state = elements > graph->largest_state ? elements : graph->largest_state;
}

/* Every variable of every layer may be held at once, and a state for every 64 tokens and every fragment, two of which a rank has. */
hy_status hy_graph_check_tokens(const hy_graph *graph, int64_t n_seq, int64_t len, int64_t ranks) {
    const int64_t tokens = hy_product(n_seq, len), pieces = hy_product(n_seq, len / 64 + 2 * ranks + 1);
    int64_t widest = 1;
    for (int v = 0; v < graph->n_vars; v++) {
        const hy_variable *var = &graph->vars[v];
        widest = var->per_token && var->cols > widest ? var->cols : widest;
    }
    if (hy_product(tokens, 32 * widest) < 0 || hy_product(pieces, graph->largest_state) < 0) {
        return hy_fail(HY_ERR_USAGE,
                       "%lld sequences of %lld tokens are too much for layers of %lld channels: their sizes cannot be "
                       "counted; fewer or shorter sequences (data.batch, data.sequence)",
                       (long long)n_seq, (long long)len, (long long)widest);
    }
    return HY_OK;
}

hy_var hy_graph_var(hy_graph *graph, const char *name, int64_t cols) {
    if (graph->status == HY_OK) {
        graph->status = too_large(graph, name, cols);
    }
    if (graph->status == HY_OK) {
        graph->status = HY_GROW("graph variables", graph->n_vars + 1, &graph->cap_vars, &graph->vars);
    }
    if (graph->status != HY_OK) {
        return HY_NONE;
    }
    hy_variable *v = &graph->vars[graph->n_vars];
    *v = (hy_variable){.cols = cols, .per_token = true, .has_grad = true, .producer = HY_NONE, .grad_alias = HY_NONE};
    snprintf(v->name, sizeof(v->name), "%s", name);
    return graph->n_vars++;
}

hy_node *hy_graph_node(hy_graph *graph, const hy_node_class *class, int n_in, const hy_var *in, int n_out,
                       const hy_var *out) {
    if (graph->status == HY_OK) {
        graph->status = HY_GROW("graph nodes", graph->n_nodes + 1, &graph->cap_nodes, &graph->nodes);
    }
    if (graph->status != HY_OK) {
        return NULL;
    }
    hy_node *node = &graph->nodes[graph->n_nodes];
    *node = (hy_node){.class = class, .block = graph->block, .n_in = n_in, .n_out = n_out};
    for (int i = 0; i < HY_NODE_INPUTS; i++) {
        node->in[i] = i < n_in ? in[i] : HY_NONE;
    }
    for (int i = 0; i < HY_NODE_OUTPUTS; i++) {
        node->out[i] = i < n_out ? out[i] : HY_NONE;
        if (i < n_out) {
            graph->vars[out[i]].producer = graph->n_nodes;
        }
    }
    for (int i = 0; i < HY_NODE_WEIGHTS; i++) {
        node->w[i].param = HY_NONE;
    }
    graph->n_nodes++;
    return node;
}

hy_weight hy_graph_param(hy_graph *graph, const char *name, int n_dims, const int64_t *shape, hy_init init,
                         bool decay) {
    if (graph->status == HY_OK) {
        graph->status = HY_GROW("graph parameters", graph->n_params + 1, &graph->cap_params, &graph->params);
    }
    if (graph->status != HY_OK) {
        return (hy_weight){HY_NONE, 0};
    }
    hy_param *p = &graph->params[graph->n_params];
    *p = (hy_param){.n_dims = n_dims,
                    .size = 1,
                    .block = graph->block,
                    .role = HY_ROLE_STAT,
                    .decay = decay,
                    .init = init,
                    .init_a = graph->init_std};
    snprintf(p->name, sizeof(p->name), "%s%s", graph->prefix, name);
    for (int i = 0; i < n_dims; i++) {
        p->shape[i] = shape[i];
        p->size = hy_product(p->size, shape[i]);
    }
    graph->status = too_large(graph, name, p->size);
    return graph->status != HY_OK ? (hy_weight){HY_NONE, 0} : (hy_weight){graph->n_params++, 0};
}

hy_weight hy_graph_shared_param(hy_graph *graph, const char *name, int n_dims, const int64_t *shape, hy_init init,
                                bool decay) {
    for (int i = 0; i < graph->n_params; i++) {
        if (strcmp(graph->params[i].name, name) == 0) {
            return (hy_weight){i, 0};
        }
    }
    hy_weight w = hy_graph_param(graph, "", n_dims, shape, init, decay);
    if (w.param != HY_NONE) {
        hy_param *p = &graph->params[w.param];
        snprintf(p->name, sizeof(p->name), "%s", name);
        p->block = 0;
    }
    return w;
}

void hy_graph_matrix(hy_graph *graph, hy_weight w) {
    if (w.param != HY_NONE) {
        graph->params[w.param].role = HY_ROLE_WEIGHT;
    }
}

void hy_graph_start(hy_graph *graph, hy_var v, hy_init init, double a) {
    if (v != HY_NONE) {
        hy_param *p = &graph->params[graph->nodes[graph->vars[v].producer].w[0].param];
        p->init = init;
        p->init_a = a;
    }
}

void hy_graph_formula(hy_graph *graph, hy_weight w, double (*formula)(const hy_param *p, int64_t index)) {
    if (w.param != HY_NONE) {
        graph->params[w.param].init = HY_INIT_FORMULA;
        graph->params[w.param].formula = formula;
    }
}
