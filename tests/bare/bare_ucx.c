#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "comm/ucx_calls.h"
#include "tests/bare/bare.h"

enum { ADDRESS = 4096 };

static const hy_ucx_calls *ucx;
static ucp_context_h context;
static ucp_worker_h worker;
static ucp_ep_h *peers;
static int self, ranks;

static void must(ucs_status_t status) {
    if (status != UCS_OK) {
        MPI_Abort(MPI_COMM_WORLD, 8);
    }
}

static void connect_all(void) {
    ucp_address_t *address;
    size_t bytes;
    char own[ADDRESS] = {0}, *all = calloc((size_t)ranks, ADDRESS);
    must(ucx->ucp_worker_get_address(worker, &address, &bytes));
    must(bytes <= ADDRESS ? UCS_OK : UCS_ERR_NO_MEMORY);
    memcpy(own, address, bytes);
    ucx->ucp_worker_release_address(worker, address);
    MPI_Allgather(own, ADDRESS, MPI_BYTE, all, ADDRESS, MPI_BYTE, MPI_COMM_WORLD);
    for (int r = 0; r < ranks; r++) {
        const ucp_ep_params_t params = {.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS,
                                        .address = (const ucp_address_t *)(const void *)(all + (size_t)r * ADDRESS)};
        must(ucx->ucp_ep_create(worker, &params, &peers[r]));
    }
    free(all);
}

static void open_ucx(int rank, int size) {
    char why[256];
    ucp_config_t *config;
    const ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES, .features = UCP_FEATURE_TAG};
    const ucp_worker_params_t single = {.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
                                        .thread_mode = UCS_THREAD_MODE_SINGLE};
    self = rank;
    ranks = size;
    peers = calloc((size_t)size, sizeof *peers);
    ucx = hy_ucx_load(why, sizeof why);
    must(ucx != NULL ? UCS_OK : UCS_ERR_NO_RESOURCE);
    must(ucx->ucp_config_read(NULL, NULL, &config));
    must(ucx->ucp_init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context));
    ucx->ucp_config_release(config);
    must(ucx->ucp_worker_create(context, &single, &worker));
    connect_all();
}

static void wait_for(ucs_status_ptr_t request) {
    must(UCS_PTR_IS_ERR(request) ? UCS_PTR_STATUS(request) : UCS_OK);
    if (request == NULL) {
        return;
    }
    while (ucx->ucp_request_check_status(request) == UCS_INPROGRESS) {
        (void)ucx->ucp_worker_progress(worker);
    }
    ucx->ucp_request_free(request);
}

static void exchange(const void *send, int to, void *recv, int from, size_t bytes) {
    const ucp_request_param_t plain = {0};
    ucs_status_ptr_t receives = NULL, sends = NULL;
    if (from >= 0) {
        receives = ucx->ucp_tag_recv_nbx(worker, recv, bytes, (ucp_tag_t)from, UINT64_MAX, &plain);
    }
    if (to >= 0) {
        sends = ucx->ucp_tag_send_nbx(peers[to], send, bytes, (ucp_tag_t)self, &plain);
    }
    wait_for(receives);
    wait_for(sends);
}

static void close_ucx(void) {
    const ucp_request_param_t plain = {0};
    MPI_Barrier(MPI_COMM_WORLD);
    for (int r = 0; r < ranks; r++) {
        wait_for(ucx->ucp_ep_close_nbx(peers[r], &plain));
    }
    MPI_Barrier(MPI_COMM_WORLD);
    ucx->ucp_worker_destroy(worker);
    ucx->ucp_cleanup(context);
    free(peers);
}

const bare_library bare_ucx = {"ucx", open_ucx, exchange, close_ucx};
