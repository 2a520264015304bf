/* One rank of a communicator whose others are not there: exchanges are counted by comm.c and nothing else happens. */
#include "base/memory.h"
#include "comm/comm_internal.h"

static const hy_comm_table count_table;

static hy_status create_counting(int size, int rank, hy_exchange_log *log, hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    *comm = (hy_comm){.table = &count_table, .rank = rank, .size = size, .log = log};
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

static void count_destroy(hy_comm *comm) {
    (void)comm;
}

static void count_gather(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req) {
    (void)comm;
    (void)send;
    (void)recv;
    (void)bytes;
    (void)req;
}

static void count_all_reduce(hy_comm *comm, void *buf, int64_t n, hy_type type, hy_reduce op, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)n;
    (void)type;
    (void)op;
    (void)req;
}

static void count_reduce_scatter(hy_comm *comm, const void *send, void *recv, int64_t n, hy_type type, hy_req *req) {
    (void)comm;
    (void)send;
    (void)recv;
    (void)n;
    (void)type;
    (void)req;
}

static void count_broadcast(hy_comm *comm, void *buf, size_t bytes, int root, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)bytes;
    (void)root;
    (void)req;
}

static void count_send(hy_comm *comm, const void *buf, size_t bytes, int to, int tag, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)bytes;
    (void)to;
    (void)tag;
    (void)req;
}

static void count_recv(hy_comm *comm, void *buf, size_t bytes, int from, int tag, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)bytes;
    (void)from;
    (void)tag;
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

static const hy_comm_table count_table = {
    .name = "count",
    .all_gather = count_gather,
    .all_reduce = count_all_reduce,
    .reduce_scatter = count_reduce_scatter,
    .all_to_all = count_gather,
    .broadcast = count_broadcast,
    .send = count_send,
    .recv = count_recv,
    .barrier = count_barrier,
    .test = count_test,
    .idle = count_idle,
    .progress = count_progress,
    .split = count_split,
    .split_host = count_split_host,
    .destroy = count_destroy,
};
