/* failed_exchange communicator|device: over NCCL, an exchange of rank 0 fails (HYLAS_STANDIN_FAIL: the third) while what stands on the lane before it
 * waits for ever: for a message of another communicator, or for the device. */
#include "comm/comm_internal.h"
#include "tests/dist/dist.h"

static float from_1[1], sums[2];

int main(int argc, char **argv) {
    hy_signal *signals = NULL;
    hy_comm *world = NULL, *one = NULL, *other = NULL;
    hy_device *device = NULL;
    hy_req never, before, fails;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK ||
        hy_device_create("cpu_async", HY_F32, &device) != HY_OK ||
        hy_comm_bind(world, device, HY_TRANSPORT_NCCL, &one) != HY_OK ||
        hy_comm_bind(world, device, HY_TRANSPORT_NCCL, &other) != HY_OK || argc < 2 ||
        hy_device_signals(device, 1, &signals) != HY_OK) {
        return 1;
    }
    if (hy_comm_rank(world) == 0 && strcmp(argv[1], "device") == 0) {
        hy_device_after_signal(device, HY_LANE_COMPUTE, signals, 1);
    }
    if (hy_comm_rank(world) == 0) {
        hy_comm_recv(other, "never", from_1, sizeof from_1, 1, 0, &never);
    }
    hy_comm_all_reduce(one, "before", &sums[0], 1, HY_TYPE_F32, HY_SUM, &before);
    hy_comm_all_reduce(one, "fails", &sums[1], 1, HY_TYPE_F32, HY_SUM, &fails);
    hy_comm_wait(&before);
    hy_comm_wait(&fails);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    return hy_test_finish(world, "failed exchange", 1);
}
