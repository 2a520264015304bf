#include "train/run/eval_pass.h"

#include <string.h>

enum {
    FAILED,
    VALID,
    LOSS,
    ANSWERS,
    ANSWER_LOSS,
    CORRECT,
    BUCKET_LOSS,
    BUCKET_VALID = BUCKET_LOSS + HY_EVAL_BUCKETS,
    N_SUMS = BUCKET_VALID + HY_EVAL_BUCKETS
};

static int bucket_of_position(int64_t position) {
    int bucket = 0;
    for (int64_t p = position / HY_EVAL_FIRST_BUCKET; p > 0; p /= 2) {
        bucket++;
    }
    return bucket;
}

static void add_positions(const hy_batch *batch, const double *row_loss, double *sums) {
    for (int64_t t = 0; t < batch->layout->T; t++) {
        if (batch->labels[t] != HY_LABEL_NONE) {
            const int bucket = bucket_of_position(batch->layout->doc_pos[t]);
            sums[BUCKET_LOSS + bucket] += row_loss[t];
            sums[BUCKET_VALID + bucket] += 1.0;
        }
    }
}

static void add_answers(const hy_batch *batch, const uint8_t *answers, const hy_eval_rows *rows, double *sums) {
    for (int64_t t = 0; t < batch->layout->T; t++) {
        if (answers[t]) {
            sums[ANSWERS] += 1.0;
            sums[ANSWER_LOSS] += rows->loss[t];
            sums[CORRECT] += rows->correct[t];
        }
    }
}

/* The sum of losses, and the rows' results behind it. */
static double *results_at(void *block, int64_t rows, hy_eval_rows *out) {
    double *sum = block;
    *out = (hy_eval_rows){.loss = sum + 1, .correct = (uint8_t *)(sum + 1 + rows)};
    return sum;
}

size_t hy_eval_results_bytes(int64_t rows) {
    return (size_t)(rows + 1) * sizeof(double) + (size_t)rows;
}

/* Adds up what this rank's tokens of a micro-step gave: the one wait for the device. */
static void add_results(hy_trainer *trainer, const hy_batch *batch, double *sums) {
    const hy_eval_results *results = &trainer->results;
    hy_eval_rows rows;
    hy_device_read(trainer->device, results->device, hy_eval_results_bytes(results->rows), results->host);
    sums[LOSS] = *results_at(results->host, results->rows, &rows);
    add_positions(batch, rows.loss, sums);
    add_answers(batch, hy_feed_answers(trainer->eval.feed, 0), &rows, sums);
}

/* One micro-step's sequences: number [first, first + n) of the store. Every rank of the group comes here together, so a
 * reading error is agreed within the group. Collective over the sequence communicator. */
static hy_status eval_call(hy_trainer *trainer, hy_token_store *store, int64_t first, int64_t n, double *sums) {
    hy_pass *pass = &trainer->eval;
    hy_batch batch;
    for (int64_t i = 0; i < n; i++) {
        pass->sequences[i] = (hy_sequence){.store = store, .begin = (first + i) * trainer->stage->stage.sequence};
    }
    hy_status status = hy_feed_load(pass->feed, pass->sequences, n);
    if (status == HY_OK) {
        status = hy_feed_batch(pass->feed, 0, &batch);
    }
    HY_TRY(hy_comm_agree(trainer->mesh.sequence, status));
    sums[VALID] += (double)hy_feed_valid(pass->feed);
    hy_eval_rows rows;
    double *loss_sum = results_at(trainer->results.device, trainer->results.rows, &rows);
    hy_runner_eval(pass->runner, &batch, loss_sum, &rows);
    add_results(trainer, &batch, sums);
    return HY_OK;
}

static double mean(double sum, double n) {
    return n > 0.0 ? sum / n : 0.0;
}

hy_status hy_eval_pass(hy_trainer *trainer, int store, hy_eval_result *out) {
    const hy_pass *pass = &trainer->eval;
    const hy_open_store *open = &trainer->stores.eval[store];
    const int64_t available = hy_token_store_tokens(open->store) / trainer->stage->stage.sequence;
    const int64_t wanted = trainer->config->train.eval.sequences;
    const hy_data_split split = hy_data_split_eval(wanted < available ? wanted : available, trainer->mesh.data_size,
                                                   trainer->mesh.data_index, pass->split.unit);
    double sums[N_SUMS] = {0};
    hy_status status = HY_OK;
    hy_device_zero(trainer->device, HY_LANE_COMPUTE, trainer->results.device, sizeof(double));
    for (int64_t done = 0; done < split.count && status == HY_OK; done += split.unit) {
        const int64_t rest = split.count - done;
        status = eval_call(trainer, open->store, split.first + done, rest < split.unit ? rest : split.unit, sums);
    }
    sums[FAILED] = status != HY_OK;
    hy_req req = {0};
    hy_comm_all_reduce(trainer->world, "validation loss", sums, N_SUMS, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    if (sums[FAILED] > 0.0) {
        return status != HY_OK ? status : HY_ERR_PEER;
    }
    memset(out, 0, sizeof *out);
    out->store = open->name;
    out->stores = trainer->stores.n_eval;
    out->loss = mean(sums[LOSS], sums[VALID]);
    out->valid = (int64_t)sums[VALID];
    out->sequences = wanted < available ? wanted : available;
    out->answers = hy_token_store_has_answers(open->store) ? (int64_t)sums[ANSWERS] : -1;
    out->correct = (int64_t)sums[CORRECT];
    out->answer_loss = mean(sums[ANSWER_LOSS], sums[ANSWERS]);
    out->other_loss = mean(sums[LOSS] - sums[ANSWER_LOSS], sums[VALID] - sums[ANSWERS]);
    for (int i = 0; i < HY_EVAL_BUCKETS; i++) {
        out->bucket_loss[i] = mean(sums[BUCKET_LOSS + i], sums[BUCKET_VALID + i]);
        out->bucket_valid[i] = (int64_t)sums[BUCKET_VALID + i];
    }
    return HY_OK;
}
