#include "train/run/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "train/run/tensorboard.h"

struct hy_metrics {
    FILE *file;
    off_t end;             /* bytes of whole lines */
    hy_tensorboard *board; /* NULL: none */
};

/* Whether a line (without its newline) is one of ours with a step up to `last_step`. */
static int is_kept(const char *line, size_t n, int64_t last_step) {
    static const char head[] = "{\"step\":";
    const size_t skip = sizeof head - 1;
    if (n <= skip || memcmp(line, head, skip) != 0 || line[n - 1] != '}') {
        return 0;
    }
    return strtoll(line + skip, NULL, 10) <= last_step;
}

/* Rewrites the file with the lines that stay. */
static hy_status cut_file(const char *path, int64_t last_step) {
    const size_t size_max = (size_t)1 << 31;
    char *text = NULL;
    size_t length = 0, kept = 0;
    HY_TRY(hy_file_read(path, size_max, HY_ERR_ENV, &text, &length));
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        if (end == NULL) {
            break;
        }
        const size_t n = (size_t)(end - text) - at;
        if (is_kept(text + at, n, last_step)) {
            memmove(text + kept, text + at, n + 1);
            kept += n + 1;
        }
        at += n + 1;
    }
    const hy_status status = kept == length ? HY_OK : hy_file_write_atomic(path, text, kept, HY_ERR_ENV);
    hy_free(text);
    return status;
}

hy_status hy_metrics_open(const char *path, int64_t last_step, hy_metrics **out) {
    hy_metrics *metrics = NULL;
    if (hy_file_exists(path)) {
        HY_TRY(cut_file(path, last_step));
    }
    HY_TRY(HY_NEW("metrics", 1, &metrics));
    metrics->file = fopen(path, "ae");
    if (metrics->file == NULL) {
        hy_free(metrics);
        return hy_fail(HY_ERR_ENV, "%s: cannot be opened: %s", path, strerror(errno));
    }
    fseeko(metrics->file, 0, SEEK_END);
    metrics->end = ftello(metrics->file);
    *out = metrics;
    return HY_OK;
}

hy_status hy_metrics_add_tensorboard(hy_metrics *metrics, const char *dir, int64_t last_step) {
    return hy_tensorboard_open(dir, last_step, &metrics->board);
}

static hy_status add_scalars(hy_metrics *metrics, int64_t step, const hy_scalar *scalars, int n) {
    return metrics->board != NULL ? hy_tensorboard_add(metrics->board, step, scalars, n) : HY_OK;
}

/* Ends the line. What a full disk has taken of it is cut off again, so that the next line stands alone. */
static hy_status end_line(hy_metrics *metrics, hy_json *j) {
    hy_json_close(j);
    const hy_status status = hy_json_end(j, HY_ERR_ENV);
    if (status == HY_OK) {
        metrics->end = ftello(metrics->file);
        return HY_OK;
    }
    __fpurge(metrics->file);
    clearerr(metrics->file);
    (void)!ftruncate(fileno(metrics->file), metrics->end);
    fseeko(metrics->file, metrics->end, SEEK_SET);
    return status;
}

void hy_metrics_close(hy_metrics *metrics) {
    if (metrics != NULL) {
        fclose(metrics->file);
        hy_tensorboard_close(metrics->board);
        hy_free(metrics);
    }
}

hy_status hy_metrics_step(hy_metrics *metrics, int64_t step, const hy_step_result *result, const hy_step_rates *rates) {
    hy_json j;
    hy_json_begin(&j, metrics->file);
    hy_json_open_object(&j, NULL);
    hy_json_int(&j, "step", step);
    hy_json_double(&j, "loss", result->loss);
    hy_json_double(&j, "grad_norm", result->grad_norm);
    hy_json_double(&j, "lr", result->lr);
    hy_json_int(&j, "targets", result->valid);
    hy_json_int(&j, "tokens", result->tokens_so_far);
    hy_json_double(&j, "seconds", rates->seconds);
    hy_json_double(&j, "tokens_per_second", rates->tokens_per_second);
    hy_json_double(&j, "mfu", rates->mfu);
    hy_json_double(&j, "exposed", rates->exposed);
    hy_json_double(&j, "moving", rates->moving);
    hy_json_int(&j, "memory", rates->resident);
    hy_json_bool(&j, "skipped", result->skipped != HY_STEP_TAKEN);
    HY_TRY(end_line(metrics, &j));
    const hy_scalar scalars[] = {{"loss", result->loss}, {"grad_norm", result->grad_norm},
                                 {"lr", result->lr},     {"tokens_per_second", rates->tokens_per_second},
                                 {"mfu", rates->mfu},    {"exposed", rates->exposed}};
    const int n = (int)(sizeof scalars / sizeof scalars[0]);
    return add_scalars(metrics, step, scalars, isnan(rates->exposed) ? n - 1 : n); /* it is the last */
}

hy_status hy_metrics_eval(hy_metrics *metrics, int64_t step, const hy_eval_result *result) {
    hy_json j;
    hy_json_begin(&j, metrics->file);
    hy_json_open_object(&j, NULL);
    hy_json_int(&j, "step", step);
    hy_json_string(&j, "store", result->store);
    hy_json_double(&j, "eval_loss", result->loss);
    hy_json_int(&j, "eval_targets", result->valid);
    if (result->answers >= 0) {
        hy_json_int(&j, "answers", result->answers);
        hy_json_double(&j, "answer_accuracy", hy_eval_accuracy(result));
        hy_json_double(&j, "answer_loss", result->answer_loss);
    }
    HY_TRY(end_line(metrics, &j));
    char loss[HY_TAG_MAX] = "validation", accuracy[HY_TAG_MAX] = "answer_accuracy";
    if (result->stores > 1) {
        snprintf(loss, sizeof loss, "validation/%s", result->store);
        snprintf(accuracy, sizeof accuracy, "answer_accuracy/%s", result->store);
    }
    const hy_scalar scalars[] = {{loss, result->loss}, {accuracy, hy_eval_accuracy(result)}};
    return add_scalars(metrics, step, scalars, result->answers >= 0 ? 2 : 1);
}
