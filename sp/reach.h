/* How far states reach where decays are constants of the configuration (parallel.prune). A head whose log decay per token is g keeps exp(n·g)
 * of a state over n tokens. Once that is at most the bound for the slowest head, nothing passes a fragment of n tokens: its A is taken for
 * zero, its H goes on. So a state that enters a fragment lacks A·S of at most one fragment more than those that it has:
 *
 *   ‖S − S'‖ ≤ bound·max ‖S‖   per head, S as without pruning, in any norm of matrices; likewise of the gradients of states, whose map
 *                              is the adjoint of this one.
 *
 * What is left out depends on lengths of fragments and the configuration alone, so all ranks know it, and it is the same in every exchange. */
#ifndef HY_SP_REACH_H
#define HY_SP_REACH_H

#include "sp/layout.h"
#include "sp/methods.h"

/* Tokens of a fragment that nothing passes, of an exchange by `method`: the least for which the bound holds, rounded up to five significant bits,
 * so that layers with a slope each share lists. 0: all pass, because nothing is asked for, no states travel, or log_decay, the largest
 * of any head, is 0 (it may not decay). Pure. */
int64_t hy_reach_of(const hy_sp_method *method, double log_decay);

/* A reach that says the same of all fragments of these lengths: 0: all pass, 1: none does, else as it was. Pure. */
int64_t hy_reach_among(const hy_layout_dims *dims, int64_t reach);

/* Whether a whole fragment of `len` tokens lets a state pass. */
static inline bool hy_reach_passes(int64_t reach, int64_t len) {
    return reach == 0 || len < reach;
}

/* What a reach leaves out of the sequences of a layout. */
typedef struct hy_reach_facts {
    int64_t reach, fragments,
        closed;   /* of one sequence; closed: those that nothing passes, the first and the last not counted */
    double bound; /* relative to the largest norm of a state; 0 where nothing is left out */
} hy_reach_facts;
hy_reach_facts hy_reach_facts_of(const hy_sp_method *method, const hy_layout_dims *dims, double log_decay);

#endif
