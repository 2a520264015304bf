/* Between comm.c and what moves bytes. comm.c keeps the records and waits; a transport posts an exchange and says when it is complete. It
 * leaves req->impl NULL if the exchange is complete when posting returns. */
#ifndef HY_COMM_COMM_INTERNAL_H
#define HY_COMM_COMM_INTERNAL_H

#include <stdbool.h>

#include "comm/comm.h"

/* One exchange, as the public calls say it. n: bytes; of sums, elements. send: of all-gather, reduce-scatter, all-to-all, send; else recv. */
typedef struct hy_xfer {
    hy_exchange_kind kind;
    const void *send;
    void *recv;
    int64_t n;
    hy_type type;
    hy_reduce op;
    int peer, tag; /* peer: the root of a broadcast */
} hy_xfer;

/* A way to move bytes between the ranks of a communicator: a row of the table in transports.c. */
typedef struct hy_transport {
    const char *name;
    bool
        moves_device_memory; /* of a device whose memory the host never reaches; else it goes through the host's: staged.h */
    /* Its library and version, in words; false: why there is none. NULL: MPI, which is always there. */
    bool (*about)(char *text, size_t size);
    /* Whether it can serve these ranks and this device, as far as this rank sees; else why not, in words. */
    bool (*probe)(const hy_comm *control, const hy_device *device, char *why, size_t size);
    /* For the ranks of comm->control; comm->impl is its own. Collective. */
    hy_status (*open)(hy_comm *comm);
    void (*post)(hy_comm *comm, const hy_xfer *xfer, hy_req *req);
    void (*group)(hy_comm *comm, bool begin); /* NULL: exchanges do not wait for each other */
    /* Of those that move in the order of a lane, instead of test and idle: COMPUTE goes on once the exchange is done. */
    void (*join)(hy_req *req);
    const hy_req *(*oldest)(
        void); /* likewise: the exchange that is longest under way, of all its communicators; NULL: none */
    /* True if the exchange is complete: then its handle is released and req->impl is NULL. */
    bool (*test)(hy_req *req);
    bool only_for_waiters;                        /* no use to test before idle: nothing comes by itself */
    void (*idle)(const hy_req *req);              /* what a waiter does between tests */
    void (*progress)(void);                       /* of all its communicators */
    void (*early)(hy_comm *comm, hy_early early); /* hy_comm_early; NULL: it does not matter */
    /* hy_comm_keep, local or collective as it needs; NULL: nothing to make ready. */
    hy_status (*keep)(hy_comm *comm, void *memory, size_t bytes, bool alike);
    /* False, with the reason, once it can bring nothing more: then the job ends. NULL: ends the job itself. */
    bool (*health)(const hy_comm *comm, char *why, size_t size);
    void (*close)(hy_comm *comm);
} hy_transport;

/* What communicators of the control plane have besides. */
typedef struct hy_plane {
    const hy_transport *transport;
    void (*barrier)(hy_comm *comm, hy_req *req);
    /* members: how many ranks have this color, 0 = unknown: what a plane that cannot ask the others needs. */
    hy_status (*split)(hy_comm *parent, int color, int key, int members, hy_comm **out);
    hy_status (*split_host)(hy_comm *parent, hy_comm **out);
} hy_plane;

typedef struct hy_deferred hy_deferred; /* deferred.h */

struct hy_comm {
    const hy_transport *transport;
    const hy_plane *plane; /* of one of the control plane; NULL: bound to a device */
    int rank, size;
    int *in_world; /* [size] the world's ranks, of one of the control plane; NULL: the same */
    bool is_world;
    void *impl;                        /* the transport's */
    hy_comm *control;                  /* of a bound one: what it was made of */
    hy_device *device;                 /* likewise: whose memory it moves */
    hy_deferred *deferred;             /* exchanges of an asynchronous device; NULL: they start when they are posted */
    hy_exchange_log *log;              /* where its exchanges are recorded; NULL: the process's */
    int64_t n_collectives, n_messages; /* that were posted */
};

extern const hy_transport hy_transport_self, hy_transport_mpi, hy_transport_count, hy_transport_ucx, hy_transport_nccl;

/* transports.c: the row that is asked for, if it serves all ranks of `control`. Collective. */
HY_MUST_CHECK hy_status hy_transport_choose(hy_comm *control, const hy_device *device, hy_transport_id wanted,
                                            const hy_transport **out);

/* comm.c: the world's rank that is `rank` of this one. */
int hy_comm_in_world(const hy_comm *comm, int rank);
/* comm.c: ends the job if the communicator's transport can bring nothing more. */
void hy_comm_check_health(const hy_comm *comm);
/* As hy_comm_set_limit says. */
double hy_comm_limit(void);

/* records.c: opens (or finds) the record of (name, kind) in the log (NULL: the process's) and counts one exchange; then the seconds waited for it. */
int hy_record_post(hy_exchange_log *log, const char *name, hy_exchange_kind kind, int64_t bytes);
void hy_record_wait(hy_exchange_log *log, int record, double waited);
/* A lane waits for it, not the host. */
void hy_record_unseen(hy_exchange_log *log, int record);
/* Time in the library that is no waiting: posting, testing, progress. */
void hy_record_move(hy_exchange_log *log, double seconds);

/* exchange_span.c: the span of an exchange of this many bytes, 0 where none are recorded; when it was given to the transport, and found
 * complete. Then the process's own time: waiting for it, moving all on. */
int64_t hy_exchange_span(const hy_comm *comm, const char *name, const hy_xfer *x, int64_t bytes, double posted);
void hy_exchange_span_started(int64_t span, double now);
void hy_exchange_span_done(int64_t span, double completed);
void hy_exchange_span_found(int64_t span, double now); /* the same where nobody saw it earlier */
/* A device's lane has seen both. */
void hy_exchange_span_timed(int64_t span, double started, double completed);
/* Of one that COMPUTE waits for and the host does not: ended by hy_span_end. */
int64_t hy_exchange_wait_begin(const hy_req *req);
void hy_exchange_waited(int64_t span, double begun, double ended);
void hy_exchange_moved(double begun, double ended);
/* Somebody begins to look which exchanges are complete; the same look goes on, and the one that waits is not. */
void hy_look_begin(double now);
void hy_look_again(double now);

/* comm_mpi.c */
HY_MUST_CHECK hy_status hy_mpi_world(int *argc, char ***argv, hy_comm **out);
void hy_mpi_finalize(void);
void hy_mpi_abort(int exit_code); /* returns if MPI is not running */

void hy_ucx_finalize(void); /* comm_ucx.c: after all its communicators */
/* Test hook: endpoints of UCX on one host report lost peers too; shared memory is not used then. */
extern bool hy_ucx_peer_errors_always;
/* Largest count passed to MPI in one argument; tests lower it to reach the paths of huge messages. */
extern int64_t hy_mpi_count_max;

#endif
