#include "comm/exchanges.h"

#include "base/clock.h"
#include "base/memory.h"
#include "comm/exchange_ways.h"

/* Collectives that run at once, the rest in posting order behind them: so few buffers serve however many are posted. Exchanges are made by
 * the chunk; buffers have sizes that are powers of two. */
enum { RUNNING = 4, CHUNK = 64, SMALLEST = 12, SIZES = 48 };

typedef struct exchange_chunk {
    struct exchange_chunk *next;
    hy_awaited *awaited; /* [CHUNK·2·size] */
    hy_exchange exchanges[CHUNK];
} exchange_chunk;

struct hy_exchanges {
    hy_p2p p2p;
    hy_exchange *posted, **end, *spare;
    exchange_chunk *chunks;
    hy_work *works[SIZES]; /* spare */
    uint64_t collectives;  /* so far */
    int running, behind;   /* collectives */
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
        for (hy_work *w = all->works[size], *next; w != NULL; w = next) {
            next = w->next;
            hy_free(w->bytes);
            hy_free(w);
        }
    }
    hy_free(all);
}

/* ---- messages ---- */

int hy_exchange_size(const hy_exchange *e) {
    return e->all->p2p.size;
}

int hy_exchange_rank(const hy_exchange *e) {
    return e->all->p2p.rank;
}

bool hy_exchange_untouched(const hy_exchange *e) {
    return e->all->p2p.untouched;
}

static void await(hy_exchange *e, void *handle, int peer) {
    if (handle != NULL) {
        e->awaited[e->n_awaited++] = (hy_awaited){.handle = handle, .peer = peer};
    }
}

void hy_exchange_send(hy_exchange *e, int peer, const void *buf, size_t bytes) {
    const hy_p2p *p = &e->all->p2p;
    await(e, p->send(p->context, buf, bytes, peer, e->tag), peer);
}

void hy_exchange_recv(hy_exchange *e, int peer, void *buf, size_t bytes) {
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

/* ---- buffers ---- */

static void release_work(hy_exchanges *all, hy_work *w) {
    w->next = all->works[w->size];
    all->works[w->size] = w;
}

/* As many as run at once, so that no more are ever needed. */
static hy_status add_works(hy_exchanges *all, int size) {
    for (int i = 0; i < RUNNING; i++) {
        hy_work *w = NULL;
        HY_TRY(HY_NEW("buffer for sums", 1, &w));
        w->size = size;
        release_work(all, w);
        HY_TRY(HY_NEW("sums of an exchange", (int64_t)1 << size, &w->bytes));
    }
    return HY_OK;
}

char *hy_exchange_work(hy_exchange *e, size_t bytes) {
    static char anywhere;
    static hy_work none = {.bytes = &anywhere};
    hy_exchanges *all = e->all;
    int size = SMALLEST;
    if (all->p2p.untouched) {
        e->work = &none;
        return none.bytes;
    }
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

/* ---- going on ---- */

/* The step after this one; false: there is none. */
static bool next_step(hy_exchange *e) {
    e->step++;
    while (e->phase < HY_PHASES && e->phases[e->phase] != NULL && e->step == e->phases[e->phase]->steps(e)) {
        e->phase++;
        e->step = 0;
    }
    return e->phase < HY_PHASES && e->phases[e->phase] != NULL;
}

static void end_exchange(hy_exchange *e) {
    if (e->last != NULL) {
        e->last(e);
    }
    if (e->work != NULL && !e->all->p2p.untouched) {
        release_work(e->all, e->work);
    }
    e->work = NULL;
    e->all->running -= e->collective;
    e->done = true;
    if (e->span > 0) {
        hy_exchange_span_done(e->span, hy_now());
    }
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
    hy_exchange_plan(e);
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

bool hy_exchanges_test(hy_exchanges *all, hy_exchange *e) {
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
    return true;
}

static void append(hy_exchanges *all, hy_exchange *e) {
    *all->end = e;
    all->end = &e->next;
}

/* It has no phases, and is over when the message is. What serves phases only is not set. */
static hy_exchange *post_message(hy_exchanges *all, const hy_xfer *x) {
    const hy_p2p *p = &all->p2p;
    const uint32_t tag = (uint32_t)x->tag;
    void *handle = x->kind == HY_X_SEND ? p->send(p->context, x->send, (size_t)x->n, x->peer, tag)
                                        : p->recv(p->context, x->recv, (size_t)x->n, x->peer, tag);
    if (handle == NULL) {
        return NULL;
    }
    hy_exchange *e = take_exchange(all);
    e->next = NULL;
    e->all = all;
    e->xfer.kind = x->kind;
    e->phase = HY_PHASES;
    e->step = -1;
    e->span = 0;
    e->last = NULL;
    e->work = NULL;
    e->collective = e->done = false;
    e->begun = true;
    e->awaited[0] = (hy_awaited){.handle = handle, .peer = x->peer};
    e->n_awaited = 1;
    append(all, e);
    return e;
}

static hy_exchange *post_collective(hy_exchanges *all, const hy_xfer *x) {
    const bool sums = x->kind == HY_X_ALL_REDUCE || x->kind == HY_X_REDUCE_SCATTER;
    const uint64_t collectives = (uint64_t)1 << (HY_P2P_TAG_BITS - 1);
    hy_exchange *e = take_exchange(all);
    *e = (hy_exchange){.all = all,
                       .xfer = *x,
                       .unit = sums ? hy_type_size(x->type) : 1,
                       .step = -1,
                       .collective = true,
                       .awaited = e->awaited};
    e->tag = collectives | (all->collectives++ % collectives);
    append(all, e);
    if (all->behind == 0 && all->running < RUNNING) {
        begin_exchange(e);
    } else {
        all->behind++;
    }
    return hy_exchanges_test(all, e) ? NULL : e;
}

hy_exchange *hy_exchanges_post(hy_exchanges *all, const hy_xfer *x) {
    return x->kind == HY_X_SEND || x->kind == HY_X_RECV ? post_message(all, x) : post_collective(all, x);
}

void hy_exchange_set_span(hy_exchange *e, int64_t span) {
    e->span = span;
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

int hy_exchanges_awaits(const hy_exchanges *all, hy_exchange_kind *kind) {
    for (const hy_exchange *e = all->posted; e != NULL; e = e->next) {
        if (e->n_awaited > 0) {
            *kind = e->xfer.kind;
            return e->awaited[0].peer;
        }
    }
    return -1;
}
