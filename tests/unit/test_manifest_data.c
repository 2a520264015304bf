/* The record of what was read comes back as it was written; a damaged one is refused, or still one that can be read on
 * from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "train/checkpoint/manifest_data.h"

enum { BLOCK = 60, LEN = 7 };

/* Two stores in the middle of an epoch of several spans, with open blocks. */
static void make_state(hy_data_state *state, hy_data_mix *mix) {
    int fresh = 0, source = 0;
    int64_t begin = 0;
    *state = (hy_data_state){0};
    *mix = (hy_data_mix){.seed = 3, .sequence = 2, .n = 2, .sources = {{.weight = 2}, {.weight = 1}}};
    assert_int_equal(hy_data_state_find(state, "one", 5000, &mix->sources[0].record, &fresh), HY_OK);
    assert_int_equal(hy_data_state_find(state, "two", 3000, &mix->sources[1].record, &fresh), HY_OK);
    for (int i = 0; i < 300; i++) {
        mix->sequence = i < 100 ? 2 : LEN;
        mix->sources[0].block = mix->sources[1].block = i < 100 ? 0 : BLOCK;
        hy_data_mix_next(mix, state, &source, &begin);
    }
    assert_true(state->stores[0].position.n_spans == 2 && state->stores[0].position.n_lanes > 1);
}

static char *write_text(const hy_data_state *state) {
    char *text = NULL;
    size_t length = 0;
    hy_json json;
    FILE *file = open_memstream(&text, &length);
    assert_non_null(file);
    hy_json_begin(&json, file);
    hy_json_open_object(&json, NULL);
    hy_manifest_data_write(&json, state);
    hy_json_close(&json);
    assert_int_equal(hy_json_end(&json, HY_ERR_FAILED), HY_OK);
    fclose(file);
    return text;
}

static const char *read_text(const char *text, hy_data_state *state) {
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    const char *wrong = hy_manifest_data_read(json_object_get(root, "data"), state);
    json_decref(root);
    return wrong;
}

static void comes_back(void **unused) {
    (void)unused;
    static hy_data_state state, back;
    hy_data_mix mix;
    make_state(&state, &mix);
    char *text = write_text(&state);
    assert_null(read_text(text, &back));
    assert_memory_equal(&back, &state, sizeof state);
    free(text);
}

static void damaged(void **unused) {
    (void)unused;
    static hy_data_state state, back;
    static const char *const others[] = {"-1", "0", "1", "99999", "9223372036854775807", "1.5", "\"x\"", "[]", "null"};
    hy_data_mix mix;
    make_state(&state, &mix);
    char *text = write_text(&state);
    int refused = 0;
    for (char *at = text; *at != '\0'; at++) { /* every number in turn */
        if (*at < '0' || *at > '9' || (at[-1] != ' ' && at[-1] != '[')) {
            continue;
        }
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            char changed[8192];
            const size_t digits = strspn(at, "0123456789");
            snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, others[i], at + digits);
            if (read_text(changed, &back) != NULL) {
                refused++;
                continue;
            }
            for (int64_t k = 0; k < back.n_stores; k++) {
                const hy_store_order order = {.seed = 3, .tokens = back.stores[k].tokens, .block = BLOCK};
                for (int n = 0; n < 30 && order.tokens >= LEN; n++) {
                    const int64_t begin = hy_store_order_next(&order, LEN, &back.stores[k].position);
                    assert_in_range(begin, 0, order.tokens - LEN);
                }
            }
        }
        at += strspn(at, "0123456789") - 1;
    }
    assert_true(refused > 100);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_back), cmocka_unit_test(damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
