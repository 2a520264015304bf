/* compare_bare [LARGEST [REPEATS [mpi|ucx]]]: what exchanges take through hylas beside the same with the bare library, in one run: a ping-pong between
 * the first two ranks, and an all-gather, bare as a ring. Sizes are those of one message, 8 bytes to LARGEST (64 MiB). Both are timed in turn,
 * REPEATS times (25), so that what else the machine does meets both: the first ratio is that of the best times, the second the median of
 * those of neighbours. What arrived is checked. For a processor per rank. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/comm.h"
#include "tests/bare/bare.h"

enum { REPEATS_MOST = 1000, TAG = 2 };
static const double SPELL = 0.004; /* seconds that rounds are timed for at once */

static hy_comm *world, *bound;
static const bare_library *bare;
static int rank, size, repeats = 25;
static char *out, *in;
static bool wrong;

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

/* Where what rank `from` sends differs from what rank `from` + 1 does, anywhere. */
static void fill_out(int from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)(i * 7 + i / 251 + (size_t)from * 31);
    }
}

/* All that came, beside what was sent. */
static void check_arrived(exchange_fn exchange, size_t bytes) {
    const bool gathers = exchange == our_all_gather || exchange == bare_all_gather;
    const int peer = gathers ? 0 : 1 - rank, blocks = gathers ? size : rank < 2 ? 1 : 0;
    memset(in, 0, (size_t)size * bytes);
    exchange(bytes);
    for (int b = 0; b < blocks; b++) {
        fill_out(peer + b, bytes);
        wrong |= memcmp(in + (size_t)b * bytes, out, bytes) != 0;
    }
    fill_out(rank, bytes);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare(const char *what, exchange_fn ours, exchange_fn theirs, size_t bytes) {
    double best[2] = {1e30, 1e30}, ratios[REPEATS_MOST];
    fill_out(rank, bytes);
    check_arrived(ours, bytes);
    check_arrived(theirs, bytes);
    const double once = time_of(theirs, bytes, bytes < 4096 ? 100 : 2), many = SPELL / once;
    const int rounds = many < 1 ? 1 : many > 20000 ? 20000 : (int)many;
    for (int i = 0; i < repeats; i++) {
        double seconds[2];
        for (int j = 0; j < 2; j++) {
            const int which = (i + j) % 2;
            seconds[which] = time_of(which == 0 ? ours : theirs, bytes, rounds);
            best[which] = seconds[which] < best[which] ? seconds[which] : best[which];
        }
        ratios[i] = seconds[0] / seconds[1];
    }
    qsort(ratios, (size_t)repeats, sizeof *ratios, by_value);
    if (rank == 0) {
        printf("%-4s  %-10s  %10zu  %12.2f  %12.2f  %6.2f  %6.2f\n", bare->name, what, bytes, 1e6 * best[1],
               1e6 * best[0], best[0] / best[1], ratios[repeats / 2]);
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
        for (size_t bytes = 8, last = 0; bytes > last;
             last = bytes, bytes = 8 * bytes < largest ? 8 * bytes : largest) {
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
    const char *only = argc > 3 ? argv[3] : NULL;
    repeats = argc > 2 ? atoi(argv[2]) : repeats;
    rank = hy_comm_rank(world);
    size = hy_comm_size(world);
    if (size < 2 || largest < 8 || repeats < 1 || repeats > REPEATS_MOST) {
        fprintf(stderr, "usage: mpirun -np N compare_bare [LARGEST [REPEATS [mpi|ucx]]], with at least two ranks\n");
        hy_comm_destroy(world);
        return 2;
    }
    out = calloc(1, largest);
    in = calloc((size_t)size, largest);
    if (out == NULL || in == NULL) {
        hy_comm_abort(6);
    }
    if (rank == 0) {
        printf("%d ranks\n%-4s  %-10s  %10s  %12s  %12s  %6s  %6s\n", size, "", "", "bytes", "bare us", "hylas us",
               "ratio", "median");
    }
    if (only == NULL || strcmp(only, "mpi") == 0) {
        compare_library(&bare_mpi, HY_TRANSPORT_MPI, largest);
    }
#ifdef HY_HAVE_UCX
    if (only == NULL || strcmp(only, "ucx") == 0) {
        compare_library(&bare_ucx, HY_TRANSPORT_UCX, largest);
    }
#endif
    free(out);
    free(in);
    if (wrong) {
        fprintf(stderr, "rank %d: something arrived wrong\n", rank);
    }
    hy_comm_destroy(world);
    return wrong ? 1 : 0;
}
