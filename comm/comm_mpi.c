/* Exchanges over MPI: non-blocking calls of one thread (MPI_THREAD_FUNNELED). They advance only inside MPI calls, hence
 * hy_comm_progress. Sums are in MPI's fixed order for a communicator size. */
#include <mpi.h>
#include <string.h>

#include "base/memory.h"
#include "comm/launcher.h"
#include "comm/mpi_requests.h"

/* Up to so many ranks an all-gather is a message to each: MPI's own takes twice as long for little. */
enum { DIRECT_RANKS_MPI = 4 };

typedef struct mpi_state {
    MPI_Comm comm;
    int last_tag; /* the greatest there is, of messages that are parts of collectives */
} mpi_state;

static const hy_plane mpi_plane;
static bool running;

const char *hy_comm_library(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int len = 0;
    if (MPI_Get_library_version(text, &len) != MPI_SUCCESS) {
        return "MPI, of unknown version";
    }
    text[strcspn(text, ",\n")] = '\0'; /* the rest tells who packaged it */
    return text;
}

static hy_status take(MPI_Comm mpi, hy_comm *comm) {
    mpi_state *state = NULL;
    HY_TRY(HY_NEW("MPI communicator", 1, &state));
    const int *greatest = NULL;
    int known = 0;
    state->comm = mpi;
    comm->impl = state;
    HY_MPI("communicator", MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN));
    HY_MPI("communicator", MPI_Comm_get_attr(mpi, MPI_TAG_UB, (void *)&greatest, &known));
    state->last_tag = known ? *greatest : 32767; /* what every MPI has */
    return HY_OK;
}

/* Of a part: which ranks of the world its ranks are. */
static hy_status find_in_world(MPI_Comm mpi, hy_comm *comm) {
    MPI_Group part, world;
    int *own = NULL;
    if (mpi == MPI_COMM_WORLD) {
        return HY_OK;
    }
    HY_TRY(HY_NEW("ranks of a communicator", comm->size, &own));
    const hy_status status = HY_NEW("ranks of the world", comm->size, &comm->in_world);
    if (status == HY_OK) {
        for (int r = 0; r < comm->size; r++) {
            own[r] = r;
        }
        HY_MPI("communicator", MPI_Comm_group(mpi, &part));
        HY_MPI("communicator", MPI_Comm_group(MPI_COMM_WORLD, &world));
        HY_MPI("communicator", MPI_Group_translate_ranks(part, comm->size, own, world, comm->in_world));
        HY_MPI("communicator", MPI_Group_free(&part));
        HY_MPI("communicator", MPI_Group_free(&world));
    }
    hy_free(own);
    return status;
}

static hy_status wrap(MPI_Comm mpi, hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    *comm = (hy_comm){.transport = &hy_transport_mpi, .plane = &mpi_plane};
    HY_MPI("communicator", MPI_Comm_rank(mpi, &comm->rank));
    HY_MPI("communicator", MPI_Comm_size(mpi, &comm->size));
    hy_status status = find_in_world(mpi, comm);
    if (status == HY_OK) {
        status = take(mpi, comm);
    }
    if (status != HY_OK) {
        hy_free(comm->in_world);
        hy_free(comm);
        return status;
    }
    *out = comm;
    return HY_OK;
}

hy_status hy_mpi_world(int *argc, char ***argv, hy_comm **out) {
    int given;
    hy_launcher_prepare();
    if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &given) != MPI_SUCCESS) {
        return hy_fail(HY_ERR_COMM, "MPI does not start; was this program launched with the mpirun of the MPI it was "
                                    "built with?");
    }
    running = true;
    return wrap(MPI_COMM_WORLD, out);
}

void hy_mpi_finalize(void) {
    if (running) {
        hy_mpi_requests_fini();
        running = false;
        (void)MPI_Finalize();
    }
}

void hy_mpi_abort(int exit_code) {
    if (running) {
        (void)MPI_Abort(MPI_COMM_WORLD, exit_code);
    }
}

static MPI_Comm mpi_of(const hy_comm *comm) {
    return ((const mpi_state *)comm->impl)->comm;
}

/* `mpi` is this rank's part of `parent`, or MPI_COMM_NULL. */
static hy_status wrap_part(hy_comm *parent, MPI_Comm mpi, hy_comm **out) {
    hy_status status = HY_OK;
    *out = NULL;
    if (mpi != MPI_COMM_NULL) {
        int size;
        HY_MPI("split", MPI_Comm_size(mpi, &size));
        if (size == 1) {
            HY_MPI("split", MPI_Comm_free(&mpi));
            status = hy_comm_self_create(out);
        } else {
            status = wrap(mpi, out);
        }
    }
    return hy_comm_agree(parent, status);
}

static hy_status mpi_split(hy_comm *parent, int color, int key, int members, hy_comm **out) {
    (void)members;
    MPI_Comm mpi = MPI_COMM_NULL;
    HY_MPI("split", MPI_Comm_split(mpi_of(parent), color < 0 ? MPI_UNDEFINED : color, key, &mpi));
    return wrap_part(parent, mpi, out);
}

static hy_status mpi_split_host(hy_comm *parent, hy_comm **out) {
    MPI_Comm mpi = MPI_COMM_NULL;
    HY_MPI("split", MPI_Comm_split_type(mpi_of(parent), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &mpi));
    return wrap_part(parent, mpi, out);
}

/* Whoever asks has MPI: the control plane is its. */
static bool mpi_probe(const hy_comm *control, const hy_device *device, char *why, size_t size) {
    (void)control;
    (void)device;
    (void)why;
    (void)size;
    return true;
}

/* A communicator of its own, so that the two planes never mix up the order of collectives. */
static hy_status mpi_open(hy_comm *comm) {
    MPI_Comm mpi = MPI_COMM_NULL;
    HY_MPI("communicator", MPI_Comm_dup(mpi_of(comm->control), &mpi));
    const hy_status status = take(mpi, comm);
    if (status != HY_OK) {
        HY_MPI("communicator", MPI_Comm_free(&mpi));
    }
    return hy_comm_agree(comm->control, status);
}

static void mpi_close(hy_comm *comm) {
    mpi_state *state = comm->impl;
    if (state->comm != MPI_COMM_WORLD) {
        HY_MPI("communicator", MPI_Comm_free(&state->comm));
    }
    hy_free(state);
}

/* A posted MPI call becomes the exchange's only part; the type of a large message is freed when it is complete. */
static void track(hy_req *req, MPI_Request request, MPI_Datatype type, bool derived) {
    hy_mpi_add_part(req, request);
    if (derived) {
        hy_mpi_set_after(req, &(hy_mpi_after){.type = type});
    }
}

/* Collectives are posted in one order everywhere, and equal messages keep theirs: so one tag does. */
static void gather_by_messages(hy_comm *comm, const void *send, char *recv, size_t bytes, hy_req *req) {
    const mpi_state *state = comm->impl;
    const int P = comm->size, rank = comm->rank;
    int count;
    MPI_Datatype type;
    bool derived;
    MPI_Request request;
    hy_mpi_bytes(bytes, &count, &type, &derived);
    for (int i = 1; i < P; i++) {
        const int from = (rank + P - i) % P;
        HY_MPI("all-gather",
               MPI_Irecv(recv + (size_t)from * bytes, count, type, from, state->last_tag, state->comm, &request));
        hy_mpi_add_part(req, request);
    }
    for (int i = 1; i < P; i++) {
        HY_MPI("all-gather", MPI_Isend(send, count, type, (rank + i) % P, state->last_tag, state->comm, &request));
        track(req, request, type, derived && i == P - 1);
    }
    if (bytes > 0 && send != recv + (size_t)rank * bytes) {
        memcpy(recv + (size_t)rank * bytes, send, bytes);
    }
}

static void mpi_all_gather(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req) {
    int count;
    MPI_Datatype type;
    bool derived;
    const bool in_place = send == (const char *)recv + (size_t)comm->rank * bytes;
    MPI_Request request;
    if (comm->size <= DIRECT_RANKS_MPI) {
        gather_by_messages(comm, send, recv, bytes, req);
        return;
    }
    hy_mpi_bytes(bytes, &count, &type, &derived);
    HY_MPI("all-gather",
           MPI_Iallgather(in_place ? MPI_IN_PLACE : send, count, type, recv, count, type, mpi_of(comm), &request));
    track(req, request, type, derived);
}

static void mpi_all_to_all(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req) {
    int count;
    MPI_Datatype type;
    bool derived;
    hy_mpi_bytes(bytes, &count, &type, &derived);
    MPI_Request request;
    HY_MPI("all-to-all", MPI_Ialltoall(send, count, type, recv, count, type, mpi_of(comm), &request));
    track(req, request, type, derived);
}

static void mpi_broadcast(hy_comm *comm, void *buf, size_t bytes, int root, hy_req *req) {
    int count;
    MPI_Datatype type;
    bool derived;
    hy_mpi_bytes(bytes, &count, &type, &derived);
    MPI_Request request;
    HY_MPI("broadcast", MPI_Ibcast(buf, count, type, root, mpi_of(comm), &request));
    track(req, request, type, derived);
}

static void mpi_send(hy_comm *comm, const void *buf, size_t bytes, int to, int tag, hy_req *req) {
    int count;
    MPI_Datatype type;
    bool derived;
    hy_mpi_bytes(bytes, &count, &type, &derived);
    MPI_Request request;
    HY_MPI("send", MPI_Isend(buf, count, type, to, tag, mpi_of(comm), &request));
    track(req, request, type, derived);
}

static void mpi_recv(hy_comm *comm, void *buf, size_t bytes, int from, int tag, hy_req *req) {
    int count;
    MPI_Datatype type;
    bool derived;
    hy_mpi_bytes(bytes, &count, &type, &derived);
    MPI_Request request;
    HY_MPI("receive", MPI_Irecv(buf, count, type, from, tag, mpi_of(comm), &request));
    track(req, request, type, derived);
}

static void mpi_barrier(hy_comm *comm, hy_req *req) {
    MPI_Request request;
    HY_MPI("barrier", MPI_Ibarrier(mpi_of(comm), &request));
    hy_mpi_add_part(req, request);
}

static MPI_Datatype mpi_type(hy_type type) {
    return type == HY_TYPE_F32 ? MPI_FLOAT : type == HY_TYPE_F64 ? MPI_DOUBLE : MPI_INT64_T;
}

static MPI_Op mpi_op(hy_reduce op) {
    return op == HY_SUM ? MPI_SUM : op == HY_MAX ? MPI_MAX : MPI_MIN;
}

static void mpi_all_reduce(hy_comm *comm, void *buf, int64_t n, hy_type type, hy_reduce op, hy_req *req) {
    for (int64_t done = 0; done < n; done += hy_mpi_count_max) {
        const int64_t count = n - done < hy_mpi_count_max ? n - done : hy_mpi_count_max;
        MPI_Request request;
        HY_MPI("all-reduce", MPI_Iallreduce(MPI_IN_PLACE, (char *)buf + (size_t)done * hy_type_size(type), (int)count,
                                            mpi_type(type), mpi_op(op), mpi_of(comm), &request));
        hy_mpi_add_part(req, request);
    }
}

/* For counts that one call cannot say: each block is reduced to its rank, in pieces. */
static void reduce_scatter_in_pieces(hy_comm *comm, const char *send, char *recv, int64_t n, hy_type type,
                                     hy_req *req) {
    const size_t size = hy_type_size(type);
    for (int root = 0; root < comm->size; root++) {
        for (int64_t done = 0; done < n; done += hy_mpi_count_max) {
            const int64_t count = n - done < hy_mpi_count_max ? n - done : hy_mpi_count_max;
            const char *from = send + (size_t)(root * n + done) * size;
            char *to = recv + (size_t)done * size;
            const bool in_place = root == comm->rank && from == to;
            MPI_Request request;
            HY_MPI("reduce-scatter", MPI_Ireduce(in_place ? MPI_IN_PLACE : from, to, (int)count, mpi_type(type),
                                                 MPI_SUM, root, mpi_of(comm), &request));
            hy_mpi_add_part(req, request);
        }
    }
}

/* MPI's own in-place form leaves the result in block 0; it is moved to where the caller wants it. */
static void mpi_reduce_scatter(hy_comm *comm, const void *send, void *recv, int64_t n, hy_type type, hy_req *req) {
    if (comm->size * n > hy_mpi_count_max) {
        reduce_scatter_in_pieces(comm, send, recv, n, type, req);
        return;
    }
    const size_t bytes = (size_t)n * hy_type_size(type);
    char *first = (char *)recv - (size_t)comm->rank * bytes;
    const bool in_place = send == first;
    MPI_Request request;
    HY_MPI("reduce-scatter", MPI_Ireduce_scatter_block(in_place ? MPI_IN_PLACE : send, in_place ? first : recv, (int)n,
                                                       mpi_type(type), MPI_SUM, mpi_of(comm), &request));
    hy_mpi_add_part(req, request);
    if (in_place) {
        hy_mpi_set_after(req, &(hy_mpi_after){.type = MPI_DATATYPE_NULL, .to = recv, .from = first, .bytes = bytes});
    }
}

static void mpi_post(hy_comm *comm, const hy_xfer *x, hy_req *req) {
    switch (x->kind) {
    case HY_X_ALL_GATHER:
        mpi_all_gather(comm, x->send, x->recv, (size_t)x->n, req);
        break;
    case HY_X_ALL_REDUCE:
        mpi_all_reduce(comm, x->recv, x->n, x->type, x->op, req);
        break;
    case HY_X_REDUCE_SCATTER:
        mpi_reduce_scatter(comm, x->send, x->recv, x->n, x->type, req);
        break;
    case HY_X_ALL_TO_ALL:
        mpi_all_to_all(comm, x->send, x->recv, (size_t)x->n, req);
        break;
    case HY_X_BROADCAST:
        mpi_broadcast(comm, x->recv, (size_t)x->n, x->peer, req);
        break;
    case HY_X_SEND:
        mpi_send(comm, x->send, (size_t)x->n, x->peer, x->tag, req);
        break;
    case HY_X_RECV:
        mpi_recv(comm, x->recv, (size_t)x->n, x->peer, x->tag, req);
        break;
    case HY_X_KINDS:
        break;
    }
}

const hy_transport hy_transport_mpi = {
    .name = "mpi",
    .probe = mpi_probe,
    .open = mpi_open,
    .post = mpi_post,
    .test = hy_mpi_test,
    .idle = hy_mpi_idle,
    .progress = hy_mpi_progress,
    .close = mpi_close,
};

static const hy_plane mpi_plane = {
    .transport = &hy_transport_mpi, .barrier = mpi_barrier, .split = mpi_split, .split_host = mpi_split_host};
