/* ranks: 1 2 3 4 7 8 */
/* One test for all transports, on devices whose memory they touch and on one whose they do not: every exchange, of no element, of one, of odd
 * numbers, in place, alone, and many in flight that are waited for in reverse; and with the limits lowered that huge messages reach. Numbers
 * add exactly. A transport that cannot be had is refused. */
#include <stdlib.h>
#include <string.h>

#include "comm/comm_internal.h"
#include "comm/staged.h"
#include "tests/dist/dist.h"
#include "tests/dist/exact_numbers.h"

enum { KINDS = 7, MANY = 48, GUARD = 3, TAG = 5 };
static const int64_t sizes[] = {0, 1, 37, 1031, 5003};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* HY_X_SEND stands for a send to the rank `root` places on and a receive from the rank as far before. */
typedef struct bound_case {
    hy_exchange_kind kind;
    int64_t n; /* elements of a rank */
    hy_type type;
    hy_reduce op;
    bool in_place;
    int root;
    char *send, *recv; /* on the device: [P·n] and guards each */
    hy_req reqs[2];
} bound_case;

static int64_t cases;
static hy_comm *comm;
static hy_device *device;
static int P, rank;

static void must(hy_status status) {
    if (status != HY_OK) {
        hy_comm_abort(1);
    }
}

static double reduced(hy_reduce op, int to, int64_t i) {
    double x = value(0, to, i);
    for (int p = 1; p < P; p++) {
        const double y = value(p, to, i);
        x = op == HY_SUM ? x + y : op == HY_MAX ? (y > x ? y : x) : (y < x ? y : x);
    }
    return x;
}

static int rank_on(int by) {
    return ((rank + by) % P + P) % P;
}

/* ---- what goes in, what comes out ---- */

/* Elements of the two arrays. */
static int64_t length_of(const bound_case *c) {
    return P * c->n + GUARD;
}

static bool blocks_to_all(const bound_case *c) {
    return c->kind == HY_X_ALL_TO_ALL || c->kind == HY_X_REDUCE_SCATTER;
}

/* Where what is sent lies: its first element, in which array. */
static int64_t sent_from(const bound_case *c, bool *in_recv) {
    *in_recv = c->kind == HY_X_ALL_REDUCE || c->kind == HY_X_BROADCAST || (c->in_place && c->kind == HY_X_ALL_GATHER);
    return c->in_place && c->kind == HY_X_ALL_GATHER ? rank * c->n : 0;
}

static void begin_case(bound_case *c) {
    const size_t bytes = (size_t)length_of(c) * hy_type_size(c->type);
    char *host = calloc(1, bytes), *other = calloc(1, bytes);
    bool in_recv;
    const int64_t first = sent_from(c, &in_recv), n = blocks_to_all(c) ? P * c->n : c->n;
    for (int64_t i = 0; i < length_of(c); i++) {
        set_number(c->type, host, i, -7777);
        set_number(c->type, other, i, -7777);
    }
    for (int64_t j = 0; j < n; j++) {
        const int to = c->kind == HY_X_SEND ? rank_on(c->root) : blocks_to_all(c) ? (int)(j / c->n) : 0;
        set_number(c->type, host, first + j, value(rank, to, blocks_to_all(c) ? j % c->n : j));
    }
    must(hy_device_alloc(device, "sent", bytes, (void **)&c->send));
    must(hy_device_alloc(device, "received", bytes, (void **)&c->recv));
    hy_device_write(device, in_recv ? other : host, bytes, c->send);
    hy_device_write(device, in_recv ? host : other, bytes, c->recv);
    free(host);
    free(other);
}

static void post_case(bound_case *c) {
    const size_t size = hy_type_size(c->type), bytes = (size_t)c->n * size;
    switch (c->kind) {
    case HY_X_ALL_GATHER:
        hy_comm_all_gather(comm, "gather", c->in_place ? c->recv + (size_t)rank * bytes : c->send, c->recv, bytes,
                           &c->reqs[0]);
        break;
    case HY_X_ALL_REDUCE:
        hy_comm_all_reduce(comm, "reduce", c->recv, c->n, c->type, c->op, &c->reqs[0]);
        break;
    case HY_X_REDUCE_SCATTER:
        hy_comm_reduce_scatter(comm, "scatter", c->send, c->in_place ? c->send + (size_t)rank * bytes : c->recv, c->n,
                               c->type, &c->reqs[0]);
        break;
    case HY_X_ALL_TO_ALL:
        hy_comm_all_to_all(comm, "to all", c->send, c->recv, bytes, &c->reqs[0]);
        break;
    case HY_X_BROADCAST:
        hy_comm_broadcast(comm, "broadcast", c->recv, bytes, c->root, &c->reqs[0]);
        break;
    default:
        hy_comm_group_begin(comm);
        hy_comm_recv(comm, "receive", c->recv, bytes, rank_on(-c->root), TAG, &c->reqs[0]);
        hy_comm_send(comm, "send", c->send, bytes, rank_on(c->root), TAG, &c->reqs[1]);
        hy_comm_group_end(comm);
        break;
    }
}

/* Element j of the array that the exchange fills. */
static double expected(const bound_case *c, int64_t j) {
    const int64_t n = c->n;
    switch (c->kind) {
    case HY_X_ALL_GATHER:
        return j < P * n ? value((int)(j / n), 0, j % n) : -7777;
    case HY_X_ALL_TO_ALL:
        return j < P * n ? value((int)(j / n), rank, j % n) : -7777;
    case HY_X_ALL_REDUCE:
        return j < n ? reduced(c->op, 0, j) : -7777;
    case HY_X_REDUCE_SCATTER:
        return j < n ? reduced(HY_SUM, rank, j) : -7777;
    case HY_X_BROADCAST:
        return j < n ? value(c->root, 0, j) : -7777;
    default:
        return j < n ? value(rank_on(-c->root), rank, j) : -7777;
    }
}

static void end_case(bound_case *c, const char *where) {
    const size_t bytes = (size_t)length_of(c) * hy_type_size(c->type);
    const bool scattered = c->kind == HY_X_REDUCE_SCATTER && c->in_place; /* blocks of others are undefined */
    const int64_t first = scattered ? rank * c->n : 0;
    char *got = calloc(1, bytes);
    int64_t wrong = 0;
    hy_device_read(device, scattered ? c->send : c->recv, bytes, got);
    for (int64_t j = 0; j < (scattered ? c->n : length_of(c)); j++) {
        wrong += number(c->type, got, first + j) != expected(c, j);
    }
    CHECK(wrong == 0, "%s: %s of %lld, type %d, in place %d, root %d: %lld wrong", where,
          hy_exchange_kind_name(c->kind), (long long)c->n, (int)c->type, c->in_place, c->root, (long long)wrong);
    free(got);
    hy_device_free(device, c->send);
    hy_device_free(device, c->recv);
    cases++;
}

/* ---- one, and many ---- */

static bound_case case_of(int number_of, int64_t n) {
    static const hy_exchange_kind kinds[KINDS] = {HY_X_ALL_GATHER, HY_X_REDUCE_SCATTER, HY_X_ALL_TO_ALL, HY_X_SEND,
                                                  HY_X_BROADCAST,  HY_X_ALL_REDUCE,     HY_X_SEND};
    return (bound_case){.kind = kinds[number_of % KINDS],
                        .n = n,
                        .type = (hy_type)(number_of % 3),
                        .op = (hy_reduce)(number_of / KINDS % 3),
                        .in_place = number_of / 2 % 2 == 0,
                        .root = number_of % KINDS == 6 ? 0 : (number_of / KINDS + 1) % P};
}

static void run_cases(bound_case *all, int n, const char *where) {
    for (int i = 0; i < n; i++) {
        begin_case(&all[i]);
    }
    for (int i = 0; i < n; i++) {
        post_case(&all[i]);
        hy_comm_progress(comm);
    }
    for (int i = n - 1; i >= 0; i--) {
        hy_comm_wait(&all[i].reqs[1]);
        hy_comm_wait(&all[i].reqs[0]);
    }
    for (int i = 0; i < n; i++) {
        end_case(&all[i], where);
    }
}

static void run_all(const char *where, int alone) {
    static bound_case many[MANY];
    for (int i = 0; i < alone; i++) {
        many[0] = case_of(i, sizes[i % SIZES]);
        run_cases(many, 1, where);
    }
    for (int i = 0; i < MANY; i++) {
        many[i] = case_of(i, sizes[(i / KINDS + i) % SIZES]);
    }
    run_cases(many, MANY, where);
}

/* ---- transports and devices ---- */

static void run_on(hy_comm *world, hy_transport_id id, const char *name) {
    char where[64], why[256];
    must(hy_device_create(name, HY_F32, &device));
    if (!hy_transport_is_there(id, world, device, why, sizeof why)) {
        hy_device_destroy(device);
        return;
    }
    must(hy_comm_bind(world, device, id, &comm));
    P = hy_comm_size(comm);
    rank = hy_comm_rank(comm);
    (void)snprintf(where, sizeof where, "%s, %s", hy_comm_transport(comm), name);
    CHECK(P == 1 ? strcmp(hy_comm_transport(comm), "self") == 0
                 : id == HY_TRANSPORT_AUTO || strcmp(hy_comm_transport(comm), hy_transport_names[id]) == 0,
          "%s is not what was asked for", hy_comm_transport(comm));
    const int64_t pins = hy_device_pins(device);
    run_all(where, P <= 4 ? KINDS * SIZES : KINDS);
    const int64_t count_max = hy_mpi_count_max, block = hy_staged_block;
    hy_mpi_count_max = 701;
    hy_staged_block = 4000;
    run_all(where, KINDS);
    hy_mpi_count_max = count_max;
    hy_staged_block = block;
    CHECK(hy_device_pins(device) == pins, "%s: pinned memory was made while exchanges went on", where);
    hy_comm_destroy(comm);
    hy_device_destroy(device);
}

static void test_refused(hy_comm *world) {
    hy_comm *none = NULL;
    must(hy_device_create("cpu", HY_F32, &device));
    char why[256] = "";
    if (!hy_transport_is_there(HY_TRANSPORT_NCCL, world, device, why, sizeof why)) {
        CHECK(strstr(why, "not built") != NULL || strstr(why, "it moves what GPUs hold") != NULL, "the reason is '%s'",
              why);
        CHECK(hy_comm_bind(world, device, HY_TRANSPORT_NCCL, &none) == HY_ERR_USAGE && none == NULL, "not refused");
    }
    hy_device_destroy(device);
    cases++;
}

int main(int argc, char **argv) {
    static const char *const devices[] = {"cpu", "cpu_async", "cpu_apart"};
    hy_comm *world = NULL;
    const char *standin = getenv("HYLAS_TEST_NCCL");
    must(hy_comm_world_create(&argc, &argv, &world));
    test_refused(world);
    if (standin != NULL) {
        setenv("HYLAS_NCCL", standin, 1);
    }
    const bool self = hy_comm_size(world) == 1, few = hy_comm_size(world) <= 4;
    for (int id = self ? HY_TRANSPORT_AUTO : HY_TRANSPORT_MPI; hy_transport_names[id] != NULL; id++) {
        for (int d = 0; d < 3; d++) {
            if (few || d == 0) {
                run_on(world, (hy_transport_id)id, devices[d]);
            }
        }
        if (self) {
            break;
        }
    }
    return hy_test_finish(world, "transports", cases);
}
