/* ranks: 2 3 */
/* A recurrence in two parts with other work in between, on a device whose calls return early: the bits of the host. If the mark
 * between what START makes and what it sends is lost, it shows. */
#include "tests/dist/sp_case.h"

enum { LEN = 90, HEADS = 2, K = 3, V = 4, FILLER = 1 << 16, SEEDS = 4, MARKS = 4 };

typedef struct arrays {
    double *q, *k, *v, *o, *filler;
} arrays;

static void recur_on(hy_comm *comm, const char *name, const hy_layout *layout, hy_state_exchange state, arrays *a) {
    hy_device *device = NULL;
    if (hy_device_create(name, HY_F64, &device) != HY_OK) {
        hy_comm_abort(1);
    }
    hy_comm *bound = sp_bound(comm, device);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout};
    sp.method.state = state;
    hy_lists_needs needs = {.method = sp.method};
    hy_sp_recur_need(&needs, &(hy_recur_args){.H = HEADS, .HV = HEADS}, 0);
    hy_lists *lists = sp_lists(&sp, &needs);
    hy_sp_recur r = {.op = {.H = HEADS, .HV = HEADS, .K = K, .V = V, .scale = 1}};
    r.kept = sp_buffer(hy_sp_recur_kept(&sp, &dims, &r.op));
    r.work = sp_buffer(hy_sp_recur_work(&sp, &dims, &r.op, 0));
    r.op.q = a->q;
    r.op.k = a->k;
    r.op.v = a->v;
    r.op.o = a->o;
    memset(a->o, 0, (size_t)(layout->T * HEADS * V) * sizeof *a->o);
    sp.part = HY_SP_START;
    hy_sp_recur_fwd(&sp, &r);
    hy_fill(device, &(hy_fill_args){.n = FILLER, .value = 1, .y = a->filler});
    hy_comm_progress(bound);
    sp.part = HY_SP_FINISH;
    hy_sp_recur_fwd(&sp, &r);
    sp_wait(&sp);
    hy_comm_destroy(bound);
    hy_lists_destroy(lists);
    hy_device_destroy(device);
    free(r.kept);
    free(r.work);
}

/* On how many ranks the outputs differ. */
static int64_t ranks_differ(hy_comm *comm, const arrays *a, const double *want, int64_t n) {
    int64_t differ = memcmp(a->o, want, (size_t)n * sizeof *want) != 0;
    hy_req req;
    hy_comm_all_reduce(comm, "test", &differ, 1, HY_TYPE_I64, HY_SUM, &req);
    hy_comm_wait(&req);
    return differ;
}

static void set(const char *name, int value) {
    const char text[2] = {(char)('0' + value), '\0'};
    setenv(name, text, 1);
}

static void test_exchange(hy_comm *world, hy_state_exchange state) {
    const sp_case c = {.n_seq = 1, .len = LEN, .n_docs = 1, .docs = {0, LEN}};
    hy_layout *layout = sp_layout(&c, HY_LAYOUT_CONTIGUOUS, world);
    const int64_t T = layout->T, n = T * HEADS * V;
    arrays a = {sp_normal(T * HEADS * K, 1), sp_normal(T * HEADS * K, 1), sp_normal(n, 1), sp_normal(n, 1),
                sp_normal(FILLER, 1)};
    double *want = sp_normal(n, 0);
    int64_t noticed = 0;
    recur_on(world, "cpu_ref", layout, state, &a);
    memcpy(want, a.o, (size_t)n * sizeof *want);
    for (int seed = 1; seed <= SEEDS; seed++) {
        set("HYLAS_ASYNC_SEED", seed);
        for (int drop = 0; drop <= MARKS; drop++) {
            set("HYLAS_ASYNC_DROP", drop);
            recur_on(world, "cpu_async:cpu_ref", layout, state, &a);
            const int64_t differ = ranks_differ(world, &a, want, n);
            CHECK(drop > 0 || differ == 0, "seed %d: other bits than the host's on %lld ranks", seed,
                  (long long)differ);
            noticed += drop > 0 && differ > 0;
        }
    }
    CHECK(noticed > 0, "marks were lost and nothing was noticed");
    free(a.q);
    free(a.k);
    free(a.v);
    free(a.o);
    free(a.filler);
    free(want);
    hy_layout_destroy(layout);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    for (int state = 0; hy_state_exchange_names[state]; state++) {
        test_exchange(world, (hy_state_exchange)state);
    }
    return hy_test_finish(world, "lost mark", 2 * SEEDS * (1 + MARKS));
}
