/* Validation: the mean loss over the first sequences of a validation store, in their order; where the store marks
 * answers, also the loss over them and how many are the argmax of their logits. */
#ifndef HY_TRAIN_EVAL_PASS_H
#define HY_TRAIN_EVAL_PASS_H

#include "train/run/trainer.h"

/* Bucket 0 holds positions [0, 128) within the document, bucket i > 0 positions [128·2^(i−1), 128·2^i). */
enum { HY_EVAL_BUCKETS = 40, HY_EVAL_FIRST_BUCKET = 128 };

typedef struct hy_eval_result {
    const char *store; /* its name; borrowed from the trainer */
    int stores;        /* validation stores of the run */
    double loss;
    int64_t valid, sequences;
    double answer_loss, other_loss;      /* means over the answers, and over the targets that are none */
    int64_t answers, correct;            /* answers −1: the store marks none */
    double bucket_loss[HY_EVAL_BUCKETS]; /* means */
    int64_t bucket_valid[HY_EVAL_BUCKETS];
} hy_eval_result;

static inline double hy_eval_accuracy(const hy_eval_result *result) {
    return result->answers > 0 ? (double)result->correct / (double)result->answers : 0.0;
}

/* Bytes of trainer->results for so many rows. */
size_t hy_eval_results_bytes(int64_t rows);

/* Over train.eval.sequences sequences of validation store `store` (of trainer->stores.n_eval), or as many as there are, in
 * the shape of the stage at hand. Collective. */
HY_MUST_CHECK hy_status hy_eval_pass(hy_trainer *trainer, int store, hy_eval_result *out);

#endif
