#include "train/data/store_order.h"

#include <assert.h>

#include "base/random.h"

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t blocks_of(int64_t tokens, int64_t block) {
    return max(1, tokens / block);
}

/* Tokens of block `number`: the last one has the rest. */
static int64_t block_length(int64_t tokens, int64_t block, int64_t number) {
    return number + 1 == blocks_of(tokens, block) ? tokens - number * block : block;
}

static uint64_t stream_of_epoch(int64_t epoch) {
    return hy_random_stream("data order") + (uint64_t)epoch;
}

/* Whether the epoch's earlier spans have opened none of the blocks that share a token with block `number` of the last. */
static int is_untouched(const hy_store_order *order, const hy_store_position *p, int64_t number) {
    const int64_t block = p->spans[p->n_spans - 1].block, begin = number * block;
    const int64_t end = begin + block_length(order->tokens, block, number);
    for (int64_t s = 0; s + 1 < p->n_spans; s++) {
        const hy_order_span *span = &p->spans[s];
        const int64_t n = blocks_of(order->tokens, span->block);
        const int64_t last = min((end - 1) / span->block, n - 1);
        for (int64_t b = min(begin / span->block, n - 1); b <= last; b++) {
            const uint64_t place =
                hy_random_permute_inverse(order->seed, stream_of_epoch(p->epoch), (uint64_t)n, (uint64_t)b);
            if ((int64_t)place < span->taken) {
                return 0;
            }
        }
    }
    return 1;
}

/* At most a sixteenth of the store stands open, and one block where it is one sequence: little is lost when a longer
 * sequence passes over what is left of them. */
static int64_t lanes_of(int64_t n, int64_t block, int64_t sequence) {
    return block < 2 * sequence ? 1 : max(1, min(HY_ORDER_LANES, n / 16));
}

/* Opens the next blocks of the span; 0 if there are none left. */
static int open_lanes(const hy_store_order *order, int64_t sequence, hy_store_position *p) {
    hy_order_span *span = &p->spans[p->n_spans - 1];
    const int64_t n = blocks_of(order->tokens, span->block), wanted = lanes_of(n, span->block, sequence);
    p->n_lanes = p->lane = 0;
    while (p->n_lanes < wanted && span->taken < n) {
        const uint64_t place = (uint64_t)span->taken++;
        const int64_t number = (int64_t)hy_random_permute(order->seed, stream_of_epoch(p->epoch), (uint64_t)n, place);
        if (is_untouched(order, p, number)) {
            p->lanes[p->n_lanes++] = (hy_order_lane){.block = number};
        }
    }
    return p->n_lanes > 0;
}

/* The next sequence of an open block; −1 if none holds one. */
static int64_t read_lanes(const hy_store_order *order, int64_t sequence, hy_store_position *p) {
    const int64_t block = p->n_spans > 0 ? p->spans[p->n_spans - 1].block : 0;
    for (int64_t tried = 0; tried < p->n_lanes; tried++) {
        hy_order_lane *lane = &p->lanes[p->lane];
        p->lane = (p->lane + 1) % p->n_lanes;
        if (block_length(order->tokens, block, lane->block) - lane->offset >= sequence) {
            const int64_t begin = lane->block * block + lane->offset;
            lane->offset += sequence;
            return begin;
        }
    }
    return -1;
}

static void begin_span(const hy_store_order *order, int64_t sequence, hy_store_position *p) {
    p->spans[p->n_spans++] = (hy_order_span){.block = min(max(order->block, sequence), order->tokens)};
    p->n_lanes = p->lane = 0;
}

int64_t hy_store_order_next(const hy_store_order *order, int64_t sequence, hy_store_position *p) {
    assert(sequence >= 1 && sequence <= order->tokens);
    int64_t begin = read_lanes(order, sequence, p);
    while (begin < 0) {
        const int fits = p->n_spans > 0 && sequence <= p->spans[p->n_spans - 1].block;
        if (p->n_spans == 0 || (!fits && p->n_spans < HY_ORDER_SPANS)) {
            begin_span(order, sequence, p);
        } else if (!fits || !open_lanes(order, sequence, p)) {
            p->epoch++;
            p->n_spans = 0;
            continue;
        }
        begin = read_lanes(order, sequence, p);
    }
    p->read += sequence;
    return begin;
}

hy_store_position hy_store_position_after(int64_t tokens, int64_t sequence, int64_t count) {
    const int64_t n = blocks_of(tokens, sequence);
    return (hy_store_position){
        .read = count * sequence, .epoch = count / n, .n_spans = 1, .spans = {{.block = sequence, .taken = count % n}}};
}

int hy_store_position_fits(const hy_store_position *p, int64_t tokens) {
    int fits = p->read >= 0 && p->epoch >= 0 && p->n_spans >= 0 && p->n_spans <= HY_ORDER_SPANS && p->n_lanes >= 0 &&
               p->n_lanes <= HY_ORDER_LANES && p->lane >= 0 && p->lane <= max(0, p->n_lanes - 1) &&
               (p->n_lanes == 0 || p->n_spans > 0);
    for (int64_t s = 0; fits && s < p->n_spans; s++) {
        const hy_order_span *span = &p->spans[s];
        fits = span->block >= 1 && span->block <= tokens && span->taken >= 0 &&
               span->taken <= blocks_of(tokens, span->block);
    }
    for (int64_t i = 0; fits && i < p->n_lanes; i++) {
        const int64_t block = p->spans[p->n_spans - 1].block;
        fits = p->lanes[i].block >= 0 && p->lanes[i].block < blocks_of(tokens, block) && p->lanes[i].offset >= 0 &&
               p->lanes[i].offset <= block_length(tokens, block, p->lanes[i].block);
    }
    return fits;
}
