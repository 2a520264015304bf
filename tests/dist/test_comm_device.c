/* ranks: 1 2 3 4 */
/* Exchanges of what a device holds: they start after what COMPUTE was given before and what it is given later runs after them, on a device
 * whose calls return early too; the host waits only to read the result. Small integers, so that all is exact. */
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/dist/dist.h"

enum { N = 3000, ROUNDS = 30, MANY = 300, TAG = 5 };

static void must(hy_status status) {
    if (status != HY_OK) {
        hy_comm_abort(1);
    }
}

typedef struct problem {
    hy_comm *comm;
    hy_device *device;
    int rank, size;
    float *mine, *next, *all, *sums, *total; /* [N] [N] [size,N] [size,N] [1·N] */
    hy_req reqs[4];
} problem;

static float *array_of(hy_device *device, const char *what, int64_t n) {
    void *p = NULL;
    must(hy_device_alloc(device, what, (size_t)n * sizeof(float), &p));
    return p;
}

static void fill(problem *p, float *y, int64_t n, double value) {
    hy_fill(p->device, &(hy_fill_args){.n = n, .value = value, .y = y});
}

/* y += x */
static void add(problem *p, const float *x, float *y) {
    hy_axpy(p->device, &(hy_axpy_args){.n = N, .a = 1, .x = x, .y = y, .acc = 1});
}

/* Passes `mine` on around the ring, and waits on a request that is gone from the stack when it lands. */
static void pass_on(problem *p) {
    hy_req send, recv;
    hy_comm_group_begin(p->comm);
    hy_comm_recv(p->comm, "ring", p->next, N * sizeof(float), (p->rank + p->size - 1) % p->size, TAG, &recv);
    hy_comm_send(p->comm, "ring", p->mine, N * sizeof(float), (p->rank + 1) % p->size, TAG, &send);
    hy_comm_group_end(p->comm);
    hy_comm_wait(&recv);
    hy_comm_wait(&send);
}

/* total gathers, over the rounds: what the ring brought, what all ranks hold, and the sum of that over ranks. */
static void one_round(problem *p, int round) {
    fill(p, p->mine, N, p->rank + round);
    pass_on(p);
    add(p, p->next, p->total);
    hy_comm_all_gather(p->comm, "all", p->mine, p->all, N * sizeof(float), &p->reqs[0]);
    for (int r = 0; r < p->size; r++) {
        fill(p, p->sums + r * N, N, r + round);
    }
    hy_comm_reduce_scatter(p->comm, "sums", p->sums, p->sums + p->rank * N, N, HY_TYPE_F32, &p->reqs[1]);
    hy_comm_wait(&p->reqs[0]);
    for (int r = 0; r < p->size; r++) {
        add(p, p->all + r * N, p->total);
    }
    hy_comm_wait(&p->reqs[1]);
    add(p, p->sums + p->rank * N, p->total);
    hy_comm_all_reduce(p->comm, "reduce", p->mine, N, HY_TYPE_F32, HY_SUM, &p->reqs[2]);
    hy_comm_wait(&p->reqs[2]);
    add(p, p->mine, p->total);
    hy_comm_broadcast(p->comm, "broadcast", p->next, N * sizeof(float), p->size - 1, &p->reqs[3]);
    hy_comm_wait_all(p->reqs, 4);
    add(p, p->next, p->total);
}

/* More exchanges at once than have signals or pinned buffers; waited for from the last to the first. */
static int64_t pass_many(problem *p) {
    static hy_req sent[MANY], received[MANY];
    static float result[MANY];
    int64_t wrong = 0;
    for (int i = 0; i < MANY; i++) {
        hy_fill(p->device, &(hy_fill_args){.n = 1, .value = p->rank + 10 * i, .y = p->mine + i});
    }
    for (int i = 0; i < MANY; i++) {
        hy_comm_group_begin(p->comm);
        hy_comm_recv(p->comm, "many", p->next + i, sizeof(float), (p->rank + p->size - 1) % p->size, TAG, &received[i]);
        hy_comm_send(p->comm, "many", p->mine + i, sizeof(float), (p->rank + 1) % p->size, TAG, &sent[i]);
        hy_comm_group_end(p->comm);
    }
    for (int i = MANY - 1; i >= 0; i--) {
        hy_comm_wait(&sent[i]);
        hy_comm_wait(&received[i]);
    }
    hy_device_read(p->device, p->next, sizeof result, result);
    for (int i = 0; i < MANY; i++) {
        wrong += result[i] != (float)((p->rank + p->size - 1) % p->size + 10 * i);
    }
    return wrong;
}

static double expected(const problem *p) {
    double sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double held = 0;
        for (int r = 0; r < p->size; r++) {
            held += r + round;
        }
        sum += (p->rank + p->size - 1) % p->size + round;         /* ring */
        sum += held + p->size * (double)(p->rank + round) + held; /* all, sums, reduce */
        sum +=
            (double)((p->size - 1 + p->size - 1) % p->size) + (double)round; /* broadcast of the last rank's `next` */
    }
    return sum;
}

/* How many elements of the result are wrong; the host must have waited for nothing but them. */
static int64_t run(hy_comm *world, const char *name) {
    problem p = {.rank = hy_comm_rank(world), .size = hy_comm_size(world)};
    static float result[N];
    must(hy_device_create(name, HY_F32, &p.device));
    must(hy_comm_bind(world, p.device, hy_test_transport(), &p.comm));
    p.mine = array_of(p.device, "mine", N);
    p.next = array_of(p.device, "next", N);
    p.total = array_of(p.device, "total", N);
    p.all = array_of(p.device, "all", (int64_t)p.size * N);
    p.sums = array_of(p.device, "sums", (int64_t)p.size * N);
    const int64_t pins = hy_device_pins(p.device);
    for (int round = 0; round < ROUNDS; round++) {
        one_round(&p, round);
        if (round % 7 == 0) { /* control goes its own way meanwhile */
            CHECK(hy_comm_agree(p.comm, HY_OK) == HY_OK, "agreement");
        }
    }
    CHECK(hy_device_pins(p.device) == pins, "%s: pinned memory was made %lld times while exchanges went on", name,
          (long long)(hy_device_pins(p.device) - pins));
    CHECK(hy_device_waits(p.device) == 0, "%s: the host waited %lld times", name, (long long)hy_device_waits(p.device));
    hy_device_read(p.device, p.total, sizeof result, result);
    CHECK(hy_device_waits(p.device) == 1, "%s: %lld", name, (long long)hy_device_waits(p.device));
    int64_t wrong = 0;
    for (int i = 0; i < N; i++) {
        wrong += result[i] != (float)expected(&p);
    }
    wrong += pass_many(&p);
    CHECK(hy_device_pins(p.device) == pins, "%s: pinned memory was made for many exchanges", name);
    hy_comm_destroy(p.comm);
    hy_device_free(p.device, p.mine);
    hy_device_free(p.device, p.next);
    hy_device_free(p.device, p.total);
    hy_device_free(p.device, p.all);
    hy_device_free(p.device, p.sums);
    hy_device_destroy(p.device);
    return wrong;
}

/* Exchanges and bytes are the same on every device. */
static void compare_records(hy_exchange_record *of_cpu, int n_of_cpu) {
    const hy_exchange_record *records;
    const int n = hy_exchange_records(&records);
    CHECK(n == n_of_cpu, "%d kinds of exchange, on cpu %d", n, n_of_cpu);
    for (int i = 0; i < n && i < n_of_cpu; i++) {
        CHECK(records[i].count == of_cpu[i].count && records[i].bytes == of_cpu[i].bytes, "%s", records[i].name);
    }
}

int main(int argc, char **argv) {
    static hy_exchange_record of_cpu[64];
    const hy_exchange_record *records;
    hy_comm *world = NULL;
    must(hy_comm_world_create(&argc, &argv, &world));
    hy_exchange_reset();
    CHECK(run(world, "cpu") == 0, "cpu");
    const int n = hy_exchange_records(&records);
    memcpy(of_cpu, records, (size_t)n * sizeof *records);
    for (int seed = 1; seed <= 3; seed++) {
        const char text[2] = {(char)('0' + seed), '\0'};
        setenv("HYLAS_ASYNC_SEED", text, 1);
        hy_exchange_reset();
        CHECK(run(world, "cpu_async") == 0, "cpu_async, seed %d", seed);
        compare_records(of_cpu, n);
        hy_exchange_reset();
        CHECK(run(world, "cpu_apart") == 0, "cpu_apart, seed %d", seed);
        compare_records(of_cpu, n);
    }
    return hy_test_finish(world, "test_comm_device", 7);
}
