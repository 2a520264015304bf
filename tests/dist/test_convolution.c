/* ranks: 1 2 3 4 7 */
/* The short convolution: P ranks equal one rank, forward and backward, with halos wider than fragments, packed
 * documents, empty fragments; a recompute exchanges nothing. */
#include "tests/dist/sp_case.h"

typedef struct problem {
    sp_case c;
    int64_t C, W;
    hy_act act;
    int acc;
    double *x, *w, *bias, *dy, *dx0;
} problem;

typedef struct result {
    double *y, *dx, *dw, *dbias;
} result;

static int64_t cases;

/* Short widths, and now and then one that spans several fragments. */
static int64_t width_draw(void) {
    static const int64_t wide[] = {33, 128, 257};
    return sp_draw(8) > 0 ? 1 + sp_draw(9) : wide[sp_draw(3)];
}

static problem problem_draw(const sp_case *c) {
    problem p = {.c = *c, .C = 1 + sp_draw(4), .W = width_draw(), .acc = (int)sp_draw(2)};
    p.act = sp_draw(2) ? HY_ACT_SILU : HY_ACT_IDENTITY;
    const int64_t n = c->n_seq * c->len * p.C;
    p.x = sp_normal(n, 1);
    p.w = sp_normal(p.C * p.W, 1);
    p.bias = sp_normal(p.C, 1);
    p.dy = sp_normal(n, 1);
    p.dx0 = sp_normal(n, 1);
    return p;
}

static void problem_free(problem *p) {
    free(p->x);
    free(p->w);
    free(p->bias);
    free(p->dy);
    free(p->dx0);
}

static void result_free(result *r) {
    free(r->y);
    free(r->dx);
    free(r->dw);
    free(r->dbias);
}

/* Halo rows, and no others; backward their gradients, the other way. */
static void check_sent(const hy_sp *sp, const problem *p, bool backward) {
    const int rank = sp->layout->rank;
    int64_t sent, want = 0;
    (void)sp_exchanges(HY_X_SEND, &sent);
    for (int r = 0; r < sp->layout->size && p->W > 1; r++) {
        const int64_t rows = sp_rows_seen(sp->layout, p->W, backward ? r : rank, backward ? rank : r, true);
        want += r != rank ? rows * p->C * (int64_t)sizeof(double) : 0;
    }
    CHECK(sent == want, "%lld bytes sent, %lld are seen", (long long)sent, (long long)want);
}

static result run(const problem *p, hy_comm *comm, hy_layout_kind kind, int broken, hy_layout **layout_out) {
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(comm, device);
    hy_layout *layout = sp_layout(&p->c, kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {
        .profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout, .broken = broken};
    hy_lists_needs needs = {0};
    hy_sp_conv_need(&needs, p->W);
    hy_lists *lists = sp_lists(&sp, &needs);
    result r = {.y = sp_shard(layout, NULL, p->C), .dx = sp_shard(layout, p->dx0, p->C)};
    r.dw = calloc((size_t)(p->C * p->W), sizeof(double));
    r.dbias = calloc((size_t)p->C, sizeof(double));
    double *x = sp_shard(layout, p->x, p->C), *dy = sp_shard(layout, p->dy, p->C);
    const size_t kept = hy_sp_conv_kept(&sp, &dims, p->C, p->W), work = hy_sp_conv_work(&sp, &dims, p->C, p->W);
    hy_sp_conv c = {.kept = sp_buffer(kept), .work = sp_buffer(work)};
    c.op = (hy_conv_args){.T = layout->T, .C = p->C, .W = p->W, .act = p->act, .x = x, .w = p->w, .bias = p->bias};
    c.op.y = r.y;
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_conv_fwd(&sp, &c));
    sp_wait(&sp);
    check_sent(&sp, p, false);
    double *again = sp_shard(layout, NULL, p->C);
    memset(c.work, 0xFF, work);
    hy_exchange_reset();
    c.op.y = again;
    hy_sp_conv_recompute(&sp, &c);
    sp_wait(&sp);
    const hy_exchange_record *records;
    CHECK(hy_exchange_records(&records) == 0, "a recompute exchanges");
    CHECK(memcmp(again, r.y, (size_t)(layout->T * p->C) * sizeof *again) == 0, "a recompute gives other bits");
    memset(c.work, 0xFF, work);
    c.op.dy = dy;
    c.op.dx = r.dx;
    c.op.acc = p->acc;
    c.op.dw = r.dw;
    c.op.dbias = r.dbias;
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_conv_bwd(&sp, &c));
    sp_wait(&sp);
    check_sent(&sp, p, true);
    sp_buffer_check(c.kept, kept, "kept");
    sp_buffer_check(c.work, work, "work");
    sp_sum(comm, r.dw, p->C * p->W);
    sp_sum(comm, r.dbias, p->C);
    free(c.kept);
    free(c.work);
    hy_lists_destroy(lists);
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    free(x);
    free(dy);
    free(again);
    *layout_out = layout;
    return r;
}

static void test_case(hy_comm *world, hy_comm *self, const sp_case *c) {
    problem p = problem_draw(c);
    hy_layout *whole, *layout;
    result want = run(&p, self, HY_LAYOUT_CONTIGUOUS, 0, &whole);
    for (int mode = 0; mode < 4; mode++) {
        const int broken = mode >= 2;
        result got = run(&p, world, mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, broken, &layout);
        double wrong[2] = {(double)sp_rows_differ(layout, got.y, want.y, p.C),
                           (double)sp_rows_differ(layout, got.dx, want.dx, p.C)};
        if (broken) {
            sp_sum(world, wrong, 2);
            CHECK(hy_comm_size(world) == 1 || p.W == 1 || c->n_docs > c->n_seq || c->len < 20 ||
                      (wrong[0] > 0 && wrong[1] > 0),
                  "a damaged exchange is not noticed");
        } else {
            CHECK(wrong[0] == 0 && wrong[1] == 0, "y: %g, dx: %g elements differ; layout %d, %lld×%lld tokens, W %lld",
                  wrong[0], wrong[1], mode & 1, (long long)c->n_seq, (long long)c->len, (long long)p.W);
            const double rms = sp_rms(want.dw, p.C * p.W);
            CHECK(sp_differences(got.dw, want.dw, p.C * p.W, HY_TOL_F64_REORDERED, rms) == 0, "dw");
            CHECK(sp_differences(got.dbias, want.dbias, p.C, HY_TOL_F64_REORDERED, rms) == 0, "dbias");
        }
        result_free(&got);
        hy_layout_destroy(layout);
        cases++;
    }
    result_free(&want);
    hy_layout_destroy(whole);
    problem_free(&p);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK || hy_comm_self_create(&self) != HY_OK) {
        return 1;
    }
    const int64_t lengths[] = {0, 1, 2, 5, 11, 30, 64};
    const int P = hy_comm_size(world);
    for (int round = 0; round < 210; round++) {
        const sp_case c = sp_case_draw(1 + round / 7 % 3, lengths[round % 7], round % 2 ? P : 2 * P);
        test_case(world, self, &c);
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "convolution", cases);
}
