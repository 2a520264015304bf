/* Fast recurrences of this instruction set: which table entries they replace, and which kernels take which shapes. */
#include "kernels/cpu/ref.h"
#include "kernels/cpu/simd/recur_family.h"

typedef struct kernels {
    void (*fwd)(const hy_recur_args *a), (*inject)(const hy_recur_args *a), (*map)(const hy_recur_args *a);
    void (*map_bwd)(const hy_recur_args *a), (*bwd)(const hy_recur_args *a);
    int64_t (*fwd_floats)(const hy_recur_args *a), (*bwd_floats)(const hy_recur_args *a);
} kernels;

#define HY_KERNELS_OF(form, fwd_work, bwd_work)                                                                        \
    {                                                                                                                  \
        HY_ISA_NAME(form##fwd), HY_ISA_NAME(form##inject), HY_ISA_NAME(form##map), HY_ISA_NAME(form##map_bwd),         \
            HY_ISA_NAME(form##bwd), HY_ISA_NAME(fwd_work), HY_ISA_NAME(bwd_work)                                       \
    }

static const kernels in_chunks = HY_KERNELS_OF(hy_recur_, hy_recur_fwd_floats, hy_recur_bwd_floats);
#if HY_ISA_amx
/* What is left out computes on in_chunks. */
static const kernels in_tiles = {.fwd = HY_ISA_NAME(hy_recur_tiles_fwd),
                                 .inject = HY_ISA_NAME(hy_recur_inject),
                                 .map = HY_ISA_NAME(hy_recur_map),
                                 .map_bwd = HY_ISA_NAME(hy_recur_map_bwd),
                                 .bwd = HY_ISA_NAME(hy_recur_tiles_bwd),
                                 .fwd_floats = HY_ISA_NAME(hy_recur_tiles_floats),
                                 .bwd_floats = HY_ISA_NAME(hy_recur_bwd_floats)};
#endif
static const kernels low_rank = HY_KERNELS_OF(hy_recur_dplr_, hy_recur_dplr_fwd_floats, hy_recur_dplr_bwd_floats);
static const kernels diagonal = HY_KERNELS_OF(hy_recur_diagonal_, hy_recur_diagonal_floats, hy_recur_diagonal_floats);
static const kernels elementwise =
    HY_KERNELS_OF(hy_recur_elementwise_, hy_recur_elementwise_floats, hy_recur_elementwise_floats);
static const kernels reference = {.fwd = HY_ELEM_NAME(hy_ref_recur_fwd),
                                  .inject = HY_ELEM_NAME(hy_ref_recur_inject),
                                  .map = HY_ELEM_NAME(hy_ref_recur_map),
                                  .map_bwd = HY_ELEM_NAME(hy_ref_recur_map_bwd),
                                  .bwd = HY_ELEM_NAME(hy_ref_recur_bwd)};

static int recur_is_plain(const hy_recur_args *a) {
    return a->rule == HY_RULE_ADDITIVE && !a->exclusive && a->V == 1;
}

static const kernels *kernels_for(const hy_recur_args *a) {
    if (a->K == 1 && (a->q || a->k || a->beta || !recur_is_plain(a) || a->decay < HY_DECAY_SCALAR))
        return &reference; /* K = 1 may come without keys */
    if (a->K == 1)
        return &elementwise;
    if (recur_is_plain(a) && a->decay == HY_DECAY_VECTOR && a->K <= HY_DIAGONAL_MAX)
        return &diagonal;
    if (a->rule == HY_RULE_DPLR)
        return &low_rank;
#if HY_ISA_amx
    if (a->decay != HY_DECAY_VECTOR && !a->exclusive && a->K >= HY_TILES_MIN && a->V >= HY_TILES_MIN)
        return &in_tiles;
#endif
    return &in_chunks;
}

/* Of the shape alone: with K = 1 pointers choose between two. */
static size_t fast_recur_work(const hy_recur_args *a) {
    const size_t plain = a->K == 1 ? hy_ref_recur_work(a) : 0;
    hy_recur_args shape = *a;
    shape.q = shape.k = shape.beta = NULL;
    const kernels *k = kernels_for(&shape);
    if (k == &reference)
        return plain;
    const int64_t fwd = k->fwd_floats(a), bwd = k->bwd_floats(a);
    const size_t fast = (size_t)(fwd > bwd ? fwd : bwd) * sizeof(float) + HY_RECUR_ALIGN;
    return fast > plain ? fast : plain;
}

#define HY_RECUR_CHOICE(op)                                                                                            \
    static void recur_##op(const hy_recur_args *a) {                                                                   \
        kernels_for(a)->op(a);                                                                                         \
    }
HY_RECUR_CHOICE(fwd)
HY_RECUR_CHOICE(inject)
HY_RECUR_CHOICE(map)
HY_RECUR_CHOICE(map_bwd)
HY_RECUR_CHOICE(bwd)

void HY_ISA_NAME(hy_recur_overlay)(hy_table *table) {
    table->recur_fwd = recur_fwd;
    table->recur_inject = recur_inject;
    table->recur_map = recur_map;
    table->recur_map_bwd = recur_map_bwd;
    table->recur_bwd = recur_bwd;
    table->map_apply = HY_ISA_NAME(hy_map_apply);
    table->map_fold = HY_ISA_NAME(hy_map_fold);
    table->map_join = HY_ISA_NAME(hy_map_join);
    table->map_compose = HY_ISA_NAME(hy_map_compose);
    table->recur_work = fast_recur_work;
}
