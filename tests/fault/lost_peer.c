/* lost_peer stopped|cut: rank 1 stops, or loses its connections, in the middle of exchanges over UCX; the others go on. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/comm_internal.h"
#include "tests/dist/dist.h"

enum { N = 20000, DESCRIPTORS = 1024, ROUNDS = 50 };

static float sums[N];

static void add_up(hy_comm *comm) {
    hy_req req;
    hy_comm_all_reduce(comm, "sums", sums, N, HY_TYPE_F32, HY_SUM, &req);
    hy_comm_wait(&req);
}

static bool is_open(int descriptor) {
    int type;
    socklen_t size = sizeof type;
    return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *comm = NULL;
    hy_device *device = NULL;
    bool before[DESCRIPTORS];
    if (argc < 2 || hy_comm_world_create(&argc, &argv, &world) != HY_OK ||
        hy_device_create("cpu", HY_F32, &device) != HY_OK) {
        return 1;
    }
    const bool stops = strcmp(argv[1], "stopped") == 0;
    hy_ucx_peer_errors_always = !stops;
    hy_comm_set_limit(stops ? 2 : 60);
    for (int d = 0; d < DESCRIPTORS; d++) {
        before[d] = is_open(d);
    }
    if (hy_comm_bind(world, device, HY_TRANSPORT_UCX, &comm) != HY_OK) {
        return 1;
    }
    add_up(comm);
    if (hy_comm_rank(world) == 1 && stops) {
        (void)raise(SIGSTOP);
    }
    for (int d = 0; d < DESCRIPTORS && hy_comm_rank(world) == 1; d++) {
        if (!before[d] && is_open(d)) {
            (void)shutdown(d, SHUT_RDWR);
        }
    }
    for (int i = 0; i < ROUNDS; i++) {
        add_up(comm);
    }
    (void)printf("rank %d got through\n", hy_comm_rank(world));
    return hy_test_finish(world, "lost peer", ROUNDS);
}
