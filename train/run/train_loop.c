#include "train/run/train_loop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/span.h"
#include "base/text.h"
#include "comm/presence.h"
#include "comm/watchdog.h"
#include "train/run/eval_pass.h"
#include "train/run/run_env.h"
#include "train/run/stop_request.h"
#include "train/run/stop_save.h"
#include "train/run/train_loop_internal.h"
#include "train/run/train_step.h"

/* ---- around a step ---- */

static hy_checkpoint_source source_of(const hy_loop *l) {
    const hy_trainer *t = l->trainer;
    void *m = NULL, *v = NULL;
    hy_adamw_sharded_state(t->optimizer, &m, &v);
    hy_checkpoint_source source = {.world = l->world,
                                   .m = m,
                                   .v = v,
                                   .config = l->config_text,
                                   .tokenizer = t->tokenizer.name,
                                   .stores = l->stores,
                                   .progress = l->progress,
                                   .n_attachments = l->n_attachments,
                                   .attachments = l->attachments,
                                   .carried = hy_trainer_carried(t)};
    hy_parameters_source(t->parameters, &source);
    return source;
}

/* "the newest checkpoint is that of step 40", for messages. */
static const char *newest_checkpoint(const hy_loop *l, char text[64]) {
    if (l->saved_step < 0) {
        return "there is no checkpoint yet";
    }
    snprintf(text, 64, "the newest checkpoint is that of step %lld", (long long)l->saved_step);
    return text;
}

static hy_status save(hy_loop *l) {
    hy_presence_phase("saving", l->progress.step);
    const double begin = hy_now(), exposed = hy_exchange_exposed();
    const hy_checkpoint_source source = source_of(l);
    const hy_status status = hy_checkpoint_save(&source, l->folder.checkpoints, l->config->train.checkpoint.keep);
    const double seconds = hy_now() - begin;
    const long long step = (long long)l->progress.step;
    l->seconds.checkpoint += seconds - (hy_exchange_exposed() - exposed);
    if (status == HY_OK) {
        l->saved_step = l->progress.step;
        if (l->first_rank) {
            hy_console_note(&l->console, "step %lld  saved to %s/step-%lld in %s", step, l->folder.checkpoints, step,
                            hy_text_duration(seconds).s);
        }
        return HY_OK;
    }
    l->failed_saves++;
    if (l->first_rank) {
        char newest[64];
        hy_warn("step %lld could not be saved (%lld failed saves so far); %s%s", step, (long long)l->failed_saves,
                newest_checkpoint(l, newest), step < l->config->train.steps && !l->stopped ? "; training goes on" : "");
    }
    return status;
}

static hy_status validate(hy_loop *l) {
    hy_presence_phase("validation", l->progress.step);
    hy_eval_result result;
    const hy_op_counts before = *hy_device_counts(l->trainer->device);
    const double begin = hy_now(), exposed = hy_exchange_exposed();
    double loss = 0.0, weights = 0.0;
    for (int i = 0; i < l->trainer->stores.n_eval; i++) {
        const double weight = l->trainer->stores.eval[i].config->weight;
        HY_TRY(hy_eval_pass(l->trainer, i, &result));
        loss += weight * result.loss;
        weights += weight;
        if (l->first_rank) {
            hy_console_eval(&l->console, l->progress.step, &result);
            l->failed_metrics += hy_metrics_eval(l->metrics, l->progress.step, &result) != HY_OK;
        }
    }
    *hy_device_counts(l->trainer->device) = before; /* its operations are told apart from training's */
    l->seconds.validation += hy_now() - begin - (hy_exchange_exposed() - exposed);
    if (l->first_rank && l->trainer->stores.n_eval > 1) {
        hy_console_note(&l->console, "step %lld  validation, mean by weight: loss %.4f", (long long)l->progress.step,
                        loss / weights);
    }
    return HY_OK;
}

/* Metrics that cannot be written do not end a run: what failed has been logged. */
static void report_step(hy_loop *l, const hy_step_result *result, double seconds, double exposed, double moving) {
    const double rate = l->peak * seconds;
    const hy_step_rates rates = {.seconds = seconds,
                                 .tokens_per_second = (double)result->tokens / seconds,
                                 .mfu = rate > 0.0 ? result->flops / rate : 0.0,
                                 .exposed = hy_exchange_exposed_is_known() ? exposed / seconds : (double)NAN,
                                 .moving = moving / seconds,
                                 .resident = hy_resident_peak()};
    const bool show = hy_is_due(l->config->train.log_every, l->progress.step) ||
                      l->progress.step == l->config->train.steps || result->skipped;
    hy_console_step(&l->console, l->progress.step, result, &rates, show);
    l->failed_metrics += hy_metrics_step(l->metrics, l->progress.step, result, &rates) != HY_OK;
}

/* Counts a skipped step; too many in a row that were not finite end the run. One without targets says nothing about that. */
static hy_status count_step(hy_loop *l, const hy_step_result *result) {
    if (result->skipped == HY_STEP_NO_TARGETS) {
        l->progress.empty++;
        return HY_OK;
    }
    if (!result->skipped) {
        l->progress.updates++;
        l->progress.bad_in_row = 0;
        return HY_OK;
    }
    l->progress.skipped++;
    l->progress.bad_in_row++;
    if (l->progress.bad_in_row < l->config->train.max_bad_steps) {
        return HY_OK;
    }
    char newest[64];
    return l->first_rank
               ? hy_fail(HY_ERR_NOT_FINITE,
                         "step %lld: loss or gradient not finite in %lld steps in a row "
                         "(train.max_bad_steps); %s; lower train.lr or look at the data",
                         (long long)l->progress.step, (long long)l->progress.bad_in_row, newest_checkpoint(l, newest))
               : HY_ERR_PEER;
}

/* What is finished is `l->progress`; what it will be after the next update. */
static void tell_stop_save(const hy_loop *l) {
    hy_progress next = l->progress;
    next.step++;
    next.updates++;
    next.bad_in_row = 0;
    next.data = l->trainer->next;
    hy_stop_save_state(&l->progress, &next, l->saved_step > l->first_step ? l->saved_step : l->first_step);
}

/* One step; l->stopped: none was taken, because some rank wants to stop. A time limit lets every run take at least one, so
 * that many short runs come to an end. Collective. */
static hy_status take_step(hy_loop *l, int64_t steps_taken) {
    hy_step_result result;
    const double begin = hy_now(), exposed = hy_exchange_exposed(), moving = hy_exchange_moving();
    const int64_t allocations = hy_alloc_count();
    const int64_t drawing = hy_span_begin(HY_SPAN_HOST, "drawing the batch");
    const bool stop = hy_stop_signalled() || (steps_taken > 0 && hy_stop_requested());
    if (hy_trainer_enter(l->trainer, l->progress.step + 1) && l->first_rank) {
        hy_console_stage(&l->console, l->trainer, l->progress.step + 1);
    }
    hy_trainer_draw(l->trainer, l->progress.step + 1);
    tell_stop_save(l);
    hy_span_end(drawing);
    HY_TRY(hy_train_step(l->trainer, l->progress.step + 1, l->progress.updates + 1, stop, &result));
    l->stopped = result.stop;
    if (l->stopped) {
        return HY_OK;
    }
    l->progress.step++;
    l->progress.data = l->trainer->data;
    l->seconds.read += result.read_seconds;
    if (steps_taken >= 2 && hy_alloc_count() != allocations) {
        hy_warn("step %lld made %lld allocations; a step should make none", (long long)l->progress.step,
                (long long)(hy_alloc_count() - allocations));
    }
    const int64_t reporting = hy_span_begin(HY_SPAN_HOST, "reporting the step");
    if (l->first_rank) {
        report_step(l, &result, hy_now() - begin, hy_exchange_exposed() - exposed, hy_exchange_moving() - moving);
    }
    const hy_status status = count_step(l, &result);
    tell_stop_save(l);
    hy_span_end(reporting);
    return status;
}

static bool validation_hy_is_due(const hy_loop *l) {
    return l->trainer->eval.runner != NULL &&
           (l->progress.step == l->config->train.steps || hy_is_due(l->config->train.eval.every, l->progress.step));
}

/* A failed save ends the run only where it is the last one. */
static hy_status save_if_due(hy_loop *l) {
    const bool last = l->progress.step == l->config->train.steps || l->stopped;
    if (l->saved_step == l->progress.step ||
        !(last || hy_is_due(l->config->train.checkpoint.every, l->progress.step))) {
        return HY_OK;
    }
    const hy_status status = save(l);
    tell_stop_save(l);
    return last ? status : HY_OK;
}

static hy_status run_steps(hy_loop *l) {
    if (l->owes_validation) {
        HY_TRY(validate(l));
    }
    for (int64_t taken = 0; l->progress.step < l->config->train.steps; taken++) {
        hy_recorder_step_begin(l->recorder, l->progress.step + 1);
        HY_TRY(take_step(l, taken));
        hy_recorder_step_end(l->recorder);
        if (l->stopped) {
            return l->progress.step > l->first_step ? save_if_due(l) : HY_OK;
        }
        HY_TRY(save_if_due(l));
        if (validation_hy_is_due(l)) {
            HY_TRY(validate(l));
        }
    }
    return HY_OK;
}

/* ---- end ---- */

static void print_stop(hy_loop *l, int64_t step) {
    hy_console_note(&l->console, "\nstopped early after step %lld of %lld (%s); run the same command to go on",
                    (long long)step, (long long)l->config->train.steps, hy_stop_reason());
}

/* In the middle of a step, all that is finished being saved: the whole job ends here. */
static void leave_at_once(void *context) {
    hy_loop *l = context;
    print_stop(l, l->progress.step);
    hy_comm_abort(HY_STOPPED);
}

static void print_repeated(hy_piece_counts c) {
    if (c.replayed > 0) {
        hy_print_detail("repeated    %lld of %lld calls, in %lld pieces that were kept\n", (long long)c.replayed,
                        (long long)(c.replayed + c.single), (long long)c.kept);
    }
}

static void print_end(hy_loop *l) {
    const double allocated = (double)hy_alloc_peak();
    hy_print_detail("\n");
    if (l->stopped) {
        print_stop(l, l->progress.step);
    }
    if (l->progress.skipped > 0 || l->failed_saves > 0 || l->failed_metrics > 0) {
        hy_print("trouble     %lld steps skipped because something was not finite, %lld saves failed, %lld lines of "
                 "metrics lost\n",
                 (long long)l->progress.skipped, (long long)l->failed_saves, (long long)l->failed_metrics);
    }
    if (l->progress.empty > 0) {
        hy_print("skipped     %lld steps had no target that counts: nothing was updated in them\n",
                 (long long)l->progress.empty);
    }
    hy_print_detail("memory      planned %s, allocated at most %s (rank 0)\n",
                    hy_text_bytes((double)hy_plan_total(&l->planned->memory)).s, hy_text_bytes(allocated).s);
    print_repeated(hy_device_pieces(l->trainer->device));
    hy_print_detail("run         %s (metrics.jsonl, log.txt, env.json, config.yaml, checkpoints/)\n",
                    l->config->run.dir);
}

/* Why the run ended, for those who come later: the last line of log.txt, and env.json. */
static void note_end(const hy_loop *l, hy_status status) {
    const char *reason = status == HY_OK         ? "done"
                         : status == HY_STOPPED  ? hy_stop_reason()
                         : status == HY_ERR_PEER ? "another rank failed"
                                                 : hy_status_name(status);
    hy_log_record("ended       %s after step %lld of %lld: %s, exit code %d\n", hy_utc_time().s,
                  (long long)l->progress.step, (long long)l->config->train.steps, reason, (int)status);
    if (l->env_begun) {
        (void)!hy_run_env_end(l->folder.env, (int)status, reason, l->progress.step);
    }
}

static hy_status listen_for_stops(hy_loop *l) {
    const hy_checkpoint_source source = source_of(l);
    HY_TRY(hy_stop_save_begin(&source, l->folder.checkpoints, l->folder.log, leave_at_once, l));
    return hy_stop_request_begin(l->config->train.time_limit, hy_stop_save_at_once);
}

static hy_status train_from(hy_loop *l) {
    HY_TRY(hy_comm_agree(l->world, listen_for_stops(l)));
    hy_exchange_reset();
    const double begin = hy_now();
    const hy_status status = run_steps(l);
    l->seconds.total = hy_now() - begin;
    hy_stop_save_end();
    hy_console_end(&l->console);
    HY_TRY(status);
    hy_recorder_finish(l->recorder);
    HY_TRY(hy_phase_report(l->world, l->trainer->device, &l->seconds));
    if (l->first_rank) {
        print_end(l);
    }
    hy_stop_request_end();
    return l->stopped ? HY_STOPPED : HY_OK;
}

/* A transport that ends the job by itself does so after the watchdog, which knows more: seconds. */
enum { BEHIND_WATCHDOG = 60 };

static hy_status loop_run(hy_loop *l) {
    hy_checkpoint checkpoint;
    bool found = false;
    HY_TRY(hy_loop_begin(l));
    hy_presence_phase("start", 0);
    const double limit = l->config->run.timeout;
    HY_TRY(hy_watchdog_begin(l->world, &(hy_watchdog_settings){limit, l->config->run.slow}));
    hy_comm_set_limit(limit > 0 ? limit + BEHIND_WATCHDOG : 0);
    HY_TRY(hy_checkpoint_open(l->folder.checkpoints, l->world, &found, &checkpoint));
    hy_status status = hy_loop_prepare(l, found ? &checkpoint : NULL);
    if (found) {
        hy_checkpoint_close(&checkpoint);
    }
    return status == HY_OK && l->trainer != NULL ? train_from(l) : status;
}

hy_status hy_train_with(const hy_config *config, const hy_train_options *options, hy_comm *world) {
    hy_loop *l = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("training loop", 1, &l)));
    l->config = config;
    l->options = options;
    l->world = world;
    l->first_rank = hy_comm_rank(world) == 0;
    l->folder.lock = -1;
    l->saved_step = -1;
    const hy_status status = loop_run(l);
    hy_watchdog_end();
    if (l->first_rank) {
        note_end(l, status);
    }
    hy_metrics_close(l->metrics);
    hy_recorder_destroy(l->recorder);
    hy_trainer_destroy(l->trainer);
    hy_dry_run_destroy(l->planned);
    hy_run_folder_end(&l->folder);
    for (int64_t i = 0; i < l->n_attachments; i++) {
        hy_free(l->attachments[i].text);
    }
    hy_free(l->config_text);
    hy_free(l->stores);
    hy_free(l->placed);
    hy_free(l);
    return status;
}

hy_status hy_train(const hy_config *config, hy_comm *world) {
    return hy_train_with(config, &(hy_train_options){0}, world);
}
