/* One rank of a communicator whose others are not there: exchanges are counted by comm.c and nothing else happens. */
#include "base/memory.h"
#include "comm/comm_internal.h"

static const hy_plane count_plane;

static hy_status create_counting(int size, int rank, hy_exchange_log *log, hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    *comm = (hy_comm){.transport = &hy_transport_count, .plane = &count_plane, .rank = rank, .size = size, .log = log};
    *out = comm;
    return HY_OK;
}

hy_status hy_comm_count_create(int size, int rank, hy_exchange_log *log, hy_comm **out) {
    if (size < 1 || rank < 0 || rank >= size) {
        return hy_fail(HY_ERR_USAGE, "rank %d of %d ranks: there is none", rank, size);
    }
    return create_counting(size, rank, log, out);
}

static hy_status count_split(hy_comm *parent, int color, int key, int members, hy_comm **out) {
    *out = NULL;
    if (color >= 0 && members == 0) {
        return hy_fail(HY_ERR_USAGE, "a communicator that only counts cannot ask how many ranks have color %d", color);
    }
    return color < 0 ? HY_OK : create_counting(members, key, parent->log, out);
}

/* As if every rank had a host of its own. */
static hy_status count_split_host(hy_comm *parent, hy_comm **out) {
    return create_counting(1, 0, parent->log, out);
}

static void count_close(hy_comm *comm) {
    (void)comm;
}

static hy_status count_open(hy_comm *comm) {
    (void)comm;
    return HY_OK;
}

static void count_post(hy_comm *comm, const hy_xfer *xfer, hy_req *req) {
    (void)comm;
    (void)xfer;
    (void)req;
}

static void count_barrier(hy_comm *comm, hy_req *req) {
    (void)comm;
    (void)req;
}

static bool count_test(hy_req *req, double *completed) {
    *completed = req->posted;
    return true;
}

static void count_idle(const hy_req *req) {
    (void)req;
}

static void count_progress(void) {}

const hy_transport hy_transport_count = {
    .name = "count",
    .moves_device_memory = true, /* it touches nothing */
    .open = count_open,
    .post = count_post,
    .test = count_test,
    .idle = count_idle,
    .progress = count_progress,
    .close = count_close,
};

static const hy_plane count_plane = {
    .transport = &hy_transport_count, .barrier = count_barrier, .split = count_split, .split_host = count_split_host};
