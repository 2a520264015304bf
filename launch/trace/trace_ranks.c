/* Ranks beside each other: their steps, from whole spans or from the totals. */
#include "base/table.h"
#include "launch/trace/trace_tables.h"

const char hy_trace_host_sees_note[] =
    "operations have the times at which the host gave them to the device, not those at "
    "which they ran: what is hidden and exposed cannot be told";

bool hy_trace_host_sees(const hy_run_trace *trace) {
    return trace->rank[0].file.info.clock == HY_TRACE_LANE && !hy_trace_is_whole(trace);
}

hy_status hy_trace_print_ranks(const hy_run_trace *trace, const hy_step_account *accounts, FILE *out) {
    hy_text_table *table = NULL;
    const double ms = 1e3 / (double)hy_run_trace_steps(trace);
    const bool lanes =
        trace->rank[0].file.info.clock == HY_TRACE_LANE; /* where nothing is going on that is no fault of the trace */
    double worst = 0.0;
    HY_TRY(hy_text_table_create(11,
                                (const char *const[]){"rank", "step ms", "compute", "wait: ranks", "wait: transfer",
                                                      "moving", "host", lanes ? "idle" : "uncovered", "in flight",
                                                      "hidden", "kept others waiting"},
                                &table));
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_step_account *a = &accounts[r];
        const double share = a->step > 0.0 ? a->uncovered / a->step : 0.0;
        worst = share > worst ? share : worst;
        hy_text_table_cell(table, "%lld", (long long)r);
        hy_text_table_cell(table, "%.3f", ms * a->step);
        hy_text_table_cell(table, "%.3f", ms * a->compute);
        hy_text_table_cell(table, "%.3f", ms * a->late);
        hy_text_table_cell(table, "%.3f", ms * (a->waiting - a->late));
        hy_text_table_cell(table, "%.3f", ms * a->moving);
        hy_text_table_cell(table, "%.3f", ms * a->host);
        hy_text_table_cell(table, "%.2f%%", 100.0 * share);
        hy_text_table_cell(table, "%.3f", ms * a->in_flight);
        hy_text_table_cell(table, "%.3f", ms * a->hidden);
        hy_text_table_cell(table, "%.3f", ms * a->blamed);
    }
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    if (worst > 0.01 && !lanes) {
        fprintf(out,
                "\nnote: computing, waiting and the host's work cover all but %.1f%% of a rank's steps; more than 1%% "
                "should not be "
                "missing\n",
                100.0 * worst);
    }
    return status;
}

hy_status hy_trace_print_rank_totals(const hy_run_trace *trace, FILE *out) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(5, (const char *const[]){"rank", "compute ms", "waiting", "exposed at most", "host"},
                                &table));
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_rank_trace *file = &trace->rank[r].file;
        const double ms = file->info.steps > 0 ? 1e3 / (double)file->info.steps : 0.0;
        double compute = 0.0, waited = 0.0, exposed = 0.0, host = 0.0;
        for (int64_t i = 0; i < file->n_totals; i++) {
            const hy_total *t = &file->totals[i];
            compute += t->kind == HY_SPAN_WORK ? t->total : 0.0;
            host += t->kind == HY_SPAN_HOST ? t->total : 0.0;
            waited += t->waited;
            exposed += t->kind == HY_SPAN_EXCHANGE ? t->total - t->hidden : 0.0;
        }
        hy_text_table_cell(table, "%lld", (long long)r);
        hy_text_table_cell(table, "%.3f", ms * compute);
        hy_text_table_cell(table, "%.3f", ms * waited);
        hy_text_table_cell(table, "%.3f", ms * exposed);
        hy_text_table_cell(table, "%.3f", ms * host);
    }
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    return status;
}
