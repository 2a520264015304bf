/* The reference recurrences in double, against what does not share their code: the closed form
 *
 *   S_{i,t} = e^{G_t} S0 + Σ_{j≤i} e^{G_t−G_j} (k_j Vn_jᵀ + b_j u_jᵀ),   G the cumulative log decay
 *   Vn_t = β_t (v_t − δ S_{t−1,t}ᵀ k_t),  u_t = S_{t−1,t−1}ᵀ a_t
 *   o_t  = scale S_{t,t}ᵀ q_t, exclusive: scale S_{t−1,t−1}ᵀ q_t
 *
 * central differences for every gradient, and the algebra that sequence parallelism relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { T_MAX = 24, H = 2, HV = 4, K = 3, V = 5, SLOTS = 4, STATE = HV * K * V, MAP = HV * K * K };

typedef struct kind {
    hy_decay decay;
    hy_rule rule;
    int exclusive;
} kind;

typedef struct problem {
    hy_device *device;
    hy_recur_args args;
    hy_run runs[6];
    double q[T_MAX * H * K], k[T_MAX * H * K], a[T_MAX * H * K], b[T_MAX * H * K], v[T_MAX * HV * V], g[T_MAX * HV * K],
        beta[T_MAX * HV];
    double S0[SLOTS * STATE], S1[SLOTS * STATE], o[T_MAX * HV * V];
    double d_o[T_MAX * HV * V], dS1[SLOTS * STATE];
    double dq[T_MAX * H * K], dk[T_MAX * H * K], da[T_MAX * H * K], db[T_MAX * H * K], dv[T_MAX * HV * V],
        dg[T_MAX * HV * K], dbeta[T_MAX * HV];
    double dS0[SLOTS * STATE], dH[SLOTS * STATE], A[SLOTS * MAP], H_map[SLOTS * STATE];
} problem;

static int64_t gate_size(const hy_recur_args *a) {
    return a->decay == HY_DECAY_NONE     ? 0
           : a->decay == HY_DECAY_HEAD   ? HV
           : a->decay == HY_DECAY_SCALAR ? a->T * HV
                                         : a->T * HV * K;
}

/* Fresh random values; runs as given, T up to the end of the last. */
static void problem_init(problem *p, kind c, const hy_run *runs, int64_t n_runs) {
    memset(p, 0, sizeof *p);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &p->device), HY_OK);
    memcpy(p->runs, runs, (size_t)n_runs * sizeof *runs);
    const int64_t T = n_runs > 0 ? runs[n_runs - 1].begin + runs[n_runs - 1].len : 0;
    p->args = (hy_recur_args){.decay = c.decay,
                              .rule = c.rule,
                              .exclusive = c.exclusive,
                              .T = T,
                              .H = H,
                              .HV = HV,
                              .K = K,
                              .V = V,
                              .scale = 0.6,
                              .runs = p->runs,
                              .n_runs = n_runs,
                              .q = p->q,
                              .k = p->k,
                              .a = p->a,
                              .b = p->b,
                              .v = p->v,
                              .g = c.decay == HY_DECAY_NONE ? NULL : p->g,
                              .beta = p->beta,
                              .A_map = p->A,
                              .H_map = p->H_map,
                              .dH = p->dH,
                              .S0 = p->S0,
                              .o = p->o,
                              .S1 = p->S1,
                              .d_o = p->d_o,
                              .dS1 = p->dS1,
                              .dq = p->dq,
                              .dk = p->dk,
                              .da = p->da,
                              .db = p->db,
                              .dv = p->dv,
                              .dg = c.decay == HY_DECAY_NONE ? NULL : p->dg,
                              .dbeta = p->dbeta,
                              .dS0 = p->dS0};
    p->args.work = malloc(hy_device_profile(p->device)->recur_work(&p->args));
    normal_fill(p->q, T * H * K);
    normal_fill(p->k, T * H * K);
    normal_fill(p->a, T * H * K);
    normal_fill(p->b, T * H * K);
    for (int64_t i = 0; i < T * H * K; i++) {
        p->k[i] *= 0.6;
        p->a[i] *= 0.5;
        p->b[i] *= 0.5;
    }
    normal_fill(p->v, T * HV * V);
    uniform_fill(p->g, T_MAX * HV * K, -2, 0);
    uniform_fill(p->beta, T * HV, 0, 1);
    normal_fill(p->S0, SLOTS * STATE);
    normal_fill(p->d_o, T * HV * V);
    normal_fill(p->dS1, SLOTS * STATE);
}

static void problem_fini(problem *p) {
    free(p->args.work);
    hy_device_destroy(p->device);
}

static void for_each_kind(void (*check)(kind c)) {
    static const kind forms[] = {
        {.rule = HY_RULE_ADDITIVE}, {.exclusive = 1}, {.rule = HY_RULE_DELTA}, {.rule = HY_RULE_DPLR}};
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++)
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            kind c = forms[i];
            c.decay = (hy_decay)decay;
            check(c);
        }
}

static const hy_run whole[] = {{0, 17, 0, 0}};
static const hy_run packed[] = {{0, 6, 1, -1}, {6, 1, -1, -1}, {7, 0, -1, 3}, {7, 9, -1, 2}, {16, 5, -1, 0}};

/* ---- closed form ---- */

static double log_decay(const problem *p, int64_t t, int64_t hv, int64_t i) {
    switch (p->args.decay) {
    case HY_DECAY_NONE:
        return 0;
    case HY_DECAY_HEAD:
        return p->g[hv];
    case HY_DECAY_SCALAR:
        return p->g[t * HV + hv];
    case HY_DECAY_VECTOR:
        return p->g[(t * HV + hv) * K + i];
    }
    return 0;
}

/* Σ_i x_i e^{Σ_{j<s≤t} g_s,i} y_i; x, y [K]. */
static double decayed_dot(const problem *p, const double *x, const double *y, int64_t j, int64_t t, int64_t hv) {
    double sum = 0;
    for (int64_t i = 0; i < K; i++) {
        double G = 0;
        for (int64_t s = j + 1; s <= t; s++)
            G += log_decay(p, s, hv, i);
        sum += x[i] * exp(G) * y[i];
    }
    return sum;
}

/* One column of one run and head: what the tokens before wrote to the state. */
typedef struct column {
    int64_t begin, hv;
    double s0[K], Vn[T_MAX], u[T_MAX];
} column;

/* x·S_{i,t} */
static double read_state(const problem *p, const column *c, const double *x, int64_t i, int64_t t) {
    double sum = decayed_dot(p, x, c->s0, c->begin - 1, t, c->hv);
    for (int64_t j = c->begin; j <= i; j++) {
        const int64_t at = (j * H + c->hv / (HV / H)) * K;
        sum += decayed_dot(p, x, p->k + at, j, t, c->hv) * c->Vn[j - c->begin];
        if (p->args.rule == HY_RULE_DPLR)
            sum += decayed_dot(p, x, p->b + at, j, t, c->hv) * c->u[j - c->begin];
    }
    return sum;
}

/* Column j of o for one run and head. */
static void closed_form(const problem *p, const hy_run *run, int64_t hv, int64_t j, double *o) {
    column c = {.begin = run->begin, .hv = hv};
    for (int64_t i = 0; i < K; i++)
        c.s0[i] = run->s0 >= 0 ? p->S0[run->s0 * STATE + (hv * K + i) * V + j] : 0;
    for (int64_t t = run->begin; t < run->begin + run->len; t++) {
        const int64_t at = (t * H + hv / (HV / H)) * K, last = p->args.exclusive ? t - 1 : t;
        const double read = p->args.rule == HY_RULE_DELTA ? read_state(p, &c, p->k + at, t - 1, t) : 0;
        c.Vn[t - run->begin] = p->beta[t * HV + hv] * (p->v[(t * HV + hv) * V + j] - read);
        c.u[t - run->begin] = read_state(p, &c, p->a + at, t - 1, t - 1);
        o[(t * HV + hv) * V + j] = p->args.scale * read_state(p, &c, p->q + at, last, last);
    }
}

static void check_closed_form(kind c) {
    problem p;
    double want[T_MAX * HV * V];
    problem_init(&p, c, packed, 5);
    for (int64_t r = 0; r < p.args.n_runs; r++)
        for (int64_t hv = 0; hv < HV; hv++)
            for (int64_t j = 0; j < V; j++)
                closed_form(&p, &p.runs[r], hv, j, want);
    hy_recur_fwd(p.device, &p.args);
    assert_close("o", want, p.o, p.args.T * HV * V, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

static void test_closed_form(void **unused) {
    (void)unused;
    for_each_kind(check_closed_form);
}

/* ---- gradients ---- */

static double loss(const void *context) {
    problem *p = (problem *)context;
    hy_recur_fwd(p->device, &p->args);
    double sum = dot(p->o, p->d_o, p->args.T * HV * V);
    for (int64_t r = 0; r < p->args.n_runs; r++)
        if (p->runs[r].s1 >= 0)
            sum += dot(p->S1 + p->runs[r].s1 * STATE, p->dS1 + p->runs[r].s1 * STATE, STATE);
    return sum;
}

static void check_gradients_of(kind c, const hy_run *runs, int64_t n_runs) {
    problem p;
    problem_init(&p, c, runs, n_runs);
    const int64_t T = p.args.T;
    for (int64_t i = 0; i < HV; i++) /* a parameter's gradient accumulates, an activation's overwrites */
        p.dg[i] = 0.25;
    hy_recur_bwd(p.device, &p.args);
    for (int64_t i = 0; c.decay == HY_DECAY_HEAD && i < HV; i++)
        p.dg[i] -= 0.25;
    assert_gradient("dq", loss, &p, p.q, T * H * K, p.dq);
    assert_gradient("dk", loss, &p, p.k, T * H * K, p.dk);
    if (c.rule == HY_RULE_DPLR) {
        assert_gradient("da", loss, &p, p.a, T * H * K, p.da);
        assert_gradient("db", loss, &p, p.b, T * H * K, p.db);
    }
    assert_gradient("dv", loss, &p, p.v, T * HV * V, p.dv);
    assert_gradient("dg", loss, &p, p.g, gate_size(&p.args), p.dg);
    assert_gradient("dbeta", loss, &p, p.beta, T * HV, p.dbeta);
    assert_gradient("dS0", loss, &p, p.S0, SLOTS * STATE, p.dS0);
    problem_fini(&p);
}

static void check_gradients(kind c) {
    check_gradients_of(c, whole, 1);
    check_gradients_of(c, packed, 5);
}

static void test_gradients(void **unused) {
    (void)unused;
    for_each_kind(check_gradients);
}

/* ---- algebra ---- */

/* The run cut in two, the state handed over, gives what the whole gives. */
static void check_cut(kind c) {
    problem p;
    double o[T_MAX * HV * V], S1[STATE];
    problem_init(&p, c, whole, 1);
    hy_recur_fwd(p.device, &p.args);
    memcpy(o, p.o, sizeof o);
    memcpy(S1, p.S1, sizeof S1);
    memset(p.o, 0, sizeof p.o);
    p.runs[0] = (hy_run){0, 6, 0, 2};
    hy_recur_fwd(p.device, &p.args);
    memcpy(p.S0 + 3 * STATE, p.S1 + 2 * STATE, sizeof S1);
    p.runs[0] = (hy_run){6, 11, 3, 0};
    hy_recur_fwd(p.device, &p.args);
    assert_close("o", o, p.o, 17 * HV * V, HY_TOL_F64_FORMULA);
    assert_close("S1", S1, p.S1, STATE, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

static hy_map_apply_args apply_args(const problem *p, int transpose, const double *S, const double *add, double *out) {
    return (hy_map_apply_args){.n = HV,
                               .K = K,
                               .V = V,
                               .transpose = transpose,
                               .A = p->A,
                               .S = S,
                               .H = add,
                               .out = out,
                               .a_size = hy_transition_size(p->args.decay, p->args.rule, K)};
}

/* A·S0 + H is the state that the forward pass ends in; Aᵀ·dS1 + dH is the gradient that its backward pass ends in. */
static void check_maps(kind c) {
    problem p;
    double S1[STATE], dS0[STATE];
    problem_init(&p, c, whole, 1);
    hy_recur_fwd(p.device, &p.args);
    hy_recur_bwd(p.device, &p.args);
    hy_recur_map(p.device, &p.args);
    hy_recur_map_bwd(p.device, &p.args);
    hy_map_apply_args a = apply_args(&p, 0, p.S0, p.H_map, S1);
    hy_map_apply(p.device, &a);
    assert_close("S1", p.S1, S1, STATE, HY_TOL_F64_FORMULA);
    a = apply_args(&p, 1, p.dS1, p.dH, dS0);
    hy_map_apply(p.device, &a);
    assert_close("dS0", p.dS0, dS0, STATE, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

/* The maps of the two parts compose to the map of the whole. */
static void check_composition(kind c) {
    problem p;
    double A[MAP], H_map[STATE], A12[MAP], H12[STATE];
    problem_init(&p, c, whole, 1);
    const int64_t a_size = hy_transition_size(c.decay, c.rule, K);
    hy_recur_map(p.device, &p.args);
    memcpy(A, p.A, sizeof A);
    memcpy(H_map, p.H_map, sizeof H_map);
    p.runs[0] = (hy_run){0, 5, 0, 0};
    p.runs[1] = (hy_run){5, 12, 1, 1};
    p.args.n_runs = 2;
    hy_recur_map(p.device, &p.args);
    const hy_map_compose_args a = {.n = HV,
                                   .K = K,
                                   .V = V,
                                   .a_size = a_size,
                                   .A1 = p.A,
                                   .H1 = p.H_map,
                                   .A2 = p.A + HV * a_size,
                                   .H2 = p.H_map + STATE,
                                   .A = A12,
                                   .H = H12};
    hy_map_compose(p.device, &a);
    assert_close("A", A, A12, HV * a_size, HY_TOL_F64_FORMULA);
    assert_close("H", H_map, H12, STATE, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

/* fwd(S0) = fwd(0) + inject(S0), packed. */
static void check_inject(kind c) {
    problem p;
    double o[T_MAX * HV * V];
    problem_init(&p, c, packed, 5);
    hy_recur_fwd(p.device, &p.args);
    memcpy(o, p.o, sizeof o);
    p.args.S0 = NULL;
    hy_recur_fwd(p.device, &p.args);
    p.args.S0 = p.S0;
    hy_recur_inject(p.device, &p.args);
    assert_close("o", o, p.o, p.args.T * HV * V, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

/* recur_map_bwd is the transpose of recur_inject: <inject(S), d> = <S, map_bwd(d)>. */
static void check_adjoint(kind c) {
    problem p;
    problem_init(&p, c, packed, 5);
    memset(p.o, 0, sizeof p.o);
    p.args.v = NULL;
    hy_recur_inject(p.device, &p.args);
    hy_recur_map_bwd(p.device, &p.args);
    const double left = dot(p.o, p.d_o, p.args.T * HV * V), right = dot(p.S0 + STATE, p.dH + STATE, STATE);
    assert_close("<x,y>", &left, &right, 1, HY_TOL_F64_FORMULA);
    problem_fini(&p);
}

static void test_algebra(void **unused) {
    (void)unused;
    for_each_kind(check_cut);
    for_each_kind(check_maps);
    for_each_kind(check_composition);
    for_each_kind(check_inject);
    for_each_kind(check_adjoint);
}

/* (3∘2)∘1 = 3∘(2∘1) for every size of A. */
static void test_composition_associates(void **unused) {
    (void)unused;
    hy_device *device;
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &device), HY_OK);
    static const int64_t a_sizes[] = {1, K, K * K};
    for (int s = 0; s < 3; s++) {
        double A[7][MAP], S[7][STATE];
        for (int i = 0; i < 3; i++) {
            normal_fill(A[i], MAP);
            normal_fill(S[i], STATE);
        }
        static const int steps[4][3] = {{0, 1, 3}, {3, 2, 4}, {1, 2, 5}, {0, 5, 6}}; /* first, then, into */
        for (int i = 0; i < 4; i++) {
            const int *m = steps[i];
            const hy_map_compose_args a = {.n = HV,
                                           .K = K,
                                           .V = V,
                                           .a_size = a_sizes[s],
                                           .A1 = A[m[0]],
                                           .H1 = S[m[0]],
                                           .A2 = A[m[1]],
                                           .H2 = S[m[1]],
                                           .A = A[m[2]],
                                           .H = S[m[2]]};
            hy_map_compose(device, &a);
        }
        assert_close("A", A[4], A[6], HV * a_sizes[s], HY_TOL_F64_FORMULA);
        assert_close("H", S[4], S[6], STATE, HY_TOL_F64_FORMULA);
    }
    hy_device_destroy(device);
}

/* A fragment that begins with a document's start keeps nothing of what came before; an empty one keeps all. */
static void test_map_of_start_and_empty(void **unused) {
    (void)unused;
    problem p;
    const hy_run runs[] = {{0, 5, -1, 0}, {5, 0, 2, 1}};
    problem_init(&p, (kind){HY_DECAY_VECTOR, HY_RULE_DELTA, 0}, runs, 2);
    hy_recur_map(p.device, &p.args);
    for (int64_t i = 0; i < MAP; i++) {
        assert_true(p.A[i] == 0);
        assert_true(p.A[MAP + i] == (i % (K * K) % (K + 1) == 0 ? 1 : 0));
    }
    for (int64_t i = 0; i < STATE; i++)
        assert_true(p.H_map[STATE + i] == 0);
    problem_fini(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_algebra),
        cmocka_unit_test(test_composition_associates),
        cmocka_unit_test(test_map_of_start_and_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
