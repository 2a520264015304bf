#include "layers/graph/graph_order.h"

#include "base/memory.h"

/* What is known of a node between the exchange under way and the next one. */
typedef struct mark {
    bool done;   /* it has its place */
    bool waits;  /* for the exchange under way, or for a node that does */
    bool wanted; /* by the next exchange, or by a node that is */
} mark;

typedef struct stretch {
    const hy_graph *g;
    hy_phase phase;
    const int *nodes;
    int n;
    mark *marks;
    hy_ordered *out;
    int n_out;
} stretch;

hy_var hy_grad_root(const hy_graph *g, hy_var v) {
    while (g->vars[v].grad_alias != HY_NONE) {
        v = g->vars[v].grad_alias;
    }
    return v;
}

/* ---- who depends on whom ---- */

static bool reads_output(const hy_node *reader, unsigned late, const hy_node *producer) {
    for (int i = 0; i < reader->n_in; i++) {
        for (int o = 0; o < producer->n_out && !(late >> i & 1); o++) {
            if (reader->in[i] != HY_NONE && reader->in[i] == producer->out[o]) {
                return true;
            }
        }
    }
    return false;
}

/* Whether a node's backward writes this gradient; below, reads or writes it. */
static bool writes_gradient(const hy_graph *g, const hy_node *node, hy_var root) {
    for (int i = 0; i < node->n_in && node->class->bwd; i++) {
        if (node->in[i] != HY_NONE && g->vars[node->in[i]].has_grad && hy_grad_root(g, node->in[i]) == root) {
            return true;
        }
    }
    return false;
}

static bool touches_gradient(const hy_graph *g, const hy_node *node, hy_var root) {
    for (int i = 0; i < node->n_out; i++) {
        if (g->vars[node->out[i]].has_grad && hy_grad_root(g, node->out[i]) == root) {
            return true;
        }
    }
    return writes_gradient(g, node, root);
}

static bool writes_what_touches(const hy_graph *g, const hy_node *writer, const hy_node *other) {
    for (int i = 0; i < writer->n_in && writer->class->bwd; i++) {
        if (writer->in[i] != HY_NONE && g->vars[writer->in[i]].has_grad &&
            touches_gradient(g, other, hy_grad_root(g, writer->in[i]))) {
            return true;
        }
    }
    return false;
}

static bool share_parameter(const hy_node *a, const hy_node *b) {
    for (int i = 0; i < HY_NODE_WEIGHTS; i++) {
        for (int j = 0; j < HY_NODE_WEIGHTS; j++) {
            if (a->w[i].param != HY_NONE && a->w[i].param == b->w[j].param) {
                return true;
            }
        }
    }
    return false;
}

/* Whether node `later` of the stretch, or its START alone, must come after node `earlier`. */
static bool depends(const stretch *s, int later, hy_sp_part part, int earlier) {
    const hy_node *a = &s->g->nodes[s->nodes[earlier]], *b = &s->g->nodes[s->nodes[later]];
    if (s->phase != HY_PHASE_BWD) {
        return reads_output(b, part == HY_SP_START ? b->class->late_in : 0, a);
    }
    return writes_what_touches(s->g, a, b) || writes_what_touches(s->g, b, a) || share_parameter(a, b);
}

/* ---- order ---- */

static void place(stretch *s, int i, hy_sp_part part) {
    s->out[s->n_out++] = (hy_ordered){s->nodes[i], part};
    s->marks[i].done = true;
}

/* Among the nodes before `end`: those that wait for the exchange `open` (−1: none). All before that one are free. */
static void find_waiting(stretch *s, int open, int end) {
    for (int i = 0; i < end; i++) {
        s->marks[i].waits = open >= 0 && i > open && depends(s, i, HY_SP_WHOLE, open);
        for (int j = open + 1; j < i && open >= 0; j++) {
            s->marks[i].waits |= !s->marks[j].done && s->marks[j].waits && depends(s, i, HY_SP_WHOLE, j);
        }
    }
}

/* Those that the START of exchange `next` needs; the end of the stretch needs all. */
static void find_wanted(stretch *s, int next) {
    for (int i = next - 1; i >= 0; i--) {
        s->marks[i].wanted = next == s->n || depends(s, next, HY_SP_START, i);
        for (int k = i + 1; k < next; k++) {
            s->marks[i].wanted |= !s->marks[k].done && s->marks[k].wanted && depends(s, k, HY_SP_WHOLE, i);
        }
    }
}

/* From the START of exchange `open` to that of `next`. While none is under way, only what is wanted runs: the rest can hide one. */
static void place_between(stretch *s, int open, int next) {
    find_waiting(s, open, next);
    find_wanted(s, next);
    for (int i = 0; i < next; i++) {
        if (!s->marks[i].done && !s->marks[i].waits && (open >= 0 || s->marks[i].wanted)) {
            place(s, i, HY_SP_WHOLE);
        }
    }
    if (open >= 0) {
        place(s, open, HY_SP_FINISH);
    }
    for (int i = 0; i < next; i++) {
        if (!s->marks[i].done && s->marks[i].wanted) {
            place(s, i, HY_SP_WHOLE);
        }
    }
}

hy_status hy_graph_order(const hy_graph *g, hy_phase phase, const int *nodes, int n, hy_ordered *out, int *n_out) {
    stretch s = {.g = g, .phase = phase, .nodes = nodes, .n = n, .out = out};
    int open = -1;
    HY_TRY(HY_NEW("order of nodes", n, &s.marks));
    for (int i = 0; i < n; i++) {
        if (g->nodes[nodes[i]].class->mixes) {
            place_between(&s, open, i);
            place(&s, i, HY_SP_START);
            open = i;
        }
    }
    place_between(&s, open, n);
    hy_free(s.marks);
    *n_out = s.n_out;
    return HY_OK;
}
