/* The ways to share a sequence and to exchange. Each list is the one place of its values and of their names: the configuration's choices,
 * `hylas op`, `hylas verify --all` and reports follow from it. What a way to exchange does is a row of functions, named here and
 * defined in its file: hy_state_row_<row> in sp/state, hy_attn_row_<row> in sp/attention. */
#ifndef HY_SP_METHODS_H
#define HY_SP_METHODS_H

#include <stdbool.h>
#include <stdint.h>

/* X(value, name) */
#define HY_LAYOUT_KINDS(X)                                                                                             \
    X(HY_LAYOUT_CONTIGUOUS, "contiguous")                                                                              \
    X(HY_LAYOUT_ZIGZAG, "zigzag")
/* split: outputs from zero state hide the exchange, then the incoming state's part is added (more arithmetic);
 * seeded: one pass that starts from the incoming state, once it is there. */
#define HY_OVERLAPS(X)                                                                                                 \
    X(HY_OVERLAP_SPLIT, "split")                                                                                       \
    X(HY_OVERLAP_SEEDED, "seeded")
/* X(value, name, row) */
#define HY_STATE_EXCHANGES(X)                                                                                          \
    X(HY_STATE_ALLGATHER, "allgather", allgather)                                                                      \
    X(HY_STATE_RING, "ring", ring)                                                                                     \
    X(HY_STATE_CHAIN, "chain", chain)                                                                                  \
    X(HY_STATE_HIERARCHICAL, "hierarchical", hierarchical)                                                             \
    X(HY_STATE_SCAN, "scan", scan)                                                                                     \
    X(HY_STATE_HEADS, "heads", heads)
#define HY_ATTENTION_METHODS(X)                                                                                        \
    X(HY_ATTENTION_RING, "ring", ring)                                                                                 \
    X(HY_ATTENTION_ALLGATHER, "allgather", allgather)                                                                  \
    X(HY_ATTENTION_HEADS, "heads", heads)                                                                              \
    X(HY_ATTENTION_NODE, "node", node)                                                                                 \
    X(HY_ATTENTION_2D, "2d", 2d)

#define HY_X(value, ...) value,
/* ..._AUTO, behind all ways: the one that a cost model finds fastest (train/run/method_choice.h). Nothing that runs has it. */
typedef enum hy_layout_kind { HY_LAYOUT_KINDS(HY_X) HY_LAYOUT_AUTO } hy_layout_kind;
typedef enum hy_state_exchange { HY_STATE_EXCHANGES(HY_X) HY_STATE_AUTO } hy_state_exchange;
typedef enum hy_attention_method { HY_ATTENTION_METHODS(HY_X) HY_ATTENTION_AUTO } hy_attention_method;
typedef enum hy_overlap { HY_OVERLAPS(HY_X) } hy_overlap;
#undef HY_X

enum { HY_STATE_BLOCK = 256 << 10, HY_WEIGHTS_MAX = 64, HY_WEIGHT_MAX = 1000 };

/* Where sequences are cut (layout.h). By weights: how many tokens ranks have, in proportion; the ranks of a sequence are n stretches of equally many, all of
 * one have the same weight: so the list is of ranks, or of nodes. n = 0: all alike. */
typedef struct hy_cuts {
    int64_t n, each[HY_WEIGHTS_MAX]; /* 1 to HY_WEIGHT_MAX */
    int64_t
        fixed; /* > 0: into so many fragments, however many ranks there are, each computed by itself (docs/numerics.md); no weights then */
    int64_t together; /* > 1: so many of these ranks, one after the other, are one of the layout's (hy_head_outer) */
} hy_cuts;

/* One choice of each. */
typedef struct hy_sp_method {
    hy_layout_kind layout;
    hy_state_exchange state;
    hy_attention_method attention;
    hy_overlap overlap;
    int64_t node;  /* consecutive ranks of a sequence's that are near each other: those of a host; 0: all are */
    int64_t block; /* bytes of a state that travel at once where it is cut, at least; 0: HY_STATE_BLOCK */
    double prune;  /* states are not passed on that have decayed to this part (reach.h); 0: all are */
    hy_cuts cuts;
} hy_sp_method;

/* What a rank of `size` holds apart of parameters' gradients and losses: sums over its fixed fragments; 1: one sum of all its tokens. */
static inline int64_t hy_sp_sums(const hy_sp_method *method, int size) {
    return method->cuts.fixed > 0 ? method->cuts.fixed / size : 1;
}

/* Whether it can take up what a step before left (train.carry_state): not by heads, where no rank has the state of all heads. */
bool hy_sp_method_carries(const hy_sp_method *method);

/* Ranks of a node, of `size` ranks of a sequence: ranks [i·node, (i+1)·node) are node i, the last may be smaller. */
static inline int hy_sp_node_ranks(const hy_sp_method *method, int size) {
    return method->node > 0 && method->node < size ? (int)method->node : size;
}

/* The most ranks that are near each other where all such groups have as many: a divisor of `size`. */
static inline int hy_sp_group_ranks(const hy_sp_method *method, int size) {
    int a = size, b = hy_sp_node_ranks(method, size);
    while (b > 0) {
        const int left = a % b;
        a = b;
        b = left;
    }
    return a;
}

/* By value; NULL at the end. */
extern const char *const hy_layout_names[], *const hy_state_exchange_names[], *const hy_attention_method_names[],
                                                                                  *const hy_overlap_names[];
/* The same with "auto" behind them. */
extern const char *const hy_layout_choices[], *const hy_state_exchange_choices[], *const hy_attention_method_choices[];

#endif
