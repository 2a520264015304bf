#include "train/run/console.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "base/text.h"
#include "train/run/prune_words.h"

/* The bar goes to the terminal alone: it is no part of what the log keeps. */
static void clear_bar(hy_console *console) {
    if (console->bar_shown) {
        fputs("\r\033[K", stdout);
        console->bar_shown = false;
    }
}

/* Whole percents, with a decimal where they would be 0; "-" of what is not known. */
static hy_text percent(double share) {
    hy_text text = {.s = "-"};
    if (isnan(share)) {
        return text;
    }
    snprintf(text.s, sizeof text.s, "%.*f%%", share < 0.00995 ? 1 : 0, 100.0 * share);
    return text;
}

/* "13.8k": a blank less than hy_text_count. */
static hy_text compact_count(double count) {
    hy_text text = hy_text_count(count);
    char *blank = strchr(text.s, ' ');
    if (blank != NULL) {
        memmove(blank, blank + 1, strlen(blank));
    }
    return text;
}

enum { COLUMNS = 80 };
_Static_assert(sizeof((hy_console_line *)0)->s > COLUMNS, "a line holds its columns");

/* One field more, where it still fits; the first ones always do. */
HY_PRINTF(2, 3) static void add_field(hy_console_line *line, const char *format, ...) {
    char field[COLUMNS + 1];
    const size_t length = strlen(line->s);
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(field, sizeof field, format, arguments);
    va_end(arguments);
    const size_t blank = length > 0;
    if (n > 0 && length + blank + (size_t)n <= COLUMNS) {
        memcpy(line->s + length, " ", blank);
        memcpy(line->s + length + blank, field, (size_t)n + 1);
    }
}

hy_console_line hy_console_step_line(int64_t step, int64_t last, const hy_step_result *result,
                                     const hy_step_rates *rates, const char *eta) {
    const double loss = fabs(result->loss), norm = fabs(result->grad_norm); /* "nan" rather than "-nan" */
    hy_console_line line = {.s = ""};
    add_field(&line, "step %lld/%lld", (long long)step, (long long)last);
    add_field(&line, loss < 1e4 ? "loss %.4f" : "loss %.4g", loss);
    add_field(&line, norm < 1e3 ? "grad %.3f" : "grad %.3g", norm);
    add_field(&line, "lr %.2g", result->lr);
    if (result->skipped) {
        add_field(&line, result->skipped == HY_STEP_NO_TARGETS ? "SKIPPED: no targets" : "SKIPPED");
    }
    add_field(&line, "%s tok/s", compact_count(rates->tokens_per_second).s);
    if (eta != NULL) {
        add_field(&line, "eta %s", eta);
    }
    add_field(&line, "mfu %s", percent(rates->mfu).s);
    add_field(&line, "exposed %s", percent(rates->exposed).s);
    return line;
}

hy_console_line hy_console_bar_line(int64_t step, int64_t last, const char *eta) {
    enum { WIDTH = 40 };
    const double done = last > 0 ? (double)step / (double)last : 1.0;
    hy_console_line line = {.s = ""};
    char bar[WIDTH + 1];
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(done * WIDTH));
    bar[WIDTH] = '\0';
    add_field(&line, "[%s] %3.0f%%", bar, 100.0 * done);
    add_field(&line, " eta %s", eta);
    return line;
}

static void draw_bar(hy_console *console, int64_t step, const char *eta) {
    if (console->terminal) {
        fputs(hy_console_bar_line(step, console->last, eta).s, stdout);
        fflush(stdout);
        console->bar_shown = true;
    }
}

/* Whether a person watches. mpirun gives rank 0 a terminal of its own whatever its output goes to, so what counts under
 * a launcher is the launcher's stdout (seen only on its own host). */
static bool is_terminal(void) {
    char link[64], target[64];
    if (!isatty(STDOUT_FILENO) || getenv("OMPI_COMM_WORLD_SIZE") == NULL) {
        return isatty(STDOUT_FILENO);
    }
    snprintf(link, sizeof link, "/proc/%ld/fd/1", (long)getppid());
    const ssize_t n = readlink(link, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

void hy_console_begin(hy_console *console, int64_t last) {
    *console = (hy_console){.terminal = is_terminal() && !hy_log_quiet(), .last = last};
}

void hy_console_end(hy_console *console) {
    clear_bar(console);
    fflush(stdout);
}

void hy_console_step(hy_console *console, int64_t step, const hy_step_result *result, const hy_step_rates *rates,
                     bool show) {
    const double weight = console->seconds_per_step > 0.0 ? 0.1 : 1.0;
    console->seconds_per_step += weight * (rates->seconds - console->seconds_per_step);
    if (!show) {
        return;
    }
    const hy_text eta = hy_text_duration(console->seconds_per_step * (double)(console->last - step));
    clear_bar(console);
    hy_print_detail("%s\n",
                    hy_console_step_line(step, console->last, result, rates, console->terminal ? NULL : eta.s).s);
    draw_bar(console, step, eta.s);
}

void hy_console_eval(hy_console *console, int64_t step, const hy_eval_result *result) {
    char answers[96] = "";
    if (result->answers >= 0) {
        snprintf(answers, sizeof answers, "  answers %.2f%% of %lld, loss %.4f", 100.0 * hy_eval_accuracy(result),
                 (long long)result->answers, result->answer_loss);
    }
    clear_bar(console);
    hy_print("step %lld  validation%s%s loss %.4f  perplexity %.3f  (%lld sequences, %lld targets)%s\n",
             (long long)step, result->stores > 1 ? " " : "", result->stores > 1 ? result->store : "", result->loss,
             exp(result->loss), (long long)result->sequences, (long long)result->valid, answers);
}

void hy_console_note(hy_console *console, const char *format, ...) {
    char line[2 * HY_PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    clear_bar(console);
    hy_print_detail("%s\n", line);
}

void hy_console_stage(hy_console *console, const hy_trainer *trainer, int64_t step) {
    const hy_stage *stage = &trainer->stage->stage;
    char text[512], rope[48] = "";
    if (stage->count == 1) {
        return;
    }
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < stage->stores->n && used < sizeof text; i++) {
        char name[HY_STORE_NAME_MAX];
        hy_store_name(&stage->stores->items[i], name);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "", name);
    }
    if (stage->rope_base > 0.0) {
        snprintf(rope, sizeof rope, ", rope_base %g", stage->rope_base);
    }
    hy_console_note(console,
                    "step %lld  stage %d of %d, to step %lld: %lld sequences of %lld tokens in %lld micro-steps, from "
                    "%s%s",
                    (long long)step, stage->number + 1, stage->count, (long long)(stage->first + stage->steps - 1),
                    (long long)stage->batch, (long long)stage->sequence, (long long)trainer->train.split.calls_max,
                    text, rope);
}

static void print_pruning(const hy_trainer *trainer) {
    char words[256];
    const hy_run_shape shape = {.sequence_size = trainer->mesh.sequence_size,
                                .n_seq = trainer->train.split.unit,
                                .len = trainer->stage->stage.sequence,
                                .method = trainer->config->parallel.method};
    hy_prune_words(trainer->model, &shape, words, sizeof words);
    hy_print_detail("prune       %s\n", words);
}

static void print_summary(const hy_trainer *trainer, double peak) {
    const hy_config *config = trainer->config;
    const hy_mesh *mesh = &trainer->mesh;
    const hy_layout_dims dims =
        hy_layout_sizes_cut(config->parallel.method.layout, &config->parallel.method.cuts, mesh->sequence_size,
                            mesh->sequence_index, trainer->train.split.unit, trainer->stage->stage.sequence);
    hy_print_detail(
        "mesh        %d ranks = data %d x sequence %d, layout %s, about %lld tokens per rank and micro-step\n",
        hy_comm_size(trainer->world), mesh->data_size, mesh->sequence_size,
        hy_layout_names[config->parallel.method.layout], (long long)dims.T);
    if (mesh->sequence_size > 1) {
        hy_print_detail("nodes       of %d consecutive ranks of a sequence%s\n",
                        hy_sp_node_ranks(&config->parallel.method, mesh->sequence_size),
                        mesh->sequence_size > hy_sp_node_ranks(&config->parallel.method, mesh->sequence_size)
                            ? ""
                            : ": all of them");
    }
    hy_print_detail("model       %s parameters, %lld layers of width %lld, vocabulary %lld\n",
                    hy_text_count((double)hy_model_parameter_count(trainer->model)).s, (long long)config->model.layers,
                    (long long)config->model.width, (long long)config->model.vocab);
    if (config->parallel.method.prune > 0) {
        print_pruning(trainer);
    }
    hy_print_detail("step        %lld sequences of %lld tokens in %lld micro-steps\n",
                    (long long)trainer->stage->stage.batch, (long long)trainer->stage->stage.sequence,
                    (long long)trainer->train.split.calls_max);
    hy_print_detail("device      %s, %.1f GFLOP/s of %s products on all ranks together\n\n",
                    hy_device_profile(trainer->device)->name, peak / 1e9,
                    config->train.precision == HY_PRECISION_F32 ? "fp32" : hy_precision_names[config->train.precision]);
}

static hy_status print_layers(const hy_trainer *trainer, const hy_dry_stage *stage) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(5, (const char *const[]){"layer", "mixer", "exchange", "sent forward", "sent backward"},
                                &table));
    for (int64_t l = 0; l < trainer->config->model.layers; l++) {
        hy_layer_info info;
        const hy_run_shape shape = {.sequence_size = trainer->mesh.sequence_size,
                                    .method = trainer->config->parallel.method};
        hy_model_layer_info(trainer->model, &shape, l, &info);
        hy_text_table_cell(table, "%lld", (long long)l);
        hy_text_table_cell(table, "%s", info.mixer);
        hy_text_table_cell(table, "%s", trainer->mesh.sequence_size > 1 ? info.method : "none: one rank");
        hy_text_table_cell(table, "%s", hy_text_bytes((double)stage->layers[l].fwd.sent).s);
        hy_text_table_cell(table, "%s", hy_text_bytes((double)stage->layers[l].bwd.sent).s);
    }
    const hy_status status = hy_text_table_show(table);
    hy_text_table_destroy(table);
    return status;
}

hy_status hy_console_layers(const hy_trainer *trainer, const hy_dry_run *planned, double peak) {
    print_summary(trainer, peak);
    HY_TRY(print_layers(trainer, &planned->stages[trainer->stage->stage.number]));
    hy_print_detail("\n");
    return HY_OK;
}
