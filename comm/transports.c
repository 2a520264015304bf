/* The table of transports, and which of them serves a communicator. Another one is a row here and a file that holds what the row names. */
#include <stdio.h>

#include "comm/comm_internal.h"

const char *const hy_transport_names[] = {
    [HY_TRANSPORT_AUTO] = "auto",
    [HY_TRANSPORT_MPI] = "mpi",
    [HY_TRANSPORT_UCX] = "ucx",
    [HY_TRANSPORT_NCCL] = "nccl",
    NULL,
};

/* NULL: not built. */
static const hy_transport *const rows[HY_TRANSPORT_NCCL + 1] = {
    [HY_TRANSPORT_MPI] = &hy_transport_mpi,
#ifdef HY_HAVE_UCX
    [HY_TRANSPORT_UCX] = &hy_transport_ucx,
#endif
#ifdef HY_HAVE_NCCL
    [HY_TRANSPORT_NCCL] = &hy_transport_nccl,
#endif
};

/* In which `auto` takes the first that all ranks have: what moves a device's memory itself; then what every cluster's MPI is tuned for. */
static const hy_transport_id preferred[] = {HY_TRANSPORT_NCCL, HY_TRANSPORT_MPI};
enum { N_PREFERRED = sizeof preferred / sizeof preferred[0] };

bool hy_transport_is_there(hy_transport_id id, const hy_comm *control, const hy_device *device, char *why,
                           size_t size) {
    if (id != HY_TRANSPORT_AUTO && rows[id] == NULL) {
        (void)snprintf(why, size, "not built: this program does not have it");
        return false;
    }
    return id == HY_TRANSPORT_AUTO || rows[id]->probe(control, device, why, size);
}

bool hy_transport_about(hy_transport_id id, char *text, size_t size) {
    if (id == HY_TRANSPORT_AUTO || rows[id] == NULL) {
        (void)snprintf(text, size, "not built: this program does not have it");
        return false;
    }
    if (rows[id]->about == NULL) {
        (void)snprintf(text, size, "%s", hy_comm_library());
        return true;
    }
    return rows[id]->about(text, size);
}

hy_transport_id hy_comm_transport_id(const hy_comm *comm) {
    int id = HY_TRANSPORT_NCCL;
    while (id > HY_TRANSPORT_AUTO && rows[id] != comm->transport) {
        id--;
    }
    return (hy_transport_id)id;
}

/* Blocks of exchanges are cut alike on all ranks, or none arrives. */
static hy_status check_devices(hy_comm *control, const hy_device *device) {
    int64_t kinds[2] = {hy_device_is_apart(device), !hy_device_is_apart(device)};
    hy_req req;
    hy_comm_all_reduce(control, "devices", kinds, 2, HY_TYPE_I64, HY_MAX, &req);
    hy_comm_wait(&req);
    return kinds[0] != 0 && kinds[1] != 0
               ? hy_fail(HY_ERR_ENV, "ranks compute on devices of different kinds: rank %d of %d on %s", control->rank,
                         control->size, hy_device_profile(device)->name)
               : HY_OK;
}

/* The first of `preferred` that every rank has: MPI, if nothing else. */
static hy_transport_id choose_first(hy_comm *control, const hy_device *device) {
    int64_t there[N_PREFERRED];
    char why[256];
    hy_req req;
    for (int i = 0; i < N_PREFERRED; i++) {
        there[i] = hy_transport_is_there(preferred[i], control, device, why, sizeof why);
    }
    hy_comm_all_reduce(control, "transports", there, N_PREFERRED, HY_TYPE_I64, HY_MIN, &req);
    hy_comm_wait(&req);
    int i = 0;
    while (i < N_PREFERRED - 1 && !there[i]) {
        i++;
    }
    return preferred[i];
}

static hy_status check(hy_comm *control, const hy_device *device, hy_transport_id id) {
    char why[256] = "";
    const bool there = hy_transport_is_there(id, control, device, why, sizeof why);
    return hy_comm_agree(control, there ? HY_OK
                                        : hy_fail(HY_ERR_USAGE,
                                                  "parallel.transport: %s cannot be had: %s; choose auto, which takes "
                                                  "what is there",
                                                  hy_transport_names[id], why));
}

hy_status hy_transport_choose(hy_comm *control, const hy_device *device, hy_transport_id wanted,
                              const hy_transport **out) {
    if (control->transport == &hy_transport_count) {
        *out = control->transport; /* nobody is there to be reached */
        return HY_OK;
    }
    HY_TRY(check_devices(control, device));
    HY_TRY(check(control, device, wanted));
    if (control->size == 1) {
        *out = &hy_transport_self;
        return HY_OK;
    }
    *out = rows[wanted == HY_TRANSPORT_AUTO ? choose_first(control, device) : wanted];
    return HY_OK;
}
