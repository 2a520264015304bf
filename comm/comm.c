/* The public side of exchanges: records, waiting. `Bytes this rank sent` counts what leaves it
 * for other ranks: all-gather and all-to-all (P−1)·bytes, reduce-scatter (P−1)·n, all-reduce 2·(P−1)/P·n (what the
 * bandwidth-optimal algorithm sends), broadcast (P−1)·bytes on the root. Messages to oneself count too. */
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/span.h"
#include "comm/comm_internal.h"
#include "comm/deferred.h"
#include "comm/launcher.h"
#include "comm/presence.h"
#include "comm/watchdog.h"

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
    return parent->plane->split(parent, color, key, 0, out);
}

hy_status hy_comm_split_even(hy_comm *parent, int color, int key, int members, hy_comm **out) {
    return parent->plane->split(parent, color, key, members, out);
}

hy_status hy_comm_split_host(hy_comm *parent, hy_comm **out) {
    return parent->plane->split_host(parent, out);
}

static void look_around(void *context);
/* What moves exchanges besides MPI, once that was opened: one kind in a program. */
static const hy_transport *beside_mpi;

static bool is_stream_ordered(const hy_comm *comm) {
    return comm->transport->join != NULL;
}

static hy_status set_device(hy_comm *comm, hy_device *device) {
    if (comm->transport->progress != comm->control->transport->progress) {
        beside_mpi = comm->transport;
    }
    if (!hy_device_is_async(device)) {
        return HY_OK;
    }
    hy_device_set_idle(device, (hy_idle){look_around, NULL});
    return is_stream_ordered(comm) ? HY_OK : hy_deferred_create(comm, device, &comm->deferred);
}

static hy_status open_transport(hy_comm *control, hy_device *device, const hy_transport *transport, hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(hy_comm_agree(control, HY_NEW("communicator", 1, &comm)));
    *comm = (hy_comm){.transport = transport,
                      .rank = control->rank,
                      .size = control->size,
                      .control = control,
                      .device = device,
                      .log = control->log};
    const hy_status status = transport->open(comm);
    if (status != HY_OK) {
        hy_free(comm);
        return status;
    }
    *out = comm;
    return HY_OK;
}

hy_status hy_comm_bind(hy_comm *control, hy_device *device, hy_transport_id wanted, hy_comm **out) {
    const hy_transport *transport = NULL;
    hy_comm *comm = NULL;
    HY_TRY(hy_transport_choose(control, device, wanted, &transport));
    HY_TRY(open_transport(control, device, transport, &comm));
    const hy_status status = hy_comm_agree(control, set_device(comm, device));
    if (status != HY_OK) {
        hy_comm_destroy(comm);
        return status;
    }
    *out = comm;
    return HY_OK;
}

hy_status hy_comm_keep(hy_comm *comm, void *memory, size_t bytes, bool alike) {
    return comm->transport->keep != NULL ? hy_comm_agree(comm, comm->transport->keep(comm, memory, bytes, alike))
                                         : HY_OK;
}

const char *hy_comm_transport(const hy_comm *comm) {
    return comm->transport->name;
}

void hy_comm_destroy(hy_comm *comm) {
    if (comm == NULL) {
        return;
    }
    hy_deferred_destroy(comm->deferred);
    const bool was_world = comm->is_world;
    comm->transport->close(comm);
    hy_free(comm->in_world);
    hy_free(comm);
    if (was_world) {
#ifdef HY_HAVE_UCX
        hy_ucx_finalize();
#endif
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
    hy_watchdog_leave();
    (void)fflush(NULL);
    hy_mpi_abort(exit_code);
    _exit(exit_code);
}

static double limit = 600.0;

void hy_comm_set_limit(double seconds) {
    limit = seconds;
}

double hy_comm_limit(void) {
    return limit;
}

void hy_comm_check_health(const hy_comm *comm) {
    char why[256], host[256] = "";
    if (comm->transport->health == NULL || comm->transport->health(comm, why, sizeof why)) {
        return;
    }
    (void)gethostname(host, sizeof host - 1);
    hy_log(HY_LOG_ERROR, "%s on host %s: %s; the job ends", comm->transport->name, host, why);
    hy_comm_abort(HY_ERR_COMM);
}

/* ---- posting ---- */

int hy_comm_in_world(const hy_comm *comm, int rank) {
    const hy_comm *control = comm->control != NULL ? comm->control : comm;
    return control->in_world != NULL ? control->in_world[rank] : rank;
}

/* Of exchanges of up to so many bytes, or elements of sums, one in TIMED has its post timed, and stands for as many; waits are timed by the coarse
 * clock. Four looks at the other would take as long as the message. Nothing is brief where spans are recorded. */
enum { BRIEF = 16 << 10, TIMED = 61 };
static const double POST_MOST = 5e-6; /* seconds: beyond it something else had the core, once */

static int stands_for(const hy_xfer *x) {
    static int since_timed;
    if (x->n > BRIEF) {
        return 1;
    }
    since_timed = (since_timed + 1) % TIMED;
    return since_timed == 0 ? TIMED : 0;
}

/* Time since `begun` that went into moving exchanges, seen at `now`, and as much again for each that was not timed. */
static void count_moving(const hy_comm *comm, double begun, double now, int stands_for) {
    const double seconds = now - begun, usual = seconds < POST_MOST ? seconds : POST_MOST;
    hy_record_move(comm->log, seconds + (stands_for - 1) * usual);
    if (hy_spans_are_recorded()) {
        hy_exchange_moved(begun, now);
    }
}

/* `bytes` are what this rank sends, for the record. */
static void post_xfer(hy_comm *comm, const char *name, int64_t bytes, const hy_xfer *x, hy_req *req) {
    const bool message = x->kind == HY_X_SEND || x->kind == HY_X_RECV;
    *req = (hy_req){.comm = comm,
                    .record = hy_record_post(comm->log, name, x->kind, bytes),
                    .stands_for = stands_for(x),
                    .name = name,
                    .kind = (int)x->kind,
                    .number = message ? ++comm->n_messages : ++comm->n_collectives,
                    .peer = message ? hy_comm_in_world(comm, x->peer) : -1};
    if (comm->log == NULL && hy_spans_are_recorded()) {
        req->stands_for = 1;
        req->posted = hy_now();
        req->span = hy_exchange_span(comm, name, x, bytes, req->posted);
    }
    if (comm->deferred != NULL) {
        hy_deferred_post(comm->deferred, x, req);
        return;
    }
    if (is_stream_ordered(comm)) {
        req->posted = hy_now();
        comm->transport->post(comm, x, req);
        if (!hy_spans_have_clock() || req->impl == NULL) {
            hy_exchange_span_done(req->span, req->posted); /* nobody sees when */
        }
        return;
    }
    const double begun = req->stands_for > 0 ? hy_now() : 0.0;
    hy_deferred_enter();
    comm->transport->post(comm, x, req);
    hy_deferred_leave();
    if (req->stands_for == 0) {
        return;
    }
    const double now = hy_now();
    count_moving(comm, begun, now, req->stands_for);
    if (req->span > 0 && req->impl == NULL) {
        hy_exchange_span_done(req->span, now);
    }
}

static int64_t to_others(const hy_comm *comm, size_t bytes) {
    return (int64_t)(comm->size - 1) * (int64_t)bytes;
}

void hy_comm_all_gather(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req) {
    const hy_xfer x = {.kind = HY_X_ALL_GATHER, .send = send, .recv = recv, .n = (int64_t)bytes};
    post_xfer(comm, name, to_others(comm, bytes), &x, req);
}

void hy_comm_all_reduce(hy_comm *comm, const char *name, void *buf, int64_t n, hy_type type, hy_reduce op,
                        hy_req *req) {
    const hy_xfer x = {.kind = HY_X_ALL_REDUCE, .recv = buf, .n = n, .type = type, .op = op};
    post_xfer(comm, name, 2 * to_others(comm, (size_t)n * hy_type_size(type)) / comm->size, &x, req);
}

void hy_comm_reduce_scatter(hy_comm *comm, const char *name, const void *send, void *recv, int64_t n, hy_type type,
                            hy_req *req) {
    const hy_xfer x = {.kind = HY_X_REDUCE_SCATTER, .send = send, .recv = recv, .n = n, .type = type, .op = HY_SUM};
    post_xfer(comm, name, to_others(comm, (size_t)n * hy_type_size(type)), &x, req);
}

void hy_comm_all_to_all(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req) {
    const hy_xfer x = {.kind = HY_X_ALL_TO_ALL, .send = send, .recv = recv, .n = (int64_t)bytes};
    post_xfer(comm, name, to_others(comm, bytes), &x, req);
}

void hy_comm_broadcast(hy_comm *comm, const char *name, void *buf, size_t bytes, int root, hy_req *req) {
    const hy_xfer x = {.kind = HY_X_BROADCAST, .recv = buf, .n = (int64_t)bytes, .peer = root};
    post_xfer(comm, name, comm->rank == root ? to_others(comm, bytes) : 0, &x, req);
}

void hy_comm_send(hy_comm *comm, const char *name, const void *buf, size_t bytes, int to, int tag, hy_req *req) {
    const hy_xfer x = {.kind = HY_X_SEND, .send = buf, .n = (int64_t)bytes, .peer = to, .tag = tag};
    post_xfer(comm, name, (int64_t)bytes, &x, req);
}

void hy_comm_recv(hy_comm *comm, const char *name, void *buf, size_t bytes, int from, int tag, hy_req *req) {
    const hy_xfer x = {.kind = HY_X_RECV, .recv = buf, .n = (int64_t)bytes, .peer = from, .tag = tag};
    post_xfer(comm, name, (int64_t)bytes, &x, req);
}

void hy_comm_group_begin(hy_comm *comm) {
    if (comm->transport->group != NULL) {
        comm->transport->group(comm, true);
    }
}

void hy_comm_group_end(hy_comm *comm) {
    if (comm->transport->group != NULL) {
        comm->transport->group(comm, false);
    }
}

/* ---- waiting ---- */

/* It was found complete, by now at the latest. */
static void finish(hy_req *req) {
    if (req->span > 0) {
        hy_exchange_span_found(req->span, hy_now());
    }
    *req = (hy_req){0};
}

static bool transport_test(hy_req *req) {
    if (req->impl == NULL) {
        return true;
    }
    hy_deferred_enter();
    const bool complete = req->comm->transport->test(req);
    hy_deferred_leave();
    return complete;
}

bool hy_comm_test(hy_req *req) {
    if (req->comm == NULL || req->comm->deferred != NULL || is_stream_ordered(req->comm)) {
        hy_comm_wait(req);
        return true;
    }
    const double begun = hy_now();
    hy_look_begin(begun);
    const bool complete = transport_test(req);
    count_moving(req->comm, begun, hy_now(), 1);
    if (complete) {
        finish(req);
    }
    return complete;
}

static void (*watch)(void);

void hy_comm_set_watch(void (*wanted)(void)) {
    watch = wanted;
}

/* While the host waits for an exchange of its own, or for a device. */
static void look_around(void *context) {
    (void)context;
    if (watch != NULL) {
        watch();
    }
    hy_deferred_progress();
    const hy_req *oldest = hy_deferred_oldest();
    if (beside_mpi != NULL) {
        hy_deferred_enter();
        beside_mpi->progress();
        hy_deferred_leave();
        oldest = oldest == NULL && beside_mpi->oldest != NULL ? beside_mpi->oldest() : oldest;
    }
    hy_presence_idle(oldest);
}

void hy_comm_look_around(void) {
    look_around(NULL);
}

/* What is over within some microseconds is told to the watchdog once it is, and costs no look at the clock if a few tests do. */
static bool is_soon_over(hy_req *req) {
    enum { TESTS = 100 };
    const double soon = 20e-6; /* seconds; giving the core away and coming back takes one or two */
    bool over = req->impl == NULL;
    double begun = 0.0;
    if (req->comm->transport->only_for_waiters) {
        return over;
    }
    hy_deferred_enter();
    for (int i = 1; !over; i++) {
        over = req->comm->transport->test(req);
        if (i % TESTS == 0 && !over) {
            const double now = hy_now();
            begun = i == TESTS ? now : begun;
            if (now - begun > soon) {
                break;
            }
        }
    }
    hy_deferred_leave();
    return over;
}

/* Seconds. */
static double wait_for_long(hy_req *req) {
    const double begun = hy_now();
    hy_presence_wait(req, begun);
    do {
        look_around(NULL);
        hy_comm_check_health(req->comm);
        req->comm->transport->idle(req);
        if (req->span > 0) {
            hy_look_again(hy_now());
        }
    } while (!transport_test(req));
    const double now = hy_now();
    hy_presence_done(now);
    return now - begun;
}

static double wait_for_transport(hy_req *req) {
    double (*const clock)(void) = req->stands_for == 1 ? hy_now : hy_now_coarse;
    const double begun = clock();
    hy_look_begin(begun);
    const bool over = is_soon_over(req);
    const double now = clock(), waited = now - begun;
    if (!over) {
        return waited + wait_for_long(req);
    }
    hy_presence_passed(req, waited, now);
    return waited;
}

/* One rank alone waits for nobody. */
static void let_lane_wait(hy_req *req) {
    if (req->comm->size > 1) {
        hy_record_unseen(req->comm->log, req->record);
    }
    const int64_t wait = hy_exchange_wait_begin(req);
    if (req->comm->deferred != NULL) {
        hy_deferred_wait(req);
    } else {
        req->comm->transport->join(req);
    }
    hy_span_end(wait);
    *req = (hy_req){0};
}

void hy_comm_wait(hy_req *req) {
    if (req->comm == NULL) {
        return;
    }
    if (req->comm->deferred != NULL || is_stream_ordered(req->comm)) {
        let_lane_wait(req);
        return;
    }
    if (req->impl != NULL) {
        const double begun = req->span > 0 ? hy_now() : 0.0;
        hy_record_wait(req->comm->log, req->record, wait_for_transport(req));
        if (req->span > 0) {
            hy_exchange_waited(req->span, begun, hy_now());
        }
    }
    finish(req);
}

void hy_comm_wait_all(hy_req *reqs, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        hy_comm_wait(&reqs[i]);
    }
}

void hy_comm_early(hy_comm *comm, hy_early early) {
    if (comm->transport->early != NULL) {
        comm->transport->early(comm, early);
    }
}

void hy_comm_progress(hy_comm *comm) {
    if (watch != NULL) {
        watch();
    }
    if (comm->deferred != NULL) {
        hy_deferred_progress();
        return;
    }
    const double begun = hy_now();
    hy_look_begin(begun);
    hy_deferred_enter();
    comm->transport->progress();
    hy_deferred_leave();
    hy_comm_check_health(comm);
    count_moving(comm, begun, hy_now(), 1);
}

void hy_comm_barrier(hy_comm *comm) {
    if (comm->control != NULL) {
        hy_comm_barrier(comm->control);
        return;
    }
    hy_req req = {.comm = comm, .name = "barrier", .kind = HY_X_KINDS, .number = ++comm->n_collectives, .peer = -1};
    hy_deferred_enter();
    comm->plane->barrier(comm, &req);
    hy_deferred_leave();
    (void)wait_for_transport(&req);
}

hy_status hy_comm_agree(hy_comm *comm, hy_status mine) {
    if (comm->control != NULL) {
        return hy_comm_agree(comm->control, mine);
    }
    int64_t failed = mine != HY_OK;
    hy_req req;
    hy_comm_all_reduce(comm, "agree", &failed, 1, HY_TYPE_I64, HY_MAX, &req);
    hy_comm_wait(&req);
    if (mine != HY_OK) {
        return mine;
    }
    return failed ? HY_ERR_PEER : HY_OK;
}
