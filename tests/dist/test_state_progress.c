/* ranks: 3 4 */
/* Between the START and the FINISH of a recurrence every message of its exchange is posted, also those that wait for another: as far as they have come on
 * a device of the host, one after the other on an asynchronous one. FINISH posts nothing then, and the bits are those of one call. Recomputing posts
 * nothing at all. */
#include "base/clock.h"
#include "tests/dist/sp_case.h"

enum { HEADS = 2, K = 3, V = 4, PER_RANK = 20, OPERATIONS = 64, PATIENCE = 20 /* seconds */ };

typedef struct progress_case {
    const char *device;
    hy_sp_method method;
} progress_case;

typedef struct recurrence {
    hy_device *device;
    hy_sp sp;
    hy_lists *lists;
    hy_sp_recur r;
} recurrence;

static hy_layout *layout;
static double *q, *k, *v, *g, *beta, *o, *d_o, *dq, *dk, *dv, *dg, *dbeta;

/* Messages of exchanges of states so far. */
static int64_t posted(void) {
    const hy_exchange_record *records = NULL;
    int64_t count = 0;
    for (int i = hy_exchange_records(&records); i-- > 0;) {
        count += strncmp(records[i].name, "state", 5) == 0 ? records[i].count : 0;
    }
    return count;
}

static recurrence recurrence_on(hy_comm *comm, const progress_case *c) {
    recurrence x = {.device = NULL};
    if (hy_device_create(c->device, HY_F64, &x.device) != HY_OK) {
        hy_comm_abort(1);
    }
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    x.sp = (hy_sp){.profile = hy_device_profile(x.device), .device = x.device, .layout = layout, .method = c->method};
    x.sp.comm = sp_bound(comm, x.device);
    x.r.op = (hy_recur_args){.decay = HY_DECAY_SCALAR,
                             .rule = HY_RULE_DELTA,
                             .H = HEADS,
                             .HV = HEADS,
                             .K = K,
                             .V = V,
                             .scale = 1,
                             .q = q,
                             .k = k,
                             .v = v,
                             .g = g,
                             .beta = beta,
                             .o = o,
                             .d_o = d_o,
                             .dq = dq,
                             .dk = dk,
                             .dv = dv,
                             .dg = dg,
                             .dbeta = dbeta};
    hy_lists_needs needs = {.method = c->method};
    hy_sp_recur_need(&needs, &x.r.op, 0);
    x.lists = sp_lists(&x.sp, &needs);
    x.r.kept = sp_buffer(hy_sp_recur_kept(&x.sp, &dims, &x.r.op));
    x.r.work = sp_buffer(hy_sp_recur_work(&x.sp, &dims, &x.r.op, 0));
    return x;
}

static void recurrence_end(recurrence *x) {
    sp_wait(&x->sp);
    hy_comm_destroy(x->sp.comm);
    hy_lists_destroy(x->lists);
    hy_device_destroy(x->device);
    free(x->r.kept);
    free(x->r.work);
}

typedef void recur_pass(hy_sp *sp, hy_sp_recur *r);

/* Its messages between START and FINISH, and in FINISH. */
static void in_two_parts(recurrence *x, recur_pass *pass, int64_t all, const char *what) {
    hy_exchange_reset();
    x->sp.part = HY_SP_START;
    pass(&x->sp, &x->r);
    const double begun = hy_now();
    for (int i = 0; hy_device_is_async(x->device) ? i < OPERATIONS : posted() < all && hy_now() < begun + PATIENCE;
         i++) {
        hy_sp_progress(&x->sp);
    }
    CHECK(posted() == all, "%s: %lld of %lld messages are posted before FINISH", what, (long long)posted(),
          (long long)all);
    x->sp.part = HY_SP_FINISH;
    pass(&x->sp, &x->r);
    CHECK(posted() == all, "%s: FINISH posted %lld messages more", what, (long long)(posted() - all));
    x->sp.part = HY_SP_WHOLE;
}

/* Messages of one call. */
static int64_t in_one_call(recurrence *x, recur_pass *pass) {
    hy_exchange_reset();
    pass(&x->sp, &x->r);
    sp_wait(&x->sp);
    return posted();
}

static void test_case(hy_comm *world, const progress_case *c) {
    const size_t out = (size_t)(layout->T * HEADS * V) * sizeof *o, keys = (size_t)(layout->T * HEADS * K) * sizeof *o;
    char what[128];
    snprintf(what, sizeof what, "%s, %s, %s", c->device, hy_state_exchange_names[c->method.state],
             hy_layout_names[c->method.layout]);
    recurrence one = recurrence_on(world, c);
    const int64_t forward = in_one_call(&one, hy_sp_recur_fwd), backward = in_one_call(&one, hy_sp_recur_bwd);
    CHECK(in_one_call(&one, hy_sp_recur_recompute) == 0, "%s: recomputing exchanges", what);
    recurrence_end(&one);
    double *want_o = malloc(out + 1), *want_dk = malloc(keys + 1);
    memcpy(want_o, o, out);
    memcpy(want_dk, dk, keys);
    memset(o, 0, out);
    memset(dk, 0, keys);
    recurrence two = recurrence_on(world, c);
    in_two_parts(&two, hy_sp_recur_fwd, forward, what);
    in_two_parts(&two, hy_sp_recur_bwd, backward, what);
    recurrence_end(&two);
    CHECK(memcmp(o, want_o, out) == 0 && memcmp(dk, want_dk, keys) == 0, "%s: other bits than in one call", what);
    free(want_o);
    free(want_dk);
}

static double *negative(int64_t n) {
    double *x = sp_normal(n, 1);
    for (int64_t i = 0; i < n; i++) {
        x[i] = -fabs(x[i]) / 4;
    }
    return x;
}

static void make_arrays(int64_t T) {
    q = sp_normal(T * HEADS * K, 1), k = sp_normal(T * HEADS * K, 0.3), v = sp_normal(T * HEADS * V, 1);
    g = negative(T * HEADS), beta = sp_normal(T * HEADS, 0.3);
    o = sp_normal(T * HEADS * V, 0), d_o = sp_normal(T * HEADS * V, 1);
    dq = sp_normal(T * HEADS * K, 0), dk = sp_normal(T * HEADS * K, 0), dv = sp_normal(T * HEADS * V, 0);
    dg = sp_normal(T * HEADS, 0), dbeta = sp_normal(T * HEADS, 0);
}

static void free_arrays(void) {
    double *all[] = {q, k, v, g, beta, o, d_o, dq, dk, dv, dg, dbeta};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]);
    }
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    int cases = 0;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    const int64_t len = PER_RANK * hy_comm_size(world);
    const sp_case c = {.n_seq = 1, .len = len, .n_docs = 1, .docs = {0, len}};
    for (int kind = 0; hy_layout_names[kind]; kind++) {
        layout = sp_layout(&c, (hy_layout_kind)kind, world);
        make_arrays(layout->T);
        for (int state = 0; hy_state_exchange_names[state]; state++) {
            if (state == HY_STATE_HEADS) {
                continue; /* no states travel */
            }
            /* a block is a column of a state */
            const hy_sp_method method = {
                .layout = (hy_layout_kind)kind, .state = (hy_state_exchange)state, .node = 2, .block = 8};
            test_case(world, &(progress_case){.device = "cpu_ref", .method = method});
            test_case(world, &(progress_case){.device = "cpu_async:cpu_ref", .method = method});
            cases += 2;
        }
        free_arrays();
        hy_layout_destroy(layout);
    }
    return hy_test_finish(world, "progress of states", cases);
}
