/* The public side of exchanges: dispatch to the backend, records, waiting. `Bytes this rank sent` counts what leaves it
 * for other ranks: all-gather and all-to-all (P−1)·bytes, reduce-scatter (P−1)·n, all-reduce 2·(P−1)/P·n (what the
 * bandwidth-optimal algorithm sends), broadcast (P−1)·bytes on the root. Messages to oneself count too. */
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/comm_internal.h"
#include "comm/launcher.h"

size_t hy_type_size(hy_type type) {
    return type == HY_TYPE_F32 ? 4 : 8;
}

bool hy_comm_launched(void) {
    return hy_launcher_present();
}

hy_status hy_comm_world_create(int *argc, char ***argv, hy_comm **world) {
    if (hy_launcher_present()) {
        HY_TRY(hy_mpi_world(argc, argv, world));
    } else {
        HY_TRY(hy_comm_self_create(world));
    }
    (*world)->is_world = true;
    hy_log_set_rank((*world)->rank, (*world)->size);
    return HY_OK;
}

hy_status hy_comm_split(hy_comm *parent, int color, int key, hy_comm **out) {
    return parent->table->split(parent, color, key, out);
}

hy_status hy_comm_split_host(hy_comm *parent, hy_comm **out) {
    return parent->table->split_host(parent, out);
}

void hy_comm_destroy(hy_comm *comm) {
    if (comm == NULL) {
        return;
    }
    const bool was_world = comm->is_world;
    comm->table->destroy(comm);
    hy_free(comm);
    if (was_world) {
        hy_mpi_finalize();
    }
}

int hy_comm_rank(const hy_comm *comm) {
    return comm->rank;
}

int hy_comm_size(const hy_comm *comm) {
    return comm->size;
}

void hy_comm_abort(int exit_code) {
    (void)fflush(NULL);
    hy_mpi_abort(exit_code);
    _exit(exit_code);
}

static void begin(hy_comm *comm, const char *name, hy_exchange_kind kind, int64_t bytes, hy_req *req) {
    *req = (hy_req){.comm = comm, .span = hy_record_post(name, kind, bytes), .posted = hy_now()};
}

static void posted(const hy_req *req) {
    hy_record_move(hy_now() - req->posted);
}

static int64_t to_others(const hy_comm *comm, size_t bytes) {
    return (int64_t)(comm->size - 1) * (int64_t)bytes;
}

void hy_comm_all_gather(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req) {
    begin(comm, name, HY_X_ALL_GATHER, to_others(comm, bytes), req);
    comm->table->all_gather(comm, send, recv, bytes, req);
    posted(req);
}

void hy_comm_all_reduce(hy_comm *comm, const char *name, void *buf, int64_t n, hy_type type, hy_reduce op,
                        hy_req *req) {
    begin(comm, name, HY_X_ALL_REDUCE, 2 * to_others(comm, (size_t)n * hy_type_size(type)) / comm->size, req);
    comm->table->all_reduce(comm, buf, n, type, op, req);
    posted(req);
}

void hy_comm_reduce_scatter(hy_comm *comm, const char *name, const void *send, void *recv, int64_t n, hy_type type,
                            hy_req *req) {
    begin(comm, name, HY_X_REDUCE_SCATTER, to_others(comm, (size_t)n * hy_type_size(type)), req);
    comm->table->reduce_scatter(comm, send, recv, n, type, req);
    posted(req);
}

void hy_comm_all_to_all(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req) {
    begin(comm, name, HY_X_ALL_TO_ALL, to_others(comm, bytes), req);
    comm->table->all_to_all(comm, send, recv, bytes, req);
    posted(req);
}

void hy_comm_broadcast(hy_comm *comm, const char *name, void *buf, size_t bytes, int root, hy_req *req) {
    begin(comm, name, HY_X_BROADCAST, comm->rank == root ? to_others(comm, bytes) : 0, req);
    comm->table->broadcast(comm, buf, bytes, root, req);
    posted(req);
}

void hy_comm_send(hy_comm *comm, const char *name, const void *buf, size_t bytes, int to, int tag, hy_req *req) {
    begin(comm, name, HY_X_SEND, (int64_t)bytes, req);
    comm->table->send(comm, buf, bytes, to, tag, req);
    posted(req);
}

void hy_comm_recv(hy_comm *comm, const char *name, void *buf, size_t bytes, int from, int tag, hy_req *req) {
    begin(comm, name, HY_X_RECV, (int64_t)bytes, req);
    comm->table->recv(comm, buf, bytes, from, tag, req);
    posted(req);
}

static void finish(hy_req *req, double completed, double waited) {
    hy_record_wait(req->span, completed - req->posted, waited);
    *req = (hy_req){0};
}

bool hy_comm_test(hy_req *req) {
    if (req->comm == NULL) {
        return true;
    }
    double completed = req->posted;
    if (req->impl != NULL) {
        const double begun = hy_now();
        const bool complete = req->comm->table->test(req, &completed);
        hy_record_move(hy_now() - begun);
        if (!complete) {
            return false;
        }
    }
    finish(req, completed, 0);
    return true;
}

static void (*watch)(void);

void hy_comm_set_watch(void (*wanted)(void)) {
    watch = wanted;
}

static void idle(const hy_req *req) {
    if (watch != NULL) {
        watch();
    }
    req->comm->table->idle(req);
}

void hy_comm_wait(hy_req *req) {
    if (req->comm == NULL) {
        return;
    }
    const double begun = hy_now();
    double completed = req->posted;
    while (req->impl != NULL && !req->comm->table->test(req, &completed)) {
        idle(req);
    }
    finish(req, completed, hy_now() - begun);
}

void hy_comm_wait_all(hy_req *reqs, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        hy_comm_wait(&reqs[i]);
    }
}

void hy_comm_progress(hy_comm *comm) {
    if (watch != NULL) {
        watch();
    }
    const double begun = hy_now();
    comm->table->progress();
    hy_record_move(hy_now() - begun);
}

void hy_comm_barrier(hy_comm *comm) {
    hy_req req = {.comm = comm, .posted = hy_now()};
    comm->table->barrier(comm, &req);
    double completed;
    while (req.impl != NULL && !comm->table->test(&req, &completed)) {
        idle(&req);
    }
}

hy_status hy_comm_agree(hy_comm *comm, hy_status mine) {
    int64_t failed = mine != HY_OK;
    hy_req req;
    hy_comm_all_reduce(comm, "agree", &failed, 1, HY_TYPE_I64, HY_MAX, &req);
    hy_comm_wait(&req);
    if (mine != HY_OK) {
        return mine;
    }
    return failed ? HY_ERR_PEER : HY_OK;
}
