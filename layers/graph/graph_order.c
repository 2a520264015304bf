#include "layers/graph/graph_order.h"

#include "base/memory.h"

/* A node, or the START or the FINISH of one whose weights are apart, and what is known of it between the exchange under way and the
 * next one. */
typedef struct piece {
    const hy_node *node;
    int id; /* of the node */
    hy_sp_part part;
    bool done;   /* it has its place */
    bool waits;  /* for the exchange under way, or for a piece that does */
    bool wanted; /* by the next exchange, or by a piece that is */
} piece;

typedef struct stretch {
    const hy_graph *g;
    hy_phase phase;
    piece *pieces;
    int n;
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

/* Whether a piece's backward writes this gradient; below, reads or writes it. */
static bool writes_gradient(const hy_graph *g, const piece *p, hy_var root) {
    const hy_node *node = p->node;
    for (int i = 0; i < node->n_in && node->class->bwd && p->part != HY_SP_FINISH; i++) {
        if (node->in[i] != HY_NONE && g->vars[node->in[i]].has_grad && hy_grad_root(g, node->in[i]) == root) {
            return true;
        }
    }
    return false;
}

static bool touches_gradient(const hy_graph *g, const piece *p, hy_var root) {
    for (int i = 0; i < p->node->n_out; i++) {
        if (g->vars[p->node->out[i]].has_grad && hy_grad_root(g, p->node->out[i]) == root) {
            return true;
        }
    }
    return writes_gradient(g, p, root);
}

static bool writes_what_touches(const hy_graph *g, const piece *writer, const piece *other) {
    const hy_node *node = writer->node;
    for (int i = 0; i < node->n_in && node->class->bwd && writer->part != HY_SP_FINISH; i++) {
        if (node->in[i] != HY_NONE && g->vars[node->in[i]].has_grad &&
            touches_gradient(g, other, hy_grad_root(g, node->in[i]))) {
            return true;
        }
    }
    return false;
}

/* Whether both add to the gradient of one parameter. */
static bool share_parameter(const piece *a, const piece *b) {
    for (int i = 0; i < HY_NODE_WEIGHTS && a->part != HY_SP_START && b->part != HY_SP_START; i++) {
        for (int j = 0; j < HY_NODE_WEIGHTS; j++) {
            if (a->node->w[i].param != HY_NONE && a->node->w[i].param == b->node->w[j].param) {
                return true;
            }
        }
    }
    return false;
}

/* Whether piece `later` of the stretch, or of an exchange its START alone, must come after piece `earlier`. */
static bool depends(const stretch *s, int later, hy_sp_part part, int earlier) {
    const piece *a = &s->pieces[earlier], *b = &s->pieces[later];
    if (s->phase != HY_PHASE_BWD) {
        return reads_output(b->node, part == HY_SP_START ? b->node->class->late_in : 0, a->node);
    }
    return writes_what_touches(s->g, a, b) || writes_what_touches(s->g, b, a) || share_parameter(a, b);
}

/* ---- order ---- */

/* The parts of a node that follow each other are all of it. */
static void place(stretch *s, int i, hy_sp_part part) {
    const hy_ordered *last = s->n_out > 0 ? &s->out[s->n_out - 1] : NULL;
    if (last && last->node == s->pieces[i].id && last->part == HY_SP_START && !s->pieces[i].node->class->mixes) {
        s->n_out--;
        part = HY_SP_WHOLE;
    }
    s->out[s->n_out++] = (hy_ordered){s->pieces[i].id, part};
    s->pieces[i].done = true;
}

/* Among the pieces before `end`: those that wait for the exchange `open` (−1: none). All before that one are free. */
static void find_waiting(stretch *s, int open, int end) {
    for (int i = 0; i < end; i++) {
        s->pieces[i].waits = open >= 0 && i > open && depends(s, i, HY_SP_WHOLE, open);
        for (int j = open + 1; j < i && open >= 0; j++) {
            s->pieces[i].waits |= !s->pieces[j].done && s->pieces[j].waits && depends(s, i, HY_SP_WHOLE, j);
        }
    }
}

/* Those that the START of exchange `next` needs; the end of the stretch needs all. */
static void find_wanted(stretch *s, int next) {
    for (int i = next - 1; i >= 0; i--) {
        s->pieces[i].wanted = next == s->n || depends(s, next, HY_SP_START, i);
        for (int k = i + 1; k < next; k++) {
            s->pieces[i].wanted |= !s->pieces[k].done && s->pieces[k].wanted && depends(s, k, HY_SP_WHOLE, i);
        }
    }
}

/* From the START of exchange `open` to that of `next`. While none is under way, only what is wanted runs: the rest can hide one. */
static void place_between(stretch *s, int open, int next) {
    find_waiting(s, open, next);
    find_wanted(s, next);
    for (int i = 0; i < next; i++) {
        const piece *p = &s->pieces[i];
        if (!p->done && !p->waits && (open >= 0 || p->wanted)) {
            place(s, i, p->part);
        }
    }
    if (open >= 0) {
        place(s, open, HY_SP_FINISH);
    }
    for (int i = 0; i < next; i++) {
        if (!s->pieces[i].done && s->pieces[i].wanted) {
            place(s, i, s->pieces[i].part);
        }
    }
}

static void add_piece(stretch *s, int id, hy_sp_part part) {
    s->pieces[s->n++] = (piece){.node = &s->g->nodes[id], .id = id, .part = part};
}

static void cut_nodes(stretch *s, const int *nodes, int n) {
    for (int i = 0; i < n; i++) {
        if (s->phase == HY_PHASE_BWD && s->g->nodes[nodes[i]].class->weights_apart) {
            add_piece(s, nodes[i], HY_SP_START);
            add_piece(s, nodes[i], HY_SP_FINISH);
        } else {
            add_piece(s, nodes[i], HY_SP_WHOLE);
        }
    }
}

hy_status hy_graph_order(const hy_graph *g, hy_phase phase, const int *nodes, int n, hy_ordered *out, int *n_out) {
    stretch s = {.g = g, .phase = phase, .out = out};
    int open = -1;
    HY_TRY(HY_NEW("order of nodes", 2 * n, &s.pieces));
    cut_nodes(&s, nodes, n);
    for (int i = 0; i < s.n; i++) {
        if (s.pieces[i].node->class->mixes) {
            place_between(&s, open, i);
            place(&s, i, HY_SP_START);
            open = i;
        }
    }
    place_between(&s, open, s.n);
    hy_free(s.pieces);
    *n_out = s.n_out;
    return HY_OK;
}
