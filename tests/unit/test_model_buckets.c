/* Where a model's parameters lie: every recipe's buckets hold one role each and follow each other without a gap; the compute copy has
 * vectors in float32 and matrices in the precision's type; a product reads matrices only, all else reads vectors only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "layers/model_build.h"
#include "train/run/config.h"

enum { SHARDS = 5 };

static void check_buckets(const hy_model *model) {
    int64_t n_params = 0, at = 0, filled = 0;
    const hy_param *params = hy_model_params(model, &n_params);
    for (int b = 0; b < hy_model_bucket_count(model); b++) {
        int64_t begin, end, used = 0;
        hy_model_bucket(model, b, &begin, &end);
        assert_int_equal(begin, at);
        assert_int_equal((end - begin) % SHARDS, 0);
        for (int64_t i = 0; i < n_params; i++) {
            const hy_param *p = &params[i];
            if (p->bucket == b) {
                assert_true(p->offset >= begin && p->offset + p->size <= end);
                assert_int_equal(p->role, b == HY_BUCKET_STATS ? HY_ROLE_STAT : HY_ROLE_WEIGHT);
                assert_true(b < HY_BUCKET_BLOCKS || p->block == b - HY_BUCKET_BLOCKS + 1);
                used += p->size;
            }
        }
        assert_true(end - begin - used < 16 * SHARDS);
        filled += used;
        at = end;
    }
    assert_int_equal(at, hy_model_flat_size(model));
    assert_int_equal(filled, hy_model_parameter_count(model));
}

/* Element by element: each one's size is that of its bucket's role. */
static void check_compute_offsets(const hy_model *model) {
    static const hy_dtype precisions[] = {HY_F32, HY_F64, HY_BF16};
    for (int k = 0; k < 3; k++) {
        int64_t bytes = 0;
        for (int b = 0; b < hy_model_bucket_count(model); b++) {
            const hy_role role = b == HY_BUCKET_STATS ? HY_ROLE_STAT : HY_ROLE_WEIGHT;
            int64_t begin, end;
            hy_model_bucket(model, b, &begin, &end);
            assert_int_equal(hy_model_compute_offset(model, precisions[k], begin), bytes);
            bytes += (end - begin) * (int64_t)hy_role_size(precisions[k], role);
        }
        assert_int_equal(hy_model_compute_offset(model, precisions[k], hy_model_flat_size(model)), bytes);
    }
}

/* What a node of each class reads first; its other weights are vectors. */
static void check_roles(const hy_model *model) {
    static const char *const readers[] = {"linear", "embedding", "head and loss"};
    const hy_graph *g = hy_model_graph(model);
    int found[3] = {0};
    for (int n = 0; n < g->n_nodes; n++) {
        const hy_node *node = &g->nodes[n];
        bool matrix = node->attr.attn.rank > 0 && node->class == &hy_class_attention; /* of a latent */
        for (int i = 0; i < 3; i++) {
            const bool is = strcmp(node->class->name, readers[i]) == 0;
            found[i] += is;
            matrix = matrix || is;
        }
        for (int w = 0; w < HY_NODE_WEIGHTS; w++) {
            if (node->w[w].param != HY_NONE) {
                assert_int_equal(g->params[node->w[w].param].role, matrix && w == 0 ? HY_ROLE_WEIGHT : HY_ROLE_STAT);
            }
        }
    }
    assert_true(found[0] > 0 && found[1] == 1 && found[2] == 1);
}

static void check_recipe(const char *folder, const char *name) {
    char path[HY_PATH_MAX];
    hy_config *config = calloc(1, sizeof *config);
    hy_model *model = NULL;
    assert_non_null(config);
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < HY_PATH_MAX);
    assert_int_equal(hy_config_load(path, NULL, 0, config), HY_OK);
    assert_int_equal(hy_model_create(&config->model, SHARDS, &model), HY_OK);
    check_buckets(model);
    check_compute_offsets(model);
    check_roles(model);
    hy_model_destroy(model);
    free(config);
}

static void test_recipes(void **state) {
    static const char *const folders[] = {"", "/study", "/hybrids"};
    (void)state;
    int recipes = 0;
    for (int f = 0; f < 3; f++) {
        char folder[HY_PATH_MAX];
        hy_file_list list;
        snprintf(folder, sizeof folder, "%s/../../configs%s", HY_TEST_DATA, folders[f]);
        assert_int_equal(hy_file_list_dir(folder, HY_ERR_FAILED, &list), HY_OK);
        for (int64_t i = 0; i < list.count; i++) {
            const char *dot = strrchr(list.names[i], '.');
            if (dot && strcmp(dot, ".yaml") == 0) {
                check_recipe(folder, list.names[i]);
                recipes++;
            }
        }
        hy_file_list_free(&list);
    }
    assert_true(recipes >= 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recipes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
