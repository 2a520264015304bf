/* Recurrences by heads: whole sequences of some value heads and the key heads that go with them, as on one rank; no maps and no states travel.
 * The functions of sp.h for more than one rank. */
#ifndef HY_SP_STATE_HEADS_H
#define HY_SP_STATE_HEADS_H

#include "sp/sp.h"

/* Whether that is how recurrences are computed, on `size` ranks. */
bool hy_state_is_by_heads(const hy_sp *sp, int size);

void hy_state_heads_need(hy_lists_needs *needs, const hy_recur_args *shape);

size_t hy_state_heads_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape);
size_t hy_state_heads_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                           int64_t n_docs_with_states);
void hy_state_heads_fwd(hy_sp *sp, hy_sp_recur *r);
void hy_state_heads_recompute(hy_sp *sp, hy_sp_recur *r);
void hy_state_heads_bwd(hy_sp *sp, hy_sp_recur *r);

size_t hy_level_heads_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape);
size_t hy_level_heads_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape);
void hy_level_heads_fwd(hy_sp *sp, hy_sp_level_recur *r);
void hy_level_heads_recompute(hy_sp *sp, hy_sp_level_recur *r);
void hy_level_heads_bwd(hy_sp *sp, hy_sp_level_recur *r);

#endif
