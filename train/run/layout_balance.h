/* How evenly a layout shares out the work of micro-steps. Work is the FLOPs of operations (kernels/cost.h), forward and backward with what is
 * computed again. Their prices come from the dry run of one rank: of a pair of query and key that see each other (softmax attention), and of a
 * token in a recurrence, in a convolution of whole documents, in all else (products, norms, head). A fragment then costs
 *
 *   price · pairs(fragment) + price · tokens(fragment),
 *
 * documents and windows counted. What is computed by heads or by channels is taken to be shared evenly among the ranks that share it. Not in it:
 * what an exchange adds (maps and folds, the second part of parallel.overlap: split, the keys of others' latents made again); that operations
 * of different kinds take different times for a FLOP, which simulate.h knows; where log-linear levels fall. */
#ifndef HY_TRAIN_LAYOUT_BALANCE_H
#define HY_TRAIN_LAYOUT_BALANCE_H

#include "kernels/kernels.h"
#include "train/run/config.h"

typedef enum hy_work_part {
    HY_WORK_PAIRS,
    HY_WORK_STATES,
    HY_WORK_CHANNELS,
    HY_WORK_TOKENS,
    HY_WORK_PARTS
} hy_work_part;
extern const char *const hy_work_names[]; /* by value; NULL at the end */

/* What an operation belongs to. Pure. */
hy_work_part hy_work_part_of(hy_op_id op);

/* FLOPs. */
typedef struct hy_work_prices {
    int n_windows;
    struct {
        int64_t window; /* tokens, 0 = all */
        double pair;    /* of all layers with that window */
    } softmax[HY_MIXERS_MAX];
    double token[HY_WORK_PARTS]; /* not of HY_WORK_PAIRS */
} hy_work_prices;

/* A dry run of one rank and at most 16,384 tokens. Local. */
HY_MUST_CHECK hy_status hy_work_prices_find(const hy_config *config, int stage, hy_work_prices *out);

typedef struct hy_rank_work {
    double part[HY_WORK_PARTS], all;
} hy_rank_work;

typedef struct hy_balance {
    int size;
    int64_t steps;       /* micro-steps, all of the following together */
    hy_rank_work *ranks; /* [size] */
    double
        slowest; /* the work of each micro-step's slowest rank, a rank's being divided by its weight; the mean weight is 1 */
} hy_balance;

/* Ranks of one sequence group. Local. */
HY_MUST_CHECK hy_status hy_balance_create(int size, hy_balance **out);
void hy_balance_destroy(hy_balance *balance); /* NULL allowed */
/* Adds a micro-step of n_seq sequences of len tokens with these documents (layout.h). HY_ERR_USAGE for weights that do not fit. Local. */
HY_MUST_CHECK hy_status hy_balance_add(hy_balance *balance, const hy_work_prices *prices, const hy_sp_method *method,
                                       int64_t n_seq, int64_t len, const int64_t *docs, int64_t n_docs);
/* How much longer the slowest rank takes than all would, had they equal shares for their weights: max/mean − 1, over all micro-steps. */
double hy_balance_imbalance(const hy_balance *balance);

#endif
