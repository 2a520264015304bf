/* NCCL: exchanges in the order of the device's EXCHANGE lane, which the host never waits for. An exchange starts behind what COMPUTE was given
 * before it was posted; who waits for it lets COMPUTE wait for EXCHANGE. Sends and receives that wait for each other must be in one group
 * (hy_comm_group_begin): single ones run one after the other. Sums are in NCCL's order, which is not that of other transports.
 *
 * Communicators do not block: calls that are in progress are asked for until they are done. After an asynchronous error a communicator is
 * aborted, never destroyed, and the job ends. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/span.h"
#include "comm/comm_internal.h"
#include "comm/launcher.h"
#include "comm/nccl_library.h"
#include "comm/nccl_memory.h"
#include "kernels/gpus.h"

enum { OPEN_SECONDS = 300, FINALIZE_SECONDS = 30, ABORT_SECONDS = 2, GROUPS = 256, TIMED = 32 };

/* Where the exchanges of one group end. Spare again once they are done and all of them were waited for. */
typedef struct group_end {
    struct group_end *next; /* given behind it; of the spare ones */
    hy_req first;           /* the group's first exchange, or first receive, for who asks what this rank waits for */
    hy_mark done;
    int waiting; /* requests that were not waited for yet */
    bool passed; /* done is reached */
    /* Where the lane's clock is asked (base/span.h): of the group's first exchanges; when the lane began and ended it. */
    bool timed;
    int64_t span[TIMED];
    int n_spans;
    double begun, ended;
} group_end;

/* Made together: a step allocates nothing. */
typedef struct group_chunk {
    struct group_chunk *next;
    group_end ends[GROUPS];
} group_chunk;

typedef struct nccl_comm {
    struct nccl_comm *next; /* of all of this process */
    const hy_nccl_library *library;
    hy_comm *comm;
    ncclComm_t nccl;
    bool open;                     /* it was made on all ranks */
    int depth;                     /* of groups */
    group_end *group;              /* the open one; NULL: nothing was posted in it yet */
    group_end *given, **given_end; /* under way, in order */
    group_end *spare;
    group_chunk *chunks;
    hy_nccl_memory *kept; /* registered */
} nccl_comm;

static nccl_comm *all_nccl;

static void pause_for(int64_t nanoseconds) {
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

/* ---- results ---- */

static atomic_int aborting; /* communicators whose abort has not come back */

static void *abort_one(void *nccl_comm_) {
    nccl_comm *n = nccl_comm_;
    (void)n->library->ncclCommAbort(n->nccl);
    (void)atomic_fetch_sub(&aborting, 1);
    return NULL;
}

/* All of this process: what one has given may stand on the lane behind what another one waits for. Each in a thread of its own, and not waited for
 * long: an abort comes back once all that was given is over, and that may stand behind what the device waits for. */
static void abort_all(void) {
    for (nccl_comm *n = all_nccl; n != NULL; n = n->next) {
        pthread_t thread;
        if (n->nccl == NULL) {
            continue;
        }
        (void)atomic_fetch_add(&aborting, 1);
        if (pthread_create(&thread, NULL, abort_one, n) != 0 || pthread_detach(thread) != 0) {
            return;
        }
    }
    for (const double begun = hy_now(); atomic_load(&aborting) > 0 && hy_now() - begun < ABORT_SECONDS;) {
        pause_for(1000000);
    }
}

/* The rank says what failed, ends what its own kernels wait for, and ends the job. */
static _Noreturn void end_with(nccl_comm *n, const char *what, ncclResult_t result) {
    hy_log(HY_LOG_ERROR, "rank %d of %d: NCCL: %s: %s (%s)", n->comm->rank, n->comm->size, what,
           n->library->ncclGetErrorString(result), n->library->ncclGetLastError(n->nccl));
    abort_all();
    hy_comm_abort(HY_ERR_COMM);
}

/* Until the call before is no longer in progress, at most so long. */
static ncclResult_t settle(nccl_comm *n, ncclResult_t result, double seconds) {
    const double begun = hy_now();
    while (result == ncclInProgress && hy_now() - begun < seconds) {
        const ncclResult_t asked = n->library->ncclCommGetAsyncError(n->nccl, &result);
        if (asked != ncclSuccess) {
            return asked;
        }
        if (result == ncclInProgress) {
            hy_comm_look_around();
            pause_for(20000);
        }
    }
    return result;
}

static void check(nccl_comm *n, const char *what, ncclResult_t result) {
    const double limit = hy_comm_limit(); /* the first message to a peer waits for it */
    result = settle(n, result, limit > 0 ? limit : HUGE_VAL);
    if (result != ncclSuccess) {
        end_with(n, what, result);
    }
}

/* ---- communicators ---- */

static bool nccl_about(char *text, size_t size) {
    const hy_nccl_library *library = hy_nccl_library_open(text, size);
    if (library != NULL) {
        const int v = library->version;
        snprintf(text, size, "NCCL %d.%d.%d%s", v / 10000, v / 100 % 100, v % 100,
                 library->hosts_memory ? ", a stand-in for tests" : "");
    }
    return library != NULL;
}

/* NCCL refuses two ranks on one GPU, unless they say that they are on hosts of their own. */
static bool share_gpus(void) {
    char unused[256];
    const char *host = getenv("NCCL_HOSTID");
    return (host == NULL || host[0] == '\0') && hy_launcher_local_ranks() > hy_gpu_count(unused, sizeof unused);
}

/* A library of the host's memory, which only tests name, serves devices of the host. */
static bool nccl_probe(const hy_comm *control, const hy_device *device, char *why, size_t size) {
    const bool on_gpu = hy_device_stream_kind(device) == HY_STREAM_CUDA;
    (void)control;
    if (!on_gpu && !hy_nccl_library_is_named()) {
        snprintf(why, size, "it moves what GPUs hold, and run.device: %s is none", hy_device_profile(device)->name);
        return false;
    }
    const hy_nccl_library *library = hy_nccl_library_open(why, size);
    if (library != NULL && library->hosts_memory == on_gpu) {
        snprintf(why, size, "the library that HYLAS_NCCL names does not reach the memory of run.device: %s",
                 hy_device_profile(device)->name);
        return false;
    }
    if (library != NULL && on_gpu && share_gpus()) {
        snprintf(why, size, "ranks of this host share GPUs: give each an NCCL_HOSTID of its own, or take mpi");
        return false;
    }
    return library != NULL;
}

/* Rank 0's, on all. */
static hy_status share_id(nccl_comm *n, ncclUniqueId *id) {
    hy_comm *control = n->comm->control;
    hy_status status = HY_OK;
    hy_req req;
    if (n->comm->rank == 0) {
        const ncclResult_t result = n->library->ncclGetUniqueId(id);
        if (result != ncclSuccess) {
            status = hy_fail(HY_ERR_ENV, "NCCL: %s", n->library->ncclGetErrorString(result));
        }
    }
    HY_TRY(hy_comm_agree(control, status));
    hy_comm_broadcast(control, "NCCL id", id, sizeof *id, 0, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

static hy_status add_chunk(nccl_comm *n) {
    group_chunk *chunk = NULL;
    HY_TRY(HY_NEW("groups of exchanges", 1, &chunk));
    chunk->next = n->chunks;
    n->chunks = chunk;
    for (int i = 0; i < GROUPS; i++) {
        chunk->ends[i].next = n->spare;
        n->spare = &chunk->ends[i];
    }
    return HY_OK;
}

static hy_status create(nccl_comm *n) {
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    hy_nccl_set_policy(n->library, &config);
    HY_TRY(hy_comm_agree(n->comm->control, add_chunk(n)));
    HY_TRY(share_id(n, &id));
    ncclResult_t result = n->library->ncclCommInitRankConfig(&n->nccl, n->comm->size, id, n->comm->rank, &config);
    result = settle(n, result, OPEN_SECONDS);
    if (result != ncclSuccess) {
        return hy_fail(HY_ERR_ENV,
                       "NCCL: no communicator of %d ranks: %s (%s); NCCL_DEBUG=WARN says more. Ranks that share a GPU "
                       "need an NCCL_HOSTID of their own each",
                       n->comm->size, n->library->ncclGetErrorString(result), n->library->ncclGetLastError(n->nccl));
    }
    return HY_OK;
}

static void forget(nccl_comm *n) {
    nccl_comm **link = &all_nccl;
    while (*link != n) {
        link = &(*link)->next;
    }
    *link = n->next;
    for (group_chunk *chunk = n->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        hy_free(chunk);
    }
    hy_free(n);
}

static hy_status nccl_open(hy_comm *comm) {
    char why[256];
    nccl_comm *n = NULL;
    HY_TRY(hy_comm_agree(comm->control, HY_NEW("NCCL communicator", 1, &n)));
    *n = (nccl_comm){.next = all_nccl, .library = hy_nccl_library_open(why, sizeof why), .comm = comm};
    all_nccl = n;
    const hy_status status = hy_comm_agree(comm->control, create(n));
    if (status != HY_OK) {
        if (n->nccl != NULL) {
            (void)n->library->ncclCommAbort(n->nccl);
        }
        forget(n);
        return status;
    }
    if (hy_nccl_can_register(n->library)) {
        hy_device_set_source(comm->device, (hy_memory_source){hy_nccl_take_memory, hy_nccl_give_back_memory});
    }
    n->given_end = &n->given;
    n->open = true;
    comm->impl = n;
    return HY_OK;
}

/* ---- memory that stays ---- */

/* A window needs memory that NCCL gave, where that is a GPU's, and the same on all ranks. Without it exchanges are as right, and slower. */
static hy_status nccl_keep(hy_comm *comm, void *memory, size_t bytes, bool alike) {
    nccl_comm *n = comm->impl;
    hy_nccl_memory *kept = NULL;
    if (bytes == 0 || !hy_nccl_can_register(n->library)) {
        return HY_OK;
    }
    const bool own = n->library->hosts_memory || hy_device_is_from_source(comm->device, memory);
    const bool windows = alike && hy_nccl_has_windows(n->library);
    const hy_nccl_range range = {memory, bytes, windows && hy_comm_agree(comm, own ? HY_OK : HY_ERR_ENV) == HY_OK};
    const hy_status status = HY_NEW("registered memory", 1, &kept);
    HY_TRY(range.as_window ? hy_comm_agree(comm, status) : status);
    ncclResult_t result = hy_nccl_register(n->library, n->nccl, &range, kept);
    result = settle(n, result, OPEN_SECONDS);
    kept->next = n->kept;
    n->kept = kept;
    if (result != ncclSuccess) {
        return hy_fail(HY_ERR_ENV, "NCCL: %zu bytes cannot be registered: %s (%s); HYLAS_NCCL_REGISTER=0 goes without",
                       bytes, n->library->ncclGetErrorString(result), n->library->ncclGetLastError(n->nccl));
    }
    return HY_OK;
}

/* Windows together on all ranks: in the same order. */
static void let_go_of_kept(nccl_comm *n) {
    for (hy_nccl_memory *kept = n->kept, *next; kept != NULL; kept = next) {
        next = kept->next;
        (void)settle(n, hy_nccl_deregister(n->library, n->nccl, kept), FINALIZE_SECONDS);
        hy_free(kept);
    }
    n->kept = NULL;
}

/* What was given runs to its end first. */
static void nccl_close(hy_comm *comm) {
    nccl_comm *n = comm->impl;
    hy_device_wait(comm->device, hy_device_mark(comm->device, HY_LANE_EXCHANGE));
    let_go_of_kept(n);
    if (settle(n, n->library->ncclCommFinalize(n->nccl), FINALIZE_SECONDS) == ncclSuccess) {
        (void)n->library->ncclCommDestroy(n->nccl);
    } else {
        (void)n->library->ncclCommAbort(n->nccl);
    }
    forget(n);
}

/* ---- groups ---- */

static void free_if_over(nccl_comm *n, group_end *g) {
    if (g->passed && g->waiting == 0) {
        g->next = n->spare;
        n->spare = g;
    }
}

/* Of a group that is done. */
static void end_spans(nccl_comm *n, const group_end *g) {
    if (g->timed) {
        hy_device_wait(n->comm->device, g->done); /* for the clock's times: the lane has been there */
    }
    for (int i = 0; i < g->n_spans; i++) {
        hy_exchange_span_timed(g->span[i], g->begun, g->ended);
    }
}

/* The group's exchanges begin and end together. One beyond those that have room has no times. */
static void add_span(group_end *g, const hy_req *req) {
    if (g->timed && g->n_spans < TIMED) {
        g->span[g->n_spans++] = req->span;
    } else if (g->timed) {
        hy_exchange_span_done(req->span, req->posted);
    }
}

/* Groups that are done are under way no longer. */
static void let_pass(nccl_comm *n) {
    while (n->given != NULL && hy_device_reached(n->comm->device, n->given->done)) {
        group_end *g = n->given;
        n->given = g->next;
        if (n->given == NULL) {
            n->given_end = &n->given;
        }
        g->passed = true;
        end_spans(n, g);
        free_if_over(n, g);
    }
}

static void open_group(nccl_comm *n) {
    hy_device *device = n->comm->device;
    let_pass(n);
    if (n->spare == NULL && add_chunk(n) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    group_end *g = n->spare;
    n->spare = g->next;
    *g = (group_end){.timed = hy_spans_have_clock()};
    hy_device_after(device, HY_LANE_EXCHANGE, hy_device_mark(device, HY_LANE_COMPUTE));
    if (g->timed) { /* the host may wait here, and look for failures: no group is open yet */
        hy_device_stamp(device, HY_LANE_EXCHANGE, &g->begun);
    }
    n->group = g;
    check(n, "group start", n->library->ncclGroupStart());
}

static void close_group(nccl_comm *n) {
    group_end *g = n->group;
    if (g == NULL) {
        return;
    }
    check(n, "group end", n->library->ncclGroupEnd());
    n->group = NULL;
    if (g->timed) {
        hy_device_stamp(n->comm->device, HY_LANE_EXCHANGE, &g->ended);
    }
    g->done = hy_device_mark(n->comm->device, HY_LANE_EXCHANGE);
    g->next = NULL;
    *n->given_end = g;
    n->given_end = &g->next;
}

static void nccl_group(hy_comm *comm, bool begin) {
    nccl_comm *n = comm->impl;
    n->depth += begin ? 1 : -1;
    if (n->depth == 0) {
        close_group(n);
    }
}

/* ---- exchanges ---- */

static ncclDataType_t nccl_type(hy_type type) {
    return type == HY_TYPE_F32 ? ncclFloat32 : type == HY_TYPE_F64 ? ncclFloat64 : ncclInt64;
}

static ncclRedOp_t nccl_sum(hy_reduce op) {
    return op == HY_SUM ? ncclSum : op == HY_MAX ? ncclMax : ncclMin;
}

/* A message for each rank, from each. */
static ncclResult_t all_to_all(nccl_comm *n, const hy_xfer *x, cudaStream_t stream) {
    const size_t bytes = (size_t)x->n;
    ncclResult_t result = ncclSuccess;
    for (int r = 0; r < n->comm->size && result == ncclSuccess; r++) {
        const size_t at = (size_t)r * bytes;
        result = n->library->ncclSend((const char *)x->send + at, bytes, ncclInt8, r, n->nccl, stream);
        if (result == ncclSuccess) {
            result = n->library->ncclRecv((char *)x->recv + at, bytes, ncclInt8, r, n->nccl, stream);
        }
    }
    return result;
}

static ncclResult_t give(nccl_comm *n, const hy_xfer *x, cudaStream_t stream) {
    const hy_nccl_library *l = n->library;
    const size_t count = (size_t)x->n;
    switch (x->kind) {
    case HY_X_ALL_GATHER:
        return l->ncclAllGather(x->send, x->recv, count, ncclInt8, n->nccl, stream);
    case HY_X_ALL_REDUCE:
        return l->ncclAllReduce(x->recv, x->recv, count, nccl_type(x->type), nccl_sum(x->op), n->nccl, stream);
    case HY_X_REDUCE_SCATTER:
        return l->ncclReduceScatter(x->send, x->recv, count, nccl_type(x->type), nccl_sum(x->op), n->nccl, stream);
    case HY_X_ALL_TO_ALL:
        return all_to_all(n, x, stream);
    case HY_X_BROADCAST:
        return l->ncclBroadcast(x->recv, x->recv, count, ncclInt8, x->peer, n->nccl, stream);
    case HY_X_SEND:
        return l->ncclSend(x->send, count, ncclInt8, x->peer, n->nccl, stream);
    case HY_X_RECV:
        return l->ncclRecv(x->recv, count, ncclInt8, x->peer, n->nccl, stream);
    case HY_X_KINDS:
        break;
    }
    return ncclInvalidArgument;
}

static void nccl_post(hy_comm *comm, const hy_xfer *x, hy_req *req) {
    nccl_comm *n = comm->impl;
    if (x->n == 0) {
        return; /* nobody's: sizes are the same on both sides */
    }
    if (n->group == NULL) {
        open_group(n);
    }
    add_span(n->group, req);
    check(n, hy_exchange_kind_name(x->kind), give(n, x, hy_device_stream(comm->device, HY_LANE_EXCHANGE)));
    req->impl = n->group;
    if (n->group->waiting++ == 0 || (n->group->first.kind == HY_X_SEND && x->kind == HY_X_RECV)) {
        n->group->first = *req; /* of messages one that comes in: its peer is who must send */
    }
    if (n->depth == 0) {
        close_group(n);
    }
}

static void nccl_join(hy_req *req) {
    nccl_comm *n = req->comm->impl;
    group_end *g = req->impl;
    if (g == NULL) {
        return;
    }
    hy_device_after(req->comm->device, HY_LANE_COMPUTE, g->done);
    g->waiting--;
    free_if_over(n, g);
}

/* Ends the job if one of them has failed: nothing that waits for it would ever go on. */
static void nccl_progress(void) {
    for (nccl_comm *n = all_nccl; n != NULL; n = n->next) {
        ncclResult_t error = ncclSuccess;
        if (!n->open || n->group != NULL) {
            continue;
        }
        let_pass(n);
        const ncclResult_t asked = n->library->ncclCommGetAsyncError(n->nccl, &error);
        if (asked != ncclSuccess || (error != ncclSuccess && error != ncclInProgress)) {
            end_with(n, "an exchange failed", asked != ncclSuccess ? asked : error);
        }
    }
}

static const hy_req *nccl_oldest(void) {
    const hy_req *oldest = NULL;
    for (const nccl_comm *n = all_nccl; n != NULL; n = n->next) {
        if (n->given != NULL && (oldest == NULL || n->given->first.posted < oldest->posted)) {
            oldest = &n->given->first;
        }
    }
    return oldest;
}

const hy_transport hy_transport_nccl = {.name = "nccl",
                                        .moves_device_memory = true,
                                        .about = nccl_about,
                                        .probe = nccl_probe,
                                        .open = nccl_open,
                                        .post = nccl_post,
                                        .group = nccl_group,
                                        .join = nccl_join,
                                        .progress = nccl_progress,
                                        .oldest = nccl_oldest,
                                        .keep = nccl_keep,
                                        .close = nccl_close};
