/* hylas trace RUN: where the time of a run's steps went, rank by rank and exchange by exchange, and what to change first. */
#include <stdio.h>

#include "base/memory.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/trace/trace_tables.h"
#include "train/trace/chrome_trace.h"

typedef struct trace_job {
    const char *run, *chrome;
    bool all;
    hy_config config;
    hy_run_trace trace;
    hy_match match;
    hy_step_account *accounts;
} trace_job;

enum { EXCHANGES_SHOWN = 20 };

/* The step that took longest. */
static int64_t longest_step(const hy_run_trace *trace) {
    int64_t longest = 0;
    for (int64_t i = 1; i < hy_run_trace_steps(trace); i++) {
        const hy_trace_step *a = &trace->rank[0].file.steps[i], *b = &trace->rank[0].file.steps[longest];
        longest = a->end - a->begin > b->end - b->begin ? i : longest;
    }
    return longest;
}

static void print_head(const trace_job *job) {
    const hy_rank_trace *first = &job->trace.rank[0].file;
    int64_t lost = 0;
    for (int64_t r = 0; r < job->trace.ranks; r++) {
        lost += job->trace.rank[r].file.info.lost;
    }
    printf("trace       %s: %lld ranks (data %lld, sequence %lld), %lld steps, %lld of them whole (trace.steps)\n",
           job->run, (long long)job->trace.ranks, (long long)first->info.data, (long long)first->info.sequence,
           (long long)first->info.steps, (long long)first->n_steps);
    if (first->n_clock > 0) {
        printf("clocks      aligned with rank 0's to %.1f us\n", 1e6 * job->trace.clock_error);
    }
    if (lost > 0) {
        printf("lost        %lld spans: more in a step than there is room for\n", (long long)lost);
    }
    if (first->info.clock == HY_TRACE_HOST_SEES ||
        (first->info.clock == HY_TRACE_LANE && !hy_trace_is_whole(&job->trace))) {
        printf("note        operations have the times at which the host gave them to the device, not those at which "
               "they ran: "
               "what is hidden and exposed cannot be told\n");
    }
    printf("\n");
}

static hy_status analyse_steps(trace_job *job) {
    HY_TRY(HY_NEW("accounts of ranks", job->trace.ranks, &job->accounts));
    for (int64_t i = 0; i < hy_run_trace_steps(&job->trace); i++) {
        hy_step_account_add(&job->trace, &job->match, i, job->accounts);
    }
    return hy_trace_print_ranks(&job->trace, job->accounts);
}

static hy_status print_path_and_advice(trace_job *job) {
    hy_path path;
    hy_advice *advice = NULL;
    const int64_t at = longest_step(&job->trace);
    HY_TRY(hy_path_find(&job->trace, &job->match, at, &path));
    hy_status status = hy_trace_print_path(&job->trace, &path, job->trace.rank[0].file.steps[at].step);
    hy_free(path.parts);
    HY_TRY(status);
    HY_TRY(HY_NEW("advice", HY_ADVICE_MAX, &advice));
    const int n = hy_advise(&job->trace, &job->match, &job->config, job->accounts, advice);
    if (n >= 0) {
        hy_trace_print_advice(advice, n, job->accounts[0].step / (double)hy_run_trace_steps(&job->trace));
    }
    hy_free(advice);
    return n >= 0 ? HY_OK : HY_ERR_MEMORY;
}

static hy_status trace_run(trace_job *job) {
    char path[HY_PATH_MAX];
    const int64_t most = job->all ? 0 : EXCHANGES_SHOWN;
    HY_TRY(hy_run_trace_read(job->run, &job->trace));
    if (snprintf(path, sizeof path, "%s/config.yaml", job->run) >= (int)sizeof path) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", job->run);
    }
    HY_TRY(hy_config_load(path, NULL, 0, &job->config));
    HY_TRY(hy_match_create(&job->trace, &job->match));
    print_head(job);
    if (hy_trace_is_whole(&job->trace)) {
        HY_TRY(analyse_steps(job));
        printf("\n");
        HY_TRY(hy_trace_print_exchanges(&job->trace, most));
        HY_TRY(print_path_and_advice(job));
    } else {
        HY_TRY(hy_trace_print_rank_totals(&job->trace));
        printf("\n");
        HY_TRY(hy_trace_print_exchanges(&job->trace, most));
        printf("\nFor the critical path, who waited for whom and what to change first, name some steps: trace.steps\n");
    }
    if (job->chrome != NULL) {
        HY_TRY(hy_chrome_trace_write(&job->trace, &job->match, job->chrome));
        printf("\nchrome      %s (open it at ui.perfetto.dev)\n", job->chrome);
    }
    return HY_OK;
}

hy_status hy_cmd_trace(int argc, char **argv, hy_comm *world) {
    trace_job *job = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("trace", 1, &job)));
    const hy_option options[] = {
        {"--chrome", HY_OPTION_TEXT, &job->chrome, "FILE",
         "write the steps of trace.steps as JSON that Perfetto opens"},
        {"--all", HY_OPTION_FLAG, &job->all, NULL, "print every exchange of every layer, not only the most exposed"},
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
        job->run = args.positional[0];
        status = hy_comm_agree(world, hy_comm_rank(world) == 0 ? trace_run(job) : HY_OK);
    }
    hy_match_free(&job->match);
    hy_run_trace_free(&job->trace);
    hy_free(job->accounts);
    hy_free(job);
    return status;
}
