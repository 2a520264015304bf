/* ranks: 1 2 3 4 7 */
/* The long convolution: P ranks equal one rank, forward and backward, with channels that divide by nothing or are fewer
 * than ranks, shared filters, packed documents, empty fragments; the bytes sent are those that the plan tells. */
#include "tests/dist/sp_case.h"

typedef struct problem {
    sp_case c;
    int64_t C, N, group;
    int acc;
    double *x, *R, *p, *dy, *dx0;
} problem;

typedef struct result {
    double *y, *dx, *dR, *dp;
} result;

static int64_t cases;

static problem problem_draw(const sp_case *c) {
    problem p = {.c = *c, .N = 1 + sp_draw(3), .group = 1 + sp_draw(3), .acc = (int)sp_draw(2)};
    p.C = p.group * (1 + sp_draw(5));
    const int64_t n = c->n_seq * c->len * p.C, modes = p.C / p.group * p.N;
    p.x = sp_normal(n, 1);
    p.R = sp_normal(modes, 1);
    p.p = sp_normal(modes, 2);
    p.dy = sp_normal(n, 1);
    p.dx0 = sp_normal(n, 1);
    return p;
}

static void problem_free(problem *p) {
    free(p->x);
    free(p->R);
    free(p->p);
    free(p->dy);
    free(p->dx0);
}

static void result_free(result *r) {
    free(r->y);
    free(r->dx);
    free(r->dR);
    free(r->dp);
}

static result run(const problem *p, hy_comm *comm, hy_layout_kind kind, int broken, hy_layout **layout_out) {
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(comm, device);
    hy_layout *layout = sp_layout(&p->c, kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {
        .profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout, .broken = broken};
    hy_lists_needs needs = {0};
    hy_sp_long_conv_need(&needs, p->C);
    hy_lists *lists = sp_lists(&sp, &needs);
    const int64_t modes = p->C / p->group * p->N;
    result r = {.y = sp_shard(layout, NULL, p->C), .dx = sp_shard(layout, p->dx0, p->C)};
    r.dR = calloc((size_t)modes, sizeof(double));
    r.dp = calloc((size_t)modes, sizeof(double));
    double *x = sp_shard(layout, p->x, p->C), *dy = sp_shard(layout, p->dy, p->C);
    const size_t kept = hy_sp_long_conv_kept(&sp, &dims, p->C), work = hy_sp_long_conv_work(&sp, &dims, p->C);
    hy_sp_long_conv c = {.C = p->C,
                         .N = p->N,
                         .group = p->group,
                         .x = x,
                         .R = p->R,
                         .p = p->p,
                         .y = r.y,
                         .kept = sp_buffer(kept),
                         .work = sp_buffer(work)};
    SP_CALL(&sp, NULL, hy_sp_long_conv_fwd(&sp, &c));
    sp_wait(&sp);
    memset(x, 0xFF, (size_t)(layout->T * p->C) * sizeof *x); /* backward must not read it */
    memset(c.work, 0xFF, work);
    c.dy = dy;
    c.dx = r.dx;
    c.acc = p->acc;
    c.dR = r.dR;
    c.dp = r.dp;
    SP_CALL(&sp, NULL, hy_sp_long_conv_bwd(&sp, &c));
    sp_wait(&sp);
    sp_buffer_check(c.kept, kept, "kept");
    sp_buffer_check(c.work, work, "work");
    sp_sum(comm, r.dR, modes);
    sp_sum(comm, r.dp, modes);
    free(c.kept);
    free(c.work);
    hy_lists_destroy(lists);
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    free(x);
    free(dy);
    *layout_out = layout;
    return r;
}

static void test_case(hy_comm *world, hy_comm *self, const sp_case *c) {
    problem p = problem_draw(c);
    const int64_t modes = p.C / p.group * p.N;
    hy_layout *whole, *layout;
    result want = run(&p, self, HY_LAYOUT_CONTIGUOUS, 0, &whole);
    for (int mode = 0; mode < 4; mode++) {
        const int broken = mode >= 2;
        result got = run(&p, world, mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, broken, &layout);
        double wrong[2] = {(double)sp_rows_differ(layout, got.y, want.y, p.C),
                           (double)sp_rows_differ(layout, got.dx, want.dx, p.C)};
        if (broken) {
            sp_sum(world, wrong, 2);
            CHECK(hy_comm_size(world) == 1 || c->len < 20 || (wrong[0] > 0 && wrong[1] > 0),
                  "a damaged exchange is not noticed");
        } else {
            CHECK(wrong[0] == 0 && wrong[1] == 0, "y: %g, dx: %g elements differ; layout %d, %lld×%lld tokens, C %lld",
                  wrong[0], wrong[1], mode & 1, (long long)c->n_seq, (long long)c->len, (long long)p.C);
            CHECK(sp_differences(got.dR, want.dR, modes, HY_TOL_F64_REORDERED, sp_rms(want.dR, modes)) == 0, "dR");
            CHECK(sp_differences(got.dp, want.dp, modes, HY_TOL_F64_REORDERED, sp_rms(want.dp, modes)) == 0, "dp");
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
    for (int round = 0; round < 105; round++) {
        const sp_case c = sp_case_draw(1 + round / 7 % 3, lengths[round % 7], round % 2 ? P : 2 * P);
        test_case(world, self, &c);
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "long convolution", cases);
}
