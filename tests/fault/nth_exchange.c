/* A preloaded library that lets something happen at the n-th exchange of a step on one rank: it fails, or the process is killed, or stops. Caught are
 * the calls that post exchanges: those of MPI, the tagged messages of UCX and the operations of NCCL. A step begins with its "step counts", the one sum of
 * four doubles on the control plane, and ends with the next one's.
 *
 *     EXCHANGE_RANK   of which rank
 *     EXCHANGE_STEP   of which step, from 1 at the start of the process
 *     EXCHANGE_OVER   mpi | ucx | nccl: whose calls count
 *     EXCHANGE_AT     n, from 1; 0: nothing happens
 *     EXCHANGE_MODE   error | kill | stop
 *     EXCHANGE_COUNT  a file for the number of calls of that step
 *
 * Libraries that the program opens itself, libucp and the one that HYLAS_NCCL names, are opened for all and looked up from the program on, so that
 * what stands here is found first. */
#include <dlfcn.h>
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP_COUNTS = 4, UCX_IO_ERROR = -3, NCCL_INTERNAL_ERROR = 3 };

static struct {
    int on;
    const char *over, *mode, *count_file;
    long step, at, steps, calls;
} fault;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value != NULL ? value : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    fault.on = strcmp(setting("OMPI_COMM_WORLD_RANK", "none"), setting("EXCHANGE_RANK", "0")) == 0;
    fault.over = setting("EXCHANGE_OVER", "mpi");
    fault.mode = setting("EXCHANGE_MODE", "error");
    fault.step = atol(setting("EXCHANGE_STEP", "1"));
    fault.at = atol(setting("EXCHANGE_AT", "0"));
    fault.count_file = getenv("EXCHANGE_COUNT");
}

static void say_count(void) {
    FILE *file = fault.on && fault.count_file != NULL ? fopen(fault.count_file, "w") : NULL;
    if (file != NULL) {
        (void)fprintf(file, "%ld\n", fault.calls);
        (void)fclose(file);
    }
}

static void step_begins(void) {
    if (fault.steps++ == fault.step) {
        say_count();
    }
}

/* Of a call that posts an exchange: true if it is to fail. */
static int exchange_fails(const char *over) {
    if (!fault.on || fault.steps != fault.step || strcmp(fault.over, over) != 0 || ++fault.calls != fault.at) {
        return 0;
    }
    if (strcmp(fault.mode, "kill") == 0) {
        (void)raise(SIGKILL);
    } else if (strcmp(fault.mode, "stop") == 0) {
        (void)raise(SIGSTOP);
    }
    return strcmp(fault.mode, "error") == 0;
}

/* ---- MPI ---- */

#define POSTS(call, parameters, arguments)                                                                             \
    int call parameters {                                                                                              \
        return exchange_fails("mpi") ? MPI_ERR_OTHER : P##call arguments;                                              \
    }

POSTS(MPI_Isend, (const void *b, int n, MPI_Datatype t, int to, int tag, MPI_Comm c, MPI_Request *r),
      (b, n, t, to, tag, c, r))
POSTS(MPI_Irecv, (void *b, int n, MPI_Datatype t, int from, int tag, MPI_Comm c, MPI_Request *r),
      (b, n, t, from, tag, c, r))
POSTS(MPI_Iallgather,
      (const void *s, int n, MPI_Datatype t, void *to, int m, MPI_Datatype u, MPI_Comm c, MPI_Request *r),
      (s, n, t, to, m, u, c, r))
POSTS(MPI_Ialltoall,
      (const void *s, int n, MPI_Datatype t, void *to, int m, MPI_Datatype u, MPI_Comm c, MPI_Request *r),
      (s, n, t, to, m, u, c, r))
POSTS(MPI_Ibcast, (void *b, int n, MPI_Datatype t, int root, MPI_Comm c, MPI_Request *r), (b, n, t, root, c, r))
POSTS(MPI_Ibarrier, (MPI_Comm c, MPI_Request *r), (c, r))
POSTS(MPI_Ireduce, (const void *s, void *to, int n, MPI_Datatype t, MPI_Op op, int root, MPI_Comm c, MPI_Request *r),
      (s, to, n, t, op, root, c, r))
POSTS(MPI_Ireduce_scatter_block,
      (const void *s, void *to, int n, MPI_Datatype t, MPI_Op op, MPI_Comm c, MPI_Request *r), (s, to, n, t, op, c, r))

int MPI_Iallreduce(const void *s, void *to, int n, MPI_Datatype t, MPI_Op op, MPI_Comm c, MPI_Request *r) {
    if (n == STEP_COUNTS && t == MPI_DOUBLE) {
        step_begins();
    }
    return exchange_fails("mpi") ? MPI_ERR_OTHER : PMPI_Iallreduce(s, to, n, t, op, c, r);
}

/* ---- libraries that are opened ---- */

static void *opened;

void *dlopen(const char *name, int flags) {
    static void *(*real)(const char *, int);
    const char *nccl = getenv("HYLAS_NCCL");
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    }
    const int ours = name != NULL && (strcmp(name, "libucp.so.0") == 0 || (nccl != NULL && strcmp(name, nccl) == 0));
    void *handle = real(name, ours ? flags | RTLD_GLOBAL : flags);
    if (!ours || handle == NULL) {
        return handle;
    }
    opened = handle;
    return real(NULL, RTLD_NOW);
}

/* The call itself; ours is another one. */
static void find_real(void *real, const char *name) {
    *(void **)real = opened != NULL ? dlsym(opened, name) : dlsym(RTLD_NEXT, name);
}

void *ucp_tag_send_nbx(void *endpoint, const void *buffer, size_t bytes, uint64_t tag, const void *param);
void *ucp_tag_recv_nbx(void *worker, void *buffer, size_t bytes, uint64_t tag, uint64_t mask, const void *param);

void *ucp_tag_send_nbx(void *endpoint, const void *buffer, size_t bytes, uint64_t tag, const void *param) {
    static void *(*real)(void *, const void *, size_t, uint64_t, const void *);
    if (real == NULL) {
        find_real(&real, "ucp_tag_send_nbx");
    }
    return exchange_fails("ucx") ? (void *)(intptr_t)UCX_IO_ERROR : real(endpoint, buffer, bytes, tag, param);
}

void *ucp_tag_recv_nbx(void *worker, void *buffer, size_t bytes, uint64_t tag, uint64_t mask, const void *param) {
    static void *(*real)(void *, void *, size_t, uint64_t, uint64_t, const void *);
    if (real == NULL) {
        find_real(&real, "ucp_tag_recv_nbx");
    }
    return exchange_fails("ucx") ? (void *)(intptr_t)UCX_IO_ERROR : real(worker, buffer, bytes, tag, mask, param);
}

#define OPERATION(call, parameters, arguments)                                                                         \
    int call parameters;                                                                                               \
    int call parameters {                                                                                              \
        static int(*real) parameters;                                                                                  \
        if (real == NULL) {                                                                                            \
            find_real(&real, #call);                                                                                   \
        }                                                                                                              \
        return exchange_fails("nccl") ? NCCL_INTERNAL_ERROR : real arguments;                                          \
    }

OPERATION(ncclAllGather, (const void *s, void *to, size_t n, int t, void *c, void *stream), (s, to, n, t, c, stream))
OPERATION(ncclAllReduce, (const void *s, void *to, size_t n, int t, int op, void *c, void *stream),
          (s, to, n, t, op, c, stream))
OPERATION(ncclReduceScatter, (const void *s, void *to, size_t n, int t, int op, void *c, void *stream),
          (s, to, n, t, op, c, stream))
OPERATION(ncclBroadcast, (const void *s, void *to, size_t n, int t, int root, void *c, void *stream),
          (s, to, n, t, root, c, stream))
OPERATION(ncclSend, (const void *s, size_t n, int t, int to, void *c, void *stream), (s, n, t, to, c, stream))
OPERATION(ncclRecv, (void *to, size_t n, int t, int from, void *c, void *stream), (to, n, t, from, c, stream))
