/* ranks: 1 2 3 4 */
/* Sequences that go on from step to step, in float64. Two steps of half length with what is carried give every token the loss of one forward of
 * full length on one rank: every mixer that can be carried, layout, exchange and overlap, a document that goes on, one that ends where
 * the sequence does, and one that starts after it. Gradients of the second step equal those on one rank, and there central
 * differences with what is carried held fixed. Losing what is carried must be noticed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"
#include "tests/dist/dist.h"

enum { VOCAB = 19, N_SEQ = 3, HALF = 53, FULL = 2 * HALF };

static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "failed: %s\n", what);
        hy_comm_abort(1);
    }
}

static hy_model *model_of(const char *const *kinds, int n) {
    hy_model_config config;
    hy_model *model = NULL;
    hy_model_config_init(&config);
    config.width = 12;
    config.vocab = VOCAB;
    config.mlp_width = 10;
    for (int i = 0; i < n; i++) {
        hy_mixer_config *m = &config.mixers[config.n_mixers++];
        hy_mixer_config_init(m, kinds[i]);
        snprintf(config.pattern[config.n_pattern++], HY_NAME_MAX, "%s", kinds[i]);
        m->heads = hy_mixer_row_find(kinds[i]) && hy_mixer_uses(hy_mixer_row_find(kinds[i]), "heads") &&
                           !strstr(kinds[i], "mamba2")
                       ? 2
                       : HY_DEFAULT;
        m->head_dim =
            hy_mixer_row_find(kinds[i]) && hy_mixer_uses(hy_mixer_row_find(kinds[i]), "head_dim") ? 6 : HY_DEFAULT;
        if (strcmp(kinds[i], "windowed") == 0) {
            snprintf(m->kind, sizeof m->kind, "attention");
            m->heads = 2;
            m->kv_heads = 1;
            m->window = 5;
            m->sinks = 1;
        }
        if (strstr(kinds[i], "mamba2")) {
            m->value_heads = 2;
            m->levels = m->kind[0] == 'l' ? 8 : m->levels; /* documents have up to 101 tokens */
            m->value_dim = 12;
            m->head_dim = 4;
        }
    }
    config.layers = n;
    must(hy_model_config_resolve(&config) == HY_OK && hy_model_create(&config, 1, &model) == HY_OK, "model");
    return model;
}

/* Document starts in three sequences of full length: 0 goes on through the middle, 1 has an edge there, 2 goes on and ends soon after. */
static const int64_t DOCS[] = {0,        5,        FULL,          FULL + HALF,         FULL + HALF + 9,
                               2 * FULL, 2 * FULL, 2 * FULL + 30, 2 * FULL + HALF + 2, 3 * FULL};
enum { N_DOCS = (int)(sizeof DOCS / sizeof DOCS[0]) - 1 };

typedef struct setting {
    const hy_model *model;
    hy_comm *comm;
    hy_run_shape shape;
    int64_t len;
    double *params, *grads; /* flat */
    int forget;             /* what is carried is cleared between the steps */
} setting;

/* The documents of one half in its own coordinates, and how much of each sequence's first earlier halves had. */
static int64_t half_documents(int half, int64_t docs[N_DOCS + N_SEQ + 1], int64_t before[N_SEQ]) {
    int64_t n = 0;
    for (int64_t s = 0; s < N_SEQ; s++) {
        const int64_t begin = s * FULL + half * HALF;
        int64_t start = s * FULL;
        docs[n++] = s * HALF;
        for (int d = 0; d < N_DOCS; d++) {
            start = DOCS[d] <= begin && DOCS[d] > start ? DOCS[d] : start;
            if (DOCS[d] > begin && DOCS[d] < begin + HALF) {
                docs[n++] = s * HALF + DOCS[d] - begin;
            }
        }
        before[s] = begin - start;
    }
    docs[n] = N_SEQ * HALF;
    return n;
}

typedef struct lane {
    hy_device *device;
    hy_comm *bound;
    hy_layout *layout;
    hy_runner *runner;
    int32_t *tokens, *labels;
    double *rows;
    char *carried;
} lane;

static lane open_lane(const setting *s) {
    lane l = {0};
    hy_run_shape shape = s->shape;
    shape.sequence_size = hy_comm_size(s->comm);
    shape.sequence_rank = hy_comm_rank(s->comm);
    shape.n_seq = N_SEQ;
    shape.len = s->len;
    shape.method.cuts.n = shape.method.cuts.each[0] > 0 ? shape.sequence_size : 0;
    shape.dtype = HY_F64;
    shape.head_tile = 7;
    must(hy_device_create(hy_test_device("cpu_ref"), HY_F64, &l.device) == HY_OK, "device");
    must(hy_comm_bind(s->comm, l.device, hy_test_transport(), &l.bound) == HY_OK, "communicator");
    must(hy_layout_create_cut(shape.method.layout, &shape.method.cuts, shape.sequence_size, shape.sequence_rank, N_SEQ,
                              s->len, &l.layout) == HY_OK,
         "layout");
    must(hy_runner_create(s->model, &shape, l.device, l.bound, s->params, s->grads, 0, &l.runner) == HY_OK, "runner");
    must(HY_NEW("tokens", l.layout->T + 1, &l.tokens) == HY_OK && HY_NEW("labels", l.layout->T + 1, &l.labels) == HY_OK,
         "memory");
    must(hy_device_alloc(l.device, "rows", (size_t)(l.layout->T + 1) * sizeof(double), (void **)&l.rows) == HY_OK,
         "memory");
    if (hy_runner_carries_here(l.runner)) {
        must(hy_device_alloc(l.device, "carried", (size_t)hy_runner_carried_bytes(l.runner), (void **)&l.carried) ==
                 HY_OK,
             "memory");
    }
    hy_runner_set_carried(l.runner, l.carried);
    return l;
}

static void close_lane(lane *l) {
    hy_comm_destroy(l->bound);
    hy_runner_destroy(l->runner);
    hy_device_free(l->device, l->rows);
    hy_device_free(l->device, l->carried);
    hy_device_destroy(l->device);
    hy_layout_destroy(l->layout);
    hy_free(l->tokens);
    hy_free(l->labels);
}

/* Tokens and labels from `first` of every sequence of full length on. */
static void fill(lane *l, int64_t first) {
    for (int64_t t = 0; t < l->layout->T; t++) {
        const int64_t p = l->layout->pos[t], at = p / l->layout->len * FULL + first + p % l->layout->len;
        l->tokens[t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)at) % VOCAB);
        l->labels[t] = at % 11 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)at) % VOCAB);
    }
}

/* This rank's rows into `all` [N_SEQ,FULL], from `first` of every sequence on. */
static void collect(lane *l, int64_t first, double *all) {
    double *rows = NULL;
    must(HY_NEW("rows", l->layout->T + 1, &rows) == HY_OK, "memory");
    hy_device_read(l->device, l->rows, (size_t)l->layout->T * sizeof(double), rows);
    for (int64_t t = 0; t < l->layout->T; t++) {
        const int64_t p = l->layout->pos[t];
        all[p / l->layout->len * FULL + first + p % l->layout->len] = rows[t];
    }
    hy_free(rows);
}

static void sum(hy_comm *comm, double *x, int64_t n) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "sum", x, n, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
}

static void whole(const setting *s, double *all) {
    lane l = open_lane(s);
    double *loss;
    must(hy_device_alloc(l.device, "loss", sizeof *loss, (void **)&loss) == HY_OK, "memory");
    must(hy_layout_set_documents(l.layout, DOCS, N_DOCS) == HY_OK, "documents");
    fill(&l, 0);
    memset(all, 0, N_SEQ * FULL * sizeof *all);
    hy_runner_eval(l.runner, &(hy_batch){l.layout, l.tokens, l.labels}, loss, &(hy_eval_rows){.loss = l.rows});
    collect(&l, 0, all);
    hy_device_free(l.device, loss);
    close_lane(&l);
}

/* Both steps. Evaluation: rows into all; training: the second step's loss, its gradients into s->grads. */
static double halves(const setting *s, double *all) {
    lane l = open_lane(s);
    double *loss, total = 0;
    must(hy_device_alloc(l.device, "loss", sizeof *loss, (void **)&loss) == HY_OK, "memory");
    if (all) {
        memset(all, 0, N_SEQ * FULL * sizeof *all);
    }
    for (int half = 0; half < 2; half++) {
        int64_t docs[N_DOCS + N_SEQ + 1], before[N_SEQ];
        const int64_t n = half_documents(half, docs, before);
        must(hy_layout_set_documents(l.layout, docs, n) == HY_OK, "documents");
        hy_layout_carry(l.layout, before);
        fill(&l, half * HALF);
        hy_device_zero(l.device, HY_LANE_COMPUTE, loss, sizeof *loss);
        hy_device_wait(l.device, hy_device_mark(l.device, HY_LANE_COMPUTE));
        if (all) {
            hy_runner_eval(l.runner, &(hy_batch){l.layout, l.tokens, l.labels}, loss, &(hy_eval_rows){.loss = l.rows});
            collect(&l, half * HALF, all);
        } else {
            memset(s->grads, 0, (size_t)hy_model_flat_size(s->model) * sizeof(double));
            hy_runner_step(l.runner, &(hy_batch){l.layout, l.tokens, l.labels}, 1, loss, NULL, NULL);
        }
        hy_runner_pass_carried(l.runner, l.carried, 1);
        hy_device_read(l.device, loss, sizeof total, &total);
        if (l.carried && s->forget) {
            hy_device_zero(l.device, HY_LANE_COMPUTE, l.carried, (size_t)hy_runner_carried_bytes(l.runner));
        }
    }
    hy_device_wait(l.device, hy_device_mark(l.device, HY_LANE_COMPUTE));
    sum(s->comm, all ? all : s->grads, all ? N_SEQ * FULL : hy_model_flat_size(s->model));
    sum(s->comm, &total, 1);
    hy_device_free(l.device, loss);
    close_lane(&l);
    return total;
}

static double apart(const double *a, const double *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(a[i] - b[i]);
        worst = d <= worst ? worst : d;
    }
    return worst;
}

typedef struct bench {
    hy_comm *world, *self;
    int failures;
} bench;

static void expect(bench *b, int ok, const char *what, int mode, double error) {
    if (!ok) {
        b->failures++;
        if (hy_comm_rank(b->world) == 0) {
            fprintf(stderr, "%s, mode %d: off by %.3g\n", what, mode, error);
        }
    }
}

/* mode / 8: of the exchange of states, where it is neither of the first two. */
static hy_run_shape shape_of(int mode, bool train) {
    const hy_state_exchange first = mode & 2 ? HY_STATE_RING : HY_STATE_ALLGATHER;
    return (hy_run_shape){.method = {.layout = mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                                     .state = mode < 8 ? first : (hy_state_exchange)(mode / 8),
                                     .node = 2,
                                     .block = sizeof(double),
                                     .attention = mode & 2 ? HY_ATTENTION_ALLGATHER : HY_ATTENTION_RING,
                                     .overlap = mode & 4 ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT,
                                     .cuts = mode & 1 ? (hy_cuts){.each = {9, 8, 9, 8}} /* 6 rows are carried */
                                                      : (hy_cuts){.each = {mode % 5 ? 3 : 0, 2, 1, 2}}},
                          .recompute = mode & 2 ? HY_RECOMPUTE_BLOCK : HY_RECOMPUTE_NONE,
                          .train = train,
                          .carry = true};
}

static void check_losses(bench *b, const hy_model *model, double *params) {
    double want[N_SEQ * FULL], got[N_SEQ * FULL];
    whole(&(setting){.model = model, .comm = b->self, .len = FULL, .params = params}, want);
    static const int modes[] = {0, 3, 5};
    for (int i = 0; i < 3; i++) {
        const int mode = modes[i];
        setting s = {.model = model, .comm = b->world, .shape = shape_of(mode, false), .len = HALF, .params = params};
        halves(&s, got);
        double error = apart(got, want, N_SEQ * FULL);
        expect(b, error <= 1e-11, "losses of tokens", mode, error);
        if (mode == 3) {
            s.forget = 1;
            halves(&s, got);
            error = apart(got, want, N_SEQ * FULL);
            expect(b, error > 1e-4, "what is carried is lost unnoticed", mode, error);
        }
    }
}

/* An element of every fourth parameter, with the parameters of the first step as they are. */
static void check_differences(bench *b, const setting *one, const double *want) {
    int64_t count;
    const hy_param *params = hy_model_params(one->model, &count);
    lane l = open_lane(one);
    int64_t docs[N_DOCS + N_SEQ + 1], before[N_SEQ];
    double *loss, at[2];
    char *carried = NULL;
    const size_t bytes = (size_t)hy_runner_carried_bytes(l.runner);
    must(hy_device_alloc(l.device, "loss", sizeof *loss, (void **)&loss) == HY_OK &&
             hy_device_alloc(l.device, "carried", bytes, (void **)&carried) == HY_OK,
         "memory");
    must(hy_layout_set_documents(l.layout, docs, half_documents(0, docs, before)) == HY_OK, "documents");
    fill(&l, 0);
    hy_runner_step(l.runner, &(hy_batch){l.layout, l.tokens, l.labels}, 1, loss, NULL, NULL);
    hy_device_read(l.device, l.carried, bytes, carried);
    must(hy_layout_set_documents(l.layout, docs, half_documents(1, docs, before)) == HY_OK, "documents");
    hy_layout_carry(l.layout, before);
    fill(&l, HALF);
    for (int64_t p = count % 4; p < count; p += 4) {
        const int64_t i = params[p].offset + (int64_t)(hy_random_u64((uint64_t)p, 9, 0) % (uint64_t)params[p].size);
        const double h = 1e-5, kept = one->params[i];
        for (int side = 0; side < 2; side++) {
            one->params[i] = side ? kept + h : kept - h;
            *loss = 0;
            memcpy(l.carried, carried, bytes);
            hy_runner_step(l.runner, &(hy_batch){l.layout, l.tokens, l.labels}, 1, loss, NULL, NULL);
            at[side] = *loss;
        }
        one->params[i] = kept;
        const double numeric = (at[1] - at[0]) / (2 * h), error = fabs(numeric - want[i]);
        expect(b, error <= 1e-6 * (fabs(numeric) + 10), params[p].name, -1, error);
    }
    hy_device_free(l.device, carried);
    hy_device_free(l.device, loss);
    close_lane(&l);
}

static void check_gradients(bench *b, const hy_model *model, double *params) {
    const int64_t flat = hy_model_flat_size(model);
    double *want = NULL, *got = NULL;
    must(HY_NEW("want", flat, &want) == HY_OK && HY_NEW("got", flat, &got) == HY_OK, "memory");
    const setting one = {
        .model = model, .comm = b->self, .shape = shape_of(0, true), .len = HALF, .params = params, .grads = want};
    const double expected = halves(&one, NULL);
    static const int modes[] = {1, 6, 8 * HY_STATE_CHAIN + 2, 8 * HY_STATE_HIERARCHICAL + 1, 8 * HY_STATE_SCAN + 2};
    for (int i = 0; i < (hy_comm_size(b->world) > 1 ? 5 : 2); i++) {
        const int mode = modes[i];
        const setting s = {.model = model,
                           .comm = b->world,
                           .shape = shape_of(mode, true),
                           .len = HALF,
                           .params = params,
                           .grads = got};
        const double loss = halves(&s, NULL), error = apart(got, want, flat);
        expect(b, fabs(loss - expected) <= 1e-10 * expected, "loss of the second step", mode, loss - expected);
        expect(b, error <= 1e-9, "gradients of the second step", mode, error);
    }
    if (hy_comm_size(b->world) == 1 && strcmp(hy_test_device("cpu_ref"), "cpu_ref") == 0) {
        memcpy(got, want, (size_t)flat * sizeof *got);
        check_differences(b,
                          &(setting){.model = model,
                                     .comm = b->self,
                                     .shape = shape_of(0, true),
                                     .len = HALF,
                                     .params = params,
                                     .grads = got},
                          want);
    }
    hy_free(want);
    hy_free(got);
}

static void check_refused(bench *b, const char *kind) {
    hy_model *model = model_of(&kind, 1);
    hy_run_shape shape = shape_of(0, true);
    hy_run_bytes bytes;
    shape.sequence_size = 1;
    shape.n_seq = 1;
    shape.len = HALF;
    shape.dtype = HY_F64;
    hy_profile profile;
    must(hy_profile_of("cpu_ref", HY_F64, &profile) == HY_OK, "profile");
    expect(b, hy_runner_plan_bytes(model, &shape, &profile, &bytes) == HY_ERR_USAGE, kind, -1, 0);
    hy_model_destroy(model);
}

int main(int argc, char **argv) {
    static const char *const first[] = {"gla", "mamba2", "gated_deltanet"};
    static const char *const second[] = {"rwkv7", "hgrn", "conv_short", "mamba1"};
    static const char *const third[] = {"windowed", "gla"}, *const fourth[] = {"log_linear_mamba2"};
    const struct {
        const char *const *kinds;
        int n;
    } models[] = {{first, 3}, {second, 4}, {third, 2}, {fourth, 1}};
    bench b = {0};
    must(hy_comm_world_create(&argc, &argv, &b.world) == HY_OK && hy_comm_self_create(&b.self) == HY_OK,
         "communicators");
    for (int m = 0; m < 4; m++) {
        hy_model *model = model_of(models[m].kinds, models[m].n);
        double *params = NULL;
        must(HY_NEW("params", hy_model_flat_size(model), &params) == HY_OK, "memory");
        hy_model_init_params(model, 3, HY_F64, params);
        for (int64_t i = 0; i < hy_model_flat_size(model); i++) {
            params[i] += 0.2 * hy_random_normal(5, 1, (uint64_t)i);
        }
        check_losses(&b, model, params);
        check_gradients(&b, model, params);
        hy_free(params);
        hy_model_destroy(model);
    }
    check_refused(&b, "attention");
    check_refused(&b, "conv_long");
    hy_comm_destroy(b.self);
    hy_comm_destroy(b.world);
    return b.failures > 0;
}
