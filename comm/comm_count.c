/* One rank of a communicator whose others are not there: exchanges are counted by comm.c, written to a schedule if there is one, and nothing
 * else happens. With a schedule an exchange runs when it is posted, its messages being complete at once, but says so only to who waits for
 * it: what a rank does must not depend on when something comes. */
#include "base/memory.h"
#include "comm/comm_internal.h"
#include "comm/exchanges.h"
#include "comm/schedule.h"

/* Of a communicator with a schedule. */
typedef struct count_state {
    hy_schedule *schedule;
    hy_exchanges *exchanges;
    int number; /* of the communicator in the schedule */
} count_state;

static const hy_plane count_plane;

/* ---- messages, recorded ---- */

static void *record_send(void *state, const void *buf, size_t bytes, int to, uint64_t tag) {
    const count_state *c = state;
    (void)buf;
    hy_schedule_message(c->schedule, true, c->number, to, tag, (int64_t)bytes);
    return state;
}

static void *record_recv(void *state, void *buf, size_t bytes, int from, uint64_t tag) {
    const count_state *c = state;
    (void)buf;
    hy_schedule_message(c->schedule, false, c->number, from, tag, (int64_t)bytes);
    return state;
}

/* Asked once all of a step is posted. */
static bool record_done(void *state, void *handle) {
    const count_state *c = state;
    (void)handle;
    c->schedule->step_is_over = true;
    return true;
}

static hy_status add_state(hy_comm *comm, hy_schedule *schedule, int color) {
    count_state *c = NULL;
    HY_TRY(HY_NEW("communicator", 1, &c));
    *c = (count_state){.schedule = schedule, .number = hy_schedule_add_comm(schedule, color, comm->rank, comm->size)};
    comm->impl = c;
    const hy_p2p p2p = {.context = c,
                        .rank = comm->rank,
                        .size = comm->size,
                        .untouched = true,
                        .send = record_send,
                        .recv = record_recv,
                        .done = record_done};
    return hy_exchanges_create(&p2p, &c->exchanges);
}

/* ---- communicators ---- */

static hy_schedule *schedule_of(const hy_comm *comm) {
    return comm->impl != NULL ? ((const count_state *)comm->impl)->schedule : NULL;
}

static hy_status create_counting(int size, int rank, int color, hy_exchange_log *log, hy_schedule *schedule,
                                 hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    *comm = (hy_comm){.transport = &hy_transport_count, .plane = &count_plane, .rank = rank, .size = size, .log = log};
    const hy_status status = schedule != NULL ? add_state(comm, schedule, color) : HY_OK;
    if (status != HY_OK) {
        hy_comm_destroy(comm);
        return status;
    }
    *out = comm;
    return HY_OK;
}

hy_status hy_comm_schedule_create(int size, int rank, hy_exchange_log *log, hy_schedule *schedule, hy_comm **out) {
    if (size < 1 || rank < 0 || rank >= size) {
        return hy_fail(HY_ERR_USAGE, "rank %d of %d ranks: there is none", rank, size);
    }
    return create_counting(size, rank, 0, log, schedule, out);
}

hy_status hy_comm_count_create(int size, int rank, hy_exchange_log *log, hy_comm **out) {
    return hy_comm_schedule_create(size, rank, log, NULL, out);
}

static hy_status count_split(hy_comm *parent, int color, int key, int members, hy_comm **out) {
    *out = NULL;
    if (color >= 0 && members == 0) {
        return hy_fail(HY_ERR_USAGE, "a communicator that only counts cannot ask how many ranks have color %d", color);
    }
    return color < 0 ? HY_OK : create_counting(members, key, color, parent->log, schedule_of(parent), out);
}

/* As if every rank had a host of its own. */
static hy_status count_split_host(hy_comm *parent, hy_comm **out) {
    return create_counting(1, 0, parent->rank, parent->log, schedule_of(parent), out);
}

static void count_close(hy_comm *comm) {
    count_state *c = comm->impl;
    if (c != NULL) {
        hy_exchanges_destroy(c->exchanges);
        hy_free(c);
    }
}

/* One bound to a device is a communicator of its own. */
static hy_status count_open(hy_comm *comm) {
    const count_state *control = comm->control->impl;
    return control != NULL ? add_state(comm, control->schedule, control->schedule->comms[control->number].color)
                           : HY_OK;
}

/* ---- exchanges ---- */

static void count_post(hy_comm *comm, const hy_xfer *xfer, hy_req *req) {
    count_state *c = comm->impl;
    if (c != NULL) {
        req->number = hy_schedule_post(c->schedule, req->name);
        req->impl = c;
        hy_exchange *e = hy_exchanges_post(c->exchanges, xfer);
        while (e != NULL && !hy_exchanges_test(c->exchanges, e)) {
            hy_exchanges_progress(c->exchanges);
        }
        hy_schedule_post_end(c->schedule);
    }
}

static void count_barrier(hy_comm *comm, hy_req *req) {
    (void)comm;
    (void)req;
}

static bool count_test(hy_req *req) {
    const hy_schedule *schedule = schedule_of(req->comm);
    if (schedule != NULL && schedule->waited != req->number) {
        return false;
    }
    req->impl = NULL;
    return true;
}

/* Somebody waits for it. */
static void count_idle(const hy_req *req) {
    hy_schedule_wait(schedule_of(req->comm), (int32_t)req->number);
}

static void count_progress(void) {}

static void count_early(hy_comm *comm, hy_early early) {
    hy_schedule *schedule = schedule_of(comm);
    if (schedule != NULL) {
        hy_schedule_early(schedule, early);
    }
}

const hy_transport hy_transport_count = {
    .name = "count",
    .moves_device_memory = true, /* it touches nothing */
    .open = count_open,
    .post = count_post,
    .test = count_test,
    .only_for_waiters = true,
    .idle = count_idle,
    .progress = count_progress,
    .early = count_early,
    .close = count_close,
};

static const hy_plane count_plane = {
    .transport = &hy_transport_count, .barrier = count_barrier, .split = count_split, .split_host = count_split_host};
