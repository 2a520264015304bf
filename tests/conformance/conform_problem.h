/* A model of one kind of mixer, tokens for it, and what they give: the oracle, token by token in double. */
#ifndef HY_TESTS_CONFORM_PROBLEM_H
#define HY_TESTS_CONFORM_PROBLEM_H

#include "comm/comm.h"
#include "layers/model.h"
#include "tests/conformance/conform_axes.h"

/* More than two of a kernel's chunks. Every token of a problem has an id of its own, so that a row of the embedding's gradient is the gradient
 * of one token's input. */
enum { CONFORM_TOKENS = 149, CONFORM_DOCS_MAX = 16 };

typedef enum conform_heads {
    CONFORM_HEADS_NARROW, /* 3 of 4 channels: fewer than ranks, divided by none; windows, sinks, grouped heads where there are */
    CONFORM_HEADS_WIDE, /* 2 of 32: the kernels that work in chunks and tiles */
    CONFORM_HEADS_N
} conform_heads;
extern const char *const conform_heads_names[];

/* Two layers of a kind, so that what the second reads of the first (rwkv7) and bounds that layers share (hgrn) are there. Local. */
HY_MUST_CHECK hy_status conform_model_create(const char *kind, conform_heads heads, hy_model **out);
/* Parameters [flat] of a size at which every path of the gradient shows; each is a float. */
void conform_model_params(const hy_model *model, uint64_t seed, double *params);
/* What its layers exchange; keys, where they exchange both. Local. */
conform_group conform_model_group(const hy_model *model);
bool conform_model_has_states(const hy_model *model);

typedef enum conform_packing {
    CONFORM_ALONE,     /* one document */
    CONFORM_PACKED,    /* several, of any length: empty, of one token, beginning where fragments do */
    CONFORM_SEQUENCES, /* the same in three sequences */
    CONFORM_FEW,       /* fewer tokens than 8 ranks have fragments */
    CONFORM_PACKINGS
} conform_packing;
extern const char *const conform_packing_names[];

typedef struct conform_problem {
    int64_t n_seq, len, n_docs;
    int64_t docs[CONFORM_DOCS_MAX + 1];
    int32_t ids[CONFORM_TOKENS], labels[CONFORM_TOKENS];
} conform_problem;

void conform_problem_draw(conform_packing packing, uint64_t seed, conform_problem *p);

/* Logits [tokens, CONFORM_TOKENS] and gradients [flat] of the sum of all tokens' losses. Each document by itself: one rank, the reference's
 * operations token by token in double, nothing packed, exchanged or recomputed. Local. */
HY_MUST_CHECK hy_status conform_oracle(const hy_model *model, const double *params, const conform_problem *p,
                                       double *logits, double *grads);

#endif
