/* How many operations one layer calls, as the dry device counts them with the tuning `whole`: forward and backward of a model of two
 * such layers less those of one, on one rank of a number of ranks that are not there. Include it behind cmocka.h. */
#ifndef HY_TESTS_LAUNCH_COUNTS_H
#define HY_TESTS_LAUNCH_COUNTS_H

#include <stdio.h>
#include <string.h>

#include "kernels/dry.h"
#include "layers/mixers/mixer.h"
#include "tests/lone_rank.h"

/* The mixer's other fields: after the defaults, before they are resolved. May be NULL. */
typedef void (*launch_mixer_fn)(hy_mixer_config *m);

typedef struct launch_case {
    const char *kind;
    launch_mixer_fn fields;
    int size, rank;
    hy_sp_method method;
    hy_dtype precision;
    int64_t len, n_docs;
    const int64_t *docs; /* [n_docs+1] */
} launch_case;

typedef struct launch_counts {
    int64_t fwd, bwd;
} launch_counts;

static inline hy_model *launch_model(const launch_case *c, int layers) {
    hy_model_config config;
    hy_model *model = NULL;
    hy_model_config_init(&config);
    config.width = 64;
    config.vocab = 32;
    config.layers = layers;
    hy_mixer_config *m = &config.mixers[config.n_mixers++];
    hy_mixer_config_init(m, c->kind);
    snprintf(config.pattern[config.n_pattern++], HY_NAME_MAX, "%s", c->kind);
    m->heads = hy_mixer_uses(hy_mixer_row_find(c->kind), "heads") ? 2 : HY_DEFAULT;
    m->mlp = HY_SWITCH_OFF;
    if (c->fields) {
        c->fields(m);
    }
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    return model;
}

/* Calls of one forward (train 0), or of one forward and backward. */
static inline int64_t launch_total(const launch_case *c, int layers, bool train) {
    static lone_rank r;
    hy_model *model = launch_model(c, layers);
    int32_t tokens[512] = {0};
    double loss = 0;
    const hy_run_shape shape = {.method = c->method,
                                .sequence_size = c->size,
                                .sequence_rank = c->rank,
                                .n_seq = 1,
                                .len = c->len,
                                .dtype = c->precision,
                                .train = train};
    lone_rank_init(&r, model, "dry:whole:cpu", &shape, c->docs, c->n_docs, NULL);
    assert_true(r.layout->T <= 512);
    const int64_t before = hy_dry_total(hy_dry_record_of(r.device)).launches;
    const hy_batch batch = {r.layout, tokens, tokens};
    if (train) {
        hy_runner_step(r.runner, &batch, 1, &loss, NULL, NULL);
    } else {
        hy_runner_eval(r.runner, &batch, &loss, &(hy_eval_rows){0});
    }
    const int64_t calls = hy_dry_total(hy_dry_record_of(r.device)).launches - before;
    lone_rank_fini(&r);
    hy_model_destroy(model);
    return calls;
}

static inline launch_counts launches_of_layer(const launch_case *c) {
    const int64_t fwd = launch_total(c, 2, false) - launch_total(c, 1, false);
    return (launch_counts){.fwd = fwd, .bwd = launch_total(c, 2, true) - launch_total(c, 1, true) - fwd};
}

/* On every number of ranks up to `ranks`, every rank, every method, one document and several; `check` says what is too much. */
static inline void launch_every_case(launch_case c, int ranks, void (*check)(const launch_case *, launch_counts)) {
    static const int64_t one[] = {0, 401}, packed[] = {0, 3, 90, 211, 211, 390, 401};
    c.len = 401;
    for (c.size = 1; c.size <= ranks; c.size++)
        for (c.rank = 0; c.rank < c.size; c.rank++)
            for (int kind = 0; hy_layout_names[kind]; kind++)
                for (int method = 0; method < 2; method++)
                    for (int documents = 0; documents < 2; documents++) {
                        c.method = (hy_sp_method){.layout = (hy_layout_kind)kind,
                                                  .state = (hy_state_exchange)method,
                                                  .attention = (hy_attention_method)method};
                        c.docs = documents ? packed : one;
                        c.n_docs = documents ? 6 : 1;
                        check(&c, launches_of_layer(&c));
                    }
}

#endif
