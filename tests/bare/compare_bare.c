/* compare_bare [LARGEST]: what exchanges take through hylas beside the same with the bare library, in one run and in turn: a ping-pong between the first
 * two ranks, and an all-gather, bare as a ring. Sizes are those of one message, up to LARGEST bytes (64 MiB). The best of the repetitions
 * is compared. A command for a quiet machine, with a processor for each rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/comm.h"
#include "tests/bare/bare.h"

enum { REPEATS = 9, TAG = 2 };

static hy_comm *world, *bound;
static const bare_library *bare;
static int rank, size;
static char *out, *in;

static void must(hy_status status) {
    if (status != HY_OK) {
        hy_comm_abort(1);
    }
}

/* ---- through hylas ---- */

static void our_ping_pong(size_t bytes) {
    hy_req req;
    if (rank == 0) {
        hy_comm_send(bound, "ping", out, bytes, 1, TAG, &req);
        hy_comm_wait(&req);
        hy_comm_recv(bound, "pong", in, bytes, 1, TAG, &req);
        hy_comm_wait(&req);
    } else if (rank == 1) {
        hy_comm_recv(bound, "ping", in, bytes, 0, TAG, &req);
        hy_comm_wait(&req);
        hy_comm_send(bound, "pong", out, bytes, 0, TAG, &req);
        hy_comm_wait(&req);
    }
}

static void our_all_gather(size_t bytes) {
    hy_req req;
    hy_comm_all_gather(bound, "gather", out, in, bytes, &req);
    hy_comm_wait(&req);
}

/* ---- bare ---- */

static void bare_ping_pong(size_t bytes) {
    if (rank == 0) {
        bare->exchange(out, 1, NULL, -1, bytes);
        bare->exchange(NULL, -1, in, 1, bytes);
    } else if (rank == 1) {
        bare->exchange(NULL, -1, in, 0, bytes);
        bare->exchange(out, 0, NULL, -1, bytes);
    }
}

static void bare_all_gather(size_t bytes) {
    memcpy(in + (size_t)rank * bytes, out, bytes);
    for (int step = 0; step < size - 1; step++) {
        const int sent = (rank - step + size) % size, received = (rank - step - 1 + size) % size;
        bare->exchange(in + (size_t)sent * bytes, (rank + 1) % size, in + (size_t)received * bytes,
                       (rank + size - 1) % size, bytes);
    }
}

/* ---- comparing ---- */

typedef void (*exchange_fn)(size_t bytes);

/* Seconds of one, on the slowest rank. */
static double time_of(exchange_fn exchange, size_t bytes, int rounds) {
    hy_req req;
    hy_comm_barrier(world);
    const double begun = hy_now();
    for (int i = 0; i < rounds; i++) {
        exchange(bytes);
    }
    double seconds = (hy_now() - begun) / rounds;
    hy_comm_all_reduce(world, "seconds", &seconds, 1, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    return seconds;
}

static void compare(const char *what, exchange_fn ours, exchange_fn theirs, size_t bytes) {
    const int rounds = bytes < 4096 ? 2000 : bytes < (1 << 20) ? 300 : 10;
    double best[2] = {1e30, 1e30};
    for (int i = 0; i < 2 * REPEATS; i++) {
        const double seconds = time_of(i % 2 == 0 ? ours : theirs, bytes, i < 2 ? rounds / 10 + 1 : rounds);
        best[i % 2] = seconds < best[i % 2] && i >= 2 ? seconds : best[i % 2];
    }
    if (rank == 0) {
        printf("%-4s  %-10s  %10zu  %12.2f  %12.2f  %6.2f\n", bare->name, what, bytes, 1e6 * best[1], 1e6 * best[0],
               best[0] / best[1]);
        (void)fflush(stdout);
    }
}

static void compare_library(const bare_library *library, hy_transport_id id, size_t largest) {
    hy_device *device = NULL;
    char why[256];
    must(hy_device_create("cpu", HY_F32, &device));
    if (hy_transport_is_there(id, world, device, why, sizeof why)) {
        bare = library;
        bare->open(rank, size);
        must(hy_comm_bind(world, device, id, &bound));
        for (size_t bytes = 8; bytes <= largest; bytes *= 8) {
            compare("ping-pong", our_ping_pong, bare_ping_pong, bytes);
            compare("all-gather", our_all_gather, bare_all_gather, bytes);
        }
        hy_comm_destroy(bound);
        bare->close();
    } else if (rank == 0) {
        printf("%s: %s\n", library->name, why);
    }
    hy_device_destroy(device);
}

int main(int argc, char **argv) {
    must(hy_comm_world_create(&argc, &argv, &world));
    const size_t largest = argc > 1 ? strtoull(argv[1], NULL, 10) : (size_t)64 << 20;
    rank = hy_comm_rank(world);
    size = hy_comm_size(world);
    if (size < 2) {
        fprintf(stderr, "usage: mpirun -np N compare_bare [LARGEST], with at least two ranks\n");
        hy_comm_destroy(world);
        return 2;
    }
    out = calloc(1, largest);
    in = calloc((size_t)size, largest);
    if (out == NULL || in == NULL) {
        hy_comm_abort(6);
    }
    if (rank == 0) {
        printf("%d ranks\n%-4s  %-10s  %10s  %12s  %12s  %6s\n", size, "", "", "bytes", "bare us", "hylas us", "ratio");
    }
    compare_library(&bare_mpi, HY_TRANSPORT_MPI, largest);
#ifdef HY_HAVE_UCX
    compare_library(&bare_ucx, HY_TRANSPORT_UCX, largest);
#endif
    free(out);
    free(in);
    hy_comm_destroy(world);
    return 0;
}
