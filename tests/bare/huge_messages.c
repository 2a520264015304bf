/* huge_messages TRANSPORT KIND [BYTES]: one exchange whose messages have BYTES (2^31 + 2^20 + 8), each word of it checked: a command, not a test of the
 * suite, because of the memory it takes (huge_messages.sh). KIND is a name of hy_exchange_kind_name; "send" goes from rank 0 to the last one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/dist/dist.h"

static hy_comm *comm;
static int P, rank;
static int64_t bytes = ((int64_t)1 << 31) + (1 << 20) + 8;

static void must(hy_status status) {
    if (status != HY_OK) {
        hy_comm_abort(1);
    }
}

/* Word i of what `from` has for `to`. */
static uint64_t word(int from, int to, int64_t i) {
    return ((uint64_t)i * 0x9E3779B97F4A7C15u) ^ ((uint64_t)from << 8 | (uint64_t)to);
}

static void fill(char *at, int from, int to) {
    for (int64_t i = 0; i < bytes / 8; i++) {
        const uint64_t w = word(from, to, i);
        memcpy(at + 8 * i, &w, 8);
    }
}

static int64_t wrong_words(const char *at, int from, int to) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < bytes / 8; i++) {
        const uint64_t w = word(from, to, i);
        wrong += memcmp(at + 8 * i, &w, 8) != 0;
    }
    return wrong;
}

/* Element i of block `block` that rank `of` adds; sums are exact. */
static float term(int of, int block, int64_t i) {
    return (float)((i * 7 + block * 13 + of * 31) % 1009 - 400);
}

static void fill_terms(char *at, int block) {
    for (int64_t i = 0; i < bytes / 4; i++) {
        const float x = term(rank, block, i);
        memcpy(at + 4 * i, &x, 4);
    }
}

static int64_t wrong_sums(const char *at, int block) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < bytes / 4; i++) {
        float sum = 0.0f;
        for (int r = 0; r < P; r++) {
            sum += term(r, block, i);
        }
        wrong += memcmp(at + 4 * i, &sum, 4) != 0;
    }
    return wrong;
}

static char *array_of(int64_t blocks) {
    char *array = calloc((size_t)blocks, (size_t)bytes);
    if (array == NULL) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    return array;
}

static int64_t all_gather(hy_req *req) {
    char *array = array_of(P), *own = array + rank * bytes;
    int64_t wrong = 0;
    fill(own, rank, 0);
    hy_comm_all_gather(comm, "huge", own, array, (size_t)bytes, req);
    hy_comm_wait(req);
    for (int r = 0; r < P; r++) {
        wrong += wrong_words(array + r * bytes, r, 0);
    }
    free(array);
    return wrong;
}

static int64_t all_to_all(hy_req *req) {
    char *send = array_of(P), *recv = array_of(P);
    int64_t wrong = 0;
    for (int r = 0; r < P; r++) {
        fill(send + r * bytes, rank, r);
    }
    hy_comm_all_to_all(comm, "huge", send, recv, (size_t)bytes, req);
    hy_comm_wait(req);
    for (int r = 0; r < P; r++) {
        wrong += wrong_words(recv + r * bytes, r, rank);
    }
    free(send);
    free(recv);
    return wrong;
}

static int64_t all_reduce(hy_req *req) {
    char *array = array_of(1);
    fill_terms(array, 0);
    hy_comm_all_reduce(comm, "huge", array, bytes / 4, HY_TYPE_F32, HY_SUM, req);
    hy_comm_wait(req);
    const int64_t wrong = wrong_sums(array, 0);
    free(array);
    return wrong;
}

static int64_t reduce_scatter(hy_req *req) {
    char *array = array_of(P);
    for (int r = 0; r < P; r++) {
        fill_terms(array + r * bytes, r);
    }
    hy_comm_reduce_scatter(comm, "huge", array, array + rank * bytes, bytes / 4, HY_TYPE_F32, req);
    hy_comm_wait(req);
    const int64_t wrong = wrong_sums(array + rank * bytes, rank);
    free(array);
    return wrong;
}

static int64_t broadcast(hy_req *req) {
    char *array = array_of(1);
    const int root = P - 1;
    if (rank == root) {
        fill(array, root, 0);
    }
    hy_comm_broadcast(comm, "huge", array, (size_t)bytes, root, req);
    hy_comm_wait(req);
    const int64_t wrong = wrong_words(array, root, 0);
    free(array);
    return wrong;
}

static int64_t send(hy_req *req) {
    char *out = rank == 0 ? array_of(1) : NULL, *in = rank == P - 1 ? array_of(1) : NULL;
    hy_req other = {0};
    int64_t wrong = 0;
    if (in != NULL) {
        hy_comm_recv(comm, "huge", in, (size_t)bytes, 0, 3, req);
    }
    if (out != NULL) {
        fill(out, 0, P - 1);
        hy_comm_send(comm, "huge", out, (size_t)bytes, P - 1, 3, &other);
    }
    hy_comm_wait(&other);
    hy_comm_wait(req);
    if (in != NULL) {
        wrong = wrong_words(in, 0, P - 1);
    }
    free(out);
    free(in);
    return wrong;
}

int main(int argc, char **argv) {
    static int64_t (*const run[HY_X_KINDS])(hy_req *) = {all_gather, all_reduce, reduce_scatter, all_to_all, broadcast,
                                                         send,       NULL};
    hy_comm *world = NULL;
    hy_device *device = NULL;
    hy_req req = {0};
    must(hy_comm_world_create(&argc, &argv, &world));
    int kind = 0, id = 0;
    while (argc > 2 && kind < HY_X_RECV && strcmp(hy_exchange_kind_name((hy_exchange_kind)kind), argv[2]) != 0) {
        kind++;
    }
    while (argc > 2 && hy_transport_names[id] != NULL && strcmp(hy_transport_names[id], argv[1]) != 0) {
        id++;
    }
    if (argc <= 2 || kind == HY_X_RECV || hy_transport_names[id] == NULL) {
        (void)fprintf(stderr, "huge_messages TRANSPORT KIND [BYTES]\n");
        hy_comm_abort(HY_ERR_USAGE);
    }
    bytes = argc > 3 ? atoll(argv[3]) / 8 * 8 : bytes;
    must(hy_device_create("cpu", HY_F32, &device));
    must(hy_comm_bind(world, device, (hy_transport_id)id, &comm));
    P = hy_comm_size(comm);
    rank = hy_comm_rank(comm);
    const double begun = hy_now();
    const int64_t wrong = run[kind](&req);
    CHECK(wrong == 0, "%s over %s: %lld wrong", argv[2], hy_comm_transport(comm), (long long)wrong);
    if (rank == 0) {
        (void)printf("%s, %s, %lld bytes, %.1f s: ", hy_comm_transport(comm), argv[2], (long long)bytes,
                     hy_now() - begun);
    }
    hy_comm_destroy(comm);
    hy_device_destroy(device);
    return hy_test_finish(world, "huge messages", 1);
}
