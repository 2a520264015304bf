/* hylas report RUN...: what runs have logged, as a picture or a page and in a few figures. Needs only metrics.jsonl, also of a run that is going
 * on; the page shows what else there is. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/report/report_page.h"

typedef struct report_job {
    const char *const *paths; /* run folders, or metrics.jsonl itself */
    int n;
    hy_report_axis axis;
    bool html;
    const char *out; /* NULL: report.svg or report.html in the first run's folder */
    hy_report_run *runs;
    hy_report_curves *curves;
} report_job;

static hy_status report_runs(report_job *job) {
    char out[HY_PATH_MAX];
    HY_TRY(HY_NEW("runs of a report", job->n, &job->runs));
    HY_TRY(hy_report_read(job->paths, job->n, job->runs));
    HY_TRY(hy_report_print_runs(job->runs, job->n, stdout));
    HY_TRY(hy_report_print_validations(job->runs, job->n, stdout));
    fflush(stdout);
    const int n = job->out != NULL
                      ? snprintf(out, sizeof out, "%s", job->out)
                      : snprintf(out, sizeof out, "%s/report.%s", job->runs[0].folder, job->html ? "html" : "svg");
    if (n >= (int)sizeof out) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", out);
    }
    HY_TRY(hy_report_curves_create(job->runs, job->n, job->axis, &job->curves));
    HY_TRY(job->html ? hy_report_page_write(job->curves, out) : hy_svg_write(out, hy_report_draw_curves, job->curves));
    printf("\n%s %s\n", job->html ? "page      " : "picture   ", out);
    return HY_OK;
}

static hy_status parse_axis(const char *text, hy_report_axis *axis) {
    static const char *const names[] = {"step", "tokens", "hours"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *axis = (hy_report_axis)i;
            return HY_OK;
        }
    }
    return hy_fail(HY_ERR_USAGE, "--x %s: step, tokens or hours; nearest: %s", text,
                   names[hy_text_nearest(text, names, 3)]);
}

hy_status hy_cmd_report(int argc, char **argv, hy_comm *world) {
    const char *axis = "step";
    report_job job = {.n = 0};
    const hy_option options[] = {
        {"--html", HY_OPTION_FLAG, &job.html, NULL,
         "write a page: the curves, where the time went (hylas trace), mesh and configuration; one file, no network"},
        {"--out", HY_OPTION_TEXT, &job.out, "FILE",
         "the picture or the page (default: report.svg or report.html in the first RUN)"},
        {"--x", HY_OPTION_TEXT, &axis, "AXIS", "what curves are drawn over: step, tokens or hours (default: step)"},
    };
    const hy_usage usage = {
        "hylas report RUN... [options]",
        "Draws what runs have logged (metrics.jsonl in their folders), one over the other: loss, validation by store,\n"
        "learning rate, gradient norm, tokens per second and exposed exchange time, as SVG or as a page. Prints a "
        "table:\n"
        "the loss is the mean of the last 10 steps, the times are means over all steps. A run may be going on.",
        options,
        (int)(sizeof options / sizeof options[0]),
        1,
        -1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    job.paths = args.positional;
    job.n = args.n;
    hy_status status = HY_OK;
    if (hy_comm_rank(world) == 0) {
        status = parse_axis(axis, &job.axis);
        status = status == HY_OK ? report_runs(&job) : status;
        hy_report_curves_destroy(job.curves);
        for (int i = 0; i < job.n && job.runs != NULL; i++) {
            hy_metrics_history_free(&job.runs[i].history);
        }
        hy_free(job.runs);
    }
    return hy_comm_agree(world, status);
}
