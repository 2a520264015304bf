#include "train/run/host_nodes.h"

#include "base/memory.h"

int64_t hy_host_node_ranks(const int64_t *host, int size) {
    for (int n = size; n > 1; n--) {
        int r = 0;
        while (r < size && host[r] == host[r - r % n]) {
            r++;
        }
        if (r == size) {
            return n;
        }
    }
    return 1;
}

/* A host's number is that of its first rank. Collective over `sequence`. */
static void number_hosts(hy_comm *sequence, hy_comm *host, int64_t *numbers) {
    int64_t first = hy_comm_rank(sequence);
    hy_req req = {0};
    hy_comm_all_reduce(host, "hosts", &first, 1, HY_TYPE_I64, HY_MIN, &req);
    hy_comm_wait(&req);
    hy_comm_all_gather(sequence, "hosts", &first, numbers, sizeof first, &req);
    hy_comm_wait(&req);
}

hy_status hy_host_nodes_find(const hy_mesh *mesh, int64_t *node) {
    hy_comm *host = NULL;
    int64_t *numbers = NULL;
    hy_req req = {0};
    HY_TRY(hy_comm_agree(mesh->world, HY_NEW("hosts of ranks", mesh->sequence_size, &numbers)));
    const hy_status status = hy_comm_agree(mesh->world, hy_comm_split_host(mesh->sequence, &host));
    if (status == HY_OK) {
        number_hosts(mesh->sequence, host, numbers);
        *node = hy_host_node_ranks(numbers, mesh->sequence_size);
        hy_comm_all_reduce(mesh->world, "nodes", node, 1, HY_TYPE_I64, HY_MIN, &req);
        hy_comm_wait(&req);
    }
    hy_comm_destroy(host);
    hy_free(numbers);
    return status;
}
