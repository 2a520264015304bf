#include "comm/deferred.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/staged.h"

/* Exchanges that are made at once, in a step too; and how many have a signal of their own, all from the start: to make more could wait for a lane
 * that waits for one of them. */
enum { CHUNK = 64, SIGNALS = 512 };

/* One exchange. Free again once it has landed and was waited for. */
typedef struct posted_xfer {
    struct posted_xfer *next; /* in the list it is in: queue, flying, spare */
    hy_xfer xfer;
    hy_mark after;
    hy_req req;        /* the transport's */
    hy_signal *signal; /* has `value` once this has landed; NULL: the host waits for it */
    uint64_t value;
    bool landed, waited;
} posted_xfer;

typedef struct xfer_chunk {
    struct xfer_chunk *next;
    posted_xfer xfers[CHUNK];
} xfer_chunk;

struct hy_deferred {
    hy_deferred *next; /* of all of this process */
    hy_comm *comm;
    hy_device *device;
    hy_staged *staged;               /* NULL: the transport moves the device's memory itself */
    posted_xfer *queue, **queue_end; /* in posting order */
    posted_xfer *flying, *spare[2];  /* spare: without a signal, with one */
    xfer_chunk *chunks;
    hy_signal *signals; /* [SIGNALS] */
    int n_signals;      /* that exchanges have */
};

static hy_deferred *all_deferred;
static int64_t n_flying; /* of all */

/* ---- entries ---- */

static void push_spare(hy_deferred *d, posted_xfer *p) {
    posted_xfer **spare = &d->spare[p->signal != NULL];
    p->next = *spare;
    *spare = p;
}

static hy_status add_chunk(hy_deferred *d) {
    xfer_chunk *chunk = NULL;
    HY_TRY(HY_NEW("posted exchanges", 1, &chunk));
    chunk->next = d->chunks;
    d->chunks = chunk;
    for (int i = 0; i < CHUNK; i++) {
        chunk->xfers[i].signal = d->n_signals < SIGNALS ? &d->signals[d->n_signals++] : NULL;
        push_spare(d, &chunk->xfers[i]);
    }
    return HY_OK;
}

static posted_xfer *take_spare(hy_deferred *d) {
    if (d->spare[false] == NULL && d->spare[true] == NULL && add_chunk(d) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    posted_xfer **spare = &d->spare[d->spare[true] != NULL], *p = *spare;
    *spare = p->next;
    p->next = NULL;
    return p;
}

static void free_chunks(hy_deferred *d) {
    for (xfer_chunk *chunk = d->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        hy_free(chunk);
    }
    hy_device_signals_free(d->device, d->signals);
}

static void free_if_over(hy_deferred *d, posted_xfer *p) {
    if (p->landed && p->waited) {
        push_spare(d, p);
    }
}

/* ---- moving on ---- */

static void land(hy_deferred *d, posted_xfer *p) {
    if (p->req.span > 0) {
        hy_exchange_span_found(p->req.span, hy_now());
    }
    if (p->signal != NULL) {
        hy_device_signal(d->device, p->signal, p->value);
    }
    p->landed = true;
    free_if_over(d, p);
}

/* The transport's call says at once whether it has landed: then there is no handle. */
static void start_xfer(hy_deferred *d, posted_xfer *p) {
    p->req.posted = hy_now();
    hy_exchange_span_started(p->req.span, p->req.posted);
    if (d->staged != NULL) {
        hy_staged_post(d->staged, &p->xfer, &p->req);
    } else {
        d->comm->transport->post(d->comm, &p->xfer, &p->req);
    }
    if (p->req.impl == NULL) {
        land(d, p);
        return;
    }
    hy_device_lend(d->device);
    n_flying++;
    p->next = d->flying;
    d->flying = p;
}

static void start_what_may(hy_deferred *d) {
    while (d->queue != NULL && hy_device_reached(d->device, d->queue->after)) {
        posted_xfer *p = d->queue;
        d->queue = p->next;
        if (d->queue == NULL) {
            d->queue_end = &d->queue;
        }
        start_xfer(d, p);
    }
}

static bool xfer_has_come(hy_deferred *d, posted_xfer *p) {
    if (p->req.impl == NULL) {
        return true;
    }
    return d->staged != NULL ? hy_staged_test(d->staged, &p->req) : d->comm->transport->test(&p->req);
}

static void land_what_has(hy_deferred *d) {
    for (posted_xfer **link = &d->flying; *link != NULL;) {
        posted_xfer *p = *link;
        if (!xfer_has_come(d, p)) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        n_flying--;
        hy_device_take_back(d->device);
        land(d, p);
    }
}

void hy_deferred_enter(void) {
    for (hy_deferred *d = all_deferred; d != NULL; d = d->next) {
        hy_device_enter(d->device);
    }
}

void hy_deferred_leave(void) {
    for (hy_deferred *d = all_deferred; d != NULL; d = d->next) {
        hy_device_leave(d->device);
    }
}

static bool anything_posted(void) {
    bool any = n_flying > 0;
    for (const hy_deferred *d = all_deferred; d != NULL; d = d->next) {
        any |= d->queue != NULL;
    }
    return any;
}

void hy_deferred_progress(void) {
    if (!anything_posted()) {
        return;
    }
    hy_look_begin(hy_now());
    hy_deferred_enter();
    for (hy_deferred *d = all_deferred; d != NULL; d = d->next) {
        start_what_may(d);
        d->comm->transport->progress();
        if (d->staged != NULL) {
            hy_staged_progress(d->staged);
        }
        land_what_has(d);
        hy_comm_check_health(d->comm);
    }
    hy_deferred_leave();
}

const hy_req *hy_deferred_oldest(void) {
    const posted_xfer *oldest = NULL;
    for (const hy_deferred *d = all_deferred; d != NULL; d = d->next) {
        for (const posted_xfer *p = d->flying; p != NULL; p = p->next) {
            oldest = oldest == NULL || p->req.posted < oldest->req.posted ? p : oldest;
        }
    }
    return oldest != NULL ? &oldest->req : NULL;
}

/* ---- what communicators call ---- */

hy_status hy_deferred_create(hy_comm *comm, hy_device *device, hy_deferred **out) {
    hy_deferred *d = NULL;
    HY_TRY(HY_NEW("queue of exchanges", 1, &d));
    *d = (hy_deferred){.next = all_deferred, .comm = comm, .device = device, .queue_end = &d->queue};
    hy_status status = hy_device_signals(device, SIGNALS, &d->signals);
    if (status == HY_OK) {
        status = add_chunk(d);
    }
    if (status == HY_OK && hy_device_is_apart(device) && !comm->transport->moves_device_memory) {
        status = hy_staged_create(comm, device, &d->staged);
    }
    if (status != HY_OK) {
        free_chunks(d);
        hy_free(d);
        return status;
    }
    all_deferred = d;
    *out = d;
    return HY_OK;
}

void hy_deferred_destroy(hy_deferred *d) {
    if (d == NULL) {
        return;
    }
    while (d->queue != NULL || d->flying != NULL) {
        hy_deferred_progress();
    }
    hy_device_wait(d->device, hy_device_mark(d->device, HY_LANE_COMPUTE)); /* it may stand at one of the signals */
    hy_deferred **link = &all_deferred;
    while (*link != d) {
        link = &(*link)->next;
    }
    *link = d->next;
    hy_staged_destroy(d->staged);
    free_chunks(d);
    hy_free(d);
}

void hy_deferred_post(hy_deferred *d, const hy_xfer *xfer, hy_req *req) {
    posted_xfer *p = take_spare(d);
    p->xfer = *xfer;
    p->after = hy_device_mark(d->device, HY_LANE_COMPUTE);
    p->req = *req;
    p->req.comm = d->comm;
    p->value++;
    p->landed = p->waited = false;
    *d->queue_end = p;
    d->queue_end = &p->next;
    req->impl = p;
    hy_deferred_progress();
}

void hy_deferred_wait(hy_req *req) {
    hy_deferred *d = req->comm->deferred;
    posted_xfer *p = req->impl;
    if (p->signal != NULL) {
        hy_device_after_signal(d->device, HY_LANE_COMPUTE, p->signal, p->value);
    }
    while (p->signal == NULL && !p->landed) {
        hy_comm_look_around();
    }
    p->waited = true;
    free_if_over(d, p);
}
