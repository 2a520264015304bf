#include "launch/report/report_page.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "launch/report/report_mesh.h"
#include "launch/trace/trace_pictures.h"
#include "launch/trace/trace_tables.h"

enum { CONFIG_MAX = 16 << 20, EXCHANGES_SHOWN = 20 };

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:1.5em;max-width:1040px;color:#222;background:#fff}\n"
    "h1{font-size:1.6em;margin:.2em 0}h2{margin:2em 0 .3em;border-bottom:1px solid #ccc}h3{margin:1.4em 0 .3em}\n"
    "svg{display:block;width:100%;height:auto}pre{overflow-x:auto;padding:.8em;background:#f4f4f4;font-size:12px;"
    "line-height:1.35}\n"
    "p.why{color:#595959;font-style:italic}table{border-collapse:collapse;font-size:14px}"
    "td,th{padding:.15em 1.2em .15em 0;text-align:left;vertical-align:top}th{font-weight:600}\n"
    "li{margin:.3em 0}summary{cursor:pointer}\n"
    "@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181c}pre{background:#22252a}"
    "p.why{color:#b0b0b0}h2{border-color:#444}}\n";

/* ---- pieces ---- */

static void put_element(FILE *out, const char *element, const char *text) {
    fprintf(out, "<%s>", element);
    hy_svg_put_escaped(out, text);
    fprintf(out, "</%s>\n", element);
}

static void put_why(FILE *out, const char *text) {
    fputs("<p class=\"why\">", out);
    hy_svg_put_escaped(out, text);
    fputs("</p>\n", out);
}

static void put_fact(FILE *out, const char *name, const char *value) {
    if (value != NULL && value[0] != '\0') {
        fputs("<tr><th>", out);
        hy_svg_put_escaped(out, name);
        fputs("</th><td>", out);
        hy_svg_put_escaped(out, value);
        fputs("</td></tr>\n", out);
    }
}

/* What `print` writes, as it is. */
typedef hy_status print_text(const void *context, FILE *out);

static hy_status put_printed(FILE *out, print_text *print, const void *context) {
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (memory == NULL) {
        return hy_fail(HY_ERR_MEMORY, "no memory for a table");
    }
    const hy_status status = print(context, memory);
    (void)fclose(memory);
    if (status == HY_OK && text != NULL) {
        put_element(out, "pre", text);
    }
    free(text);
    return status;
}

static hy_status print_figures(const void *context, FILE *out) {
    const hy_report_curves *c = context;
    HY_TRY(hy_report_print_runs(c->runs, c->n, out));
    return hy_report_print_validations(c->runs, c->n, out);
}

static hy_status print_ranks(const void *context, FILE *out) {
    const hy_trace_analysis *a = context;
    return hy_trace_is_whole(&a->trace) ? hy_trace_print_ranks(&a->trace, a->accounts, out)
                                        : hy_trace_print_rank_totals(&a->trace, out);
}

static hy_status print_exchanges(const void *context, FILE *out) {
    const hy_trace_analysis *a = context;
    return hy_trace_print_exchanges(&a->trace, EXCHANGES_SHOWN, out);
}

/* ---- where the time goes ---- */

static void put_advice(FILE *out, const hy_trace_analysis *a) {
    const double step = a->accounts[0].step / (double)hy_run_trace_steps(&a->trace);
    put_element(out, "h3", "What to change first");
    if (a->n_advice == 0) {
        put_why(out, "Nothing stands out.");
        return;
    }
    fputs("<ol>\n", out);
    for (int i = 0; i < a->n_advice; i++) {
        char text[640];
        (void)snprintf(text, sizeof text, "%s: at most %.3f ms of %.3f (%.0f%%)", a->advice[i].text,
                       1e3 * a->advice[i].gain, 1e3 * step, 100.0 * a->advice[i].gain / step);
        put_element(out, "li", text);
    }
    fputs("</ol>\n", out);
}

static hy_status put_analysis(FILE *out, const hy_trace_analysis *a) {
    if (hy_trace_host_sees(&a->trace)) {
        put_why(out, hy_trace_host_sees_note);
    }
    put_element(out, "h3", "Exposed time by layer");
    if (a->n_layers > 0) {
        hy_trace_draw_layers(a, out, false);
    } else {
        put_why(out, "No exchanges: a rank alone.");
    }
    if (hy_trace_is_whole(&a->trace)) {
        put_element(out, "h3", "The longest step that was kept, on all ranks");
        hy_trace_draw_timeline(a, out, false);
        put_advice(out, a);
    } else {
        put_why(out, "No timeline, critical path and advice: no step was kept whole (trace.steps).");
    }
    fputs("<details><summary>ranks and exchanges as tables</summary>\n", out);
    HY_TRY(put_printed(out, print_ranks, a));
    HY_TRY(a->n_layers > 0 ? put_printed(out, print_exchanges, a) : HY_OK);
    fputs("</details>\n", out);
    return HY_OK;
}

static hy_status put_trace(FILE *out, const hy_report_run *run) {
    char path[HY_PATH_MAX];
    hy_trace_analysis *analysis = NULL;
    put_element(out, "h2", "Where the time goes");
    if (hy_trace_path(run->folder, 0, path) != HY_OK || !hy_file_exists(path)) {
        put_why(out, "No trace: it was switched off (trace.on), or the run has neither ended nor passed trace.steps.");
        return HY_OK;
    }
    if (hy_trace_analyse(run->folder, &analysis) != HY_OK) {
        put_why(out, "The trace cannot be read: hylas trace says why.");
        return HY_OK;
    }
    const hy_status status = put_analysis(out, analysis);
    hy_trace_analysis_destroy(analysis);
    return status;
}

/* ---- mesh and configuration ---- */

static void put_hosts(FILE *out, const hy_report_mesh *mesh) {
    const json_t *hosts = json_object_get(mesh->env, "hosts");
    fputs("<table>\n<tr><th>host</th><th>ranks</th><th>cores</th><th>GPUs</th></tr>\n", out);
    for (size_t h = 0; h < json_array_size(hosts); h++) {
        const json_t *host = json_array_get(hosts, h), *ranks = json_object_get(host, "ranks");
        const char *name = json_string_value(json_object_get(host, "host")),
                   *gpu = json_string_value(json_object_get(host, "gpu"));
        fputs("<tr><td>", out);
        hy_svg_put_escaped(out, name != NULL ? name : "?");
        fputs("</td><td>", out);
        for (size_t i = 0; i < json_array_size(ranks); i++) {
            fprintf(out, "%s%lld", i > 0 ? " " : "", (long long)json_integer_value(json_array_get(ranks, i)));
        }
        fprintf(out, "</td><td>%lld</td><td>%lld ", (long long)json_integer_value(json_object_get(host, "cores")),
                (long long)json_integer_value(json_object_get(host, "gpus")));
        hy_svg_put_escaped(out, gpu != NULL ? gpu : "");
        fputs("</td></tr>\n", out);
    }
    fputs("</table>\n", out);
}

static void put_start(FILE *out, const json_t *env) {
    static const char *const keys[] = {"started", "version", "commit", "processor", "device", "precision", "table"};
    const json_t *ended = json_object_get(env, "ended");
    char text[256] = "not yet, or it was killed";
    fputs("<table>\n", out);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        put_fact(out, keys[i], json_string_value(json_object_get(env, keys[i])));
    }
    if (json_is_object(ended)) {
        const char *time = json_string_value(json_object_get(ended, "time")),
                   *reason = json_string_value(json_object_get(ended, "reason"));
        (void)snprintf(text, sizeof text, "%.40s, %.120s, after step %lld", time != NULL ? time : "?",
                       reason != NULL ? reason : "?", (long long)json_integer_value(json_object_get(ended, "step")));
    }
    put_fact(out, "ended", text);
    fputs("</table>\n", out);
}

static void put_mesh(FILE *out, const hy_report_run *run, const hy_config *config) {
    hy_report_mesh mesh;
    put_element(out, "h2", "Mesh");
    if (!hy_report_mesh_read(run->folder, config, &mesh)) {
        put_why(out, "Which rank ran where is not known: the folder has no env.json that says so.");
        return;
    }
    char text[256];
    (void)snprintf(text, sizeof text, "%lld ranks = data %lld × sequence %lld, on %lld host%s", (long long)mesh.ranks,
                   (long long)mesh.data, (long long)mesh.sequence, (long long)mesh.n_hosts,
                   mesh.n_hosts == 1 ? "" : "s");
    put_element(out, "p", text);
    hy_report_draw_mesh(&mesh, out, false);
    put_hosts(out, &mesh);
    put_element(out, "h2", "Start");
    put_start(out, mesh.env);
    hy_report_mesh_free(&mesh);
}

static hy_status put_config(FILE *out, const char *path) {
    char *text = NULL;
    size_t length = 0;
    HY_TRY(hy_file_read(path, CONFIG_MAX, HY_ERR_DATA, &text, &length));
    put_element(out, "h2", "Configuration");
    fputs("<details><summary>config.yaml, every key</summary>\n", out);
    put_element(out, "pre", text);
    fputs("</details>\n", out);
    hy_free(text);
    return HY_OK;
}

static hy_status put_settings(FILE *out, const hy_report_run *run) {
    char path[HY_PATH_MAX];
    hy_config *config = NULL;
    if (snprintf(path, sizeof path, "%s/config.yaml", run->folder) >= (int)sizeof path || !hy_file_exists(path)) {
        put_element(out, "h2", "Mesh and configuration");
        put_why(out, "Not known: the folder has no config.yaml.");
        return HY_OK;
    }
    HY_TRY(HY_NEW("config", 1, &config));
    if (hy_config_load(path, NULL, 0, config) == HY_OK) {
        put_mesh(out, run, config);
    } else {
        put_why(out, "The configuration is not one that this version reads.");
    }
    hy_free(config);
    return put_config(out, path);
}

/* ---- the page ---- */

static hy_status put_page(FILE *out, const hy_report_curves *curves) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
          out);
    hy_svg_put_escaped(out, curves->runs[0].label);
    fprintf(out, " - hylas report</title>\n<style>\n%s", style);
    hy_svg_put_style(out);
    fputs("</style>\n</head>\n<body>\n", out);
    put_element(out, "h1", curves->n == 1 ? curves->runs[0].label : "Runs");
    HY_TRY(put_printed(out, print_figures, curves));
    hy_report_draw_curves(curves, out, false);
    for (int i = 0; i < curves->n; i++) {
        if (curves->n > 1) {
            put_element(out, "h1", curves->runs[i].label);
        }
        HY_TRY(put_trace(out, &curves->runs[i]));
        HY_TRY(put_settings(out, &curves->runs[i]));
    }
    fputs("</body>\n</html>\n", out);
    return HY_OK;
}

hy_status hy_report_page_write(const hy_report_curves *curves, const char *path) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory to write it", path);
    }
    hy_status status = put_page(out, curves);
    const bool failed = ferror(out) != 0;
    if ((fclose(out) != 0 || failed) && status == HY_OK) {
        status = hy_fail(HY_ERR_MEMORY, "%s: no memory to write it", path);
    }
    if (status == HY_OK) {
        status = hy_file_write_atomic(path, text, length, HY_ERR_FAILED);
    }
    free(text);
    return status;
}
