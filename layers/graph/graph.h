/* A model as a list of nodes, built once.
 *
 * A variable is an activation [T,cols] (or a fixed array [cols]); each has one producer. A node is one operation on variables and
 * weights, with a forward and a backward written once in its class; a mixer is a composition of nodes and needs no backward of
 * its own. Nodes run in the order in which they were added, backward in reverse, but for those that can run while another's exchange is
 * under way (graph_order.h). graph_plan.h turns the list into a schedule and memory offsets; runner.c executes it.
 *
 * Gradients: a node's backward adds to the weights' gradients, and writes each input's gradient: overwriting if it is the
 * first of the variable's consumers in backward order, accumulating otherwise (node->acc, decided by the plan). */
#ifndef HY_LAYERS_GRAPH_H
#define HY_LAYERS_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "layers/model.h"

typedef int hy_var; /* index into graph->vars; HY_NONE = absent */
enum { HY_NONE = -1, HY_NODE_INPUTS = 8, HY_NODE_OUTPUTS = 6, HY_NODE_WEIGHTS = 6 };

typedef struct hy_variable {
    char name[24];
    int64_t cols;
    hy_role role;   /* of its value and its gradient: activation or statistic (graph_roles.c) */
    bool per_token; /* [T,cols], else [cols] */
    bool has_grad;
    bool kept;         /* held from forward to backward even where the block is recomputed */
    int producer;      /* node */
    hy_var grad_alias; /* variable whose gradient buffer this one shares, or HY_NONE */
} hy_variable;

/* A part of a parameter: `param` indexes graph->params, `offset` counts elements from its start. */
typedef struct hy_weight {
    int param;
    int64_t offset;
} hy_weight;

typedef struct hy_node hy_node;
typedef struct hy_exec hy_exec;

/* What sizes may depend on: all known before the first step. */
typedef struct hy_sizing {
    const hy_sp *sp; /* profile, methods */
    const hy_layout_dims *dims;
    bool train;
    int64_t head_tile;
} hy_sizing;

typedef struct hy_node_class {
    const char *name;
    unsigned bwd_reads_in, bwd_reads_out; /* bit i: the backward reads the value of input (output) i */
    bool mixes;                           /* it looks at other tokens, and exchanges what other ranks hold of them */
    bool by_fragment; /* where `mixes`: what it gives depends on fragments alone, not on whose they are */
    unsigned late_in; /* inputs that the START of its forward does not read (sp.h) */
    /* Its backward can be called in two parts (hy_exec.sp->part): START gives its inputs' gradients and reads no value, FINISH its weights'. Nobody in
     * the pass reads those, so they can wait for an exchange to hide. */
    bool weights_apart;
    bool light;      /* costs little beside what it holds: recompute = light runs it again */
    bool overwrites; /* its backward cannot accumulate into input gradients */
    bool loss;       /* computes its gradients in one go with the loss: in training it runs in backward only */
    /* Roles. What is not said here is an activation; bit i stands for input (output) i. */
    unsigned stat_in, stat_out; /* statistics */
    bool either_out;            /* the outputs are statistics where a consumer reads them as such */
    unsigned same_in;           /* inputs of the same role as the outputs */
    unsigned either_in;         /* inputs of any role: that of the outputs where their producers can make it */
    void (*fwd)(hy_exec *x, const hy_node *node);
    bool sums; /* a residual sum, of inputs 0 and 1 */
    /* Of a norm: its forward and that of the sum whose result it normalises, in one call. NULL: each has its own. */
    void (*fwd_of_sum)(hy_exec *x, const hy_node *node, const hy_node *sum);
    void (*recompute)(hy_exec *x, const hy_node *node);       /* forward again without exchanges; NULL = fwd */
    void (*bwd)(hy_exec *x, const hy_node *node);             /* NULL = nothing to do (aliased gradients) */
    int64_t (*kept)(const hy_sizing *s, const hy_node *node); /* bytes from forward to backward; NULL = 0 */
    int64_t (*work)(const hy_sizing *s, const hy_node *node); /* scratch bytes of any one call; NULL = 0 */
    /* Bytes per sequence that go on from step to step; 0 = nothing does. Where `mixes`, −1 or NULL: it cannot (graph_carry.h). */
    int64_t (*carried)(const hy_sizing *s, const hy_node *node);
    void (*lists)(const hy_node *node,
                  hy_lists_needs *needs); /* lists of the layout that it reads (sp/lists); NULL = none */
    double (*flops)(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs); /* forward; NULL = 0 */
} hy_node_class;

/* Attributes, by class. */
typedef union hy_attr {
    struct {
        int64_t in, out, heads, ld;
    } linear;
    struct {
        hy_act act;
        double scale, floor;
    } unary;
    struct {
        hy_act act;
        int64_t group;
    } glu;
    struct {
        int64_t cols, w_rows;
        double eps;
        int zero_centred;
        hy_act act; /* of the output's gate */
    } norm;
    struct {
        int64_t H, D, first, rot;
        double base;
    } rope;
    struct {
        int64_t C, W;
        hy_act act;
    } conv;
    struct {
        int64_t C, G, W;
        double low, high;
    } window;
    struct {
        int64_t C, N, group;
    } long_conv;
    struct {
        hy_decay decay;
        hy_rule rule;
        int exclusive;
        int64_t H, HV, K, V, levels;
        double scale, log_decay_max;
    } recur; /* levels: of a log-linear one */
    struct {
        int64_t H;
    } bonus;
    struct {
        int64_t H, HKV, D, DV, window, sinks, rank, rope;
        double scale;
    } attn; /* rank, rope: of a latent */
    struct {
        int64_t H, K;
        double lower_bound;
    } decay_gate;
    struct {
        int64_t layer, layers;
    } lower_bound;
    struct {
        double (*log_decay)(int64_t head, int64_t heads, int64_t layer, int64_t layers);
        int64_t heads, layer, layers;
    } head_decay;
    struct {
        int64_t heads, repeat, cols;
    } repeat;
    struct {
        hy_act act;
        int64_t expand, group;
    } scale;
    struct {
        hy_feature_kind kind;
        int64_t cols;
        double eps;
    } feature;
    struct {
        int64_t heads;
    } own;
    struct {
        hy_act act;
    } lerp;
    struct {
        int64_t D, vocab, frozen; /* frozen: token whose embedding the input does not train; -1 = none */
    } ends;
} hy_attr;

struct hy_node {
    const hy_node_class *class;
    int block; /* 0 = embedding, final norm, head; 1+l = block l: the unit of recompute and of buckets of matrices */
    int n_in, n_out;
    hy_var in[HY_NODE_INPUTS], out[HY_NODE_OUTPUTS]; /* absent optional inputs are HY_NONE */
    hy_weight w[HY_NODE_WEIGHTS];                    /* absent: param = HY_NONE */
    hy_attr attr;
};

typedef struct hy_graph {
    hy_status status; /* first failure while building; later calls do nothing */
    int n_vars, n_nodes, n_params;
    int64_t cap_vars, cap_nodes, cap_params;
    hy_variable *vars;
    hy_node *nodes;
    hy_param *params;
    int block;
    hy_var first_value; /* rwkv7: values of the first such layer, which all later ones read; HY_NONE before it */
    hy_var shift_taps;  /* of all token shifts; HY_NONE before the first */
    char prefix[64];    /* of parameter names */
    double init_std;
    int64_t stat_elements; /* of the flat order, before its first matrix */
    int64_t largest_state; /* elements of what a node holds per fragment or chunk, of the node that has the most */
} hy_graph;

void hy_graph_init(hy_graph *graph);
void hy_graph_fini(hy_graph *graph);

/* ---- used by node builders ---- */
/* A node holds so many elements per fragment or chunk of tokens; −1 (of hy_product) and too many fail the graph. */
void hy_graph_state(hy_graph *graph, const char *name, int64_t elements);
/* HY_ERR_USAGE if a pass over n_seq sequences of len tokens on `ranks` ranks would have sizes that cannot be counted. */
HY_MUST_CHECK hy_status hy_graph_check_tokens(const hy_graph *graph, int64_t n_seq, int64_t len, int64_t ranks);
hy_var hy_graph_var(hy_graph *graph, const char *name, int64_t cols);
/* Adds a node with `in` (n_in entries, HY_NONE allowed) and n_out fresh outputs; NULL if the graph has failed. Valid until the next call. */
hy_node *hy_graph_node(hy_graph *graph, const hy_node_class *class, int n_in, const hy_var *in, int n_out,
                       const hy_var *out);
/* Adds parameter prefix+name. */
hy_weight hy_graph_param(hy_graph *graph, const char *name, int n_dims, const int64_t *shape, hy_init init, bool decay);
/* The parameter is read as a matrix, by products or the embedding: its role is HY_ROLE_WEIGHT. */
void hy_graph_matrix(hy_graph *graph, hy_weight w);
/* The parameter called `name`, without prefix, which all layers share: added by the first that asks for it. */
hy_weight hy_graph_shared_param(hy_graph *graph, const char *name, int n_dims, const int64_t *shape, hy_init init,
                                bool decay);
/* The weight of the node that makes `v` starts as `init` with init_a = a. */
void hy_graph_start(hy_graph *graph, hy_var v, hy_init init, double a);
/* The parameter starts by a formula of its elements' indices. */
void hy_graph_formula(hy_graph *graph, hy_weight w, double (*formula)(const hy_param *p, int64_t index));
/* The part of `weight` that starts `elements` further. */
static inline hy_weight hy_weight_at(hy_weight weight, int64_t elements) {
    return (hy_weight){weight.param, weight.offset + elements};
}
/* Byte offset of flat element `flat` in the compute copy (model.h): vectors come first. */
static inline int64_t hy_compute_offset(const hy_graph *graph, hy_dtype precision, int64_t flat) {
    const int64_t stats = flat < graph->stat_elements ? flat : graph->stat_elements;
    return stats * (int64_t)hy_role_size(precision, HY_ROLE_STAT) +
           (flat - stats) * (int64_t)hy_role_size(precision, HY_ROLE_WEIGHT);
}
static inline int64_t hy_weight_flat(const hy_graph *graph, hy_weight w) {
    return graph->params[w.param].offset + w.offset;
}
/* Gives every variable its role, from the consumers of statistics back to what produces them. HY_ERR_FAILED, naming both, if one asks for what the
 * other cannot do. Once, when all nodes are there. Local. */
HY_MUST_CHECK hy_status hy_graph_roles(hy_graph *graph);
static inline int64_t hy_var_cols(const hy_graph *graph, hy_var v) {
    return v == HY_NONE ? 0 : graph->vars[v].cols;
}

/* ---- execution context of a node ---- */
struct hy_exec {
    hy_device *device;
    hy_sp *sp;
    const hy_graph *graph;
    int64_t T, row;               /* tokens of a call, and the first of them: all, or a fixed fragment's (runner.c) */
    int64_t slot;                 /* the fragment; 0 where a call is of all */
    int64_t sums;                 /* hy_sp_sums: gradients of parameters lie apart, a flat array each */
    size_t sum_ld;                /* bytes from one to the next */
    hy_dtype dtype;               /* the run's precision */
    char *arena, *params, *grads; /* params: the compute copy; grads NULL in evaluation */
    const int64_t *value_offset;  /* [n_vars] of the phase that runs */
    const int64_t *grad_offset;   /* [n_vars] */
    const uint8_t (*acc)[HY_NODE_INPUTS];     /* [n_nodes] */
    const int64_t *kept_offset, *work_offset; /* [n_nodes]; work_offset of the phase that runs */
    char *carried;                            /* what goes on from step to step; NULL: nothing of it is here */
    const int64_t *carried_offset;            /* [n_nodes] in it */
    const hy_batch *batch;
    int64_t head_tile;
    double *loss_sum; /* [sums] in training */
    hy_eval_rows rows;
};

/* Bytes of `elements` elements of a role. */
static inline size_t hy_bytes(const hy_exec *x, hy_role role, int64_t elements) {
    return (size_t)elements * hy_role_size(x->dtype, role);
}
static inline hy_role hy_var_role(const hy_exec *x, hy_var v) {
    return v == HY_NONE ? HY_ROLE_ACT : x->graph->vars[v].role;
}
/* Of the first token of the call. */
static inline void *hy_value(const hy_exec *x, hy_var v) {
    if (v == HY_NONE) {
        return NULL;
    }
    const hy_variable *var = &x->graph->vars[v];
    return x->arena + x->value_offset[v] + hy_bytes(x, var->role, var->per_token ? x->row * var->cols : 0);
}
/* What is no token's has a gradient for every fixed fragment. */
static inline void *hy_grad(const hy_exec *x, hy_var v) {
    if (v == HY_NONE || x->grad_offset[v] < 0) {
        return NULL;
    }
    const hy_variable *var = &x->graph->vars[v];
    return x->arena + x->grad_offset[v] + hy_bytes(x, var->role, (var->per_token ? x->row : x->slot) * var->cols);
}
static inline void *hy_param_value(const hy_exec *x, hy_weight w) {
    return w.param == HY_NONE ? NULL : x->params + hy_compute_offset(x->graph, x->dtype, hy_weight_flat(x->graph, w));
}
static inline void *hy_param_grad(const hy_exec *x, hy_weight w) {
    return w.param == HY_NONE ? NULL
                              : x->grads + (size_t)(x->slot % x->sums) * x->sum_ld +
                                    hy_bytes(x, HY_ROLE_GRAD, hy_weight_flat(x->graph, w));
}
static inline size_t hy_node_index(const hy_exec *x, const hy_node *node) {
    return (size_t)(node - x->graph->nodes);
}
static inline int hy_acc(const hy_exec *x, const hy_node *node, int input) {
    return x->acc[hy_node_index(x, node)][input];
}
static inline void *hy_kept(const hy_exec *x, const hy_node *node) {
    return x->arena + x->kept_offset[hy_node_index(x, node)];
}
static inline void *hy_carried(const hy_exec *x, const hy_node *node) {
    return x->carried ? x->carried + x->carried_offset[hy_node_index(x, node)] : NULL;
}
static inline void *hy_work(const hy_exec *x, const hy_node *node) {
    return x->arena + x->work_offset[hy_node_index(x, node)];
}

#endif
