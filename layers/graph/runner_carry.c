/* The side of a runner that outlives a step. */
#include <string.h>

#include "layers/graph/runner_internal.h"

enum { TAG_CARRIED = 251 };

int64_t hy_runner_carried_bytes(const hy_runner *runner) {
    return runner->carry.bytes;
}

int64_t hy_runner_carried_sequence(const hy_runner *runner) {
    return runner->carry.sequence;
}

/* The rank that has the last fragment of every sequence; rank 0 has the first. */
static int last_rank(const hy_runner *runner) {
    return runner->dims.kind == HY_LAYOUT_CONTIGUOUS ? runner->dims.size - 1 : 0;
}

bool hy_runner_carries_here(const hy_runner *runner) {
    const int rank = runner->dims.rank;
    return runner->shape.carry && (rank == 0 || rank == last_rank(runner));
}

void hy_runner_set_carried(hy_runner *runner, void *values) {
    runner->exec.carried = values;
}

void hy_runner_pass_carried(hy_runner *runner, void *values, int64_t n) {
    const int last = last_rank(runner), rank = runner->dims.rank;
    const size_t bytes = (size_t)(n * runner->carry.bytes);
    hy_req req = {0};
    if (last == 0 || bytes == 0 || (rank != 0 && rank != last)) {
        return;
    }
    hy_comm_group_begin(runner->sp.comm);
    if (rank == last) {
        hy_comm_send(runner->sp.comm, "carried states", values, bytes, 0, TAG_CARRIED, &req);
    } else {
        hy_comm_recv(runner->sp.comm, "carried states", values, bytes, last, TAG_CARRIED, &req);
    }
    hy_comm_group_end(runner->sp.comm);
    hy_comm_wait(&req);
}

/* A sequence's entry of a node. */
static char *entry_in(const hy_graph_carry *carry, const void *block, int node, int64_t sequence) {
    return (char *)(uintptr_t)block + carry->offset[node] + sequence * carry->entry[node];
}

void hy_runner_carried_take(const hy_runner *runner, const void *block, int64_t sequence, void *one) {
    char *at = one;
    for (int n = 0; n < runner->carry.n_nodes; at += runner->carry.entry[n++]) {
        memcpy(at, entry_in(&runner->carry, block, n, sequence), (size_t)runner->carry.entry[n]);
    }
}

void hy_runner_carried_put(const hy_runner *runner, const void *one, int64_t sequence, void *block) {
    const char *at = one;
    for (int n = 0; n < runner->carry.n_nodes; at += runner->carry.entry[n++]) {
        memcpy(entry_in(&runner->carry, block, n, sequence), at, (size_t)runner->carry.entry[n]);
    }
}
