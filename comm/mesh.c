/* world = data × sequence; ranks that share sequences are neighbours, so that their exchanges stay on a host where they
 * can. */
#include <stdio.h>
#include <stdlib.h>

#include "comm/comm.h"

/* "sequence 6 with data 2, sequence 4 with data 3": the meshes that use all ranks and keep one of the two wishes, or
 * come nearest to the wished sequence size. */
static void describe_nearest(int size, int data, int sequence, char *text, size_t bytes) {
    int keep_data = data >= 1 && size % data == 0;
    int keep_sequence = sequence >= 1 && size % sequence == 0;
    if (keep_data && keep_sequence) {
        (void)snprintf(text, bytes, "sequence %d with data %d, sequence %d with data %d", size / data, data, sequence,
                       size / sequence);
    } else if (keep_data) {
        (void)snprintf(text, bytes, "sequence %d with data %d", size / data, data);
    } else if (keep_sequence) {
        (void)snprintf(text, bytes, "sequence %d with data %d", sequence, size / sequence);
    } else {
        int best = 1;
        for (int s = 2; s <= size; s++) {
            if (size % s == 0 && abs(s - sequence) < abs(best - sequence)) {
                best = s;
            }
        }
        (void)snprintf(text, bytes, "sequence %d with data %d", best, size / best);
    }
}

hy_status hy_mesh_create(hy_comm *world, int data, int sequence, hy_mesh *mesh) {
    const int size = hy_comm_size(world), rank = hy_comm_rank(world);
    if (data < 1 || sequence < 1 || (int64_t)data * sequence != size) {
        char nearest[160];
        describe_nearest(size, data, sequence, nearest, sizeof nearest);
        if (rank != 0) {
            return HY_ERR_USAGE;
        }
        if (size == 1 && !hy_comm_launched()) {
            return hy_fail(
                HY_ERR_USAGE,
                "parallel: started without mpirun, so as 1 rank, but data %d × sequence %d needs %lld; start "
                "with `mpirun -np %lld hylas ...`, or set parallel.sequence=auto%s",
                data, sequence, (long long)data * sequence, (long long)data * sequence,
                data > 1 ? " and parallel.data=1" : "");
        }
        return hy_fail(HY_ERR_USAGE, "parallel: %d ranks = data %d × sequence %d (=%lld): no; nearest: %s%s", size,
                       data, sequence, (long long)data * sequence, nearest,
                       data >= 1 && size % data == 0 ? " (what parallel.sequence=auto gives)" : "");
    }
    hy_mesh made = {.world = world, .data_size = data, .sequence_size = sequence};
    made.data_index = rank / sequence;
    made.sequence_index = rank % sequence;
    HY_TRY(hy_comm_split_even(world, made.data_index, made.sequence_index, sequence, &made.sequence));
    const hy_status status = hy_comm_split_even(world, made.sequence_index, made.data_index, data, &made.data);
    if (status != HY_OK) {
        hy_comm_destroy(made.sequence);
        return status;
    }
    *mesh = made;
    return HY_OK;
}

void hy_mesh_destroy(hy_mesh *mesh) {
    if (mesh) {
        hy_comm_destroy(mesh->sequence);
        hy_comm_destroy(mesh->data);
        *mesh = (hy_mesh){0};
    }
}

hy_status hy_mesh_bind(const hy_mesh *mesh, hy_device *device, hy_transport_id transport, hy_comm **all,
                       hy_comm **sequence) {
    HY_TRY(hy_comm_bind(mesh->world, device, transport, all));
    const hy_transport_id same = transport == HY_TRANSPORT_AUTO ? hy_comm_transport_id(*all) : transport;
    return hy_comm_agree(mesh->world, hy_comm_bind(mesh->sequence, device, same, sequence));
}
