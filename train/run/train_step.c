#include "train/run/train_step.h"

#include <math.h>

#include "base/clock.h"
#include "base/span.h"
#include "comm/presence.h"
#include "train/run/fixed_sums.h"
#include "train/run/stop_save.h"

/* Forward and backward FLOPs of this group's step; backward is twice the forward. */
static double group_flops(const hy_trainer *trainer) {
    double flops = 0.0;
    for (int64_t call = 0; call < hy_feed_calls(trainer->train.feed); call++) {
        int64_t n_docs = 0;
        const int64_t *docs = hy_feed_documents(trainer->train.feed, call, &n_docs);
        flops += 3.0 * hy_model_flops_fwd(trainer->model, docs, n_docs);
    }
    return flops;
}

static void sum_over_ranks(hy_comm *world, const char *name, double *values, int64_t n) {
    hy_req req = {0};
    hy_comm_all_reduce(world, name, values, n, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
}

/* Reads the step's data and agrees on its counts and on whether every rank could. */
static hy_status read_and_agree(hy_trainer *trainer, bool stop, hy_step_result *out) {
    const hy_pass *pass = &trainer->train;
    const int64_t reading = hy_span_begin(HY_SPAN_HOST, "reading data");
    const hy_status mine = hy_feed_load(pass->feed, pass->sequences, pass->split.count);
    const bool first_of_group = trainer->mesh.sequence_index == 0;
    double sums[4] = {mine != HY_OK, stop, 0.0, 0.0};
    if (mine == HY_OK) {
        sums[2] = (double)hy_feed_valid(trainer->train.feed);
        sums[3] = first_of_group ? group_flops(trainer) : 0.0;
    }
    hy_span_end(reading);
    sum_over_ranks(trainer->world, "step counts", sums, 4);
    if (sums[0] > 0.0) {
        return mine != HY_OK ? mine : HY_ERR_PEER;
    }
    out->stop = sums[1] > 0.0;
    out->valid = (int64_t)sums[2];
    out->flops = sums[3];
    out->tokens = trainer->stage->stage.batch * trainer->stage->stage.sequence;
    out->tokens_so_far = trainer->next.tokens;
    return HY_OK;
}

/* This rank's sum of losses and gradients of the mean loss, summed over ranks as they are ready, and its part of their squares. */
static void compute_gradients(hy_trainer *trainer, int64_t valid) {
    const double d_scale = valid > 0 ? 1.0 / (double)valid : 0.0;
    hy_runner *runner = trainer->train.runner;
    const int64_t calls = hy_feed_calls(trainer->train.feed);
    double *scalars = trainer->scalars;
    const int64_t clearing = hy_span_begin(HY_SPAN_WORK, "clearing gradients");
    hy_device_zero(trainer->device, HY_LANE_COMPUTE, scalars, (size_t)(HY_SCALARS * trainer->sums) * sizeof *scalars);
    hy_fill(trainer->device,
            &(hy_fill_args){.n = trainer->grad_elements, .value = 0.0, .y = trainer->grads, .role = HY_ROLE_GRAD});
    hy_span_end(clearing);
    for (int64_t call = 0; call < calls; call++) {
        hy_batch batch;
        const hy_status status = hy_feed_batch(trainer->train.feed, call, &batch);
        if (status != HY_OK) {
            hy_comm_abort((int)status); /* offsets were checked when they were read */
        }
        hy_runner_set_carried(
            runner, trainer->carried != NULL ? trainer->carried + call * hy_runner_carried_bytes(runner) : NULL);
        hy_runner_step(runner, &batch, d_scale, &scalars[HY_SCALAR_LOSS * trainer->sums],
                       call + 1 == calls ? hy_adamw_sharded_bucket_ready : NULL, trainer->optimizer);
    }
    hy_runner_pass_carried(runner, trainer->carried, trainer->carried_calls);
    const int64_t norm = hy_span_begin(HY_SPAN_WORK, "gradient norm");
    hy_adamw_sharded_reduce(trainer->optimizer, &scalars[HY_SCALAR_SQUARES * trainer->sums]);
    hy_span_end(norm);
}

/* The step's one wait for the device. */
static void read_scalars(hy_trainer *trainer, double *sums) {
    double *all = trainer->read_scalars;
    hy_device_read(trainer->device, trainer->scalars, (size_t)(HY_SCALARS * trainer->sums) * sizeof *all, all);
    sums[HY_SCALAR_LOSS] =
        hy_fixed_sum_fragments(&trainer->config->parallel.method, &all[HY_SCALAR_LOSS * trainer->sums], trainer->sums);
    sums[HY_SCALAR_SQUARES] = hy_fixed_sum(&all[HY_SCALAR_SQUARES * trainer->sums], trainer->sums);
}

static void sum_scalars(hy_trainer *trainer, double *sums) {
    if (trainer->config->parallel.method.cuts.fixed > 0) {
        hy_fixed_sum_ranks(trainer->world, "loss and norm", sums, HY_SCALARS, trainer->read_scalars);
    } else {
        sum_over_ranks(trainer->world, "loss and norm", sums, HY_SCALARS);
    }
}

hy_status hy_train_step(hy_trainer *trainer, int64_t step, int64_t update, bool stop, hy_step_result *out) {
    const hy_config *config = trainer->config;
    hy_trainer_draw(trainer, step);
    hy_step_result r = {.lr = hy_stage_lr(&trainer->stage->stage, step)};
    const double t0 = hy_now(), exposed = hy_exchange_exposed();
    hy_presence_phase("reading", step);
    HY_TRY(read_and_agree(trainer, stop, &r));
    if (r.stop) {
        *out = r;
        return HY_OK;
    }
    const double t1 = hy_now();
    r.read_seconds = t1 - t0 - (hy_exchange_exposed() - exposed);
    if (r.valid == 0 && !config->train.carry_state) {
        r.skipped = HY_STEP_NO_TARGETS;
        r.loss = r.grad_norm = (double)NAN;
        r.flops = 0.0;
        trainer->data = trainer->next;
        *out = r;
        return HY_OK;
    }

    double sums[HY_SCALARS];
    const int64_t ahead = hy_span_begin(HY_SPAN_HOST, "reading ahead");
    hy_trainer_read_ahead(trainer, step + 1);
    hy_span_end(ahead);
    hy_presence_phase("gradients", step);
    compute_gradients(trainer, r.valid);
    read_scalars(trainer, sums);
    const double t2 = hy_now();
    sum_scalars(trainer, sums);
    r.loss = sums[HY_SCALAR_LOSS] / (double)r.valid;
    r.grad_norm = sqrt(sums[HY_SCALAR_SQUARES]);
    if (r.valid == 0) {
        r.skipped = HY_STEP_NO_TARGETS; /* computed for what it carries alone */
        r.grad_norm = (double)NAN;
    } else if (!isfinite(r.loss) || !isfinite(r.grad_norm)) {
        r.skipped = HY_STEP_NOT_FINITE;
    } else {
        const hy_adamw_settings settings = {config->train.beta1, config->train.beta2, config->train.eps,
                                            config->train.weight_decay};
        const double clip = config->train.clip;
        const double g_scale = clip > 0.0 && r.grad_norm > clip ? clip / r.grad_norm : 1.0;
        hy_presence_phase("update", step);
        const int64_t updating = hy_span_begin(HY_SPAN_WORK, "update");
        hy_stop_save_changing();
        hy_adamw_sharded_update(trainer->optimizer, &settings, update, r.lr, g_scale);
        hy_stop_save_changed();
        hy_span_end(updating);
    }
    const int64_t feed = hy_span_begin(HY_SPAN_HOST, "waiting for data");
    hy_feed_ahead_wait(trainer->train.feed); /* others may use HDF5 again */
    hy_span_end(feed);
    trainer->data = trainer->next;
    if (r.skipped == HY_STEP_NOT_FINITE) {
        hy_trainer_forget(trainer); /* it may be in what is carried */
    }
    r.compute_seconds = t2 - t1;
    r.update_seconds = hy_now() - t2;
    *out = r;
    return HY_OK;
}
