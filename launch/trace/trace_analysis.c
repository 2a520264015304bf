#include "launch/trace/trace_analysis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "launch/trace/trace_tables.h"

/* ---- layers ---- */

static hy_layer_flight *layer_of(hy_trace_analysis *a, int block) {
    int i = 0;
    while (i < a->n_layers && a->layers[i].block != block) {
        i++;
    }
    if (i == HY_TOTALS_MAX) {
        return NULL;
    }
    if (i == a->n_layers) {
        a->layers[a->n_layers++] = (hy_layer_flight){.block = block};
    }
    return &a->layers[i];
}

static hy_status add_flights(hy_trace_analysis *a, const hy_total *rows, int64_t n, double per_step) {
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].kind == HY_SPAN_EXCHANGE) {
            hy_layer_flight *layer = layer_of(a, rows[i].block);
            if (layer == NULL) {
                return hy_fail(HY_ERR_DATA, "the trace has exchanges of more than %d layers", HY_TOTALS_MAX);
            }
            layer->hidden += per_step * rows[i].hidden;
            layer->exposed += per_step * (rows[i].total - rows[i].hidden);
        }
    }
    return HY_OK;
}

/* A rank's spans as if all exchanges of a layer were one: their union is then that of hy_totals. */
static hy_status add_unions(hy_trace_analysis *a, int64_t rank, double per_step) {
    const hy_traced_rank *r = &a->trace.rank[rank];
    hy_totals *totals = NULL;
    int64_t n = 0;
    HY_TRY(hy_totals_create(&totals));
    for (int64_t i = 0; i < r->file.n_spans; i++) {
        hy_span s = r->file.spans[i];
        if (s.kind == HY_SPAN_EXCHANGE && s.place.step >= r->file.steps[0].step) {
            s.name = "all";
            s.exchange = s.size = 0;
            hy_totals_add(totals, &s, 1, &r->busy);
        }
    }
    hy_totals_settle(totals, &r->busy);
    const hy_total *rows = hy_totals_rows(totals, &n);
    const hy_status status = add_flights(a, rows, n, per_step);
    hy_totals_destroy(totals);
    return status;
}

static int by_block(const void *x, const void *y) {
    return ((const hy_layer_flight *)x)->block - ((const hy_layer_flight *)y)->block;
}

static hy_status find_layers(hy_trace_analysis *a) {
    const bool whole = hy_trace_is_whole(&a->trace);
    const double per_step = hy_trace_per_step(&a->trace);
    HY_TRY(HY_NEW("layers of a trace", HY_TOTALS_MAX, &a->layers));
    for (int64_t r = 0; r < a->trace.ranks; r++) {
        const hy_rank_trace *file = &a->trace.rank[r].file;
        if (whole) {
            HY_TRY(add_unions(a, r, per_step));
        } else {
            HY_TRY(add_flights(a, file->totals, file->n_totals, per_step));
        }
    }
    qsort(a->layers, (size_t)a->n_layers, sizeof *a->layers, by_block);
    return HY_OK;
}

/* ---- whole steps ---- */

static int64_t longest_step(const hy_run_trace *trace) {
    int64_t longest = 0;
    for (int64_t i = 1; i < hy_run_trace_steps(trace); i++) {
        const hy_trace_step *a = &trace->rank[0].file.steps[i], *b = &trace->rank[0].file.steps[longest];
        longest = a->end - a->begin > b->end - b->begin ? i : longest;
    }
    return longest;
}

static hy_status analyse_steps(hy_trace_analysis *a) {
    HY_TRY(HY_NEW("accounts of ranks", a->trace.ranks, &a->accounts));
    for (int64_t i = 0; i < hy_run_trace_steps(&a->trace); i++) {
        hy_step_account_add(&a->trace, &a->match, i, a->accounts);
    }
    a->longest = longest_step(&a->trace);
    HY_TRY(hy_path_find(&a->trace, &a->match, a->longest, &a->path));
    HY_TRY(HY_NEW("advice", HY_ADVICE_MAX, &a->advice));
    a->n_advice = hy_advise(&a->trace, &a->match, &a->config, a->accounts, a->advice);
    return a->n_advice >= 0 ? HY_OK : HY_ERR_MEMORY;
}

hy_step_account hy_trace_mean_step(const hy_trace_analysis *a) {
    const double n = (double)(a->trace.ranks * hy_run_trace_steps(&a->trace));
    hy_step_account mean = {0};
    for (int64_t r = 0; r < a->trace.ranks; r++) {
        const hy_step_account *one = &a->accounts[r];
        mean.step += one->step / n;
        mean.compute += one->compute / n;
        mean.waiting += one->waiting / n;
        mean.moving += one->moving / n;
        mean.host += one->host / n;
        mean.uncovered += one->uncovered / n;
        mean.in_flight += one->in_flight / n;
        mean.hidden += one->hidden / n;
        mean.late += one->late / n;
        mean.blamed += one->blamed / n;
    }
    return mean;
}

/* ---- */

static hy_status analyse(const char *run, hy_trace_analysis *a) {
    char path[HY_PATH_MAX];
    HY_TRY(hy_run_trace_read(run, &a->trace));
    if (snprintf(path, sizeof path, "%s/config.yaml", run) >= (int)sizeof path) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", run);
    }
    HY_TRY(hy_config_load(path, NULL, 0, &a->config));
    HY_TRY(hy_match_create(&a->trace, &a->match));
    HY_TRY(find_layers(a));
    return hy_trace_is_whole(&a->trace) ? analyse_steps(a) : HY_OK;
}

hy_status hy_trace_analyse(const char *run, hy_trace_analysis **out) {
    hy_trace_analysis *analysis = NULL;
    HY_TRY(HY_NEW("analysis of a trace", 1, &analysis));
    analysis->run = run;
    const hy_status status = analyse(run, analysis);
    if (status != HY_OK) {
        hy_trace_analysis_destroy(analysis);
        return status;
    }
    *out = analysis;
    return HY_OK;
}

void hy_trace_analysis_destroy(hy_trace_analysis *analysis) {
    if (analysis != NULL) {
        hy_match_free(&analysis->match);
        hy_run_trace_free(&analysis->trace);
        hy_free(analysis->accounts);
        hy_free(analysis->layers);
        hy_free(analysis->path.parts);
        hy_free(analysis->advice);
        hy_free(analysis);
    }
}
