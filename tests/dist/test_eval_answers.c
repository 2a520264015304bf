/* ranks: 1 2 3 4 */
/* Answers of a store across ranks: any number of ranks, layout and mesh counts the same answers and the same right ones
 * as one rank, with the same losses; training on answers alone makes the same step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tests/dist/run_test.h"
#include "train/data/recall_data.h"
#include "train/run/eval_pass.h"
#include "train/run/train_step.h"

enum { LEN = 61, DOCUMENTS = 40 };

static const char yaml[] = "model:\n"
                           "  layers: 2\n"
                           "  width: 16\n"
                           "  vocab: 16\n"
                           "  init_std: 0.3\n"
                           "  mlp: {width: 24}\n"
                           "  schedule: {pattern: [gated_deltanet, attention]}\n"
                           "  mixers:\n"
                           "    gated_deltanet: {heads: 2, head_dim: 8}\n"
                           "    attention: {heads: 2, kv_heads: 1}\n"
                           "data: {store: %s/s.h5, eval_store: %s/s.h5, sequence: 97, batch: 4, loss: answers}\n"
                           "train: {steps: 6, lr: 1e-2, warmup: 2, eval: {sequences: 21}}\n"
                           "parallel: {data: %d, layout: %s}\n"
                           "run: {device: cpu_ref}\n";

static int64_t recall_document(int64_t d, int32_t *tokens, uint8_t *answers) {
    static const hy_recall_shape shape = {.task = HY_RECALL_MQAR,
                                          .pairs_min = 1,
                                          .pairs_max = 5,
                                          .queries = 9,
                                          .filler = 5,
                                          .keys = 6,
                                          .values = 5,
                                          .seed = 3};
    hy_recall_document(&shape, (uint64_t)d, LEN, NULL, tokens, answers);
    return LEN;
}

static hy_status make_store(void) {
    return hy_test_make_store("s", 16, recall_document, 0, DOCUMENTS, 1);
}

static hy_status evaluate_and_step(hy_comm *comm, int groups, const char *layout, hy_eval_result *result,
                                   hy_step_result *step) {
    static hy_config config;
    char text[1024];
    hy_trainer *trainer = NULL;
    snprintf(text, sizeof text, yaml, folder, folder, groups, layout);
    HY_TRY(hy_config_parse("answers", text, strlen(text), &config));
    hy_test_set_device(&config);
    HY_TRY(hy_trainer_create(&config, true, comm, &trainer));
    HY_TRY(hy_parameters_init(trainer->parameters, 7, trainer->grads));
    HY_TRY(hy_eval_pass(trainer, 0, result));
    HY_TRY(hy_train_step(trainer, 1, 1, false, step));
    hy_trainer_destroy(trainer);
    return HY_OK;
}

static int close_to(double a, double b) {
    return fabs(a - b) <= 1e-5 * fabs(b);
}

static hy_status run(hy_comm *world) {
    static const char *const layouts[] = {"zigzag", "contiguous"};
    hy_comm *self = NULL;
    hy_eval_result one, many;
    hy_step_result one_step, step;
    HY_TRY(hy_comm_self_create(&self));
    HY_TRY(evaluate_and_step(self, 1, "contiguous", &one, &one_step));
    CHECK(one.answers > 200 && one.answers < one.valid, "%lld answers", (long long)one.answers);
    CHECK(one.correct > 5 && one.correct < one.answers - 5, "%lld right", (long long)one.correct);
    CHECK(one_step.valid > 20 && one_step.valid < one_step.tokens / 2, "%lld targets", (long long)one_step.valid);
    for (int i = 0; i < 4; i++) {
        const int groups = i >= 2 && hy_comm_size(world) % 2 == 0 ? 2 : 1;
        HY_TRY(evaluate_and_step(world, groups, layouts[i % 2], &many, &step));
        CHECK(many.answers == one.answers && many.correct == one.correct && many.valid == one.valid,
              "%lld of %lld, one rank %lld of %lld", (long long)many.correct, (long long)many.answers,
              (long long)one.correct, (long long)one.answers);
        CHECK(close_to(many.loss, one.loss) && close_to(many.answer_loss, one.answer_loss) &&
                  close_to(many.other_loss, one.other_loss),
              "%.9g %.9g %.9g, one rank %.9g %.9g %.9g", many.loss, many.answer_loss, many.other_loss, one.loss,
              one.answer_loss, one.other_loss);
        CHECK(step.valid == one_step.valid && close_to(step.loss, one_step.loss) &&
                  close_to(step.grad_norm, one_step.grad_norm),
              "%lld targets, loss %.9g, norm %.9g; one rank %lld, %.9g, %.9g", (long long)step.valid, step.loss,
              step.grad_norm, (long long)one_step.valid, one_step.loss, one_step.grad_norm);
    }
    hy_comm_destroy(self);
    return HY_OK;
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "eval_answers", 4, make_store, run);
}
