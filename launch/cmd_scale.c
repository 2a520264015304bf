/* hylas scale CONFIG: a scaling study. Of speed: a row for every number of ranks and every combination of what is varied; simulated: every rank's dry
 * run, replayed on a machine that is described (train/run/simulate.h); launched: `hylas bench step` on that many ranks. Of loss: with --sizes, a
 * row for every model size, which is trained (launch/scale/ladder.h).
 *
 * Rows go to a CSV file as they are made; those that are there already are not made again. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/scale/ladder.h"
#include "launch/scale/row_file.h"
#include "launch/scale/scale_grid.h"
#include "launch/scale/scale_launch.h"
#include "launch/scale/scale_plot.h"
#include "train/run/method_choice.h"
#include "train/run/simulate.h"

enum { ROW_MAX = 4096 };

typedef struct scale_job {
    hy_scale_grid grid;
    hy_machine machine; /* to simulate; its name in either case */
    const char *launch; /* a launcher's words; NULL: simulated */
    int64_t repeats;
    const char *csv;  /* NULL: none */
    const char *plot; /* NULL: none */
    hy_row_file rows; /* of csv */
    hy_text_table *table;
    hy_comm *world; /* whose ranks share what is simulated */
    int64_t points;
    double first_rate; /* tokens per second and rank at the fewest ranks of this combination */
} scale_job;

/* ---- rows of the file ---- */

static void write_head(const scale_job *job, char *line, size_t size) {
    size_t used = (size_t)snprintf(line, size, "machine,ranks,tokens_per_rank,config_hash");
    for (int v = 0; v < job->grid.n_varied && used < size; v++) {
        used += (size_t)snprintf(line + used, size - used, ",%s", job->grid.varied[v].key);
    }
    if (used < size) {
        (void)snprintf(line + used, size - used,
                       ",tokens,seconds,tokens_per_second,efficiency,exposed_share,sent_bytes_per_rank,memory_bytes\n");
    }
}

/* What tells a point from others; the machine's own commas are made semicolons. */
static hy_status write_settings(const scale_job *job, const hy_scale_point *point, char *text, size_t size) {
    uint64_t hash = 0;
    size_t used = 0;
    HY_TRY(hy_scale_hash(point->config, &hash));
    for (const char *c = job->machine.name; *c != '\0' && used + 1 < size; c++) {
        text[used++] = *c == ',' ? ';' : *c;
    }
    used += (size_t)snprintf(text + used, size - used, ",%d,%lld,%016llx", point->ranks, (long long)job->grid.per_rank,
                             (unsigned long long)hash);
    for (int v = 0; v < job->grid.n_varied && used < size; v++) {
        used += (size_t)snprintf(text + used, size - used, ",%s", point->values[v]);
    }
    if (used + 1 >= size) {
        return hy_fail(HY_ERR_USAGE, "--vary and --simulate: values of more than %zu characters together", size - 2);
    }
    (void)snprintf(text + used, size - used, ",");
    return HY_OK;
}

/* The row with these settings, in what the file held. */
static bool find_row(const scale_job *job, const char *settings, hy_scale_row *row) {
    const char *at = NULL, *cells = NULL;
    while ((cells = hy_row_file_find(&job->rows, settings, &at)) != NULL) {
        double rate, efficiency;
        if (sscanf(cells, "%lf,%lf,%lf,%lf,%lf,%lf,%lf", &row->tokens, &row->seconds, &rate, &efficiency, &row->exposed,
                   &row->sent, &row->memory) == 7) {
            return true;
        }
    }
    return false;
}

static bool is_first(const scale_job *job) {
    return hy_comm_rank(job->world) == 0;
}

/* What the first rank has. */
static void share(const scale_job *job, const char *name, void *what, size_t bytes) {
    hy_req req;
    hy_comm_broadcast(job->world, name, what, bytes, 0, &req);
    hy_comm_wait(&req);
}

/* ---- a point ---- */

/* What the configuration leaves open. */
static hy_status settle_methods(const scale_job *job, const hy_scale_point *point) {
    hy_sp_method *method = &point->config->parallel.method;
    hy_method_choice *choice = NULL;
    if (!hy_method_is_open(method)) {
        return HY_OK;
    }
    HY_TRY(hy_method_choose(point->config, 0, point->ranks, false, &job->machine, job->world, method, &choice));
    hy_free(choice);
    return HY_OK;
}

static hy_status simulate_point(const scale_job *job, const hy_scale_point *point, hy_scale_row *row) {
    hy_simulation simulation;
    if (point->config->parallel.method.node == 0) {
        point->config->parallel.method.node = job->machine.network.node;
    }
    HY_TRY(settle_methods(job, point));
    HY_TRY(hy_simulate(point->config, 0, point->ranks, &job->machine, job->world, &simulation));
    const hy_replay *replay = simulation.replay;
    if (replay == NULL) {
        return HY_OK;
    }
    *row = (hy_scale_row){.tokens = simulation.tokens, .seconds = replay->seconds, .memory = simulation.memory};
    for (int r = 0; r < replay->n_ranks; r++) {
        row->exposed += (replay->ranks[r].waiting + replay->ranks[r].posting) / (replay->seconds * point->ranks);
    }
    for (int x = 0; x < replay->n_exchanges; x++) {
        row->sent += (double)replay->exchanges[x].sent / point->ranks;
    }
    hy_simulation_clear(&simulation);
    return HY_OK;
}

static void show_row(scale_job *job, const hy_scale_point *point, const hy_scale_row *row, double efficiency) {
    hy_text_table_cell(job->table, "%d", point->ranks);
    for (int v = 0; v < job->grid.n_varied; v++) {
        hy_text_table_cell(job->table, "%s", point->values[v]);
    }
    hy_text_table_cell(job->table, "%s", hy_text_count(row->tokens).s);
    hy_text_table_cell(job->table, "%s", hy_text_duration(row->seconds).s);
    hy_text_table_cell(job->table, "%s", hy_text_count(row->tokens / row->seconds).s);
    hy_text_table_cell(job->table, "%.1f%%", 100.0 * efficiency);
    hy_text_table_cell(job->table, "%.1f%%", 100.0 * row->exposed);
    hy_text_table_cell(job->table, "%s", hy_text_bytes(row->sent).s);
    hy_text_table_cell(job->table, "%s", hy_text_bytes(row->memory).s);
}

/* The row, made if it is not there. Collective. */
static hy_status find_or_make(const scale_job *job, const hy_scale_point *point, const char *settings, bool *known,
                              hy_scale_row *row) {
    *known = is_first(job) && find_row(job, settings, row);
    share(job, "known", known, sizeof *known);
    if (*known) {
        return HY_OK;
    }
    if (job->launch == NULL) {
        return simulate_point(job, point, row);
    }
    return is_first(job) ? hy_scale_launch(job->launch, point, job->repeats, row) : HY_OK;
}

static hy_status make_point(scale_job *job, int64_t i, hy_scale_point *point) {
    char settings[HY_POINT_TEXT], line[ROW_MAX];
    hy_scale_row row = {0};
    bool known = false;
    hy_status status = is_first(job) ? hy_scale_point_at(&job->grid, i, point) : HY_OK;
    status = status == HY_OK && is_first(job) ? write_settings(job, point, settings, sizeof settings) : status;
    HY_TRY(hy_comm_agree(job->world, status));
    share(job, "ranks", &point->ranks, sizeof point->ranks);
    share(job, "configuration", point->config, sizeof *point->config);
    HY_TRY(find_or_make(job, point, settings, &known, &row));
    if (!is_first(job)) {
        return HY_OK;
    }
    const double rate = row.tokens / row.seconds;
    job->first_rate = i % job->grid.n_ranks == 0 ? rate / point->ranks : job->first_rate;
    const double efficiency = rate / point->ranks / job->first_rate;
    show_row(job, point, &row, efficiency);
    (void)snprintf(line, sizeof line, "%s%.0f,%.9g,%.9g,%.6g,%.6g,%.0f,%.0f\n", settings, row.tokens, row.seconds, rate,
                   efficiency, row.exposed, row.sent, row.memory);
    return known ? HY_OK : hy_row_file_add(&job->rows, line);
}

static hy_status make_points(scale_job *job) {
    const char *headers[HY_VARIED_MAX + 8] = {"ranks"};
    char head[ROW_MAX];
    int n = 1;
    hy_scale_point point = {0};
    for (int v = 0; v < job->grid.n_varied; v++) {
        headers[n++] = job->grid.varied[v].key;
    }
    static const char *const last[] = {"tokens", "step", "tokens/s", "efficiency", "exposed", "sent", "memory"};
    for (int i = 0; i < 7; i++) {
        headers[n++] = last[i];
    }
    write_head(job, head, sizeof head);
    hy_status status = is_first(job) ? hy_row_file_open(job->csv, head, &job->rows) : HY_OK;
    status = status == HY_OK ? hy_text_table_create(n, headers, &job->table) : status;
    status = status == HY_OK ? HY_NEW("config", 1, &point.config) : status;
    HY_TRY(hy_comm_agree(job->world, status));
    for (int64_t i = 0; i < job->points && status == HY_OK; i++) {
        status = hy_comm_agree(job->world, make_point(job, i, &point));
    }
    hy_free(point.config);
    if (!is_first(job)) {
        return status;
    }
    printf(job->launch != NULL ? "run with %s: the least of %lld steps of one micro-step\n\n"
                               : "simulated on %s: a step of one micro-step\n\n",
           job->machine.name, (long long)job->repeats);
    const hy_status printed = hy_text_table_print(job->table, stdout);
    return status != HY_OK ? status : printed;
}

static hy_status name_launcher(scale_job *job) {
    const size_t room = sizeof job->machine.name;
    if (strlen(job->launch) >= room || strpbrk(job->launch, "\"\n") != NULL) {
        return hy_fail(HY_ERR_USAGE, "--launch: wanted less than %zu characters, no line and no quotation mark", room);
    }
    (void)snprintf(job->machine.name, room, "%s", job->launch);
    return HY_OK;
}

static hy_status parse_words(const char *ranks, const hy_option_list *vary, const char *machine, scale_job *job) {
    if ((machine == NULL) == (job->launch == NULL) || ranks == NULL) {
        return hy_fail(HY_ERR_USAGE, "scale needs --sizes, or --ranks LIST and --simulate MACHINE or --launch WORDS");
    }
    if (job->plot != NULL && job->csv == NULL) {
        return hy_fail(HY_ERR_USAGE, "--plot draws the file of --csv");
    }
    HY_TRY(machine != NULL ? hy_machine_parse(machine, &job->machine) : name_launcher(job));
    HY_TRY(hy_scale_grid_parse(ranks, vary, &job->grid));
    job->points = hy_scale_points(&job->grid);
    return HY_OK;
}

/* The first rank reads words and files; of a point the others learn what they simulate. */
static hy_status run_study(const char *ranks, const hy_option_list *vary, const char *machine, scale_job *job) {
    HY_TRY(hy_comm_agree(job->world, is_first(job) ? parse_words(ranks, vary, machine, job) : HY_OK));
    share(job, "machine", &job->machine, sizeof job->machine);
    share(job, "points", &job->points, sizeof job->points);
    HY_TRY(make_points(job));
    return job->plot != NULL && is_first(job) ? hy_scale_plot(job->csv, job->plot) : HY_OK;
}

static hy_status run_on_all(const scale_job *study, const char *ranks, const hy_option_list *vary, const char *machine,
                            hy_comm *world) {
    scale_job *job = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("study", 1, &job)));
    *job = *study;
    job->world = world;
    const hy_status status = run_study(ranks, vary, machine, job);
    hy_text_table_destroy(job->table);
    hy_row_file_close(&job->rows);
    hy_free(job);
    return hy_comm_agree(world, status);
}

/* Options of one kind of study say nothing to the other. */
static hy_status check_ladder(bool has_sizes, bool has_options_of_speed) {
    if (!has_sizes) {
        return hy_fail(HY_ERR_USAGE, "--tokens-per-parameter is of --sizes");
    }
    return has_options_of_speed
               ? hy_fail(HY_ERR_USAGE, "--sizes trains on the ranks of this job (mpirun -np N hylas scale ...): "
                                       "not with --simulate, --launch, --ranks, --per-rank, --repeats")
               : HY_OK;
}

hy_status hy_cmd_scale(int argc, char **argv, hy_comm *world) {
    char machines[HY_MACHINE_HELP];
    const char *machine = NULL, *ranks = NULL, *csv = NULL, *launch = NULL, *plot = NULL;
    int64_t per_rank = 0, repeats = 0;
    double tokens_per_parameter = NAN;
    hy_option_list sets = {.n = 0}, vary = {.n = 0}, sizes = {.n = 0};
    hy_machine_help(machines, sizeof machines);
    const hy_option options[] = {
        {"--simulate", HY_OPTION_TEXT, &machine, "MACHINE", machines},
        {"--launch", HY_OPTION_TEXT, &launch, "WORDS",
         "really run: how ranks are started, \"mpirun -np {ranks}\", \"srun -n {ranks}\""},
        {"--repeats", HY_OPTION_COUNT, &repeats, "N", "with --launch: the least of so many steps counts (default 5)"},
        {"--ranks", HY_OPTION_TEXT, &ranks, "LIST", "numbers of ranks: 8,16,32"},
        {"--vary", HY_OPTION_LIST, &vary, "KEY=VALUES",
         "a key of the config and its values: parallel.state=allgather,ring; may be given many times"},
        {"--per-rank", HY_OPTION_COUNT, &per_rank, "TOKENS",
         "the sequence has this many tokens for each rank that shares it (default: data.sequence)"},
        {"--sizes", HY_OPTION_LIST, &sizes, "KEY=VALUES",
         "train models of these sizes on the ranks of this job and fit loss against compute: a key of the config and "
         "its "
         "value for each size, model.width=64,96,128; given again for another key, model.layers=4,6,8, with as many "
         "values"},
        {"--tokens-per-parameter", HY_OPTION_REAL, &tokens_per_parameter, "R",
         "with --sizes: train.steps such that a model is trained on R tokens for each of its parameters (default 20); "
         "0: "
         "train.steps as configured"},
        {"--csv", HY_OPTION_TEXT, &csv, "FILE", "where rows go as they are made; what is there is not made again"},
        {"--plot", HY_OPTION_TEXT, &plot, "FILE",
         "draw what is in the CSV file as SVG: tokens per second beside the ideal, efficiency, exposed share, memory; "
         "with "
         "--sizes loss and its curve against compute"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
    };
    const hy_usage usage = {
        .line = "[mpirun -np N] hylas scale CONFIG (--simulate MACHINE | --launch WORDS) --ranks LIST [options]\n"
                "       [mpirun -np N] hylas scale CONFIG --sizes KEY=VALUES... [options]",
        .about = "A scaling study: a row for every number of ranks and every combination of what "
                 "is varied, of a step as it would run on that machine (under mpirun ranks share what is simulated), "
                 "or as it runs; or, with --sizes, a "
                 "row for every model size, trained.",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0]),
        .min_args = 1,
        .max_args = 1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    const scale_job study = {.csv = csv,
                             .plot = plot,
                             .launch = launch,
                             .repeats = repeats > 0 ? repeats : 5,
                             .grid = {.config = args.positional[0], .sets = &sets, .per_rank = per_rank}};
    if (sizes.n == 0 && isnan(tokens_per_parameter)) {
        return run_on_all(&study, ranks, &vary, machine, world);
    }
    const hy_ladder_options ladder = {
        .source = {args.positional[0], &sets, isnan(tokens_per_parameter) ? 20.0 : tokens_per_parameter},
        .sizes = &sizes,
        .vary = &vary,
        .csv = csv,
        .plot = plot,
        .argc = argc,
        .argv = argv};
    const bool of_speed = machine != NULL || launch != NULL || ranks != NULL || per_rank > 0 || repeats > 0;
    HY_TRY(hy_comm_agree(world, hy_comm_rank(world) == 0 ? check_ladder(sizes.n > 0, of_speed) : HY_OK));
    return hy_ladder_run(&ladder, world);
}
