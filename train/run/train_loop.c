#include "train/run/train_loop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "train/checkpoint/checkpoint.h"
#include "train/run/config_diff.h"
#include "train/run/console.h"
#include "train/run/eval_pass.h"
#include "train/run/metrics.h"
#include "train/run/peak_file.h"
#include "train/run/phase_report.h"
#include "train/run/run_folder.h"
#include "train/run/stop_request.h"
#include "train/run/train_step.h"
#include "train/run/trainer.h"

typedef struct loop {
    const hy_config *config;
    hy_comm *world;
    bool first_rank;
    char *config_text;
    size_t config_length;
    hy_run_folder folder;
    hy_trainer *trainer;
    hy_metrics *metrics; /* rank 0 */
    hy_console console;
    double peak; /* rank 0: FLOP/s of matrix products on all hosts */
    int64_t step, updates, skipped, empty, bad_in_row, saved_step, failed_saves, failed_metrics;
    int64_t n_attachments;
    hy_attachment attachments[HY_ATTACHMENTS_MAX]; /* of the checkpoint begun from: handed on to every save */
    hy_phase_seconds seconds;
} loop;

/* ---- start ---- */

static void note_change(void *context, const char *key, const char *before, const char *after) {
    (void)context;
    hy_info("config: %s was %s in the checkpoint, is %s now", key, before, after);
}

static void take_attachments(loop *l, hy_checkpoint *checkpoint) {
    l->n_attachments = checkpoint->manifest.n_attachments;
    memcpy(l->attachments, checkpoint->manifest.attachments, sizeof l->attachments);
    checkpoint->manifest.n_attachments = 0;
}

/* Parameters and optimizer state from `checkpoint`. Collective. */
static hy_status resume(loop *l, hy_checkpoint *checkpoint) {
    void *m = NULL, *v = NULL;
    int64_t n_state = 0;
    hy_adamw_sharded_state(l->trainer->optimizer, &m, &v, &n_state);
    if (!checkpoint->manifest.optimizer) {
        m = v = NULL;
    }
    HY_TRY(hy_checkpoint_read(checkpoint, l->trainer->model, l->world, l->trainer->dtype, l->trainer->params, m, v));
    take_attachments(l, checkpoint);
    l->step = l->saved_step = checkpoint->manifest.step;
    l->updates = checkpoint->manifest.updates;
    l->skipped = checkpoint->manifest.skipped;
    l->empty = checkpoint->manifest.empty;
    l->bad_in_row = checkpoint->manifest.bad_in_row;
    if (l->first_rank) {
        hy_info("resuming after step %lld from %s, written by %lld ranks", (long long)l->step, checkpoint->path,
                (long long)checkpoint->manifest.world);
        hy_config_diff(checkpoint->manifest.config, l->config_text, note_change, NULL);
    }
    return HY_OK;
}

/* New parameters: random, or those of the checkpoint train.init. Collective. */
static hy_status initialise(loop *l) {
    hy_trainer *t = l->trainer;
    hy_checkpoint checkpoint;
    if (l->config->train.init[0] == '\0') {
        hy_model_init_params(t->model, (uint64_t)l->config->train.seed, t->dtype, t->params);
        return HY_OK;
    }
    HY_TRY(hy_checkpoint_open(l->config->train.init, l->world, NULL, &checkpoint));
    const hy_status status = hy_checkpoint_read(&checkpoint, t->model, l->world, t->dtype, t->params, NULL, NULL);
    if (status == HY_OK && l->first_rank) {
        hy_info("starting from the parameters of %s", checkpoint.path);
    }
    take_attachments(l, &checkpoint);
    hy_checkpoint_close(&checkpoint);
    return status;
}

/* Mistakes that need no folder to be seen leave none behind. Collective. */
static hy_status check_mesh_and_device(const loop *l) {
    const hy_config *config = l->config;
    hy_mesh mesh;
    hy_device device;
    HY_TRY(hy_mesh_create(l->world, (int)config->parallel.data,
                          hy_trainer_sequence_size(config, hy_comm_size(l->world)), &mesh));
    hy_mesh_destroy(&mesh);
    return hy_comm_agree(l->world, l->first_rank ? hy_device_init(&device, config->run.device, HY_F32) : HY_OK);
}

/* The parts of a start that only rank 0 has a hand in. Collective. */
static hy_status begin_folder(loop *l) {
    hy_status status = hy_run_folder_init(l->config->run.dir, &l->folder);
    if (status == HY_OK && l->first_rank) {
        status = hy_run_folder_begin(l->config->run.dir, l->config_text, l->config_length, &l->folder);
    }
    return hy_comm_agree(l->world, status);
}

static hy_status begin_reports(loop *l) {
    hy_status status = HY_OK;
    if (l->first_rank) {
        status = hy_metrics_open(l->folder.metrics, l->step, &l->metrics);
    }
    if (status == HY_OK && l->first_rank && l->config->train.tensorboard) {
        status = hy_metrics_add_tensorboard(l->metrics, l->config->run.dir, l->step);
    }
    if (status == HY_OK && l->first_rank) {
        status = hy_console_layers(l->trainer, l->peak);
    }
    hy_console_begin(&l->console, l->config->train.steps);
    return hy_comm_agree(l->world, status);
}

static hy_status measure_peak(loop *l) {
    hy_device device;
    HY_TRY(hy_comm_agree(l->world, hy_device_init(&device, l->config->run.device, HY_F32)));
    hy_host_peak *hosts = NULL;
    int n_hosts = 0;
    HY_TRY(hy_gemm_peak_measure(l->world, &device, &hosts, &n_hosts));
    if (l->first_rank) {
        l->peak = hy_peak_file_merge(l->folder.peak, hosts, n_hosts);
    }
    hy_free(hosts);
    return HY_OK;
}

/* ---- around a step ---- */

static hy_status save(loop *l) {
    const hy_trainer *t = l->trainer;
    void *m = NULL, *v = NULL;
    int64_t n_state = 0;
    const double begin = hy_now(), exposed = hy_exchange_exposed();
    hy_adamw_sharded_state(t->optimizer, &m, &v, &n_state);
    const hy_checkpoint_source source = {.model = t->model,
                                         .world = l->world,
                                         .dtype = t->dtype,
                                         .params = t->params,
                                         .m = m,
                                         .v = v,
                                         .config = l->config_text,
                                         .step = l->step,
                                         .updates = l->updates,
                                         .skipped = l->skipped,
                                         .empty = l->empty,
                                         .bad_in_row = l->bad_in_row,
                                         .n_attachments = l->n_attachments,
                                         .attachments = l->attachments};
    const hy_status status = hy_checkpoint_save(&source, l->folder.checkpoints, l->config->train.checkpoint.keep);
    const double seconds = hy_now() - begin;
    l->seconds.checkpoint += seconds - (hy_exchange_exposed() - exposed);
    if (status == HY_OK) {
        l->saved_step = l->step;
        if (l->first_rank) {
            hy_console_note(&l->console, "step %lld  saved to %s/step-%lld in %s", (long long)l->step,
                            l->folder.checkpoints, (long long)l->step, hy_text_duration(seconds).s);
        }
    } else {
        l->failed_saves++;
        if (l->first_rank) {
            hy_warn(
                "step %lld could not be saved (%lld failed saves so far); the newest checkpoint is that of step %lld%s",
                (long long)l->step, (long long)l->failed_saves, (long long)l->saved_step,
                l->step < l->config->train.steps ? "; training goes on" : "");
        }
    }
    return status;
}

static hy_status validate(loop *l) {
    hy_eval_result result;
    const hy_device before = l->trainer->device;
    const double begin = hy_now(), exposed = hy_exchange_exposed();
    HY_TRY(hy_eval_pass(l->trainer, &result));
    l->trainer->device = before; /* its operations are told apart from training's */
    l->seconds.validation += hy_now() - begin - (hy_exchange_exposed() - exposed);
    if (l->first_rank) {
        hy_console_eval(&l->console, l->step, &result);
        l->failed_metrics += hy_metrics_eval(l->metrics, l->step, &result) != HY_OK;
    }
    return HY_OK;
}

static bool is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

/* Metrics that cannot be written do not end a run: what failed has been logged. */
static void report_step(loop *l, const hy_step_result *result, double seconds, double exposed, double moving) {
    const double rate = l->peak * seconds;
    const hy_step_rates rates = {.seconds = seconds,
                                 .tokens_per_second = (double)result->tokens / seconds,
                                 .mfu = rate > 0.0 ? result->flops / rate : 0.0,
                                 .exposed = exposed / seconds,
                                 .moving = moving / seconds,
                                 .resident = hy_resident_peak()};
    const bool show =
        is_due(l->config->train.log_every, l->step) || l->step == l->config->train.steps || result->skipped;
    hy_console_step(&l->console, l->step, result, &rates, show);
    l->failed_metrics += hy_metrics_step(l->metrics, l->step, result, &rates) != HY_OK;
}

/* Counts a skipped step; too many in a row that were not finite end the run. One without targets says nothing about that. */
static hy_status count_step(loop *l, const hy_step_result *result) {
    if (result->skipped == HY_STEP_NO_TARGETS) {
        l->empty++;
        return HY_OK;
    }
    if (!result->skipped) {
        l->updates++;
        l->bad_in_row = 0;
        return HY_OK;
    }
    l->skipped++;
    l->bad_in_row++;
    if (l->bad_in_row < l->config->train.max_bad_steps) {
        return HY_OK;
    }
    return l->first_rank ? hy_fail(HY_ERR_NOT_FINITE,
                                   "step %lld: loss or gradient not finite in %lld steps in a row "
                                   "(train.max_bad_steps); the newest checkpoint is "
                                   "that of step %lld; lower train.lr or look at the data",
                                   (long long)l->step, (long long)l->bad_in_row, (long long)l->saved_step)
                         : HY_ERR_PEER;
}

/* One step and what is due after it; *stop: leave early. Collective. */
static hy_status take_step(loop *l, int64_t steps_taken, bool *stop) {
    hy_step_result result;
    const double begin = hy_now(), exposed = hy_exchange_exposed(), moving = hy_exchange_moving();
    const int64_t allocations = hy_alloc_count();
    HY_TRY(hy_train_step(l->trainer, l->step + 1, l->updates + 1, hy_stop_requested(), &result));
    l->step++;
    l->seconds.read += result.read_seconds;
    if (steps_taken >= 2 && hy_alloc_count() != allocations) {
        hy_warn("step %lld made %lld allocations; a step should make none", (long long)l->step,
                (long long)(hy_alloc_count() - allocations));
    }
    if (l->first_rank) {
        report_step(l, &result, hy_now() - begin, hy_exchange_exposed() - exposed, hy_exchange_moving() - moving);
    }
    HY_TRY(count_step(l, &result));
    *stop = result.stop && l->step < l->config->train.steps;
    return HY_OK;
}

static hy_status run_steps(loop *l, bool *stopped) {
    const hy_config *config = l->config;
    for (int64_t taken = 0; l->step < config->train.steps && !*stopped; taken++) {
        HY_TRY(take_step(l, taken, stopped));
        const bool last = l->step == config->train.steps || *stopped;
        hy_status saved = HY_OK;
        if (last || is_due(config->train.checkpoint.every, l->step)) {
            saved = save(l);
        }
        if (last && saved != HY_OK) {
            return saved;
        }
        if (l->trainer->eval.runner != NULL &&
            (l->step == config->train.steps || is_due(config->train.eval.every, l->step))) {
            HY_TRY(validate(l));
        }
    }
    return HY_OK;
}

/* ---- end ---- */

static void print_end(const loop *l, bool stopped) {
    hy_plan plan;
    printf("\n");
    if (stopped) {
        printf("stopped early after step %lld of %lld (%s); run the same command to go on\n", (long long)l->step,
               (long long)l->config->train.steps, hy_stop_reason());
    }
    if (l->skipped > 0 || l->failed_saves > 0 || l->failed_metrics > 0) {
        printf("trouble     %lld steps skipped because something was not finite, %lld saves failed, %lld lines of "
               "metrics lost\n",
               (long long)l->skipped, (long long)l->failed_saves, (long long)l->failed_metrics);
    }
    if (l->empty > 0) {
        printf("skipped     %lld steps had no target that counts: nothing was updated in them\n", (long long)l->empty);
    }
    if (hy_trainer_plan(l->config, hy_comm_size(l->world), 0, &plan) == HY_OK) {
        printf("memory      planned %s, allocated at most %s (rank 0)\n", hy_text_bytes((double)hy_plan_total(&plan)).s,
               hy_text_bytes((double)hy_alloc_peak()).s);
    }
    printf("run         %s (metrics.jsonl, log.txt, config.yaml, checkpoints/)\n", l->config->run.dir);
}

static hy_status train_from(loop *l) {
    bool stopped = false;
    hy_stop_request_begin(l->config->train.time_limit);
    hy_exchange_reset();
    const double begin = hy_now();
    const hy_status status = run_steps(l, &stopped);
    l->seconds.total = hy_now() - begin;
    hy_console_end(&l->console);
    HY_TRY(status);
    HY_TRY(hy_phase_report(l->world, &l->trainer->device, &l->seconds));
    if (l->first_rank) {
        print_end(l, stopped);
    }
    hy_stop_request_end();
    return stopped ? HY_STOPPED : HY_OK;
}

/* `checkpoint` NULL: a new run. */
static hy_status prepare_and_train(loop *l, hy_checkpoint *checkpoint) {
    if (checkpoint != NULL && checkpoint->manifest.step >= l->config->train.steps) {
        if (l->first_rank) {
            printf("nothing to do: %s has done %lld steps, train.steps is %lld\n", checkpoint->path,
                   (long long)checkpoint->manifest.step, (long long)l->config->train.steps);
        }
        return HY_OK;
    }
    HY_TRY(measure_peak(l));
    HY_TRY(hy_trainer_create(l->config, true, l->world, &l->trainer));
    HY_TRY(checkpoint != NULL ? resume(l, checkpoint) : initialise(l));
    HY_TRY(begin_reports(l));
    return train_from(l);
}

static hy_status run(loop *l) {
    hy_checkpoint checkpoint;
    bool found = false;
    HY_TRY(hy_comm_agree(l->world, hy_config_write(l->config, &l->config_text, &l->config_length)));
    HY_TRY(hy_config_agree(l->world, l->config_text, l->config_length));
    HY_TRY(check_mesh_and_device(l));
    HY_TRY(begin_folder(l));
    HY_TRY(hy_checkpoint_open(l->folder.checkpoints, l->world, &found, &checkpoint));
    const hy_status status = prepare_and_train(l, found ? &checkpoint : NULL);
    if (found) {
        hy_checkpoint_close(&checkpoint);
    }
    return status;
}

hy_status hy_train(const hy_config *config, hy_comm *world) {
    loop *l = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("training loop", 1, &l)));
    l->config = config;
    l->world = world;
    l->first_rank = hy_comm_rank(world) == 0;
    l->folder.lock = -1;
    const hy_status status = run(l);
    hy_metrics_close(l->metrics);
    hy_trainer_destroy(l->trainer);
    hy_run_folder_end(&l->folder);
    for (int64_t i = 0; i < l->n_attachments; i++) {
        hy_free(l->attachments[i].text);
    }
    hy_free(l->config_text);
    hy_free(l);
    return status;
}
