/* ranks: 1 2 3 4 7 */
/* Every exchange against what it must give, on numbers that add exactly; also in the form used for messages whose count
 * does not fit MPI's int, reached here by lowering that limit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/comm_internal.h"
#include "tests/dist/dist.h"
#include "tests/dist/exact_numbers.h"

enum { N_MAX = 1031 };

static int64_t cases;

static void test_all_gather(hy_comm *c, int64_t n, bool in_place) {
    const int P = hy_comm_size(c), r = hy_comm_rank(c);
    double *recv = calloc((size_t)(P * n + 1), sizeof *recv), *send = calloc((size_t)n + 1, sizeof *send);
    double *from = in_place ? recv + r * n : send;
    for (int64_t i = 0; i < n; i++) {
        from[i] = value(r, 0, i);
    }
    recv[P * n] = -1;
    hy_req req;
    hy_comm_all_gather(c, "gather", from, recv, (size_t)n * sizeof *recv, &req);
    hy_comm_progress(c);
    hy_comm_wait(&req);
    for (int64_t j = 0; j < P * n; j++) {
        CHECK(recv[j] == value((int)(j / n), 0, j % n), "all-gather n %lld element %lld", (long long)n, (long long)j);
    }
    CHECK(recv[P * n] == -1, "written past the end");
    free(recv);
    free(send);
    cases++;
}

static void test_all_to_all(hy_comm *c, int64_t n) {
    const int P = hy_comm_size(c), r = hy_comm_rank(c);
    double *send = calloc((size_t)(P * n + 1), sizeof *send), *recv = calloc((size_t)(P * n + 1), sizeof *recv);
    for (int64_t j = 0; j < P * n; j++) {
        send[j] = value(r, (int)(j / n), j % n);
    }
    hy_req req;
    hy_comm_all_to_all(c, "all to all", send, recv, (size_t)n * sizeof *send, &req);
    hy_comm_wait(&req);
    for (int64_t j = 0; j < P * n; j++) {
        CHECK(recv[j] == value((int)(j / n), r, j % n), "all-to-all n %lld element %lld", (long long)n, (long long)j);
    }
    free(send);
    free(recv);
    cases++;
}

static void test_broadcast(hy_comm *c, int64_t n, int root) {
    double *buf = calloc((size_t)n + 1, sizeof *buf);
    for (int64_t i = 0; i < n; i++) {
        buf[i] = value(hy_comm_rank(c), root, i);
    }
    hy_req req;
    hy_comm_broadcast(c, "broadcast", buf, (size_t)n * sizeof *buf, root, &req);
    hy_comm_wait(&req);
    for (int64_t i = 0; i < n; i++) {
        CHECK(buf[i] == value(root, root, i), "broadcast n %lld element %lld", (long long)n, (long long)i);
    }
    free(buf);
    cases++;
}

static double reduced(hy_reduce op, int P, int to, int64_t i) {
    double x = value(0, to, i);
    for (int p = 1; p < P; p++) {
        const double y = value(p, to, i);
        x = op == HY_SUM ? x + y : op == HY_MAX ? (y > x ? y : x) : (y < x ? y : x);
    }
    return x;
}

static void test_all_reduce(hy_comm *c, int64_t n, hy_type type, hy_reduce op) {
    void *buf = calloc((size_t)n + 1, 8);
    for (int64_t i = 0; i < n; i++) {
        set_number(type, buf, i, value(hy_comm_rank(c), 3, i));
    }
    hy_req req;
    hy_comm_all_reduce(c, "reduce", buf, n, type, op, &req);
    hy_comm_wait(&req);
    for (int64_t i = 0; i < n; i++) {
        CHECK(number(type, buf, i) == reduced(op, hy_comm_size(c), 3, i), "all-reduce n %lld type %d op %d",
              (long long)n, (int)type, (int)op);
    }
    free(buf);
    cases++;
}

static void test_reduce_scatter(hy_comm *c, int64_t n, hy_type type, bool in_place) {
    const int P = hy_comm_size(c), r = hy_comm_rank(c);
    char *send = calloc((size_t)(P * n + 1), 8), *recv = calloc((size_t)n + 1, 8);
    for (int64_t j = 0; j < P * n; j++) {
        set_number(type, send, j, value(r, (int)(j / n), j % n));
    }
    char *to = in_place ? send + (size_t)(r * n) * hy_type_size(type) : recv;
    hy_req req;
    hy_comm_reduce_scatter(c, "reduce-scatter", send, to, n, type, &req);
    hy_comm_wait(&req);
    for (int64_t i = 0; i < n; i++) {
        CHECK(number(type, to, i) == reduced(HY_SUM, P, r, i), "reduce-scatter n %lld in place %d", (long long)n,
              in_place);
    }
    free(send);
    free(recv);
    cases++;
}

/* Every rank sends two messages of one tag and one of another to every rank, itself included; receives are posted in
 * another order than the sends. */
static void test_messages(hy_comm *c, int64_t n) {
    const int P = hy_comm_size(c), r = hy_comm_rank(c);
    double *send = calloc((size_t)(3 * P * n + 1), sizeof *send), *recv = calloc((size_t)(3 * P * n + 1), sizeof *recv);
    hy_req *reqs = calloc((size_t)(6 * P), sizeof *reqs);
    for (int64_t j = 0; j < 3 * P * n; j++) {
        send[j] = value(r, (int)(j / n), j);
    }
    const size_t bytes = (size_t)n * sizeof *send;
    int64_t k = 0;
    for (int p = P - 1; p >= 0; p--) {
        hy_comm_recv(c, "recv", recv + (3 * p + 2) * n, bytes, p, 9, &reqs[k++]);
        hy_comm_recv(c, "recv", recv + (3 * p + 0) * n, bytes, p, 5, &reqs[k++]);
        hy_comm_recv(c, "recv", recv + (3 * p + 1) * n, bytes, p, 5, &reqs[k++]);
    }
    for (int p = 0; p < P; p++) {
        for (int m = 0; m < 3; m++) {
            hy_comm_send(c, "send", send + (3 * p + m) * n, bytes, p, m < 2 ? 5 : 9, &reqs[k++]);
        }
    }
    hy_comm_progress(c);
    while (!hy_comm_test(&reqs[0])) {
    }
    hy_comm_wait_all(reqs, k);
    hy_comm_wait_all(reqs, k); /* waiting again returns at once */
    for (int64_t j = 0; j < 3 * P * n; j++) {
        const int p = (int)(j / (3 * n)), m = (int)(j / n % 3);
        const int64_t there = (3 * r + m) * n + j % n;
        CHECK(recv[j] == value(p, (int)(there / n), there), "message %d from %d", m, p);
    }
    free(send);
    free(recv);
    free(reqs);
    cases++;
}

static void test_exchanges(hy_comm *c) {
    static const int64_t sizes[] = {0, 1, 5, 64, N_MAX};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        for (int in_place = 0; in_place < 2; in_place++) {
            test_all_gather(c, n, in_place);
            test_reduce_scatter(c, n, HY_TYPE_F32, in_place);
            test_reduce_scatter(c, n, HY_TYPE_F64, in_place);
        }
        test_all_to_all(c, n);
        test_broadcast(c, n, 0);
        test_broadcast(c, n, hy_comm_size(c) - 1);
        test_messages(c, n);
        for (int type = HY_TYPE_F32; type <= HY_TYPE_I64; type++) {
            for (int op = HY_SUM; op <= HY_MIN; op++) {
                test_all_reduce(c, n, (hy_type)type, (hy_reduce)op);
            }
        }
    }
    hy_comm_barrier(c);
}

/* Sums of numbers that round: the same bits every time. */
static void test_repeatable(hy_comm *c) {
    float first[N_MAX], again[N_MAX];
    for (int round = 0; round < 3; round++) {
        float *buf = round == 0 ? first : again;
        for (int i = 0; i < N_MAX; i++) {
            buf[i] = 1.0F / (float)(1 + i * (hy_comm_rank(c) + 2));
        }
        hy_req req;
        hy_comm_all_reduce(c, "repeat", buf, N_MAX, HY_TYPE_F32, HY_SUM, &req);
        hy_comm_wait(&req);
        CHECK(round == 0 || memcmp(first, again, sizeof first) == 0, "all-reduce differs in round %d", round);
    }
    cases++;
}

static void test_agree(hy_comm *c) {
    const int P = hy_comm_size(c), r = hy_comm_rank(c);
    CHECK(hy_comm_agree(c, HY_OK) == HY_OK, "all are well");
    const hy_status mine = r == P - 1 ? HY_ERR_DATA : HY_OK;
    CHECK(hy_comm_agree(c, mine) == (r == P - 1 ? HY_ERR_DATA : HY_ERR_PEER), "one failed");
    cases++;
}

static void test_split(hy_comm *world) {
    const int P = hy_comm_size(world), r = hy_comm_rank(world);
    hy_comm *part = NULL;
    const int color = r % 3 == 2 ? -1 : r % 3;
    CHECK(hy_comm_split(world, color, -r, &part) == HY_OK, "split");
    CHECK((part == NULL) == (color < 0), "a negative color gives none");
    if (part) {
        const int members = (P - color + 2) / 3;
        CHECK(hy_comm_size(part) == members, "%d members", hy_comm_size(part));
        CHECK(hy_comm_rank(part) == members - 1 - r / 3, "keys order the ranks");
        test_messages(part, 11);
        test_reduce_scatter(part, 11, HY_TYPE_F64, true);
    }
    hy_comm_destroy(part);
    cases++;
}

static void test_mesh(hy_comm *world) {
    const int P = hy_comm_size(world), r = hy_comm_rank(world);
    hy_mesh mesh;
    for (int data = 1; data <= P; data++) {
        if (P % data != 0) {
            continue;
        }
        CHECK(hy_mesh_create(world, data, P / data, &mesh) == HY_OK, "mesh");
        CHECK(hy_comm_size(mesh.sequence) == P / data && hy_comm_size(mesh.data) == data, "sizes");
        CHECK(hy_comm_rank(mesh.sequence) == mesh.sequence_index && hy_comm_rank(mesh.data) == mesh.data_index,
              "ranks");
        CHECK(mesh.data_index * mesh.sequence_size + mesh.sequence_index == r, "place in the world");
        test_all_gather(mesh.sequence, 3, true);
        test_all_gather(mesh.data, 3, true);
        hy_mesh_destroy(&mesh);
    }
    CHECK(hy_mesh_create(world, 2, P, &mesh) == HY_ERR_USAGE, "too large");
    CHECK(hy_mesh_create(world, 0, P, &mesh) == HY_ERR_USAGE, "empty");
    cases++;
}

static void test_records(hy_comm *world) {
    const int P = hy_comm_size(world);
    hy_exchange_reset();
    test_all_gather(world, 10, false);
    test_all_gather(world, 20, true);
    test_all_reduce(world, 16, HY_TYPE_F32, HY_SUM);
    const hy_exchange_record *records;
    CHECK(hy_exchange_records(&records) == 2, "one record per name and kind");
    CHECK(strcmp(records[0].name, "gather") == 0 && records[0].kind == HY_X_ALL_GATHER, "name and kind");
    CHECK(records[0].count == 2 && records[0].bytes == (P - 1) * 30 * 8, "bytes to other ranks");
    CHECK(records[0].waited >= 0, "seconds");
    CHECK(records[1].count == 1 && records[1].bytes == 2 * (P - 1) * 64 / P, "bytes of a reduction");
    cases++;
}

/* Little exchanges are looked at a while without a clock, or with a coarse one: what they keep waiting is counted all the same. */
static void test_late_and_little(hy_comm *world) {
    const double late = 0.1;
    const int P = hy_comm_size(world), r = hy_comm_rank(world);
    const hy_exchange_record *records;
    int64_t number = r;
    hy_req req;
    if (P == 1) {
        return;
    }
    hy_comm_barrier(world);
    hy_exchange_reset();
    for (const double begin = hy_now(); r == P - 1 && hy_now() - begin < late;) {
    }
    hy_comm_all_reduce(world, "late", &number, 1, HY_TYPE_I64, HY_MAX, &req);
    hy_comm_wait(&req);
    const int n = hy_exchange_records(&records);
    CHECK(n == 1 && number == P - 1, "%d records, %lld", n, (long long)number);
    CHECK(r == P - 1 || records[0].waited > 0.5 * late, "rank %d waited %g s of %g", r, records[0].waited, late);
    cases++;
}

/* Time in the library is counted wherever it is spent: a message that progress calls carry to its end costs as much as
 * one that is waited for. */
static void test_time_inside(hy_comm *world) {
    enum { BYTES = 1 << 24, CALLS = 2000, LOOPS = 50 };
    const int P = hy_comm_size(world), r = hy_comm_rank(world);
    char *out = calloc(1, BYTES), *in = calloc(1, BYTES);
    hy_req reqs[2] = {{0}, {0}};
    const hy_exchange_record *records;
    hy_exchange_reset();
    CHECK(hy_exchange_moving() == 0 && hy_exchange_exposed() == 0, "nothing yet");
    hy_comm_recv(world, "message", in, BYTES, (r + P - 1) % P, 5, &reqs[0]);
    const double before_send = hy_exchange_moving();
    hy_comm_send(world, "message", out, BYTES, (r + 1) % P, 5, &reqs[1]);
    CHECK(hy_exchange_moving() > before_send && before_send > 0, "posting takes time");
    double wall = 1, inside = 0;
    for (int loop = 0; loop < LOOPS && inside <= 0.2 * wall; loop++) { /* again where something else had the core */
        const double before = hy_exchange_moving(), begin = hy_now();
        for (int i = 0; i < CALLS; i++) {
            hy_comm_progress(world);
        }
        wall = hy_now() - begin;
        inside = hy_exchange_moving() - before;
    }
    CHECK(inside <= wall && inside > 0.2 * wall, "%g s in progress calls, of a loop of %g s that is nothing else",
          inside, wall);
    hy_comm_wait_all(reqs, 2);
    double waited = 0;
    for (int i = hy_exchange_records(&records) - 1; i >= 0; i--) {
        waited += records[i].waited;
    }
    CHECK(fabs(hy_exchange_exposed() - hy_exchange_moving() - waited) < 1e-9, "exposed is waiting and moving");
    free(out);
    free(in);
    cases++;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    test_exchanges(world);
    hy_mpi_count_max = 13;
    test_exchanges(world);
    hy_mpi_count_max = INT32_MAX;
    hy_comm *self = NULL;
    if (hy_comm_self_create(&self) != HY_OK) {
        return 1;
    }
    test_exchanges(self);
    hy_comm_destroy(self);
    test_repeatable(world);
    test_agree(world);
    test_split(world);
    test_mesh(world);
    test_records(world);
    test_time_inside(world);
    test_late_and_little(world);
    return hy_test_finish(world, "comm", cases);
}
