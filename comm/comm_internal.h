/* Between comm.c and the backends. A backend posts an exchange and says when it is complete; comm.c keeps the records
 * and waits. A backend leaves req->impl NULL if the exchange is complete when posting returns. */
#ifndef HY_COMM_COMM_INTERNAL_H
#define HY_COMM_COMM_INTERNAL_H

#include <stdbool.h>

#include "comm/comm.h"

typedef struct hy_comm_table {
    const char *name;
    void (*all_gather)(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req);
    void (*all_reduce)(hy_comm *comm, void *buf, int64_t n, hy_type type, hy_reduce op, hy_req *req);
    void (*reduce_scatter)(hy_comm *comm, const void *send, void *recv, int64_t n, hy_type type, hy_req *req);
    void (*all_to_all)(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req);
    void (*broadcast)(hy_comm *comm, void *buf, size_t bytes, int root, hy_req *req);
    void (*send)(hy_comm *comm, const void *buf, size_t bytes, int to, int tag, hy_req *req);
    void (*recv)(hy_comm *comm, void *buf, size_t bytes, int from, int tag, hy_req *req);
    void (*barrier)(hy_comm *comm, hy_req *req);
    /* True if the exchange is complete: then its handle is released, req->impl is NULL and *completed is when it was
     * found complete. */
    bool (*test)(hy_req *req, double *completed);
    void (*idle)(const hy_req *req); /* what a waiter does between tests */
    void (*progress)(void);
    /* members: how many ranks have this color, 0 = unknown: what a backend that cannot ask the others needs. */
    hy_status (*split)(hy_comm *parent, int color, int key, int members, hy_comm **out);
    hy_status (*split_host)(hy_comm *parent, hy_comm **out);
    void (*destroy)(hy_comm *comm);
} hy_comm_table;

typedef struct hy_deferred hy_deferred; /* deferred.h */

struct hy_comm {
    const hy_comm_table *table;
    int rank, size;
    bool is_world;
    void *impl;            /* the backend's */
    hy_comm *control;      /* of a bound one: what it was made of */
    hy_deferred *deferred; /* exchanges of an asynchronous device; NULL: they start when they are posted */
    hy_exchange_log *log;  /* where its exchanges are recorded; NULL: the process's */
};

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

/* comm.c: the backend's call. */
void hy_transport_post(hy_comm *comm, const hy_xfer *xfer, hy_req *req);

size_t hy_type_size(hy_type type);

/* records.c: opens (or finds) the record of (name, kind) in the log (NULL: the process's) and counts one exchange; then its times. */
int hy_record_post(hy_exchange_log *log, const char *name, hy_exchange_kind kind, int64_t bytes);
void hy_record_wait(hy_exchange_log *log, int record, double in_flight, double waited);
/* Time in the library that is no waiting: posting, testing, progress. */
void hy_record_move(hy_exchange_log *log, double seconds);

/* comm_mpi.c */
HY_MUST_CHECK hy_status hy_mpi_world(int *argc, char ***argv, hy_comm **out);
void hy_mpi_finalize(void);
void hy_mpi_abort(int exit_code); /* returns if MPI is not running */

/* Largest count passed to MPI in one argument; tests lower it to reach the paths of huge messages. */
extern int64_t hy_mpi_count_max;

#endif
