/* The plan of a narrow model with layers of one kind, as rank size/2 of `size` makes it. Include it behind cmocka.h. */
#ifndef HY_TESTS_PLANNED_GRAPH_H
#define HY_TESTS_PLANNED_GRAPH_H

#include <stdio.h>

#include "layers/graph/graph_plan.h"
#include "layers/mixers/mixer.h"
#include "layers/model_build.h"

enum { PLANNED_LAYERS = 3, PLANNED_LENGTH = 203 };

typedef struct planned {
    hy_graph g;
    hy_profile profile;
    hy_sp sp;
    hy_layout_dims dims;
    hy_sizing sizing;
    hy_graph_plan *plan;
    int64_t mlp_width; /* of plan_kind */
} planned;

typedef struct planned_how {
    int size, layers; /* layers 0: PLANNED_LAYERS */
    bool train, offload;
    hy_recompute recompute;
} planned_how;

typedef void mixer_fields(hy_mixer_config *m);

/* The plan of p->g. */
static inline void plan_graph(planned *p, planned_how how) {
    p->dims = hy_layout_sizes(HY_LAYOUT_ZIGZAG, how.size, how.size / 2, 2, PLANNED_LENGTH);
    p->sp = (hy_sp){.profile = &p->profile, .method = {.layout = HY_LAYOUT_ZIGZAG}};
    p->sizing = (hy_sizing){.sp = &p->sp, .dims = &p->dims, .train = how.train, .head_tile = 64};
    assert_int_equal(hy_profile_of("cpu", HY_BF16, &p->profile), HY_OK);
    assert_int_equal(hy_graph_plan_create(&p->g, &p->sizing, how.recompute, how.offload, &p->plan), HY_OK);
}

static inline void plan_kind(planned *p, const char *kind, mixer_fields *fields, planned_how how) {
    static hy_model_config config;
    hy_model_config_init(&config);
    config.layers = how.layers > 0 ? how.layers : PLANNED_LAYERS;
    config.width = 256;
    config.vocab = 11;
    config.n_pattern = config.n_mixers = 1;
    snprintf(config.pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config_init(&config.mixers[0], kind);
    if (fields) {
        fields(&config.mixers[0]);
    }
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    p->mlp_width = config.mlp_width;
    hy_graph_init(&p->g);
    assert_int_equal(hy_model_build(&p->g, &config), HY_OK);
    plan_graph(p, how);
}

static inline void plan_free(planned *p) {
    hy_graph_plan_destroy(p->plan);
    hy_graph_fini(&p->g);
}

#endif
