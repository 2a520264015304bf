/* The pool of MPI requests. requests[i] is MPI_REQUEST_NULL for a free entry and for a part found complete. An exchange
 * holds the index (plus one, so that NULL means none) of its newest part; parts are linked. */
#include "comm/mpi_requests.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/span.h"

typedef struct part {
    int64_t next; /* next part of the same exchange, or next free entry; −1 ends */
    double seen;  /* when it was found complete, where spans are recorded */
    hy_mpi_after after;
} part;

static struct {
    int64_t capacity, used; /* entries; entries ever handed out */
    int64_t free_list;
    int64_t active;
    MPI_Request *requests;
    part *parts;
    int *done; /* indices from MPI_Testsome */
} pool = {.free_list = -1};

int64_t hy_mpi_count_max = INT32_MAX;

void hy_mpi_error(int code, const char *what, const char *call) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    char host[256] = "";
    (void)MPI_Error_string(code, text, &length);
    (void)gethostname(host, sizeof host - 1);
    hy_log(HY_LOG_ERROR, "%s: %.60s on host %s: %s; the job ends", what, call, host, text);
    hy_comm_abort(HY_ERR_COMM);
}

static void grow_requests(void) {
    const int64_t capacity = pool.capacity ? 2 * pool.capacity : 256;
    MPI_Request *requests = NULL;
    part *parts = NULL;
    int *done = NULL;
    if (HY_NEW("MPI requests", capacity, &requests) != HY_OK ||
        HY_NEW("parts of exchanges", capacity, &parts) != HY_OK ||
        HY_NEW("completed MPI requests", capacity, &done) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    for (int64_t i = 0; i < pool.used; i++) {
        requests[i] = pool.requests[i];
        parts[i] = pool.parts[i];
    }
    hy_mpi_requests_fini();
    pool.capacity = capacity;
    pool.requests = requests;
    pool.parts = parts;
    pool.done = done;
}

void hy_mpi_requests_fini(void) {
    hy_free(pool.requests);
    hy_free(pool.parts);
    hy_free(pool.done);
    pool.requests = NULL;
    pool.parts = NULL;
    pool.done = NULL;
    pool.capacity = 0;
}

static int64_t first_part(const hy_req *req) {
    return (int64_t)(intptr_t)req->impl - 1;
}

void hy_mpi_add_part(hy_req *req, MPI_Request request) {
    int64_t i = pool.free_list;
    if (i >= 0) {
        pool.free_list = pool.parts[i].next;
    } else {
        if (pool.used == pool.capacity) {
            grow_requests();
        }
        i = pool.used++;
    }
    pool.active++;
    pool.requests[i] = request;
    pool.parts[i] = (part){.next = first_part(req), .after = {.type = MPI_DATATYPE_NULL}};
    req->impl = (void *)(intptr_t)(i + 1);
}

void hy_mpi_set_after(hy_req *req, const hy_mpi_after *after) {
    pool.parts[first_part(req)].after = *after;
}

static void release_request(int64_t i) {
    hy_mpi_after *after = &pool.parts[i].after;
    if (after->type != MPI_DATATYPE_NULL) {
        HY_MPI("large message", MPI_Type_free(&after->type));
    }
    if (after->to && after->to != after->from) {
        memcpy(after->to, after->from, after->bytes);
    }
    pool.parts[i].next = pool.free_list;
    pool.free_list = i;
    if (--pool.active == 0) {
        pool.used = 0;
        pool.free_list = -1;
    }
}

/* Some parts were found complete earlier, in hy_mpi_progress: if all were, so was the exchange. */
static void end_span(const hy_req *req, bool found_now) {
    double completed = found_now ? hy_now() : 0.0;
    for (int64_t i = first_part(req); i >= 0 && !found_now; i = pool.parts[i].next) {
        completed = pool.parts[i].seen > completed ? pool.parts[i].seen : completed;
    }
    hy_exchange_span_done(req->span, completed);
}

bool hy_mpi_test(hy_req *req) {
    bool found_now = false;
    for (int64_t i = first_part(req); i >= 0; i = pool.parts[i].next) {
        if (pool.requests[i] != MPI_REQUEST_NULL) {
            int flag = 0;
            HY_MPI("exchange", MPI_Test(&pool.requests[i], &flag, MPI_STATUS_IGNORE));
            if (!flag) {
                return false;
            }
            found_now = true;
        }
    }
    if (req->span > 0) {
        end_span(req, found_now);
    }
    for (int64_t i = first_part(req), next; i >= 0; i = next) {
        next = pool.parts[i].next;
        release_request(i);
    }
    req->impl = NULL;
    return true;
}

/* With more ranks than cores a waiter must leave the core to the rank it waits for. */
void hy_mpi_idle(const hy_req *req) {
    (void)req;
    (void)sched_yield();
}

void hy_mpi_progress(void) {
    if (pool.active == 0) {
        return;
    }
    int n_done = 0;
    HY_MPI("exchange", MPI_Testsome((int)pool.used, pool.requests, &n_done, pool.done, MPI_STATUSES_IGNORE));
    if (n_done > 0 && hy_spans_are_recorded()) {
        const double now = hy_now();
        for (int i = 0; i < n_done; i++) {
            pool.parts[pool.done[i]].seen = now;
        }
    }
}

void hy_mpi_bytes(size_t bytes, int *count, MPI_Datatype *type, bool *derived) {
    const size_t unit = (size_t)hy_mpi_count_max;
    *derived = bytes > unit;
    *count = *derived ? 1 : (int)bytes;
    *type = MPI_BYTE;
    if (!*derived) {
        return;
    }
    MPI_Datatype chunk, chunks;
    const char *what = "large message";
    HY_MPI(what, MPI_Type_contiguous((int)unit, MPI_BYTE, &chunk));
    HY_MPI(what, MPI_Type_contiguous((int)(bytes / unit), chunk, &chunks));
    int lengths[2] = {1, (int)(bytes % unit)};
    MPI_Aint offsets[2] = {0, (MPI_Aint)(bytes - bytes % unit)};
    MPI_Datatype types[2] = {chunks, MPI_BYTE};
    HY_MPI(what, MPI_Type_create_struct(2, lengths, offsets, types, type));
    HY_MPI(what, MPI_Type_commit(type));
    HY_MPI(what, MPI_Type_free(&chunks));
    HY_MPI(what, MPI_Type_free(&chunk));
}
