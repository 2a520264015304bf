#include "comm/exchanges.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/sums.h"

enum { DIRECT_RANKS = 4, PEERS_AT_ONCE = 8, PHASES = 2 };
/* Collectives that run at once, the rest in posting order behind them: so few buffers serve however many are posted. Exchanges are made by
 * the chunk; buffers have sizes that are powers of two. */
enum { RUNNING = 4, CHUNK = 64, SMALLEST = 12, SIZES = 48 };
enum { SMALL_BLOCK = 16 << 10, SMALL_SUM = 16 << 10 }; /* bytes: below, fewer steps win over fewer bytes */

/* What a phase does. begin posts a step's messages; end, NULL for nothing, runs when all have come. */
typedef struct algorithm {
    int (*steps)(const hy_exchange *e);
    void (*begin)(hy_exchange *e, int step);
    void (*end)(hy_exchange *e, int step);
} algorithm;

typedef struct work_buffer {
    struct work_buffer *next;
    int size; /* of 1 << size bytes */
    char *bytes;
} work_buffer;

typedef struct awaited {
    void *handle;
    int peer;
} awaited;

struct hy_exchange {
    hy_exchange *next; /* posting order, or spare */
    hy_exchanges *all;
    hy_xfer xfer;
    uint64_t tag;
    size_t unit; /* bytes per element */
    /* The blocks of all ranks: block b from b·stride, up to `bytes` in all. */
    char *blocks;
    size_t stride, bytes;
    const algorithm *phases[PHASES];
    void (*last)(hy_exchange *e); /* NULL: nothing is left to do */
    int phase, step;              /* step −1: not begun */
    bool collective, begun, done;
    double completed;
    awaited *awaited; /* [2·size] */
    int n_awaited;
    work_buffer *work; /* NULL: none */
};

typedef struct exchange_chunk {
    struct exchange_chunk *next;
    awaited *awaited; /* [CHUNK·2·size] */
    hy_exchange exchanges[CHUNK];
} exchange_chunk;

struct hy_exchanges {
    hy_p2p p2p;
    hy_exchange *posted, **end, *spare;
    exchange_chunk *chunks;
    work_buffer *works[SIZES]; /* spare */
    uint64_t collectives;      /* so far */
    int running, behind;       /* collectives */
};

/* ---- create, destroy ---- */

hy_status hy_exchanges_create(const hy_p2p *p2p, hy_exchanges **out) {
    hy_exchanges *all = NULL;
    HY_TRY(HY_NEW("exchanges", 1, &all));
    *all = (hy_exchanges){.p2p = *p2p, .end = &all->posted};
    *out = all;
    return HY_OK;
}

void hy_exchanges_destroy(hy_exchanges *all) {
    if (all == NULL) {
        return;
    }
    for (exchange_chunk *c = all->chunks, *next; c != NULL; c = next) {
        next = c->next;
        hy_free(c->awaited);
        hy_free(c);
    }
    for (int size = 0; size < SIZES; size++) {
        for (work_buffer *w = all->works[size], *next; w != NULL; w = next) {
            next = w->next;
            hy_free(w->bytes);
            hy_free(w);
        }
    }
    hy_free(all);
}

/* ---- messages ---- */

static int ranks_of(const hy_exchange *e) {
    return e->all->p2p.size;
}

static int rank_of(const hy_exchange *e) {
    return e->all->p2p.rank;
}

/* The rank `by` places on, which may be negative. */
static int rank_on(const hy_exchange *e, int by) {
    const int P = ranks_of(e);
    return ((rank_of(e) + by) % P + P) % P;
}

static void await(hy_exchange *e, void *handle, int peer) {
    if (handle != NULL) {
        e->awaited[e->n_awaited++] = (awaited){.handle = handle, .peer = peer};
    }
}

static void send_to(hy_exchange *e, int peer, const void *buf, size_t bytes) {
    const hy_p2p *p = &e->all->p2p;
    await(e, p->send(p->context, buf, bytes, peer, e->tag), peer);
}

static void recv_from(hy_exchange *e, int peer, void *buf, size_t bytes) {
    const hy_p2p *p = &e->all->p2p;
    await(e, p->recv(p->context, buf, bytes, peer, e->tag), peer);
}

static bool step_is_over(hy_exchange *e) {
    const hy_p2p *p = &e->all->p2p;
    int left = 0;
    for (int i = 0; i < e->n_awaited; i++) {
        if (!p->done(p->context, e->awaited[i].handle)) {
            e->awaited[left++] = e->awaited[i];
        }
    }
    e->n_awaited = left;
    return left == 0;
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
    send_to(e, peer, block_of(e, block), block_begin(e, block + n) - block_begin(e, block));
}

static void recv_blocks(hy_exchange *e, int peer, int block, int n) {
    recv_from(e, peer, block_of(e, block), block_begin(e, block + n) - block_begin(e, block));
}

static void copy_block(void *to, const void *from, size_t bytes) {
    if (to != from && bytes > 0) {
        memcpy(to, from, bytes);
    }
}

static void release_work(hy_exchanges *all, work_buffer *w) {
    w->next = all->works[w->size];
    all->works[w->size] = w;
}

/* As many as run at once, so that no more are ever needed. */
static hy_status add_works(hy_exchanges *all, int size) {
    for (int i = 0; i < RUNNING; i++) {
        work_buffer *w = NULL;
        HY_TRY(HY_NEW("buffer for sums", 1, &w));
        w->size = size;
        release_work(all, w);
        HY_TRY(HY_NEW("sums of an exchange", (int64_t)1 << size, &w->bytes));
    }
    return HY_OK;
}

static char *need_work(hy_exchange *e, size_t bytes) {
    hy_exchanges *all = e->all;
    int size = SMALLEST;
    while (((size_t)1 << size) < bytes) {
        size++;
    }
    if (all->works[size] == NULL && add_works(all, size) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    e->work = all->works[size];
    all->works[size] = e->work->next;
    return e->work->bytes;
}

/* ---- one message ---- */

static int one_step(const hy_exchange *e) {
    (void)e;
    return 1;
}

static void message_begin(hy_exchange *e, int step) {
    const hy_xfer *x = &e->xfer;
    (void)step;
    if (x->kind == HY_X_SEND) {
        send_to(e, x->peer, x->send, (size_t)x->n);
    } else {
        recv_from(e, x->peer, x->recv, (size_t)x->n);
    }
}

static const algorithm message = {one_step, message_begin, NULL};

/* ---- all-gather: own block is in its place ---- */

static void gather_direct_begin(hy_exchange *e, int step) {
    (void)step;
    for (int i = 1; i < ranks_of(e); i++) {
        recv_blocks(e, rank_on(e, -i), rank_on(e, -i), 1);
    }
    for (int i = 1; i < ranks_of(e); i++) {
        send_blocks(e, rank_on(e, i), rank_of(e), 1);
    }
}

static int doubling_steps(const hy_exchange *e) {
    int steps = 0;
    while (1 << steps < ranks_of(e)) {
        steps++;
    }
    return steps;
}

/* Before step s a rank has the blocks of its group of 2^s; its peer's group is the other half of the next one. */
static void gather_doubling_begin(hy_exchange *e, int step) {
    const int n = 1 << step, peer = rank_of(e) ^ n, own = rank_of(e) & ~(n - 1);
    recv_blocks(e, peer, own ^ n, n);
    send_blocks(e, peer, own, n);
}

static int ring_steps(const hy_exchange *e) {
    return ranks_of(e) - 1;
}

static void gather_ring_begin(hy_exchange *e, int step) {
    recv_blocks(e, rank_on(e, -1), rank_on(e, -step - 1), 1);
    send_blocks(e, rank_on(e, 1), rank_on(e, -step), 1);
}

static const algorithm gather_direct = {one_step, gather_direct_begin, NULL};
static const algorithm gather_doubling = {doubling_steps, gather_doubling_begin, NULL};
static const algorithm gather_ring = {ring_steps, gather_ring_begin, NULL};

static const algorithm *best_gather(const hy_exchange *e) {
    const int P = ranks_of(e);
    if (P <= DIRECT_RANKS) {
        return &gather_direct;
    }
    return (P & (P - 1)) == 0 && e->stride <= SMALL_BLOCK ? &gather_doubling : &gather_ring;
}

/* ---- reduce-scatter: two sums in turn, one that leaves and one that comes; the last goes where it belongs ---- */

static char *sum_at(const hy_exchange *e, int step) {
    return e->work->bytes + (size_t)(step & 1) * e->stride;
}

static void reduce_ring_begin(hy_exchange *e, int step) {
    const int leaves = rank_on(e, -step - 1), comes = rank_on(e, -step - 2);
    recv_from(e, rank_on(e, -1), sum_at(e, step), block_bytes(e, comes));
    send_to(e, rank_on(e, 1), step == 0 ? block_of(e, leaves) : sum_at(e, step - 1), block_bytes(e, leaves));
}

static void reduce_ring_end(hy_exchange *e, int step) {
    const int block = rank_on(e, -step - 2);
    char *sum = sum_at(e, step), *to = sum;
    if (step == ring_steps(e) - 1) { /* block is the rank's own */
        to = e->xfer.kind == HY_X_REDUCE_SCATTER ? e->xfer.recv : block_of(e, block);
    }
    hy_sums_combine(to, sum, block_of(e, block), (int64_t)(block_bytes(e, block) / e->unit), e->xfer.type, e->xfer.op);
}

static const algorithm reduce_ring = {ring_steps, reduce_ring_begin, reduce_ring_end};

/* After the all-gather of a small all-reduce. */
static void sum_in_rank_order(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    copy_block(x->recv, block_of(e, 0), e->stride);
    for (int r = 1; r < ranks_of(e); r++) {
        hy_sums_combine(x->recv, x->recv, block_of(e, r), x->n, x->type, x->op);
    }
}

/* ---- all-to-all ---- */

static int all_to_all_steps(const hy_exchange *e) {
    return (ranks_of(e) - 1 + PEERS_AT_ONCE - 1) / PEERS_AT_ONCE;
}

static void all_to_all_begin(hy_exchange *e, int step) {
    const int first = 1 + step * PEERS_AT_ONCE;
    const size_t n = (size_t)e->xfer.n;
    const char *send = e->xfer.send;
    char *recv = e->xfer.recv;
    for (int i = first; i < ranks_of(e) && i < first + PEERS_AT_ONCE; i++) {
        const int from = rank_on(e, -i), to = rank_on(e, i);
        recv_from(e, from, recv + (size_t)from * n, n);
        send_to(e, to, send + (size_t)to * n, n);
    }
}

static const algorithm all_to_all = {all_to_all_steps, all_to_all_begin, NULL};

/* ---- broadcast: ranks counted from the root; who has number v gets it from v without its lowest bit ---- */

static int broadcast_steps(const hy_exchange *e) {
    (void)e;
    return 2;
}

static void broadcast_begin(hy_exchange *e, int step) {
    const int P = ranks_of(e), root = e->xfer.peer, v = rank_on(e, -root);
    const size_t n = (size_t)e->xfer.n;
    if (step == 0) {
        if (v > 0) {
            recv_from(e, ((v & (v - 1)) + root) % P, e->xfer.recv, n);
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
            send_to(e, (v + bit + root) % P, e->xfer.recv, n);
        }
    }
}

static const algorithm broadcast = {broadcast_steps, broadcast_begin, NULL};

/* ---- which way ---- */

static void set_blocks(hy_exchange *e, const void *blocks, size_t stride, size_t bytes) {
    e->blocks = (char *)(uintptr_t)blocks;
    e->stride = stride;
    e->bytes = bytes;
}

static void plan_all_reduce(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    const size_t P = (size_t)ranks_of(e), bytes = (size_t)x->n * e->unit;
    if (bytes <= SMALL_SUM) {
        set_blocks(e, need_work(e, P * bytes), bytes, P * bytes);
        copy_block(block_of(e, rank_of(e)), x->recv, bytes);
        e->phases[0] = best_gather(e);
        e->last = sum_in_rank_order;
        return;
    }
    set_blocks(e, x->recv, ((size_t)x->n + P - 1) / P * e->unit, bytes);
    (void)need_work(e, 2 * e->stride);
    e->phases[0] = &reduce_ring;
    e->phases[1] = &gather_ring;
}

static void plan_exchange(hy_exchange *e) {
    const hy_xfer *x = &e->xfer;
    const size_t P = (size_t)ranks_of(e), part = (size_t)x->n * e->unit;
    switch (x->kind) {
    case HY_X_ALL_GATHER:
        set_blocks(e, x->recv, part, P * part);
        copy_block(block_of(e, rank_of(e)), x->send, part);
        e->phases[0] = best_gather(e);
        break;
    case HY_X_ALL_REDUCE:
        plan_all_reduce(e);
        break;
    case HY_X_REDUCE_SCATTER:
        set_blocks(e, x->send, part, P * part);
        (void)need_work(e, 2 * part);
        e->phases[0] = &reduce_ring;
        break;
    case HY_X_ALL_TO_ALL:
        copy_block((char *)x->recv + (size_t)rank_of(e) * part, (const char *)x->send + (size_t)rank_of(e) * part,
                   part);
        e->phases[0] = &all_to_all;
        break;
    case HY_X_BROADCAST:
        e->phases[0] = &broadcast;
        break;
    case HY_X_SEND:
    case HY_X_RECV:
        e->phases[0] = &message;
        break;
    case HY_X_KINDS:
        break;
    }
}

/* ---- going on ---- */

/* The step after this one; false: there is none. */
static bool next_step(hy_exchange *e) {
    e->step++;
    while (e->phase < PHASES && e->phases[e->phase] != NULL && e->step == e->phases[e->phase]->steps(e)) {
        e->phase++;
        e->step = 0;
    }
    return e->phase < PHASES && e->phases[e->phase] != NULL;
}

static void end_exchange(hy_exchange *e) {
    if (e->last != NULL) {
        e->last(e);
    }
    if (e->work != NULL) {
        release_work(e->all, e->work);
        e->work = NULL;
    }
    e->all->running -= e->collective;
    e->done = true;
    e->completed = hy_now();
}

static void advance(hy_exchange *e) {
    while (!e->done && step_is_over(e)) {
        if (e->step >= 0 && e->phases[e->phase]->end != NULL) {
            e->phases[e->phase]->end(e, e->step);
        }
        if (next_step(e)) {
            e->phases[e->phase]->begin(e, e->step);
            continue;
        }
        end_exchange(e);
    }
}

/* Those before it have begun, or are messages. */
static void begin_exchange(hy_exchange *e) {
    e->begun = true;
    e->all->running += e->collective;
    plan_exchange(e);
    advance(e);
}

static void add_chunk(hy_exchanges *all) {
    const int messages = 2 * all->p2p.size;
    exchange_chunk *chunk = NULL;
    if (HY_NEW("exchanges", 1, &chunk) != HY_OK ||
        HY_NEW("messages of exchanges", (int64_t)CHUNK * messages, &chunk->awaited) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    chunk->next = all->chunks;
    all->chunks = chunk;
    for (int i = 0; i < CHUNK; i++) {
        chunk->exchanges[i].awaited = chunk->awaited + (int64_t)i * messages;
        chunk->exchanges[i].next = all->spare;
        all->spare = &chunk->exchanges[i];
    }
}

static hy_exchange *take_exchange(hy_exchanges *all) {
    if (all->spare == NULL) {
        add_chunk(all);
    }
    hy_exchange *e = all->spare;
    all->spare = e->next;
    return e;
}

hy_exchange *hy_exchanges_post(hy_exchanges *all, const hy_xfer *xfer) {
    const bool one = xfer->kind == HY_X_SEND || xfer->kind == HY_X_RECV;
    const bool sums = xfer->kind == HY_X_ALL_REDUCE || xfer->kind == HY_X_REDUCE_SCATTER;
    const uint64_t collectives = (uint64_t)1 << (HY_P2P_TAG_BITS - 1);
    hy_exchange *e = take_exchange(all);
    *e = (hy_exchange){.all = all,
                       .xfer = *xfer,
                       .unit = sums ? hy_type_size(xfer->type) : 1,
                       .step = -1,
                       .collective = !one,
                       .awaited = e->awaited};
    e->tag = one ? (uint32_t)xfer->tag : collectives | (all->collectives++ % collectives);
    *all->end = e;
    all->end = &e->next;
    if (one || (all->behind == 0 && all->running < RUNNING)) {
        begin_exchange(e);
    } else {
        all->behind++;
    }
    return e;
}

void hy_exchanges_progress(hy_exchanges *all) {
    for (hy_exchange *e = all->posted; e != NULL; e = e->next) {
        if (e->begun) {
            advance(e);
        } else if (all->running < RUNNING) {
            all->behind--;
            begin_exchange(e);
        }
    }
}

bool hy_exchanges_test(hy_exchanges *all, hy_exchange *e, double *completed) {
    if (!e->done) {
        return false;
    }
    hy_exchange **link = &all->posted;
    while (*link != e) {
        link = &(*link)->next;
    }
    *link = e->next;
    if (e->next == NULL) {
        all->end = link;
    }
    e->next = all->spare;
    all->spare = e;
    *completed = e->completed;
    return true;
}

int hy_exchanges_awaits(const hy_exchanges *all, hy_exchange_kind *kind) {
    for (const hy_exchange *e = all->posted; e != NULL; e = e->next) {
        if (e->n_awaited > 0) {
            *kind = e->xfer.kind;
            return e->awaited[0].peer;
        }
    }
    return -1;
}
