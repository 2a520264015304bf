/* The spans of exchanges (base/span.h). Nobody is told when an exchange completes: it is found complete when somebody looks. So the times of
 * the last looks are kept, and a span says between which two of them it completed. */
#include "base/span.h"
#include "comm/comm_internal.h"

enum { LOOKS = 64 };
static const double SHORTEST_MOVE = 1e-6; /* seconds: less than that is not worth a span */

static struct {
    double at[LOOKS]; /* when they began */
    int64_t n;
} looks;

void hy_look_begin(double now) {
    looks.at[looks.n++ % LOOKS] = now;
}

void hy_look_again(double now) {
    looks.at[(looks.n + LOOKS - 1) % LOOKS] = now;
}

/* The look before the one that found the exchange complete at `completed`. */
static double look_before(double posted, double completed) {
    bool found = false;
    for (int64_t i = looks.n - 1; i >= 0 && i > looks.n - LOOKS; i--) {
        const double at = looks.at[i % LOOKS];
        if (at <= posted) {
            break;
        }
        if (found) {
            return at;
        }
        found = at <= completed;
    }
    return posted;
}

int64_t hy_exchange_span(const hy_comm *comm, const char *name, const hy_xfer *x, int64_t bytes, double posted) {
    const bool message = x->kind == HY_X_SEND || x->kind == HY_X_RECV;
    hy_span *s = hy_span_of(hy_span_add(HY_SPAN_EXCHANGE, name, posted, 0.0));
    if (s == NULL) {
        return 0;
    }
    s->started = posted;
    s->bytes = bytes;
    s->exchange = (int32_t)x->kind;
    s->peer = message || x->kind == HY_X_BROADCAST ? x->peer : -1;
    s->tag = x->tag;
    s->size = comm->size;
    return s->number;
}

void hy_exchange_span_started(int64_t span, double now) {
    hy_span *s = hy_span_of(span);
    if (s != NULL) {
        s->started = now;
    }
}

void hy_exchange_span_done(int64_t span, double completed) {
    hy_span *s = hy_span_of(span);
    if (s != NULL) {
        s->end = completed;
        s->not_yet = look_before(s->started, completed);
    }
}

void hy_exchange_span_found(int64_t span, double now) {
    const hy_span *s = hy_span_of(span);
    if (s != NULL && s->end == 0.0) {
        hy_exchange_span_done(span, now);
    }
}

void hy_exchange_span_timed(int64_t span, double started, double completed) {
    hy_span *s = hy_span_of(span);
    if (s != NULL) {
        s->started = started;
        s->not_yet = completed;
        s->end = completed;
    }
}

int64_t hy_exchange_wait_begin(const hy_req *req) {
    const int64_t wait = req->span > 0 ? hy_span_begin(HY_SPAN_WAIT, req->name) : 0;
    if (wait > 0) {
        hy_span_of(wait)->of = req->span;
    }
    return wait;
}

void hy_exchange_waited(int64_t span, double begun, double ended) {
    const hy_span *s = hy_span_of(span);
    hy_span *wait = s != NULL ? hy_span_of(hy_span_add(HY_SPAN_WAIT, s->name, begun, ended)) : NULL;
    if (wait != NULL) {
        wait->of = span;
    }
}

void hy_exchange_moved(double begun, double ended) {
    if (ended - begun >= SHORTEST_MOVE) {
        (void)hy_span_add(HY_SPAN_MOVE, "moving exchanges", begun, ended);
    }
}
