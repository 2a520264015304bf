/* Parameter counts of 24-layer models with every default, against counts of published implementations' own classes (width 1024 and
 * 2048, vocabulary 32,000, untied and tied), and against a count by hand for a hybrid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/model.h"

typedef struct expected_count {
    const char *mixer;
    int64_t untied_1024, tied_1024, untied_2048, tied_2048;
} expected_count;

static const expected_count expected[] = {
    {"attention", 373867520, 341099520, 1364297728, 1298761728},
    {"retention", 380165120, 347397120, 1351727104, 1286191104},
    {"gla", 374475776, 341707776, 1365514240, 1299978240},
    {"deltanet", 374362112, 341594112, 1365677056, 1300141056},
    {"gated_deltanet", 399531200, 366763200, 1466343808, 1400807808},
    {"hgrn", 373916672, 341148672, 1364396032, 1298860032},
    {"hgrn2", 373916672, 341148672, 1364396032, 1298860032},
    {"kda", 386994368, 354226368, 1390941568, 1325405568},
};

static hy_model_config *config_of(int64_t width, bool tied) {
    hy_model_config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    hy_model_config_init(config);
    config->layers = 24;
    config->width = width;
    config->vocab = 32000;
    config->tied = tied;
    return config;
}

static void add_to_pattern(hy_model_config *config, const char *mixer) {
    snprintf(config->pattern[config->n_pattern++], HY_NAME_MAX, "%s", mixer);
}

static int64_t count_and_free(hy_model_config *config) {
    hy_model *model = NULL;
    assert_int_equal(hy_model_config_resolve(config), HY_OK);
    assert_int_equal(hy_model_create(config, 1, &model), HY_OK);
    const int64_t count = hy_model_parameter_count(model);
    hy_model_destroy(model);
    free(config);
    return count;
}

static int64_t count_pure(const char *mixer, int64_t width, bool tied) {
    hy_model_config *config = config_of(width, tied);
    add_to_pattern(config, mixer);
    return count_and_free(config);
}

static void test_published_counts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const expected_count *e = &expected[i];
        assert_int_equal(count_pure(e->mixer, 1024, false), e->untied_1024);
        assert_int_equal(count_pure(e->mixer, 1024, true), e->tied_1024);
        assert_int_equal(count_pure(e->mixer, 2048, false), e->untied_2048);
        assert_int_equal(count_pure(e->mixer, 2048, true), e->tied_2048);
    }
}

/* Parameters outside the blocks: embedding, head, final norm. */
static int64_t outside_blocks(int64_t width) {
    return 2 * 32000 * width + width;
}

/* Blocks do not depend on their neighbours: a hybrid has each kind's share, whether its layers come from the pattern or from overrides. */
static void test_hybrid_is_the_sum_of_its_layers(void **state) {
    (void)state;
    const int64_t linear_block = (expected[4].untied_1024 - outside_blocks(1024)) / 24;
    const int64_t attention_block = (expected[0].untied_1024 - outside_blocks(1024)) / 24;
    hy_model_config *config = config_of(1024, false);
    for (int i = 0; i < 3; i++) {
        add_to_pattern(config, "gated_deltanet");
    }
    add_to_pattern(config, "attention");
    assert_int_equal(count_and_free(config), outside_blocks(1024) + 18 * linear_block + 6 * attention_block);

    config = config_of(1024, false);
    add_to_pattern(config, "gated_deltanet");
    const int64_t softmax_layers[] = {11, 23};
    for (int i = 0; i < 2; i++) {
        config->overrides[i].layer = softmax_layers[i];
        snprintf(config->overrides[i].mixer, HY_NAME_MAX, "attention");
    }
    config->n_overrides = 2;
    assert_int_equal(count_and_free(config), outside_blocks(1024) + 22 * linear_block + 2 * attention_block);
}

/* Width 1024, heads of 128 values: q 8·192, shared part 64, latent 512 with its norm, keys and values 8·(128 + 128) of 512, output.
 * lizard: q, k, v, o, the feature map 128×128, one decay, 8·4 sinks, α. */
static void test_counts_by_hand(void **state) {
    (void)state;
    const int64_t w = 1024, rest = 3 * w * 2816 + 2 * w; /* MLP and norms of a block */
    const int64_t mla = 8 * 192 * w + 64 * w + 512 * w + 512 + 8 * 256 * 512 + w * w;
    const int64_t lizard = 4 * w * w + 128 * 128 + w + 8 * 4 + 1;
    assert_int_equal(count_pure("mla", w, false), outside_blocks(w) + 24 * (mla + rest));
    assert_int_equal(count_pure("lizard", w, false), outside_blocks(w) + 24 * (lizard + rest));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_counts),
        cmocka_unit_test(test_hybrid_is_the_sum_of_its_layers),
        cmocka_unit_test(test_counts_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
