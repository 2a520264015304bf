#include "comm/staged.h"

#include "base/memory.h"

/* Blocks of an exchange on their way: one down, one between ranks, one up; of collectives together, which pass in order anyway; and exchanges
 * that are made at once. */
enum { DEPTH = 3, COLLECTIVE_BLOCKS = 2 * DEPTH, XFER_CHUNK = 64 };

/* Buffers of blocks, of two sizes: for whole blocks, and for what is small. So many of each are pinned from the start. More exchanges
 * at once take plain memory: to pin some in a step could wait for a lane that waits for this very exchange, and so could an exchange that waits for
 * another's buffer. */
enum { SMALL, LARGE, SIZES };
enum { SMALL_BYTES = 64 << 10, PINNED_SMALL = 64, PINNED_LARGE = 2 * COLLECTIVE_BLOCKS };

int64_t hy_staged_block = 2 << 20;

/* Parts of the device's memory that one direction of a block copies: `n` of them, one every `stride` bytes, from or to the block's slots. */
typedef struct staged_side {
    char *device;
    size_t stride;
    int n, slot; /* parts; the slot of the first */
    int without; /* a part that is where it belongs already; −1: none */
} staged_side;

/* Where an exchange's parts lie. A slot has as much as one rank's part of a block. */
typedef struct staged_plan {
    staged_side down, up;
    int slots, send, recv; /* in all; what the transport reads and writes */
    size_t unit;           /* bytes per element of `n` */
} staged_plan;

typedef enum block_place { BLOCK_DOWN, BLOCK_BETWEEN, BLOCK_UP } block_place;

typedef struct staged_block {
    struct staged_block *next; /* in its exchange, oldest first, or spare */
    char *host;
    bool pinned;
    int size; /* SMALL, LARGE */
    block_place place;
    int64_t at, n; /* elements of a rank's part */
    hy_mark mark;
    hy_req req; /* the transport's */
} staged_block;

typedef struct staged_slab {
    struct staged_slab *next;
    void *host;
    bool pinned;
    staged_block *blocks;
} staged_slab;

typedef struct staged_xfer {
    struct staged_xfer *next; /* posting order, or spare */
    hy_xfer xfer;
    staged_plan plan;
    int64_t block, begun, posted; /* elements of a rank's part: per block; in blocks so far; given to the transport */
    bool all_begun, all_posted, landed;
    staged_block *blocks, **end; /* on their way */
    int n_blocks;
} staged_xfer;

typedef struct staged_chunk {
    struct staged_chunk *next;
    staged_xfer xfers[XFER_CHUNK];
} staged_chunk;

struct hy_staged {
    hy_comm *comm;
    hy_device *device;
    staged_xfer *xfers, **end, *spare;
    size_t sizes[SIZES];                  /* bytes of a buffer */
    staged_block *spare_blocks[SIZES][2]; /* plain, pinned */
    staged_slab *slabs;
    staged_chunk *chunks;
    int collective_blocks; /* on their way */
};

/* ---- create, destroy ---- */

static void release_block(hy_staged *s, staged_block *b) {
    b->next = s->spare_blocks[b->size][b->pinned];
    s->spare_blocks[b->size][b->pinned] = b;
}

static hy_status add_buffers(hy_staged *s, int size, int n, bool pinned) {
    const size_t bytes = s->sizes[size];
    staged_slab *slab = NULL;
    HY_TRY(HY_NEW("buffers of exchanges", 1, &slab));
    slab->pinned = pinned;
    slab->next = s->slabs;
    s->slabs = slab;
    HY_TRY(HY_NEW("blocks of exchanges", n, &slab->blocks));
    HY_TRY(pinned ? hy_device_host_alloc(s->device, "pinned memory of exchanges", (size_t)n * bytes, &slab->host)
                  : hy_alloc("plain memory of exchanges", (size_t)n * bytes, &slab->host));
    for (int i = 0; i < n; i++) {
        slab->blocks[i] =
            (staged_block){.host = (char *)slab->host + (size_t)i * bytes, .pinned = pinned, .size = size};
        release_block(s, &slab->blocks[i]);
    }
    return HY_OK;
}

/* One rank alone moves nothing but messages to itself. */
static hy_status pin_buffers(hy_staged *s) {
    if (s->comm->size == 1) {
        return HY_OK;
    }
    HY_TRY(add_buffers(s, SMALL, PINNED_SMALL, true));
    return add_buffers(s, LARGE, PINNED_LARGE, true);
}

/* An element of every part at least: 2·P parts of an all-to-all, 8 bytes the widest element. */
static size_t large_bytes(const hy_comm *comm) {
    const size_t least = (size_t)comm->size * 2 * sizeof(double), block = (size_t)hy_staged_block;
    return block > least ? block : least;
}

hy_status hy_staged_create(hy_comm *comm, hy_device *device, hy_staged **out) {
    hy_staged *s = NULL;
    HY_TRY(HY_NEW("staged exchanges", 1, &s));
    *s = (hy_staged){.comm = comm, .device = device, .end = &s->xfers, .sizes = {SMALL_BYTES, large_bytes(comm)}};
    const hy_status status = pin_buffers(s);
    if (status != HY_OK) {
        hy_staged_destroy(s);
        return status;
    }
    *out = s;
    return HY_OK;
}

void hy_staged_destroy(hy_staged *s) {
    if (s == NULL) {
        return;
    }
    for (staged_slab *slab = s->slabs, *next; slab != NULL; slab = next) {
        next = slab->next;
        if (slab->pinned) {
            hy_device_host_free(s->device, slab->host);
        } else {
            hy_free(slab->host);
        }
        hy_free(slab->blocks);
        hy_free(slab);
    }
    for (staged_chunk *c = s->chunks, *next; c != NULL; c = next) {
        next = c->next;
        hy_free(c);
    }
    hy_free(s);
}

/* ---- what is where ---- */

static bool is_collective(const hy_xfer *x) {
    return x->kind != HY_X_SEND && x->kind != HY_X_RECV;
}

static staged_side parts(const void *device, size_t stride, int n, int slot) {
    return (staged_side){.device = (char *)(uintptr_t)device, .stride = stride, .n = n, .slot = slot, .without = -1};
}

static staged_plan plan_of(const hy_comm *comm, const hy_xfer *x) {
    const int P = comm->size, rank = comm->rank;
    const bool sums = x->kind == HY_X_ALL_REDUCE || x->kind == HY_X_REDUCE_SCATTER;
    staged_plan p = {.slots = 1, .unit = sums ? hy_type_size(x->type) : 1};
    const size_t part = (size_t)x->n * p.unit;
    switch (x->kind) {
    case HY_X_ALL_GATHER: /* in place among the slots */
        p.slots = P;
        p.send = rank;
        p.down = parts(x->send, 0, 1, rank);
        p.up = parts(x->recv, part, P, 0);
        p.up.without = x->send == (const char *)x->recv + (size_t)rank * part ? rank : -1;
        break;
    case HY_X_ALL_TO_ALL:
        p.slots = 2 * P;
        p.recv = P;
        p.down = parts(x->send, part, P, 0);
        p.up = parts(x->recv, part, P, P);
        break;
    case HY_X_REDUCE_SCATTER:
        p.slots = P + 1;
        p.recv = P;
        p.down = parts(x->send, part, P, 0);
        p.up = parts(x->recv, 0, 1, P);
        break;
    case HY_X_ALL_REDUCE:
        p.down = p.up = parts(x->recv, 0, 1, 0);
        break;
    case HY_X_BROADCAST:
        *(x->peer == rank ? &p.down : &p.up) = parts(x->recv, 0, 1, 0);
        break;
    case HY_X_SEND:
        p.down = parts(x->send, 0, 1, 0);
        break;
    case HY_X_RECV:
        p.up = parts(x->recv, 0, 1, 0);
        break;
    case HY_X_KINDS:
        break;
    }
    return p;
}

/* ---- copies ---- */

/* Parts that follow one another on the device too, as in a block that is the whole exchange, are one copy. */
static void copy_side(hy_staged *s, const staged_xfer *x, staged_block *b, const staged_side *side, bool up) {
    const size_t bytes = (size_t)b->n * x->plan.unit, offset = (size_t)b->at * x->plan.unit;
    const bool together = side->stride == bytes;
    for (int i = 0, j; i < side->n; i = j) {
        j = i + 1;
        if (i == side->without) {
            continue;
        }
        while (together && j < side->n && j != side->without) {
            j++;
        }
        char *device = side->device + (size_t)i * side->stride + offset;
        char *host = b->host + (size_t)(side->slot + i) * bytes;
        hy_device_copy(s->device, HY_LANE_EXCHANGE, up ? device : host, up ? host : device, (size_t)(j - i) * bytes);
    }
    b->place = up ? BLOCK_UP : BLOCK_DOWN;
    b->mark = hy_device_mark(s->device, HY_LANE_EXCHANGE);
}

/* ---- blocks ---- */

static staged_block *take_block(hy_staged *s, size_t bytes) {
    staged_block **spare = s->spare_blocks[bytes <= s->sizes[SMALL] ? SMALL : LARGE];
    const bool pinned = spare[true] != NULL;
    if (!pinned && spare[false] == NULL &&
        add_buffers(s, bytes <= s->sizes[SMALL] ? SMALL : LARGE, COLLECTIVE_BLOCKS, false) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    staged_block *b = spare[pinned];
    spare[pinned] = b->next;
    return b;
}

/* The exchange's next block starts on its way. */
static void begin_block(hy_staged *s, staged_xfer *x) {
    const int64_t left = x->xfer.n - x->begun, n = left < x->block ? left : x->block;
    staged_block *b = take_block(s, (size_t)x->plan.slots * (size_t)n * x->plan.unit);
    b->next = NULL;
    b->at = x->begun;
    b->n = n;
    x->begun += n;
    x->all_begun = x->begun == x->xfer.n;
    x->n_blocks++;
    s->collective_blocks += is_collective(&x->xfer);
    *x->end = b;
    x->end = &b->next;
    copy_side(s, x, b, &x->plan.down, false);
}

/* Whether the transport would take one for the other. */
static bool same_order(const hy_xfer *a, const hy_xfer *b) {
    if (!is_collective(a) && !is_collective(b)) {
        return a->kind == b->kind && a->peer == b->peer && a->tag == b->tag;
    }
    return is_collective(a) && is_collective(b);
}

static bool may_post(const hy_staged *s, const staged_xfer *x) {
    for (const staged_xfer *y = s->xfers; y != x; y = y->next) {
        if (!y->all_posted && same_order(&y->xfer, &x->xfer)) {
            return false;
        }
    }
    return true;
}

static void post_block(hy_staged *s, staged_xfer *x, staged_block *b) {
    const size_t bytes = (size_t)b->n * x->plan.unit;
    hy_xfer xfer = x->xfer;
    xfer.send = b->host + (size_t)x->plan.send * bytes;
    xfer.recv = b->host + (size_t)x->plan.recv * bytes;
    xfer.n = b->n;
    b->req = (hy_req){.comm = s->comm};
    b->place = BLOCK_BETWEEN;
    s->comm->transport->post(s->comm, &xfer, &b->req);
    x->posted += b->n;
    x->all_posted = x->posted == x->xfer.n;
}

static bool has_come(hy_staged *s, staged_block *b) {
    return b->req.impl == NULL || s->comm->transport->test(&b->req);
}

/* As far as it goes now; true: it is there. */
static bool move_block(hy_staged *s, staged_xfer *x, staged_block *b) {
    if (b->place == BLOCK_DOWN && hy_device_reached(s->device, b->mark) && may_post(s, x)) {
        post_block(s, x, b);
    }
    if (b->place == BLOCK_BETWEEN && has_come(s, b)) {
        copy_side(s, x, b, &x->plan.up, true);
    }
    return b->place == BLOCK_UP && hy_device_reached(s->device, b->mark);
}

/* ---- exchanges ---- */

static void move_blocks(hy_staged *s, staged_xfer *x) {
    staged_block **link = &x->blocks;
    while (*link != NULL) {
        staged_block *b = *link;
        const bool there = move_block(s, x, b), held = b->place == BLOCK_DOWN;
        if (there) {
            *link = b->next;
            x->end = *link == NULL ? link : x->end;
            x->n_blocks--;
            s->collective_blocks -= is_collective(&x->xfer);
            release_block(s, b);
        } else {
            link = &b->next;
        }
        if (held) {
            break; /* those behind it come later */
        }
    }
}

/* The oldest collective comes first to what others leave, so none waits for a later one. */
static bool has_room(const hy_staged *s, const staged_xfer *x) {
    return !is_collective(&x->xfer) || s->collective_blocks < COLLECTIVE_BLOCKS;
}

static void move_xfer(hy_staged *s, staged_xfer *x) {
    move_blocks(s, x);
    while (!x->all_begun && x->n_blocks < DEPTH && has_room(s, x)) {
        begin_block(s, x);
    }
    x->landed = x->all_begun && x->blocks == NULL;
}

void hy_staged_progress(hy_staged *s) {
    for (staged_xfer *x = s->xfers; x != NULL; x = x->next) {
        if (!x->landed) {
            move_xfer(s, x);
        }
    }
}

static staged_xfer *take_xfer(hy_staged *s) {
    if (s->spare == NULL) {
        staged_chunk *chunk = NULL;
        if (HY_NEW("staged exchanges", 1, &chunk) != HY_OK) {
            hy_comm_abort(HY_ERR_MEMORY);
        }
        chunk->next = s->chunks;
        s->chunks = chunk;
        for (int i = 0; i < XFER_CHUNK; i++) {
            chunk->xfers[i].next = s->spare;
            s->spare = &chunk->xfers[i];
        }
    }
    staged_xfer *x = s->spare;
    s->spare = x->next;
    return x;
}

/* Of one rank: collectives stay inside the device. */
static void copy_inside(hy_staged *s, staged_xfer *x) {
    const hy_xfer *of = &x->xfer;
    staged_block *b = take_block(s, 0);
    const bool in_place = of->kind == HY_X_ALL_REDUCE || of->kind == HY_X_BROADCAST || of->send == of->recv;
    if (!in_place) {
        hy_device_copy(s->device, HY_LANE_EXCHANGE, of->recv, of->send, (size_t)of->n * x->plan.unit);
    }
    b->next = NULL;
    b->place = BLOCK_UP;
    b->mark = hy_device_mark(s->device, HY_LANE_EXCHANGE);
    x->blocks = b;
    x->end = &b->next;
    x->n_blocks = 1;
    s->collective_blocks++;
    x->all_begun = x->all_posted = true;
}

void hy_staged_post(hy_staged *s, const hy_xfer *xfer, hy_req *req) {
    staged_xfer *x = take_xfer(s);
    *x = (staged_xfer){.xfer = *xfer, .plan = plan_of(s->comm, xfer)};
    const int64_t fits = hy_staged_block / x->plan.slots / (int64_t)x->plan.unit;
    x->block = fits > 1 ? fits : 1;
    x->end = &x->blocks;
    *s->end = x;
    s->end = &x->next;
    req->impl = x;
    if (s->comm->size == 1 && is_collective(xfer)) {
        copy_inside(s, x);
    }
    move_xfer(s, x);
}

bool hy_staged_test(hy_staged *s, hy_req *req) {
    staged_xfer *x = req->impl;
    if (!x->landed) {
        return false;
    }
    staged_xfer **link = &s->xfers;
    while (*link != x) {
        link = &(*link)->next;
    }
    *link = x->next;
    if (x->next == NULL) {
        s->end = link;
    }
    x->next = s->spare;
    s->spare = x;
    req->impl = NULL;
    return true;
}
