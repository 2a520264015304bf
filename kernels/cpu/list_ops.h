/* On the host an operation over a list is its operation for one, entry after entry. `stat`, `element`: bytes of an element. */
#ifndef HY_KERNELS_CPU_LIST_OPS_H
#define HY_KERNELS_CPU_LIST_OPS_H

#include <string.h>

#include "kernels/kernels.h"

typedef void hy_map_apply_fn(const hy_map_apply_args *a);

static inline hy_map_apply_args hy_fold_apply(const hy_map_fold_args *a, const char *A, const char *S, char *H) {
    return (hy_map_apply_args){.n = a->n,
                               .K = a->K,
                               .V = a->V,
                               .a_size = a->a_size,
                               .transpose = a->transpose,
                               .A = A,
                               .S = S,
                               .H = H,
                               .out = H};
}

static inline void hy_fold_by(const hy_map_fold_args *a, size_t stat, hy_map_apply_fn *apply) {
    const size_t one = (size_t)(a->n * a->K * a->V) * stat, all = one * (size_t)(a->levels > 0 ? a->levels : 1);
    for (int64_t i = 0; i < a->n_steps; i++) {
        const hy_fold_step *s = &a->steps[i];
        char *S = (char *)a->in + (size_t)s->read * all;
        if (s->from >= 0) {
            char *left = (char *)a->H + (size_t)hy_fold_place(a, s->from) * stat;
            if (s->read >= 0)
                memcpy(S, left, all);
            S = left;
        }
        if (s->at < 0)
            continue;
        const char *A = (const char *)a->A + (size_t)(s->at * a->n * a->a_size) * stat;
        char *H = (char *)a->H + (size_t)hy_fold_place(a, s->at) * stat;
        if (a->levels == 0) {
            const hy_map_apply_args args = hy_fold_apply(a, A, S, H);
            apply(&args);
        }
        for (int64_t bit = 0; bit < a->levels; bit++) {
            if (!(s->first >> bit & 1))
                continue;
            const int64_t merged = hy_level_merged(s->first, s->end, bit);
            const hy_map_apply_args args = hy_fold_apply(a, A, S + (size_t)(a->transpose ? merged : bit) * one,
                                                         H + (size_t)(a->transpose ? bit : merged) * one);
            apply(&args);
        }
    }
}

/* A2·A1 of n heads into `A`, by the columns of A1 as those of a state. */
static inline void hy_join_transitions(const hy_map_join_args *a, const char *A2, const char *A1, char *A,
                                       hy_map_apply_fn *apply) {
    const int whole = a->a_size == a->K * a->K;
    const hy_map_apply_args args = {.n = whole ? a->n : a->n * a->a_size,
                                    .K = whole ? a->K : 1,
                                    .V = whole ? a->K : 1,
                                    .a_size = whole ? a->a_size : 1,
                                    .A = A2,
                                    .S = A1,
                                    .out = A};
    apply(&args);
}

static inline void hy_join_by(const hy_map_join_args *a, size_t stat, hy_map_apply_fn *apply) {
    const size_t h = (size_t)(a->n * a->K * a->V) * stat, a_bytes = (size_t)(a->n * a->a_size) * stat;
    for (int64_t i = 0; i < a->n_joins; i++) {
        const hy_map_join_entry *e = &a->joins[i];
        const char *suffix = NULL; /* from the piece's end to the run's */
        for (int64_t bit = 0; bit < a->levels; bit++) {
            const int64_t piece = e->slot * a->levels + bit;
            const char *A_i = (const char *)a->A_pieces + (size_t)piece * a_bytes;
            const char *H_i = (const char *)a->H_pieces + (size_t)piece * h;
            char *H = (char *)a->H + (size_t)piece * h;
            if (!(e->bits >> bit & 1)) {
                memset(H, 0, h);
            } else if (!suffix) {
                memcpy(H, H_i, h);
                suffix = A_i;
            } else {
                const hy_map_apply_args args = {
                    .n = a->n, .K = a->K, .V = a->V, .a_size = a->a_size, .A = suffix, .S = H_i, .out = H};
                apply(&args);
                char *product = (char *)a->work + (suffix == (const char *)a->work ? a_bytes : 0);
                hy_join_transitions(a, suffix, A_i, product, apply);
                suffix = product;
            }
        }
        memcpy((char *)a->A + (size_t)e->slot * a_bytes, suffix, a_bytes);
    }
}

static inline void hy_blocks_by(const hy_copy_blocks_args *a, size_t element, void (*copy2d)(const hy_copy2d_args *),
                                void (*transpose)(const hy_transpose_args *)) {
    for (int64_t i = 0; i < a->n_blocks; i++) {
        const hy_block *b = &a->blocks[i];
        const char *src = (const char *)a->src + (size_t)(b->from * a->unit) * element;
        char *dst = (char *)a->dst + (size_t)(b->to * a->unit) * element;
        if (b->from < 0) {
            for (int64_t r = 0; r < b->rows; r++)
                memset(dst + (size_t)(r * b->to_ld * a->unit) * element, 0, (size_t)(b->cols * a->unit) * element);
        } else if (a->turn) {
            const hy_transpose_args args = {.rows = b->rows,
                                            .cols = b->cols,
                                            .src_ld = b->from_ld,
                                            .dst_ld = b->to_ld,
                                            .src = src,
                                            .dst = dst,
                                            .acc = a->acc};
            transpose(&args);
        } else {
            const hy_copy2d_args args = {.rows = b->rows,
                                         .cols = b->cols * a->unit,
                                         .src_ld = b->from_ld * a->unit,
                                         .dst_ld = b->to_ld * a->unit,
                                         .src = src,
                                         .dst = dst,
                                         .acc = a->acc,
                                         .from = a->role,
                                         .to = a->role};
            copy2d(&args);
        }
    }
}

#endif
