/* A case of parity.h in a device's own memory: every array, list and result is copied there with the sentinels around it, the arguments
 * point there, and after the operation everything is copied back to where it came from, to be checked as if it had happened there. What
 * runs so on a GPU runs without one on cpu_async:cuda_host, whose memory the host cannot touch. */
#ifndef HY_TESTS_PARITY_DEVICE_H
#define HY_TESTS_PARITY_DEVICE_H

#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

typedef union parity_args {
#define HY_X(op, args) args##_args op;
    HY_OPS(HY_X)
#undef HY_X
} parity_args;

/* An array that has no role: of `bytes` bytes, its pointer at `field` of the arguments. */
typedef struct parity_list {
    size_t field, bytes;
} parity_list;

enum { PARITY_LISTS = 3, PARITY_PIECES = 40 };

static int parity_lists_of(hy_op_id op, const parity_args *a, parity_list out[PARITY_LISTS]) {
#define LIST(i, member, count)                                                                                         \
    (out[i] = (parity_list){offsetof(parity_args, member), (size_t)(count) * sizeof *a->member}, (i) + 1)
    switch (op) {
    case HY_OP_copy_blocks:
        return LIST(0, copy_blocks.blocks, a->copy_blocks.n_blocks);
    case HY_OP_rows_add:
        return LIST(0, rows_add.blocks, a->rows_add.n_blocks);
    case HY_OP_embed_fwd:
    case HY_OP_embed_bwd:
        return LIST(0, embed_fwd.tokens, a->embed_fwd.T);
    case HY_OP_rope:
        return LIST(0, rope.pos, a->rope.T);
    case HY_OP_conv_fwd:
    case HY_OP_conv_bwd:
        return LIST(0, conv_fwd.runs, a->conv_fwd.n_runs);
    case HY_OP_long_conv_fwd:
    case HY_OP_long_conv_bwd:
        return LIST(0, long_conv_fwd.docs, a->long_conv_fwd.n_docs + 1);
    case HY_OP_recur_map:
    case HY_OP_recur_fwd:
    case HY_OP_recur_inject:
    case HY_OP_recur_map_bwd:
    case HY_OP_recur_bwd:
        return LIST(0, recur_fwd.runs, a->recur_fwd.n_runs);
    case HY_OP_level_fwd:
    case HY_OP_level_map_bwd:
    case HY_OP_level_bwd:
        (void)LIST(0, level_fwd.base.runs, a->level_fwd.base.n_runs);
        return LIST(1, level_fwd.pos, a->level_fwd.base.T);
    case HY_OP_map_fold:
        return LIST(0, map_fold.steps, a->map_fold.n_steps);
    case HY_OP_map_join:
        out[0] = (parity_list){offsetof(parity_args, map_join.work),
                               2 * (size_t)(a->map_join.n * a->map_join.a_size) * sizeof(double)};
        return LIST(1, map_join.joins, a->map_join.n_joins);
    case HY_OP_attn_fwd:
    case HY_OP_attn_bwd: {
        int64_t queries = 0;
        for (int64_t i = 0; i < a->attn_fwd.n_pairs; i++) {
            const int64_t end = a->attn_fwd.pairs[i].q + a->attn_fwd.pairs[i].nq;
            queries = end > queries ? end : queries;
        }
        (void)LIST(0, attn_fwd.pairs, a->attn_fwd.n_pairs);
        return LIST(1, attn_fwd.lo, queries);
    }
    case HY_OP_cross_entropy:
        (void)LIST(0, cross_entropy.labels, a->cross_entropy.rows);
        return LIST(1, cross_entropy.d_scale, 1);
    case HY_OP_adamw:
        return LIST(0, adamw.segments, a->adamw.n_segments);
    default:
        return 0;
    }
#undef LIST
}

typedef struct parity_piece {
    void *host;
    unsigned char *there;
    size_t bytes;
} parity_piece;

/* One block of a device's memory, handed out from its beginning in every case. */
typedef struct parity_memory {
    hy_device *device;
    unsigned char *block;
    size_t capacity, used;
    parity_piece pieces[PARITY_PIECES];
    int n_pieces;
} parity_memory;

static size_t parity_room(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* For a case of `bytes`, in at most PARITY_PIECES pieces. */
static void parity_memory_begin(parity_memory *m, size_t bytes) {
    bytes += PARITY_PIECES * 256;
    m->used = 0;
    m->n_pieces = 0;
    if (bytes <= m->capacity)
        return;
    hy_device_free(m->device, m->block);
    m->capacity = 2 * bytes;
    void *block = NULL;
    if (hy_device_alloc(m->device, "arrays of a case", m->capacity, &block) != HY_OK)
        abort();
    m->block = block;
}

/* Where `host` lies on the device, at a multiple of 256 bytes. */
static unsigned char *parity_send(parity_memory *m, const void *host, size_t bytes) {
    unsigned char *there = m->block + m->used;
    if (m->n_pieces == PARITY_PIECES || m->used + parity_room(bytes) > m->capacity)
        abort();
    m->used += parity_room(bytes);
    hy_device_write(m->device, host, bytes, there);
    return there;
}

/* The same, to be brought back. */
static unsigned char *parity_lend(parity_memory *m, void *host, size_t bytes) {
    unsigned char *there = parity_send(m, host, bytes);
    m->pieces[m->n_pieces++] = (parity_piece){host, there, bytes};
    return there;
}

static void parity_bring_back(parity_memory *m) {
    for (int i = 0; i < m->n_pieces; i++)
        hy_device_read(m->device, m->pieces[i].there, m->pieces[i].bytes, m->pieces[i].host);
}

/* Whether a word of the arguments looks like an address that is not the device's: what was forgotten to be copied. Addresses of programs
 * and stacks have their 45th bit or a higher one set, which no size, pair of flags or number has alone. */
static int parity_names_the_host(const parity_memory *m, const parity_args *args) {
    const uintptr_t begin = (uintptr_t)m->block, end = begin + m->capacity;
    int found = 0;
    for (size_t i = 0; i + sizeof(uintptr_t) <= sizeof *args; i += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, (const char *)args + i, sizeof word);
        found |= word >> 44 != 0 && word >> 48 == 0 && (word < begin || word >= end);
    }
    return found;
}

static void parity_call_device(hy_device *device, hy_op_id op, const parity_args *args) {
    switch (op) {
#define HY_X(op, type)                                                                                                 \
    case HY_OP_##op:                                                                                                   \
        hy_##op(device, &args->op);                                                                                    \
        break;
        HY_OPS(HY_X)
#undef HY_X
    case HY_OP_COUNT:
        break;
    }
}

#endif
