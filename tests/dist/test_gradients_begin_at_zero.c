/* ranks: 1 2 */
/* Steps on the same tokens with a learning rate that moves nothing have the same gradient, in either precision: what a step finds in the
 * gradients of the step before does not enter it. */
#include <math.h>

#include "tests/dist/run_test.h"
#include "train/run/train_loop.h"

enum { STEPS = 4, LEN = 24 };

static const char yaml[] = "model:\n"
                           "  layers: 2\n"
                           "  width: 16\n"
                           "  vocab: 16\n"
                           "  mlp: {width: 24}\n"
                           "  schedule: {pattern: [gated_deltanet, attention]}\n"
                           "  mixers:\n"
                           "    gated_deltanet: {heads: 2, head_dim: 8}\n"
                           "    attention: {heads: 2}\n"
                           "data: {store: %s/s.h5, sequence: 24, batch: 1}\n"
                           "train: {steps: 4, lr: 1e-12, warmup: 1, precision: %s, checkpoint: {every: 0, keep: 1}}\n"
                           "run: {dir: %s/run-%s}\n";

static int64_t same_document(int64_t d, int32_t *tokens, uint8_t *answers) {
    (void)d;
    (void)answers;
    for (int i = 0; i < LEN; i++) {
        tokens[i] = (i * 5) % 16;
    }
    return LEN;
}

static hy_status make_store(void) {
    return hy_test_make_store("s", 16, same_document, 0, STEPS, 0);
}

static hy_status check_norms(const char *precision) {
    static const char key[] = "\"grad_norm\":";
    char path[160], *text = NULL;
    size_t n = 0;
    int64_t steps = 0;
    double first = 0;
    snprintf(path, sizeof path, "%s/run-%s/metrics.jsonl", folder, precision);
    HY_TRY(hy_file_read(path, 1 << 20, HY_ERR_FAILED, &text, &n));
    for (const char *at = text; (at = strstr(at, key)) != NULL; at++) {
        const double norm = strtod(at + strlen(key), NULL);
        first = steps++ == 0 ? norm : first;
        CHECK(norm > 0 && fabs(norm - first) <= 1e-4 * first, "%s, step %lld: norm %.9g, at first %.9g", precision,
              (long long)steps, norm, first);
    }
    CHECK(steps == STEPS, "%s: %lld norms", precision, (long long)steps);
    hy_free(text);
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    static const char *const precisions[] = {"f32", "bf16"};
    static hy_config config;
    for (int i = 0; i < 2; i++) {
        char text[1024];
        snprintf(text, sizeof text, yaml, folder, precisions[i], folder, precisions[i]);
        HY_TRY(hy_config_parse("test", text, strlen(text), &config));
        hy_test_set_device(&config);
        HY_TRY(hy_train(&config, world));
        HY_TRY(hy_comm_agree(world, hy_comm_rank(world) == 0 ? check_norms(precisions[i]) : HY_OK));
    }
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "gradients_begin_at_zero", 2 * STEPS, make_store, run);
}
