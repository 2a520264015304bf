/* ranks: 1 2 3 4 7 8 */
/* The backward of every exchange is the adjoint of its forward: <F x, y> == <x, Fᵀ y> over all ranks, on small
 * integers, so that equality is exact. Halos: F takes tokens to the rows before fragments. States: F takes the
 * fragments' H to the states that enter fragments, with random integer transitions, some of which nothing passes; Fᵀ is the backward pass over the
 * same transitions. */
#include "sp/halo.h"
#include "sp/state/state_exchange.h"
#include "tests/dist/sp_case.h"

static int64_t cases;

static void check_equal(hy_comm *world, double forward, double backward, const char *what, const sp_case *c) {
    double sums[2] = {forward, backward};
    sp_sum(world, sums, 2);
    CHECK(sums[0] == sums[1], "%s: <Fx,y> = %.17g, <x,F'y> = %.17g; %lld×%lld tokens", what, sums[0], sums[1],
          (long long)c->n_seq, (long long)c->len);
    cases++;
}

static double inner(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

/* Only the rows of fragments that continue a document count; the rest of both arrays is not looked at. */
static void clear_unread_halos(const hy_layout *layout, double *rows, int64_t row) {
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        if (!layout->frags[layout->local[slot]].continues) {
            memset(rows + slot * row, 0, (size_t)row * sizeof *rows);
        }
    }
}

/* Numbers that differ between ranks: skips as many draws as earlier ranks use, so that all stay in step. */
static double *own_integers(const hy_comm *comm, int64_t n_max, int64_t n) {
    const uint64_t begin = sp_draws;
    sp_draws = begin + (uint64_t)(hy_comm_rank(comm) * n_max);
    double *x = sp_integers(n);
    sp_draws = begin + (uint64_t)(hy_comm_size(comm) * n_max);
    return x;
}

static void test_halo(hy_comm *world, hy_comm *bound, hy_device *device, const sp_case *c, hy_layout_kind kind) {
    const int64_t C = 1 + sp_draw(3), W = sp_draw(12);
    hy_layout *layout = sp_layout(c, kind, world);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout};
    hy_lists_needs needs = {0};
    hy_sp_conv_need(&needs, W);
    hy_lists *lists = sp_lists(&sp, &needs);
    const int64_t row = (W > 0 ? W - 1 : 0) * C, n = layout->T * C, n_rows = layout->n_local * row;
    hy_halo halo;
    hy_carve size = {0};
    hy_halo_open(&halo, &sp, &dims, C, W, true, &size);
    char *work = sp_buffer(size.used);
    hy_halo_open(&halo, &sp, &dims, C, W, true, &(hy_carve){.base = work});
    double *x = own_integers(world, dims.T_max * C, n), *y = own_integers(world, n_rows, n_rows);
    double *rows = sp_buffer((size_t)n_rows * sizeof *rows), *dx = calloc((size_t)n + 1, sizeof *dx);
    hy_halo_post(&halo, x, rows);
    hy_halo_finish(&halo, rows);
    memcpy(halo.d_rows, y, (size_t)n_rows * sizeof *y);
    hy_halo_return_post(&halo);
    hy_halo_return_finish(&halo, dx);
    sp_wait(&sp);
    sp_buffer_check(work, size.used, "halo work");
    sp_buffer_check(rows, (size_t)n_rows * sizeof *rows, "halo rows");
    clear_unread_halos(layout, rows, row);
    clear_unread_halos(layout, y, row);
    check_equal(world, inner(rows, y, n_rows), inner(x, dx, n), "halo", c);
    free(work);
    free(x);
    free(y);
    free(rows);
    free(dx);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
}

/* One pass; `own` is copied in as this rank's H (dH), the result is in the returned buffer [n_local,HV,K,V]. */
static double *pass_states(hy_sp *sp, const hy_segment_shape *shape, int step, const double *A, const double *own,
                           char *own_A) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    const size_t bytes = (size_t)sp->layout->n_local * shape->h_bytes;
    double *in = sp_buffer(bytes);
    hy_state_pass pass = {.own_A = own_A, .in = (char *)in};
    hy_carve size = {0};
    hy_state_open(&pass, sp, &dims, shape, step, &size);
    char *work = sp_buffer(size.used);
    hy_state_open(&pass, sp, &dims, shape, step, &(hy_carve){.base = work});
    if (step > 0) {
        memcpy(pass.own_A, A, (size_t)sp->layout->n_local * shape->a_bytes);
    }
    memcpy(pass.own_H, own, bytes);
    hy_state_post(&pass);
    hy_state_progress(&pass);
    hy_state_finish(&pass);
    sp_wait(sp);
    sp_buffer_check(work, size.used, "state work");
    sp_buffer_check(in, bytes, "states");
    free(work);
    return in;
}

static void clear_unread_states(const hy_layout *layout, double *states, int64_t n, int step) {
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        if (!hy_segment_enters(&layout->frags[layout->local[slot]], step)) {
            memset(states + slot * n, 0, (size_t)n * sizeof *states);
        }
    }
}

static void test_states(hy_comm *world, hy_comm *bound, hy_device *device, const sp_case *c, hy_layout_kind kind,
                        hy_state_exchange state) {
    hy_recur_args op = {.decay = HY_DECAY_VECTOR, .rule = sp_draw(2) ? HY_RULE_DELTA : HY_RULE_ADDITIVE};
    op.HV = 1 + sp_draw(2);
    op.K = 1 + sp_draw(2);
    op.V = 1 + sp_draw(3);
    op.log_decay_max =
        sp_draw(2) ? -log(2) / (double)(1 + sp_draw(12)) : 0; /* so many tokens reach half: parallel.prune */
    const hy_segment_shape shape = hy_segment_shape_of(&op, HY_F64);
    hy_layout *layout = sp_layout(c, kind, world);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {
        .profile = hy_device_profile(device),
        .device = device,
        .comm = bound,
        .layout = layout,
        .method = {.state = state, .node = 1 + sp_draw(hy_comm_size(world)), .block = sizeof(double), .prune = 0.5}};
    hy_lists_needs needs = {.method = sp.method};
    hy_sp_recur_need(&needs, &(hy_recur_args){.H = 1, .HV = 1, .log_decay_max = op.log_decay_max}, 0);
    hy_lists *lists = sp_lists(&sp, &needs);
    const int64_t one = op.HV * op.K * op.V, n = layout->n_local * one;
    const int64_t n_A = layout->n_local * op.HV * shape.a_size;
    double *A = own_integers(world, n_A, n_A), *H = own_integers(world, n, n), *y = own_integers(world, n, n);
    for (int64_t i = 0; i < n_A; i++) {
        A[i] = A[i] > 1 ? 1 : A[i] < -1 ? -1 : 0;
    }
    char *own_A = sp_buffer(hy_state_kept_bytes(&dims, &shape));
    double *S_in = pass_states(&sp, &shape, 1, A, H, own_A);
    double *dS_out = pass_states(&sp, &shape, -1, NULL, y, own_A);
    sp_buffer_check(own_A, hy_state_kept_bytes(&dims, &shape), "own A");
    clear_unread_states(layout, S_in, one, 1);
    clear_unread_states(layout, dS_out, one, -1);
    check_equal(world, inner(S_in, y, n), inner(H, dS_out, n), hy_state_exchange_names[state], c);
    double *buffers[] = {A, H, y, S_in, dS_out};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        free(buffers[i]);
    }
    free(own_A);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    hy_device *device;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK ||
        hy_device_create(hy_test_device("cpu_ref"), HY_F64, &device) != HY_OK) {
        return 1;
    }
    const int64_t lengths[] = {0, 1, 2, 5, 11, 30, 64};
    const int P = hy_comm_size(world);
    hy_comm *bound = sp_bound(world, device);
    for (int round = 0; round < 140; round++) {
        const sp_case c = sp_case_draw(1 + round / 7 % 3, lengths[round % 7], round % 2 ? P : 2 * P);
        for (int zigzag = 0; zigzag < 2; zigzag++) {
            const hy_layout_kind kind = zigzag ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS;
            test_halo(world, bound, device, &c, kind);
            for (int state = 0; P > 1 && state < HY_STATE_HEADS; state++) {
                test_states(world, bound, device, &c, kind, (hy_state_exchange)state);
            }
        }
    }
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    return hy_test_finish(world, "exchange adjoint", cases);
}
