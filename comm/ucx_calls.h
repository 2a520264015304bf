/* UCX, loaded when it is first asked for: the program starts without it, and processes that do not use it do not get its threads, memory hooks
 * and signal handlers. */
#ifndef HY_COMM_UCX_CALLS_H
#define HY_COMM_UCX_CALLS_H

#include <stdbool.h>
#include <ucp/api/ucp.h>

/* What is used of libucp, and of libucs, which it needs. */
#define HY_UCX_CALLS(X)                                                                                                \
    X(ucp_config_read)                                                                                                 \
    X(ucp_config_release)                                                                                              \
    X(ucp_init_version)                                                                                                \
    X(ucp_cleanup)                                                                                                     \
    X(ucp_get_version_string)                                                                                          \
    X(ucp_worker_create)                                                                                               \
    X(ucp_worker_destroy)                                                                                              \
    X(ucp_worker_get_address)                                                                                          \
    X(ucp_worker_release_address)                                                                                      \
    X(ucp_worker_progress)                                                                                             \
    X(ucp_worker_flush_nbx)                                                                                            \
    X(ucp_ep_create)                                                                                                   \
    X(ucp_ep_close_nbx)                                                                                                \
    X(ucp_tag_send_nbx)                                                                                                \
    X(ucp_tag_recv_nbx)                                                                                                \
    X(ucp_request_check_status)                                                                                        \
    X(ucp_request_free)                                                                                                \
    X(ucs_status_string)

typedef struct hy_ucx_calls {
#define HY_X(name) __typeof__(&name) name;
    HY_UCX_CALLS(HY_X)
#undef HY_X
} hy_ucx_calls;

/* NULL if it cannot be loaded, with the reason in words. */
const hy_ucx_calls *hy_ucx_load(char *why, size_t size);

#endif
