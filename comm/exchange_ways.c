#include "comm/exchange_ways.h"

#include <string.h>

#include "comm/sums.h"

enum { DIRECT_RANKS = 4, PEERS_AT_ONCE = 8 };
enum { SMALL_BLOCK = 16 << 10, SMALL_SUM = 16 << 10 }; /* bytes: below, fewer steps win over fewer bytes */
enum { DIRECT_SUMS = 64 << 20 }; /* bytes: more buffers than these are not taken for fewer steps */

/* The rank `by` places on, which may be negative. */
static int rank_on(const hy_exchange *e, int by) {
    const int P = hy_exchange_size(e);
    return ((hy_exchange_rank(e) + by) % P + P) % P;
}

/* ---- blocks ---- */

static size_t block_begin(const hy_exchange *e, int block) {
    const size_t begin = (size_t)block * e->stride;
    return begin < e->bytes ? begin : e->bytes;
}

static char *block_of(const hy_exchange *e, int block) {
    return e->blocks + block_begin(e, block);
}

static size_t block_bytes(const hy_exchange *e, int block) {
    return block_begin(e, block + 1) - block_begin(e, block);
}

static void send_blocks(hy_exchange *e, int peer, int block, int n) {
    hy_exchange_send(e, peer, block_of(e, block), block_begin(e, block + n) - block_begin(e, block));
}

static void recv_blocks(hy_exchange *e, int peer, int block, int n) {
    hy_exchange_recv(e, peer, block_of(e, block), block_begin(e, block + n) - block_begin(e, block));
}

static void copy_block(const hy_exchange *e, void *to, const void *from, size_t bytes) {
    if (to != from && bytes > 0 && !hy_exchange_untouched(e)) {
        memcpy(to, from, bytes);
    }
}

/* ---- all-gather: own block is in its place ---- */

static int one_step(const hy_exchange *e) {
    (void)e;
    return 1;
}

static void gather_direct_begin(hy_exchange *e, int step) {
    (void)step;
    for (int i = 1; i < hy_exchange_size(e); i++) {
        send_blocks(e, rank_on(e, i), hy_exchange_rank(e), 1);
    }
    for (int i = 1; i < hy_exchange_size(e); i++) {
        recv_blocks(e, rank_on(e, -i), rank_on(e, -i), 1);
    }
}

static int doubling_steps(const hy_exchange *e) {
    int steps = 0;
    while (1 << steps < hy_exchange_size(e)) {
        steps++;
    }
    return steps;
}

/* Before step s a rank has the blocks of its group of 2^s; its peer's group is the other half of the next one. */
static void gather_doubling_begin(hy_exchange *e, int step) {
    const int n = 1 << step, peer = hy_exchange_rank(e) ^ n, own = hy_exchange_rank(e) & ~(n - 1);
    send_blocks(e, peer, own, n);
    recv_blocks(e, peer, own ^ n, n);
}

static int ring_steps(const hy_exchange *e) {
    return hy_exchange_size(e) - 1;
}

static void gather_ring_begin(hy_exchange *e, int step) {
    send_blocks(e, rank_on(e, 1), rank_on(e, -step), 1);
    recv_blocks(e, rank_on(e, -1), rank_on(e, -step - 1), 1);
}

static const hy_algorithm gather_direct = {one_step, gather_direct_begin, NULL};
static const hy_algorithm gather_doubling = {doubling_steps, gather_doubling_begin, NULL};
static const hy_algorithm gather_ring = {ring_steps, gather_ring_begin, NULL};

static const hy_algorithm *best_gather(const hy_exchange *e) {
    const int P = hy_exchange_size(e);
    if (P <= DIRECT_RANKS) {
        return &gather_direct;
    }
    return (P & (P - 1)) == 0 && e->stride <= SMALL_BLOCK ? &gather_doubling : &gather_ring;
}

/* ---- reduce-scatter: the sum of block b begins at rank b + 1 and ends with what rank b has, whichever way ---- */

static void add_own(hy_exchange *e, char *to, const char *sum, int block) {
    hy_sums_combine(to, sum, block_of(e, block), (int64_t)(block_bytes(e, block) / e->unit), e->xfer.type, e->xfer.op);
}

static char *result_of(const hy_exchange *e) {
    return e->xfer.kind == HY_X_REDUCE_SCATTER ? e->xfer.recv : block_of(e, hy_exchange_rank(e));
}

/* Two sums in turn, one that leaves and one that comes. */

static char *sum_at(const hy_exchange *e, int step) {
    return e->work->bytes + (size_t)(step & 1) * e->stride;
}

static void reduce_ring_begin(hy_exchange *e, int step) {
    const int leaves = rank_on(e, -step - 1), comes = rank_on(e, -step - 2);
    hy_exchange_send(e, rank_on(e, 1), step == 0 ? block_of(e, leaves) : sum_at(e, step - 1), block_bytes(e, leaves));
    hy_exchange_recv(e, rank_on(e, -1), sum_at(e, step), block_bytes(e, comes));
}

static void reduce_ring_end(hy_exchange *e, int step) {
    if (!hy_exchange_untouched(e)) {
        char *sum = sum_at(e, step);
        add_own(e, step == ring_steps(e) - 1 ? result_of(e) : sum, sum, rank_on(e, -step - 2));
    }
}

/* All of a block's parts come to its rank at once. */
static void reduce_direct_begin(hy_exchange *e, int step) {
    const int own = hy_exchange_rank(e);
    (void)step;
    for (int i = 1; i < hy_exchange_size(e); i++) {
        send_blocks(e, rank_on(e, i), rank_on(e, i), 1);
    }
    for (int i = 1; i < hy_exchange_size(e); i++) {
        hy_exchange_recv(e, rank_on(e, i), e->work->bytes + (size_t)(i - 1) * e->stride, block_bytes(e, own));
    }
}

static void reduce_direct_end(hy_exchange *e, int step) {
    const int own = hy_exchange_rank(e);
    char *sum = e->work->bytes;
    (void)step;
    if (hy_exchange_untouched(e)) {
        return;
    }
    for (int i = 2; i < hy_exchange_size(e); i++) {
        hy_sums_combine(sum, sum, e->work->bytes + (size_t)(i - 1) * e->stride,
                        (int64_t)(block_bytes(e, own) / e->unit), e->xfer.type, e->xfer.op);
    }
    add_own(e, result_of(e), sum, own);
}

static const hy_algorithm reduce_ring = {ring_steps, reduce_ring_begin, reduce_ring_end};
static const hy_algorithm reduce_direct = {one_step, reduce_direct_begin, reduce_direct_end};

/* Few ranks wait for each other once instead of once per step: each waits for somebody to look. */
static void plan_reduce(hy_exchange *e) {
    const int P = hy_exchange_size(e);
    const bool direct = 1 < P && P <= DIRECT_RANKS && (size_t)(P - 1) * e->stride <= DIRECT_SUMS;
    (void)hy_exchange_work(e, (size_t)(direct ? P - 1 : 2) * e->stride);
    e->phases[0] = direct ? &reduce_direct : &reduce_ring;
}

/* After the all-gather of a small all-reduce. */
static void sum_in_rank_order(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    copy_block(e, x->recv, block_of(e, 0), e->stride);
    for (int r = 1; r < hy_exchange_size(e) && !hy_exchange_untouched(e); r++) {
        hy_sums_combine(x->recv, x->recv, block_of(e, r), x->n, x->type, x->op);
    }
}

/* ---- all-to-all ---- */

static int all_to_all_steps(const hy_exchange *e) {
    return (hy_exchange_size(e) - 1 + PEERS_AT_ONCE - 1) / PEERS_AT_ONCE;
}

static void all_to_all_begin(hy_exchange *e, int step) {
    const int first = 1 + step * PEERS_AT_ONCE;
    const size_t n = (size_t)e->xfer.n;
    const char *send = e->xfer.send;
    char *recv = e->xfer.recv;
    const int end = hy_exchange_size(e) < first + PEERS_AT_ONCE ? hy_exchange_size(e) : first + PEERS_AT_ONCE;
    for (int i = first; i < end; i++) {
        hy_exchange_send(e, rank_on(e, i), send + (size_t)rank_on(e, i) * n, n);
    }
    for (int i = first; i < end; i++) {
        hy_exchange_recv(e, rank_on(e, -i), recv + (size_t)rank_on(e, -i) * n, n);
    }
}

static const hy_algorithm all_to_all = {all_to_all_steps, all_to_all_begin, NULL};

/* ---- broadcast: ranks counted from the root; who has number v gets it from v without its lowest bit ---- */

static int broadcast_steps(const hy_exchange *e) {
    (void)e;
    return 2;
}

static void broadcast_begin(hy_exchange *e, int step) {
    const int P = hy_exchange_size(e), root = e->xfer.peer, v = rank_on(e, -root);
    const size_t n = (size_t)e->xfer.n;
    if (step == 0) {
        if (v > 0) {
            hy_exchange_recv(e, ((v & (v - 1)) + root) % P, e->xfer.recv, n);
        }
        return;
    }
    const int below = v > 0 ? v & -v : P;
    int bit = 1;
    while (bit < below && bit < P) {
        bit <<= 1;
    }
    for (bit >>= 1; bit > 0; bit >>= 1) {
        if (bit < below && v + bit < P) {
            hy_exchange_send(e, (v + bit + root) % P, e->xfer.recv, n);
        }
    }
}

static const hy_algorithm broadcast = {broadcast_steps, broadcast_begin, NULL};

/* ---- which way ---- */

static void set_blocks(hy_exchange *e, const void *blocks, size_t stride, size_t bytes) {
    e->blocks = (char *)(uintptr_t)blocks;
    e->stride = stride;
    e->bytes = bytes;
}

static void plan_all_reduce(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    const size_t P = (size_t)hy_exchange_size(e), bytes = (size_t)x->n * e->unit;
    if (bytes <= SMALL_SUM) {
        set_blocks(e, hy_exchange_work(e, P * bytes), bytes, P * bytes);
        copy_block(e, block_of(e, hy_exchange_rank(e)), x->recv, bytes);
        e->phases[0] = best_gather(e);
        e->last = sum_in_rank_order;
        return;
    }
    set_blocks(e, x->recv, ((size_t)x->n + P - 1) / P * e->unit, bytes);
    plan_reduce(e);
    e->phases[1] = best_gather(e);
}

void hy_exchange_plan(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    const size_t P = (size_t)hy_exchange_size(e), part = (size_t)x->n * e->unit;
    switch (x->kind) {
    case HY_X_ALL_GATHER:
        set_blocks(e, x->recv, part, P * part);
        copy_block(e, block_of(e, hy_exchange_rank(e)), x->send, part);
        e->phases[0] = best_gather(e);
        break;
    case HY_X_ALL_REDUCE:
        plan_all_reduce(e);
        break;
    case HY_X_REDUCE_SCATTER:
        set_blocks(e, x->send, part, P * part);
        plan_reduce(e);
        break;
    case HY_X_ALL_TO_ALL:
        copy_block(e, (char *)x->recv + (size_t)hy_exchange_rank(e) * part,
                   (const char *)x->send + (size_t)hy_exchange_rank(e) * part, part);
        e->phases[0] = &all_to_all;
        break;
    case HY_X_BROADCAST:
        e->phases[0] = &broadcast;
        break;
    case HY_X_SEND: /* exchanges.c: no phases */
    case HY_X_RECV:
    case HY_X_KINDS:
        break;
    }
}
