#include "train/run/metrics_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"

static double number_of(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* The index of `name`; of too many names the last. */
static int store_of(hy_metrics_history *history, const char *name) {
    for (int i = 0; i < history->n_stores; i++) {
        if (strncmp(history->stores[i], name, sizeof history->stores[i] - 1) == 0) {
            return i;
        }
    }
    if (history->n_stores == HY_HISTORY_STORES) {
        return HY_HISTORY_STORES - 1;
    }
    snprintf(history->stores[history->n_stores], sizeof history->stores[0], "%s", name);
    return history->n_stores++;
}

static void take_step_line(hy_metrics_history *history, int64_t step, const json_t *line) {
    while (history->n_steps > 0 && history->steps[history->n_steps - 1].step >= step) {
        history->n_steps--;
    }
    while (history->n_evals > 0 && history->evals[history->n_evals - 1].step >= step) {
        history->n_evals--;
    }
    history->steps[history->n_steps++] = (hy_step_record){.step = step,
                                                          .tokens = number_of(line, "tokens"),
                                                          .loss = number_of(line, "loss"),
                                                          .grad_norm = number_of(line, "grad_norm"),
                                                          .lr = number_of(line, "lr"),
                                                          .seconds = number_of(line, "seconds"),
                                                          .tokens_per_second = number_of(line, "tokens_per_second"),
                                                          .mfu = number_of(line, "mfu"),
                                                          .exposed = number_of(line, "exposed")};
}

static void take_eval(hy_metrics_history *history, int64_t step, const json_t *line) {
    const char *name = json_string_value(json_object_get(line, "store"));
    const hy_eval_record record = {step, store_of(history, name != NULL ? name : ""), number_of(line, "eval_loss")};
    while (history->n_evals > 0 && history->evals[history->n_evals - 1].step > step) {
        history->n_evals--;
    }
    for (int64_t i = history->n_evals - 1; i >= 0 && history->evals[i].step == step; i--) {
        if (history->evals[i].store == record.store) {
            history->evals[i] = record;
            return;
        }
    }
    history->evals[history->n_evals++] = record;
}

static void take_line(hy_metrics_history *history, const char *text, size_t n) {
    json_t *line = json_loadb(text, n, 0, NULL);
    const json_t *step = json_object_get(line, "step");
    if (json_is_integer(step) && json_object_get(line, "eval_loss") != NULL) {
        take_eval(history, (int64_t)json_integer_value(step), line);
    } else if (json_is_integer(step) && json_object_get(line, "loss") != NULL) {
        take_step_line(history, (int64_t)json_integer_value(step), line);
    } else {
        history->n_foreign++;
    }
    json_decref(line);
}

static int64_t count_lines(const char *text, size_t length) {
    int64_t n = 0;
    for (size_t i = 0; i < length; i++) {
        n += text[i] == '\n';
    }
    return n;
}

static hy_status take_text(hy_metrics_history *history, const char *text, size_t length) {
    const int64_t n = count_lines(text, length);
    HY_TRY(HY_NEW("steps of metrics", n, &history->steps));
    HY_TRY(HY_NEW("validations of metrics", n, &history->evals));
    const char *end = NULL;
    for (const char *at = text; (end = memchr(at, '\n', length - (size_t)(at - text))) != NULL; at = end + 1) {
        if (end > at) {
            take_line(history, at, (size_t)(end - at));
        }
    }
    return HY_OK;
}

hy_status hy_metrics_read(const char *path, hy_metrics_history *out) {
    const size_t size_max = (size_t)1 << 31;
    char *text = NULL;
    size_t length = 0;
    hy_metrics_history history = {.n_steps = 0};
    HY_TRY(hy_file_read(path, size_max, HY_ERR_DATA, &text, &length));
    const hy_status status = take_text(&history, text, length);
    hy_free(text);
    if (status != HY_OK) {
        hy_metrics_history_free(&history);
        return status;
    }
    *out = history;
    return HY_OK;
}

void hy_metrics_history_free(hy_metrics_history *history) {
    hy_free(history->steps);
    hy_free(history->evals);
    history->steps = NULL;
    history->evals = NULL;
}
