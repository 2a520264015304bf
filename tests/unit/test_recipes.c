/* Every recipe under configs/ loads, survives a round trip through text, and builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/run/config.h"

static void check_recipe(const char *folder, const char *name) {
    char path[HY_PATH_MAX];
    hy_config *config = calloc(2, sizeof *config);
    char *text[2] = {NULL, NULL};
    size_t len[2];
    hy_model *model = NULL;
    assert_non_null(config);
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < HY_PATH_MAX);
    assert_int_equal(hy_config_load(path, NULL, 0, &config[0]), HY_OK);
    assert_int_equal(hy_config_write(&config[0], &text[0], &len[0]), HY_OK);
    assert_int_equal(hy_config_parse(name, text[0], len[0], &config[1]), HY_OK);
    assert_int_equal(hy_config_write(&config[1], &text[1], &len[1]), HY_OK);
    assert_string_equal(text[0], text[1]);
    assert_int_equal(hy_model_create(&config[0].model, 4, &model), HY_OK);
    assert_true(hy_model_parameter_count(model) > 0);
    hy_model_destroy(model);
    hy_free(text[0]);
    hy_free(text[1]);
    free(config);
}

static int check_folder(const char *folder) {
    hy_file_list list;
    int recipes = 0;
    assert_int_equal(hy_file_list_dir(folder, HY_ERR_FAILED, &list), HY_OK);
    for (int64_t i = 0; i < list.count; i++) {
        const size_t n = strlen(list.names[i]);
        if (n > 5 && strcmp(list.names[i] + n - 5, ".yaml") == 0) {
            check_recipe(folder, list.names[i]);
            recipes++;
        }
    }
    hy_file_list_free(&list);
    return recipes;
}

static void test_recipes_load(void **state) {
    (void)state;
    assert_true(check_folder(HY_TEST_DATA "/../../configs") >= 4);
    assert_true(check_folder(HY_TEST_DATA "/../../configs/study") >= 12);
    assert_true(check_folder(HY_TEST_DATA "/../../configs/hybrids") >= 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recipes_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
