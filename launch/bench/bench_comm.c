/* `hylas bench comm`: every exchange of the communicators that trainings use, bound to a device, at a range of sizes; the table is that of
 * nccl-tests, with its meanings: algbw is size / time, busbw what each link carries in the best algorithm for it (all-gather, reduce-scatter,
 * all-to-all: (P − 1)/P of that, all-reduce: 2(P − 1)/P), a size is that of the largest buffer of a rank. Times are means over rounds, those
 * of the slowest rank. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "launch/bench/comm_bench.h"
#include "launch/config_option.h"
#include "launch/options.h"
#include "launch/report_once.h"
#include "train/run/method_start.h"

static const char *const type_names[] = {"float", "double", "int64", NULL}; /* by hy_type */
static const char *const op_names[] = {"sum", "max", "min", NULL};          /* by hy_reduce */

static const struct {
    hy_exchange_kind kind;
    bool out_of_place, in_place, reduces;
} exchanges[] = {
    {HY_X_ALL_GATHER, true, true, false}, {HY_X_REDUCE_SCATTER, true, true, true},
    {HY_X_ALL_REDUCE, false, true, true}, {HY_X_ALL_TO_ALL, true, false, false},
    {HY_X_BROADCAST, false, true, false}, {HY_X_SEND, true, false, false},
};
enum { N_EXCHANGES = sizeof exchanges / sizeof exchanges[0] };

typedef struct comm_options {
    int64_t least, most, factor;
    double compute_ms, piece_ms;
    bool elsewhere;
    const char *type_name, *op_name, *device, *transport;
    hy_type type;
    hy_reduce op;
    bool as_json;
    hy_option_list sets;
    int n_configs;
} comm_options;

/* ---- one exchange ---- */

void hy_comm_bench_post(hy_comm *comm, const hy_comm_case *c, const void *send, void *recv, hy_req reqs[2]) {
    const size_t bytes = (size_t)c->count * hy_type_size(c->type);
    const char *own = (const char *)recv + (size_t)c->rank * bytes;
    const char *name = "bench";
    switch (c->kind) {
    case HY_X_ALL_GATHER:
        hy_comm_all_gather(comm, name, send != NULL ? send : own, recv, bytes, &reqs[0]);
        break;
    case HY_X_REDUCE_SCATTER: /* in place: the result is where the own block was */
        hy_comm_reduce_scatter(comm, name, send != NULL ? send : recv,
                               send != NULL ? recv : (char *)recv + (size_t)c->rank * bytes, c->count, c->type,
                               &reqs[0]);
        break;
    case HY_X_ALL_REDUCE:
        hy_comm_all_reduce(comm, name, recv, c->count, c->type, c->op, &reqs[0]);
        break;
    case HY_X_ALL_TO_ALL:
        hy_comm_all_to_all(comm, name, send, recv, bytes, &reqs[0]);
        break;
    case HY_X_BROADCAST:
        hy_comm_broadcast(comm, name, recv, bytes, 0, &reqs[0]);
        break;
    default:
        hy_comm_group_begin(comm);
        hy_comm_send(comm, name, send, bytes, (c->rank + 1) % c->size, 0, &reqs[1]);
        hy_comm_recv(comm, name, recv, bytes, (c->rank + c->size - 1) % c->size, 0, &reqs[0]);
        hy_comm_group_end(comm);
    }
}

void hy_comm_bench_wait(const hy_comm_bench *b, hy_req *reqs, int n) {
    hy_comm_wait_all(reqs, n);
    hy_device_wait(b->device, hy_device_mark(b->device, HY_LANE_COMPUTE));
}

/* The largest of all ranks' values. Collective. */
static double largest_of_ranks(const hy_comm_bench *b, double value) {
    hy_req req = {0};
    hy_comm_all_reduce(b->world, "bench", &value, 1, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    return value;
}

static int64_t sum_of_ranks(const hy_comm_bench *b, int64_t value) {
    hy_req req = {0};
    hy_comm_all_reduce(b->world, "bench", &value, 1, HY_TYPE_I64, HY_SUM, &req);
    hy_comm_wait(&req);
    return value;
}

/* ---- one size ---- */

typedef struct buffers {
    char *send, *recv; /* the device's */
    char *host;
} buffers;

typedef struct measured {
    double seconds;
    int64_t wrong; /* of all ranks; −1: not checked */
} measured;

/* Where the result begins in the receive buffer: in place a reduce-scatter leaves it in the own block. */
static size_t result_at(const hy_comm_case *c, bool in_place) {
    return in_place && c->kind == HY_X_REDUCE_SCATTER ? (size_t)(c->rank * c->count) * hy_type_size(c->type) : 0;
}

/* What a rank gives, to where the exchange takes it from; what it gets begins as zeros. */
static void give(const hy_comm_bench *b, const hy_comm_case *c, bool in_place, const buffers *at, size_t size) {
    const size_t element = hy_type_size(c->type);
    const size_t offset = in_place && c->kind == HY_X_ALL_GATHER ? (size_t)(c->rank * c->count) * element : 0;
    memset(at->host, 0, size);
    hy_device_write(b->device, at->host, size, at->recv);
    hy_comm_pattern_fill(c, at->host);
    hy_device_write(b->device, at->host, (size_t)hy_comm_case_sent(c) * element,
                    (in_place ? at->recv : at->send) + offset);
}

static int64_t check_rounds(const hy_comm_bench *b, hy_comm_case c, bool in_place, const buffers *at, size_t size) {
    int64_t wrong = 0;
    for (c.round = 0; c.round < b->checks; c.round++) {
        hy_req reqs[2] = {{0}};
        const size_t bytes = (size_t)hy_comm_case_received(&c) * hy_type_size(c.type);
        give(b, &c, in_place, at, size);
        hy_comm_bench_post(b->bound, &c, in_place ? NULL : at->send, at->recv, reqs);
        hy_comm_bench_wait(b, reqs, 2);
        hy_device_read(b->device, at->recv + result_at(&c, in_place), bytes, at->host);
        if (c.round == 0 && c.rank == c.size - 1) {
            (void)hy_comm_pattern_spoil(&c, at->host, b->spoil);
        }
        wrong += hy_comm_pattern_wrong(&c, at->host);
    }
    return b->checks > 0 ? sum_of_ranks(b, wrong) : -1;
}

static measured measure_exchange(hy_comm_bench *b, const hy_comm_case *c, bool in_place, const buffers *at,
                                 size_t size) {
    double begun = 0.0;
    give(b, c, in_place, at, size);
    for (int64_t i = -b->warmups; i < b->rounds; i++) {
        if (i <= 0) {
            hy_comm_barrier(b->world);
            begun = hy_now();
        }
        hy_req reqs[2] = {{0}};
        hy_comm_bench_post(b->bound, c, in_place ? NULL : at->send, at->recv, reqs);
        hy_comm_bench_wait(b, reqs, 2);
    }
    const double seconds = largest_of_ranks(b, (hy_now() - begun) / (double)b->rounds);
    const measured m = {seconds, check_rounds(b, *c, in_place, at, size)};
    b->wrong += m.wrong > 0 ? m.wrong : 0;
    return m;
}

/* ---- rows ---- */

static double bus_factor(hy_exchange_kind kind, int size) {
    const double others = (double)(size - 1) / (double)size;
    return kind == HY_X_ALL_REDUCE ? 2.0 * others : kind == HY_X_BROADCAST || kind == HY_X_SEND ? 1.0 : others;
}

static void print_head(hy_exchange_kind kind) {
    printf("\n# %s\n# %44s%37s\n",
           kind == HY_X_SEND ? "send to the next rank, receive from the one before" : hy_exchange_kind_name(kind),
           "out-of-place", "in-place");
    printf("# %10s %11s %7s %6s %9s %7s %7s %7s %9s %7s %7s %7s\n", "size", "count", "type", "redop", "time", "algbw",
           "busbw", "#wrong", "time", "algbw", "busbw", "#wrong");
    printf("# %10s %11s %7s %6s %9s %7s %7s %7s %9s %7s %7s %7s\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)",
           "(GB/s)", "", "(us)", "(GB/s)", "(GB/s)", "");
}

static void print_measured(bool there, const measured *m, double size, double factor) {
    const double rate = 1e-9 * size / m->seconds;
    char wrong[24] = "N/A";
    if (!there) {
        printf(" %9s %7s %7s %7s", "-", "-", "-", "-");
        return;
    }
    if (m->wrong >= 0) {
        snprintf(wrong, sizeof wrong, "%lld", (long long)m->wrong);
    }
    printf(" %9.2f %7.3f %7.3f %7s", 1e6 * m->seconds, rate, factor * rate, wrong);
}

static void write_measured(hy_json *json, const char *key, bool there, const measured *m, double size, double factor) {
    if (!there) {
        hy_json_null(json, key);
        return;
    }
    hy_json_open_object(json, key);
    hy_json_double(json, "seconds", m->seconds);
    hy_json_double(json, "algbw", size / m->seconds);
    hy_json_double(json, "busbw", factor * size / m->seconds);
    if (m->wrong >= 0) {
        hy_json_int(json, "wrong", m->wrong);
    } else {
        hy_json_null(json, "wrong");
    }
    hy_json_close(json);
}

static void show_row(const hy_comm_bench *b, int which, const hy_comm_case *c, size_t size, const measured m[2]) {
    const double factor = bus_factor(c->kind, c->size), bytes = (double)size;
    const char *op = !exchanges[which].reduces ? "none" : op_names[c->kind == HY_X_ALL_REDUCE ? c->op : HY_SUM];
    if (b->json == NULL) {
        printf("  %10zu %11lld %7s %6s", size, (long long)c->count, type_names[c->type], op);
        print_measured(exchanges[which].out_of_place, &m[0], bytes, factor);
        print_measured(exchanges[which].in_place, &m[1], bytes, factor);
        printf("\n");
        fflush(stdout);
        return;
    }
    hy_json_open_object(b->json, NULL);
    hy_json_string(b->json, "exchange", hy_exchange_kind_name(c->kind));
    hy_json_int(b->json, "size", (int64_t)size);
    hy_json_int(b->json, "count", c->count);
    hy_json_string(b->json, "type", type_names[c->type]);
    hy_json_string(b->json, "redop", op);
    write_measured(b->json, "out_of_place", exchanges[which].out_of_place, &m[0], bytes, factor);
    write_measured(b->json, "in_place", exchanges[which].in_place, &m[1], bytes, factor);
    hy_json_close(b->json);
}

/* The case whose largest buffer is at most `size` bytes. */
static hy_comm_case case_of_size(const hy_comm_bench *b, const comm_options *o, hy_exchange_kind kind, int64_t size) {
    const int ranks = hy_comm_size(b->bound);
    const bool in_blocks = kind == HY_X_ALL_GATHER || kind == HY_X_REDUCE_SCATTER || kind == HY_X_ALL_TO_ALL;
    return (hy_comm_case){.kind = kind,
                          .type = o->type,
                          .op = o->op,
                          .count = size / (int64_t)hy_type_size(o->type) / (in_blocks ? ranks : 1),
                          .rank = hy_comm_rank(b->bound),
                          .size = ranks};
}

static void bench_exchange(hy_comm_bench *b, const comm_options *o, int which, const buffers *at) {
    const hy_exchange_kind kind = exchanges[which].kind;
    if (b->only != NULL && strstr(hy_exchange_kind_name(kind), b->only) == NULL) {
        return;
    }
    if (b->json == NULL) {
        print_head(kind);
    }
    for (int64_t wanted = o->least; wanted <= o->most; wanted *= o->factor) {
        const hy_comm_case c = case_of_size(b, o, kind, wanted);
        const int64_t sent = hy_comm_case_sent(&c), received = hy_comm_case_received(&c);
        const size_t size = (size_t)(sent > received ? sent : received) * hy_type_size(c.type);
        measured m[2] = {{0}};
        for (int in_place = 0; in_place < 2; in_place++) {
            if (in_place ? exchanges[which].in_place : exchanges[which].out_of_place) {
                m[in_place] = measure_exchange(b, &c, in_place != 0, at, size);
            }
        }
        show_row(b, which, &c, size, m);
    }
}

static hy_status bench_sizes(hy_comm_bench *b, const comm_options *o) {
    buffers at = {0};
    const size_t bytes = (size_t)o->most;
    hy_status status = hy_device_alloc(b->device, "what is sent", bytes, (void **)&at.send);
    if (status == HY_OK) {
        status = hy_device_alloc(b->device, "what is received", bytes, (void **)&at.recv);
    }
    if (status == HY_OK) {
        status = HY_NEW("what is checked", (int64_t)bytes, &at.host);
    }
    status = hy_comm_agree(b->world, status);
    if (b->json != NULL) {
        hy_json_open_array(b->json, "rows");
    }
    for (int i = 0; i < N_EXCHANGES && status == HY_OK; i++) {
        bench_exchange(b, o, i, &at);
    }
    if (b->json != NULL) {
        hy_json_close(b->json);
    }
    hy_free(at.host);
    hy_device_free(b->device, at.recv);
    hy_device_free(b->device, at.send);
    return status;
}

/* ---- the command ---- */

static hy_status find_word(const char *option, const char *word, const char *const *names, int *value) {
    char known[128];
    *value = hy_option_choice(word, names, known, sizeof known);
    return *value >= 0 ? HY_OK : hy_fail(HY_ERR_USAGE, "%s %s: not one of %s", option, word, known);
}

typedef struct check_job {
    hy_comm_bench *b;
    comm_options *o;
} check_job;

static hy_status check_comm_options(void *context) {
    const check_job *job = context;
    comm_options *o = job->o;
    int type = 0, op = 0, transport = 0;
    HY_TRY(find_word("-d", o->type_name, type_names, &type));
    HY_TRY(find_word("-o", o->op_name, op_names, &op));
    if (o->transport != NULL) {
        HY_TRY(find_word("--transport", o->transport, hy_transport_names, &transport));
        job->b->transport = (hy_transport_id)transport;
    }
    o->type = (hy_type)type;
    o->op = (hy_reduce)op;
    if (o->least < 1 || o->most < o->least || o->most > (int64_t)1 << 40 || o->factor < 2 || job->b->rounds < 1) {
        return hy_fail(HY_ERR_USAGE,
                       "-b %lld -e %lld -f %lld -n %lld: wanted 1 ≤ -b ≤ -e ≤ 1Ti, -f of at least 2, -n of at least 1",
                       (long long)o->least, (long long)o->most, (long long)o->factor, (long long)job->b->rounds);
    }
    return HY_OK;
}

static void begin_report(hy_comm_bench *b, hy_json *json) {
    const hy_profile *profile = hy_device_profile(b->device);
    if (b->json == NULL) {
        printf("# %d ranks, memory of device %s, over %s, %s; %lld rounds after %lld, %lld checked\n",
               hy_comm_size(b->world), profile->name, hy_comm_transport(b->bound), hy_comm_library(),
               (long long)b->rounds, (long long)b->warmups, (long long)b->checks);
        return;
    }
    hy_json_begin(json, stdout);
    hy_json_open_object(json, NULL);
    hy_json_int(json, "ranks", hy_comm_size(b->world));
    hy_json_string(json, "device", profile->name);
    hy_json_string(json, "transport", hy_comm_transport(b->bound));
    hy_json_string(json, "library", hy_comm_library());
}

static hy_status end_report(hy_comm_bench *b) {
    if (b->json == NULL) {
        printf("\n# wrong elements: %lld\n", (long long)b->wrong);
        return HY_OK;
    }
    hy_json_int(b->json, "wrong", b->wrong);
    hy_json_close(b->json);
    return hy_json_end(b->json, HY_ERR_FAILED);
}

static hy_status run_comm_bench(hy_comm_bench *b, const comm_options *o, const hy_config *config) {
    hy_json json;
    const hy_dtype dtype = config != NULL ? hy_config_precision(config) : HY_F32;
    const char *name = o->device != NULL ? o->device : config != NULL ? config->run.device : "cpu";
    HY_TRY(hy_comm_agree(b->world, hy_device_create(name, dtype, &b->device)));
    if (config != NULL && o->transport == NULL) {
        b->transport = config->parallel.transport;
    }
    HY_TRY(hy_comm_bind(b->world, b->device, b->transport, &b->bound));
    b->json = o->as_json ? &json : NULL;
    begin_report(b, &json);
    const hy_comm_computing computing = {1e-3 * o->compute_ms, 1e-3 * o->piece_ms, o->elsewhere};
    HY_TRY(config == NULL ? bench_sizes(b, o) : hy_comm_bench_trainer(b, config, &computing));
    HY_TRY(hy_comm_agree(b->world, end_report(b)));
    if (b->wrong == 0) {
        return HY_OK;
    }
    return hy_comm_rank(b->world) > 0 ? HY_ERR_PEER
                                      : hy_fail(HY_ERR_VERIFY, "%lld elements arrived wrong", (long long)b->wrong);
}

hy_status hy_bench_comm(int argc, char **argv, hy_comm *world) {
    hy_comm_bench b = {.world = world, .rounds = 20, .warmups = 5, .checks = 1};
    comm_options o = {
        .least = 8, .most = (int64_t)16 << 20, .factor = 4, .piece_ms = 2.0, .type_name = "float", .op_name = "sum"};
    const hy_option options[] = {
        {"-b", HY_OPTION_COUNT, &o.least, "N", "smallest size, in bytes of a rank's largest buffer (8)"},
        {"-e", HY_OPTION_COUNT, &o.most, "N", "largest size (16Mi)"},
        {"-f", HY_OPTION_COUNT, &o.factor, "N", "factor from size to size (4)"},
        {"-n", HY_OPTION_COUNT, &b.rounds, "N", "rounds that are timed (20)"},
        {"-w", HY_OPTION_INT, &b.warmups, "N", "rounds before them (5)"},
        {"-c", HY_OPTION_INT, &b.checks, "N", "rounds whose results are checked (1)"},
        {"-d", HY_OPTION_TEXT, &o.type_name, "TYPE", "float, double or int64 (float)"},
        {"-o", HY_OPTION_TEXT, &o.op_name, "OP", "of all-reduce: sum, max or min (sum)"},
        {"--only", HY_OPTION_TEXT, &b.only, "WORD", "only exchanges with WORD in their name"},
        {"--device", HY_OPTION_TEXT, &o.device, "NAME",
         "whose memory is exchanged (CONFIG's run.device; without one, cpu)"},
        {"--transport", HY_OPTION_TEXT, &o.transport, "NAME",
         "what moves them: auto, mpi, ucx or nccl (CONFIG's parallel.transport; without one, auto)"},
        {"--compute-ms", HY_OPTION_REAL, &o.compute_ms, "MS",
         "with CONFIG: computing behind each exchange (as long as it takes alone)"},
        {"--piece-ms", HY_OPTION_REAL, &o.piece_ms, "MS",
         "with CONFIG: length of one operation, between which exchanges advance (2)"},
        {"--elsewhere", HY_OPTION_FLAG, &o.elsewhere, NULL,
         "with CONFIG: a device computes, for which this core sleeps through each operation"},
        {"--spoil", HY_OPTION_INT, &b.spoil, "N",
         "makes N elements of each first result wrong, to see that they are counted"},
        {"--json", HY_OPTION_FLAG, &o.as_json, NULL, "one JSON document instead of text (docs/json.md)"},
        {"--set", HY_OPTION_LIST, &o.sets, "a.b=value", "changes one key of CONFIG; may be given many times"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas bench comm [CONFIG] [options]",
        "Times and checks every exchange at a range of sizes, in the table of nccl-tests. With CONFIG: the exchanges "
        "of "
        "one of its\n"
        "training steps instead, each of its size, and how much of each hides behind computing. Exit code 9 if an "
        "element arrived wrong.",
        options,
        (int)(sizeof options / sizeof options[0]),
        0,
        1};
    hy_args args;
    hy_config *config = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    hy_log_set_quiet(o.as_json || hy_log_quiet());
    HY_TRY(hy_report_once(world, check_comm_options, &(check_job){&b, &o}));
    if (args.n == 1) {
        HY_TRY(hy_config_load_on_all(world, args.positional[0], &o.sets, &config));
    }
    hy_status status = config != NULL ? hy_method_start(config, world) : HY_OK;
    if (status == HY_OK) {
        status = run_comm_bench(&b, &o, config);
    }
    hy_comm_destroy(b.bound);
    hy_device_destroy(b.device);
    hy_free(config);
    return status;
}
