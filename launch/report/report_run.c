#include "launch/report/report_run.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "base/text.h"

/* ---- reading ---- */

/* The folder of a run: without slashes at its end, without the name of the file in it. Its length. */
static int folder_length(const char *path) {
    static const char file[] = "metrics.jsonl";
    size_t n = strlen(path);
    if (n >= sizeof file - 1 && strcmp(path + n - (sizeof file - 1), file) == 0) {
        n -= sizeof file - 1;
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    return (int)n;
}

/* What all folders begin with, up to a slash; of one run all but its last name. */
static int shared_prefix(const char *const *paths, int n) {
    const char *first = paths[0];
    int shared = folder_length(first);
    for (int i = 1; i < n; i++) {
        int same = 0;
        while (same < shared && same < folder_length(paths[i]) && paths[i][same] == first[same]) {
            same++;
        }
        shared = same;
    }
    while (shared > 0 && first[shared - 1] != '/') {
        shared--;
    }
    return shared;
}

static hy_status read_run(const char *path, int prefix, hy_report_run *run) {
    char file[HY_PATH_MAX];
    const int n = folder_length(path);
    snprintf(run->label, sizeof run->label, "%.*s", n > prefix ? n - prefix : 1, n > prefix ? path + prefix : ".");
    if (snprintf(file, sizeof file, "%.*s%smetrics.jsonl", n, path, n > 0 ? "/" : "") >= (int)sizeof file) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", path);
    }
    snprintf(run->folder, sizeof run->folder, "%.*s", n > 0 ? n : 1, n > 0 ? path : ".");
    if (!hy_file_exists(file)) {
        return hy_fail(HY_ERR_DATA, "%s: not there; hylas report takes the folders of runs (run.dir)", file);
    }
    HY_TRY(hy_metrics_read(file, &run->history));
    if (run->history.n_steps == 0 && run->history.n_evals == 0) {
        return hy_fail(HY_ERR_DATA, "%s: has no step yet", file);
    }
    if (run->history.n_foreign > 0) {
        hy_warn("%s: %lld lines are neither steps nor validations: left out", file, (long long)run->history.n_foreign);
    }
    return HY_OK;
}

hy_status hy_report_read(const char *const *paths, int n, hy_report_run *runs) {
    const int prefix = shared_prefix(paths, n);
    for (int i = 0; i < n; i++) {
        HY_TRY(read_run(paths[i], prefix, &runs[i]));
    }
    return HY_OK;
}

/* ---- figures ---- */

typedef struct run_figures {
    double loss, seconds, rate, exposed, mfu; /* means: loss over the last steps, the others over all seconds */
} run_figures;

enum { LAST = 10 };

static run_figures figures_of(const hy_metrics_history *h) {
    run_figures f = {.loss = 0.0};
    double timed = 0.0, exposure_timed = 0.0;
    int64_t n = 0;
    for (int64_t i = 0; i < h->n_steps; i++) {
        const hy_step_record *r = &h->steps[i];
        if (isfinite(r->seconds) && r->seconds > 0.0 && isfinite(r->tokens_per_second)) {
            timed += r->seconds;
            f.rate += r->seconds * r->tokens_per_second;
            f.exposed += isfinite(r->exposed) ? r->seconds * r->exposed : 0.0;
            exposure_timed += isfinite(r->exposed) ? r->seconds : 0.0;
            f.mfu += isfinite(r->mfu) ? r->seconds * r->mfu : 0.0;
        }
    }
    for (int64_t i = h->n_steps - 1; i >= 0 && i >= h->n_steps - LAST; i--) {
        if (isfinite(h->steps[i].loss)) {
            f.loss += h->steps[i].loss;
            n++;
        }
    }
    const double per_second = timed > 0.0 ? 1.0 / timed : (double)NAN;
    return (run_figures){n > 0 ? f.loss / (double)n : (double)NAN, timed, f.rate * per_second,
                         f.exposed / exposure_timed, f.mfu * per_second};
}

/* A dash: the run has no such figure. */
static void add_figure(hy_text_table *table, double value, hy_text text) {
    hy_text_table_cell(table, "%s", isfinite(value) ? text.s : "-");
}

static hy_text percent(double share) {
    hy_text text;
    (void)snprintf(text.s, sizeof text.s, "%.1f%%", 100.0 * share);
    return text;
}

static hy_text loss_text(double loss) {
    hy_text text;
    (void)snprintf(text.s, sizeof text.s, "%.4f", loss);
    return text;
}

hy_status hy_report_print_runs(const hy_report_run *runs, int n, FILE *out) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(
        8, (const char *const[]){"run", "step", "tokens", "loss", "time", "tok/s", "exposed", "mfu"}, &table));
    for (int i = 0; i < n; i++) {
        const hy_metrics_history *h = &runs[i].history;
        const run_figures f = figures_of(h);
        const hy_step_record *last = h->n_steps > 0 ? &h->steps[h->n_steps - 1] : NULL;
        hy_text_table_cell(table, "%s", runs[i].label);
        hy_text_table_cell(table, "%lld", last != NULL ? (long long)last->step : 0LL);
        hy_text_table_cell(table, "%s", hy_text_count(last != NULL ? last->tokens : 0.0).s);
        add_figure(table, f.loss, loss_text(f.loss));
        add_figure(table, f.seconds > 0.0 ? f.seconds : (double)NAN, hy_text_duration(f.seconds));
        add_figure(table, f.rate, hy_text_count(f.rate));
        add_figure(table, f.exposed, percent(f.exposed));
        add_figure(table, f.mfu, percent(f.mfu));
    }
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    return status;
}

static void add_store(hy_text_table *table, const hy_report_run *run, int store) {
    const hy_metrics_history *h = &run->history;
    const hy_eval_record *last = NULL, *best = NULL;
    for (int64_t i = 0; i < h->n_evals; i++) {
        if (h->evals[i].store == store) {
            last = &h->evals[i];
            best = best == NULL || last->loss < best->loss ? last : best;
        }
    }
    if (last != NULL) {
        hy_text_table_cell(table, "%s", run->label);
        hy_text_table_cell(table, "%s", h->stores[store]);
        hy_text_table_cell(table, "%lld", (long long)last->step);
        hy_text_table_cell(table, "%.4f", last->loss);
        hy_text_table_cell(table, "%.4f", best->loss);
        hy_text_table_cell(table, "%lld", (long long)best->step);
    }
}

hy_status hy_report_print_validations(const hy_report_run *runs, int n, FILE *out) {
    hy_text_table *table = NULL;
    int64_t n_evals = 0;
    for (int i = 0; i < n; i++) {
        n_evals += runs[i].history.n_evals;
    }
    if (n_evals == 0) {
        return HY_OK;
    }
    HY_TRY(hy_text_table_create(6, (const char *const[]){"run", "validation", "step", "loss", "least", "at step"},
                                &table));
    for (int i = 0; i < n; i++) {
        for (int store = 0; store < runs[i].history.n_stores; store++) {
            add_store(table, &runs[i], store);
        }
    }
    fputc('\n', out);
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    return status;
}
