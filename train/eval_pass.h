/* Validation: the mean loss over the first sequences of the evaluation store, in their order. */
#ifndef HY_TRAIN_EVAL_PASS_H
#define HY_TRAIN_EVAL_PASS_H

#include "train/trainer.h"

/* Bucket 0 holds positions [0, 128) within the document, bucket i > 0 positions [128·2^(i−1), 128·2^i). */
enum { HY_EVAL_BUCKETS = 40, HY_EVAL_FIRST_BUCKET = 128 };

typedef struct hy_eval_result {
    double loss;
    int64_t valid, sequences;
    double bucket_loss[HY_EVAL_BUCKETS]; /* means; only where by_position was asked for */
    int64_t bucket_valid[HY_EVAL_BUCKETS];
} hy_eval_result;

/* Over train.eval.sequences sequences, or as many as there are. row_loss: [tokens of this rank per micro-step] scratch,
 * then the losses by position are filled in; NULL: not. Collective. */
HY_MUST_CHECK hy_status hy_eval_pass(hy_trainer *trainer, double *row_loss, hy_eval_result *out);

#endif
