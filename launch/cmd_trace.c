/* hylas trace RUN: where the time of a run's steps went, rank by rank and exchange by exchange, and what to change first; as tables, as pictures
 * and beside another run. */
#include <stdio.h>

#include "launch/commands.h"
#include "launch/options.h"
#include "launch/trace/trace_pictures.h"
#include "launch/trace/trace_tables.h"
#include "train/trace/chrome_trace.h"

typedef struct trace_job {
    const char *run, *chrome, *against;
    bool all, plot;
    hy_trace_analysis *found, *before; /* before: of `against`, or NULL */
} trace_job;

enum { EXCHANGES_SHOWN = 20 };

static void print_head(const hy_trace_analysis *a) {
    const hy_rank_trace *first = &a->trace.rank[0].file;
    int64_t lost = 0;
    for (int64_t r = 0; r < a->trace.ranks; r++) {
        lost += a->trace.rank[r].file.info.lost;
    }
    printf("trace       %s: %lld ranks (data %lld, sequence %lld), %lld steps, %lld of them whole (trace.steps)\n",
           a->run, (long long)a->trace.ranks, (long long)first->info.data, (long long)first->info.sequence,
           (long long)first->info.steps, (long long)first->n_steps);
    if (first->n_clock > 0) {
        printf("clocks      aligned with rank 0's to %.1f us\n", 1e6 * a->trace.clock_error);
    }
    if (lost > 0) {
        printf("lost        %lld spans: more in a step than there is room for\n", (long long)lost);
    }
    if (hy_trace_host_sees(&a->trace)) {
        printf("note        %s\n", hy_trace_host_sees_note);
    }
    printf("\n");
}

static hy_status print_tables(const hy_trace_analysis *a, int64_t most) {
    if (!hy_trace_is_whole(&a->trace)) {
        HY_TRY(hy_trace_print_rank_totals(&a->trace, stdout));
        printf("\n");
        HY_TRY(hy_trace_print_exchanges(&a->trace, most, stdout));
        printf("\nFor the critical path, who waited for whom and what to change first, name some steps: trace.steps\n");
        return HY_OK;
    }
    HY_TRY(hy_trace_print_ranks(&a->trace, a->accounts, stdout));
    printf("\n");
    HY_TRY(hy_trace_print_exchanges(&a->trace, most, stdout));
    HY_TRY(hy_trace_print_path(&a->trace, &a->path, a->trace.rank[0].file.steps[a->longest].step));
    hy_trace_print_advice(a->advice, a->n_advice, a->accounts[0].step / (double)hy_run_trace_steps(&a->trace));
    return HY_OK;
}

/* RUN/trace/<name>.svg */
static hy_status write_picture(const trace_job *job, const char *name, hy_svg_draw *draw, const void *context) {
    char path[HY_PATH_MAX];
    if (snprintf(path, sizeof path, "%s/trace/%s.svg", job->run, name) >= (int)sizeof path) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", job->run);
    }
    HY_TRY(hy_svg_write(path, draw, context));
    printf("picture     %s\n", path);
    return HY_OK;
}

static hy_status write_pictures(const trace_job *job) {
    const hy_trace_pair pair = {job->before, job->found};
    printf("\n");
    HY_TRY(write_picture(job, "layers", hy_trace_draw_layers, job->found));
    if (hy_trace_is_whole(&job->found->trace)) {
        HY_TRY(write_picture(job, "timeline", hy_trace_draw_timeline, job->found));
    }
    return job->before != NULL ? write_picture(job, "against", hy_trace_draw_pair, &pair) : HY_OK;
}

static hy_status trace_run(trace_job *job) {
    HY_TRY(hy_trace_analyse(job->run, &job->found));
    HY_TRY(job->against != NULL ? hy_trace_analyse(job->against, &job->before) : HY_OK);
    print_head(job->found);
    HY_TRY(print_tables(job->found, job->all ? 0 : EXCHANGES_SHOWN));
    if (job->before != NULL) {
        HY_TRY(hy_trace_print_pair(&(hy_trace_pair){job->before, job->found}));
    }
    if (job->plot) {
        HY_TRY(write_pictures(job));
    }
    if (job->chrome != NULL) {
        HY_TRY(hy_chrome_trace_write(&job->found->trace, &job->found->match, job->chrome));
        printf("\nchrome      %s (open it at ui.perfetto.dev)\n", job->chrome);
    }
    return HY_OK;
}

hy_status hy_cmd_trace(int argc, char **argv, hy_comm *world) {
    trace_job job = {.run = NULL};
    const hy_option options[] = {
        {"--chrome", HY_OPTION_TEXT, &job.chrome, "FILE", "write the steps of trace.steps as JSON that Perfetto opens"},
        {"--all", HY_OPTION_FLAG, &job.all, NULL, "print every exchange of every layer, not only the most exposed"},
        {"--plot", HY_OPTION_FLAG, &job.plot, NULL,
         "draw what is exposed by layer and the longest step on all ranks: RUN/trace/*.svg"},
        {"--against", HY_OPTION_TEXT, &job.against, "OTHER",
         "compare with another run, the one before a change, in a table and with --plot in a picture"},
    };
    const hy_usage usage = {"hylas trace RUN [options]",
                            "Where the time of a run's steps went: rank by rank what was computed and waited for, "
                            "exchange by exchange and layer\n"
                            "by layer what was hidden behind computing and what was exposed, the critical path of the "
                            "longest step over all\n"
                            "ranks, and what to change first. RUN is the run's folder. Times in flight are unions of "
                            "intervals, per rank and\n"
                            "step. What trace.steps names is told in full, a run without it from totals of all steps.",
                            options,
                            (int)(sizeof options / sizeof options[0]),
                            1,
                            1};
    hy_args args;
    hy_status status = hy_options_parse(&usage, argc, argv, world, &args);
    if (status == HY_OK && !args.help) {
        job.run = args.positional[0];
        status = hy_comm_agree(world, hy_comm_rank(world) == 0 ? trace_run(&job) : HY_OK);
    }
    hy_trace_analysis_destroy(job.found);
    hy_trace_analysis_destroy(job.before);
    return status;
}
