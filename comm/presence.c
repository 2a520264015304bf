/* A sequence lock of one writer: `changes` is odd while the rest is written. Every store is a release and every load an acquire, which
 * keeps each in its order (and which ThreadSanitizer understands, as it does not a fence). */
#include "comm/presence.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"

static struct {
    _Atomic int64_t changes, pulse, number, step;
    _Atomic(const char *) name;
    _Atomic(const char *) phase;
    _Atomic int kind, peer;
    _Atomic bool waits, for_device;
    _Atomic double since, waited;
} shown;

#define PUT(field, value) atomic_store_explicit(&shown.field, value, memory_order_release)
#define GET(field)        atomic_load_explicit(&shown.field, memory_order_acquire)

static void begin_change(void) {
    PUT(changes, GET(changes) + 1);
}

static void end_change(void) {
    PUT(changes, GET(changes) + 1);
}

void hy_presence_phase(const char *phase, int64_t step) {
    begin_change();
    PUT(phase, phase);
    PUT(step, step);
    end_change();
}

static void name_exchange(const hy_req *req) {
    PUT(name, req->name);
    PUT(kind, req->kind);
    PUT(peer, req->peer);
    PUT(number, req->number);
}

static void end_wait(double waited, double now) {
    PUT(waited, GET(waited) + waited);
    PUT(waits, false);
    PUT(for_device, false);
    PUT(since, now);
}

static void show_wait(const hy_req *req, bool for_device, double now) {
    begin_change();
    name_exchange(req);
    PUT(waits, true);
    PUT(for_device, for_device);
    PUT(since, now);
    end_change();
}

void hy_presence_wait(const hy_req *req, double now) {
    show_wait(req, false, now);
}

void hy_presence_done(double now) {
    begin_change();
    end_wait(now - GET(since), now);
    end_change();
}

void hy_presence_passed(const hy_req *req, double waited, double now) {
    begin_change();
    name_exchange(req);
    end_wait(waited, now);
    end_change();
}

void hy_presence_idle(const hy_req *oldest) {
    const bool waits = GET(waits);
    if (waits && !GET(for_device)) {
        return; /* the host itself waits in an exchange */
    }
    PUT(pulse, GET(pulse) + 1);
    const bool same = oldest != NULL && waits && GET(name) == oldest->name && GET(number) == oldest->number &&
                      GET(kind) == (int)oldest->kind;
    if (same || (oldest == NULL && !waits)) {
        return;
    }
    if (waits) {
        hy_presence_done(hy_now());
    }
    if (oldest != NULL) {
        show_wait(oldest, true, hy_now());
    }
}

hy_presence hy_presence_read(void) {
    hy_presence p;
    do {
        p.changes = GET(changes);
        p.name = GET(name);
        p.kind = GET(kind);
        p.peer = GET(peer);
        p.number = GET(number);
        p.waits = GET(waits);
        p.for_device = GET(for_device);
        p.since = GET(since);
        p.waited = GET(waited);
        p.phase = GET(phase);
        p.step = GET(step);
        p.pulse = GET(pulse);
    } while (p.changes % 2 != 0 || p.changes != GET(changes));
    return p;
}
