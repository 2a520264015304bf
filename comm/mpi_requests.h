/* Open MPI requests of this process in one array, so that progress is one MPI_Testsome over all of them whatever their
 * communicator; and MPI errors, which end the job. One exchange may be several requests, its parts. */
#ifndef HY_COMM_MPI_REQUESTS_H
#define HY_COMM_MPI_REQUESTS_H

#include <mpi.h>

#include "comm/comm_internal.h"

/* An MPI call inside a step: an error is logged with call, exchange and host, and aborts the job with exit code 8. */
#define HY_MPI(what, call)                                                                                             \
    do {                                                                                                               \
        const int hy_mpi_code_ = (call);                                                                               \
        if (hy_mpi_code_ != MPI_SUCCESS) {                                                                             \
            hy_mpi_error(hy_mpi_code_, what, #call);                                                                   \
        }                                                                                                              \
    } while (0)
void hy_mpi_error(int code, const char *what, const char *call);

/* What to do once an exchange is complete. */
typedef struct hy_mpi_after {
    MPI_Datatype type; /* to free, or MPI_DATATYPE_NULL */
    void *to;          /* copy `bytes` from `from`; NULL: none */
    const void *from;
    size_t bytes;
} hy_mpi_after;

/* Adds one more MPI request to the exchange `req`. */
void hy_mpi_add_part(hy_req *req, MPI_Request request);
/* Sets what follows; after the first part was added. */
void hy_mpi_set_after(hy_req *req, const hy_mpi_after *after);
bool hy_mpi_test(hy_req *req);
void hy_mpi_idle(const hy_req *req);
void hy_mpi_progress(void);
void hy_mpi_requests_fini(void);

/* `bytes` bytes as count × type; *derived says that the type must be freed after the exchange. */
void hy_mpi_bytes(size_t bytes, int *count, MPI_Datatype *type, bool *derived);

#endif
