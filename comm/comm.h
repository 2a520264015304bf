/* Communicators and exchanges.
 *
 * Exchanges are posted and then waited for; several may be in flight. Buffers are borrowed until hy_comm_wait returns. There are two
 * planes: a communicator as it is made moves the host's memory (control); one that is bound to a device moves what the device holds.
 * Every exchange has a name and is recorded (count, bytes, seconds waited).
 *
 * Inside a step nothing may fail on one rank alone: if the MPI library reports an error in an exchange, the rank logs
 * what, where and which host, and aborts the whole job with exit code 8. So exchanges return nothing. */
#ifndef HY_COMM_COMM_H
#define HY_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/device.h"

typedef struct hy_comm hy_comm;

/* A posted exchange. Zero-initialise; wait on a request that was never posted returns at once. */
typedef struct hy_req {
    hy_comm *comm;
    void *impl;       /* backend's handle */
    int record;       /* index of the exchange's record */
    int stands_for;   /* exchanges whose post is taken to have lasted as long as this one's; 0: it is not timed */
    int64_t span;     /* its number (base/span.h); 0: none is recorded */
    double posted;    /* hy_now(), of those that a lane carries or that have a span */
    const char *name; /* which exchange this is, for those who ask what this rank waits in (presence.h) */
    int kind;         /* hy_exchange_kind; HY_X_KINDS: a barrier */
    int64_t number;   /* of its communicator's collectives, or of its messages, from 1 */
    int peer;         /* of a message, the world's rank at its other end; else −1 */
} hy_req;

typedef enum hy_reduce { HY_SUM, HY_MAX, HY_MIN } hy_reduce;
typedef enum hy_type { HY_TYPE_F32, HY_TYPE_F64, HY_TYPE_I64 } hy_type;
/* Bytes of an element. */
size_t hy_type_size(hy_type type);

/* Starts the communication library, if the program was launched with one, and gives the world communicator.
 * Launched without mpirun this is `self`. Collective. */
HY_MUST_CHECK hy_status hy_comm_world_create(int *argc, char ***argv, hy_comm **world);
/* Whether this process was started by a launcher (mpirun, srun): what world_create looks at. Local. */
bool hy_comm_launched(void);
/* Name and version of the communication library, one line. Local. */
const char *hy_comm_library(void);
/* A communicator of this process alone. Local. */
HY_MUST_CHECK hy_status hy_comm_self_create(hy_comm **out);
/* Ranks with equal `color` form a new communicator, ordered by `key` then old rank. color < 0: this rank gets NULL. Collective. */
HY_MUST_CHECK hy_status hy_comm_split(hy_comm *parent, int color, int key, hy_comm **out);
/* The same where every color has `members` ranks and `key` is the rank in the new communicator. Collective. */
HY_MUST_CHECK hy_status hy_comm_split_even(hy_comm *parent, int color, int key, int members, hy_comm **out);
/* The ranks that run on the same host, ordered by rank. Collective. */
HY_MUST_CHECK hy_status hy_comm_split_host(hy_comm *parent, hy_comm **out);
/* What moves bytes between ranks: rows of one table (transports.c). auto: nccl where it serves the device, else mpi. One rank alone needs
 * none, but what is asked for must be there. */
typedef enum hy_transport_id {
    HY_TRANSPORT_AUTO,
    HY_TRANSPORT_MPI,
    HY_TRANSPORT_UCX,
    HY_TRANSPORT_NCCL
} hy_transport_id;
extern const char *const hy_transport_names[]; /* NULL ends */
/* Whether it can be chosen for these ranks and this device, as far as this rank sees; else why not, in words. Local. */
bool hy_transport_is_there(hy_transport_id id, const hy_comm *control, const hy_device *device, char *why, size_t size);
/* The library of a transport and its version, whatever the device, in words; false: why there is none. Local. */
bool hy_transport_about(hy_transport_id id, char *text, size_t size);
/* Name of what moves this communicator's exchanges. Local. */
const char *hy_comm_transport(const hy_comm *comm);
/* The row it is; HY_TRANSPORT_AUTO of one that has none: of one rank, or that counts. Local. */
hy_transport_id hy_comm_transport_id(const hy_comm *comm);

/* A communicator of the same ranks for what `device` holds, over `transport`, the same on all; HY_ERR_USAGE, with the reason, if that is not
 * there. Its exchanges start after what the device's COMPUTE lane was given before them, and
 * hy_comm_wait means: what COMPUTE is given from now on runs after the exchange. On an asynchronous device the host waits for neither; on the
 * others an exchange starts when it is posted, and hy_comm_wait waits. Exchanges of one communicator start in program order, which
 * must be the same on all ranks where they concern the same ones. hy_comm_agree and hy_comm_barrier go to `control`, which, like the device,
 * stays until this one is destroyed. Collective over `control`. */
HY_MUST_CHECK hy_status hy_comm_bind(hy_comm *control, hy_device *device, hy_transport_id transport, hy_comm **out);
/* NULL allowed. Collective. Destroying the world finalizes the library. */
void hy_comm_destroy(hy_comm *comm);

/* Memory of the device, a whole allocation, that this communicator will use again and again until it is destroyed; it is freed after that. A
 * transport that can makes it ready (nccl registers it). `alike`: all ranks have as many bytes of it, and an exchange lies at the same place in it on
 * all, own blocks of gathers and scatters at their place. Collective. */
HY_MUST_CHECK hy_status hy_comm_keep(hy_comm *comm, void *memory, size_t bytes, bool alike);

int hy_comm_rank(const hy_comm *comm);
int hy_comm_size(const hy_comm *comm);

/* Ends the whole job at once with this exit code, other ranks included. Never returns. */
_Noreturn void hy_comm_abort(int exit_code);

/* All of these are collective over the communicator but send and recv. `name` is a string constant. */
/* recv [size·bytes]: rank r's `bytes` at r·bytes. send may be recv + rank·bytes (in place). */
void hy_comm_all_gather(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req);
/* In place over all ranks. Same order of summation every time for a given communicator size. */
void hy_comm_all_reduce(hy_comm *comm, const char *name, void *buf, int64_t n, hy_type type, hy_reduce op, hy_req *req);
/* send [size·n]; recv [n] = Σ over ranks of block `rank`. recv may be send + rank·n elements (in place; the other
 * blocks of send are undefined afterwards). */
void hy_comm_reduce_scatter(hy_comm *comm, const char *name, const void *send, void *recv, int64_t n, hy_type type,
                            hy_req *req);
/* Block r of send (bytes each) goes to rank r, block r of recv comes from it. */
void hy_comm_all_to_all(hy_comm *comm, const char *name, const void *send, void *recv, size_t bytes, hy_req *req);
void hy_comm_broadcast(hy_comm *comm, const char *name, void *buf, size_t bytes, int root, hy_req *req);
/* Messages between two ranks (also to oneself) with equal tag arrive in posting order. bytes may pass 2^31.
 *
 * Of messages between two ranks that go both ways at once, a rank posts what it sends before what it receives. A large message leaves when the receiver has
 * answered its announcement. Who posts its receive first may answer before it announces its own; then the other's data is on its way when that announcement comes,
 * the answer to it waits behind this data (UCX over TCP: one connection, in order), and the two go one after the other. */
void hy_comm_send(hy_comm *comm, const char *name, const void *buf, size_t bytes, int to, int tag, hy_req *req);
void hy_comm_recv(hy_comm *comm, const char *name, void *buf, size_t bytes, int from, int tag, hy_req *req);
/* Sends and receives that may wait for each other, and what stands between them, are posted in one group: some transports run what is not
 * one behind the other. Sender and receiver have them in the same groups, in the same order. None of them is waited for inside. */
void hy_comm_group_begin(hy_comm *comm);
void hy_comm_group_end(hy_comm *comm);
void hy_comm_wait(hy_req *req);
/* True if the exchange is complete: then it is as if waited for. Of an asynchronous device's, always. */
bool hy_comm_test(hy_req *req);
void hy_comm_wait_all(hy_req *reqs, int64_t n);
/* Lets posted exchanges advance (they do not by themselves). Cheap; called between operations. */
void hy_comm_progress(hy_comm *comm);
/* For who writes down what a rank does (schedule.h): what stands between BEGIN and END can be done before, from FROM on, between any two operations, as
 * far as what it waits for has come. Others do not hear of it. */
typedef enum hy_early { HY_EARLY_FROM, HY_EARLY_BEGIN, HY_EARLY_END } hy_early;
void hy_comm_early(hy_comm *comm, hy_early early);
/* What this process does while it waits: watch, move the exchanges of all communicators on, see which are over and whether any has failed. */
void hy_comm_look_around(void);
/* `watch` is called again and again while this process waits for an exchange or a device, and at every hy_comm_progress: so that a
 * rank that waits for another can still notice what the whole job must do. NULL: none. Local. */
void hy_comm_set_watch(void (*watch)(void));
/* Seconds that a rank waits for an exchange in which nothing moves, before it says so and ends the job: of transports that notice (ucx).
 * 600 at first; 0: for ever. Local. */
void hy_comm_set_limit(double seconds);
void hy_comm_barrier(hy_comm *comm);

/* Before a collective: every rank brings its status; all leave with HY_OK, or all with an error (own one, or HY_ERR_PEER).
 * Collective. */
HY_MUST_CHECK hy_status hy_comm_agree(hy_comm *comm, hy_status mine);

/* ---- records ---- */
typedef enum hy_exchange_kind {
    HY_X_ALL_GATHER,
    HY_X_ALL_REDUCE,
    HY_X_REDUCE_SCATTER,
    HY_X_ALL_TO_ALL,
    HY_X_BROADCAST,
    HY_X_SEND,
    HY_X_RECV,
    HY_X_KINDS
} hy_exchange_kind;

/* "all-gather", "send", ... */
const char *hy_exchange_kind_name(hy_exchange_kind kind);

typedef struct hy_exchange_record {
    const char *name;
    hy_exchange_kind kind;
    int64_t count, bytes; /* bytes this rank sent (recv: received) */
    double waited;        /* seconds inside hy_comm_wait */
    int64_t unseen;       /* of `count`, those that a lane of the device waited for: the host does not know how long */
} hy_exchange_record;

/* The records of exchanges between communicators that were made for it (hy_comm_count_create). */
enum { HY_RECORDED_EXCHANGES = 256 };
typedef struct hy_exchange_log {
    hy_exchange_record records[HY_RECORDED_EXCHANGES];
    uint8_t guesses[64]; /* by where a name lies: the record that was looked for last */
    int n;
    double moving;
} hy_exchange_log;

/* A communicator that only counts: this process is rank `rank` of `size`, the others are not there. Exchanges are recorded in `log`
 * (borrowed) and complete at once; what they would bring stays as it was, ranks agree with this one. Its buffers are never touched.
 * Local. */
HY_MUST_CHECK hy_status hy_comm_count_create(int size, int rank, hy_exchange_log *log, hy_comm **out);
/* The same, and what this rank posts and waits for is written to `schedule` (schedule.h; borrowed; NULL: nothing is). Local. */
typedef struct hy_schedule hy_schedule;
HY_MUST_CHECK hy_status hy_comm_schedule_create(int size, int rank, hy_exchange_log *log, hy_schedule *schedule,
                                                hy_comm **out);

/* All records of this process since the last reset, one per (name, kind). */
int hy_exchange_records(const hy_exchange_record **out);
/* Seconds of this process since the reset in calls that moved exchanges on without waiting for one: posting,
 * hy_comm_test, hy_comm_progress. Libraries copy messages there, which keeps the processor from computing. */
double hy_exchange_moving(void);
/* Seconds since the reset that exchanges kept this process from computing: all waits and hy_exchange_moving. It is known as long as no lane has
 * waited for an exchange with another rank, which the host does not see. */
double hy_exchange_exposed(void);
bool hy_exchange_exposed_is_known(void);
void hy_exchange_reset(void);

/* ---- mesh: world = data × sequence; rank = data_index·sequence + sequence_index ---- */
typedef struct hy_mesh {
    hy_comm *world;    /* borrowed */
    hy_comm *sequence; /* the ranks that share each sequence */
    hy_comm *data;     /* ranks with the same sequence index in other data groups */
    int data_size, data_index, sequence_size, sequence_index;
} hy_mesh;

/* HY_ERR_USAGE unless size(world) == data·sequence; the message names the nearest meshes that fit. Collective. */
HY_MUST_CHECK hy_status hy_mesh_create(hy_comm *world, int data, int sequence, hy_mesh *mesh);
void hy_mesh_destroy(hy_mesh *mesh);
/* The world and the ranks of a sequence bound to a device (hy_comm_bind), both over the same transport: what goes through the host and what does
 * not may not share a lane. An error on one rank is one on all; *all may be there then. Collective over the world. */
HY_MUST_CHECK hy_status hy_mesh_bind(const hy_mesh *mesh, hy_device *device, hy_transport_id transport, hy_comm **all,
                                     hy_comm **sequence);

#endif
