#include "train/run/dry_run.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/dry.h"
#include "train/data/file_hash.h"
#include "train/run/eval_pass.h"
#include "train/run/gemm_peak.h"
#include "train/run/train_step.h"
#include "train/trace/recorder.h"

/* ---- memory: what was allocated, by name ---- */

enum { NAMES_MAX = 160, SMALL = 4096 };

typedef struct ledger {
    hy_alloc_watch watch; /* first: see changed */
    int n;
    struct {
        const char *name;
        int64_t bytes;
    } rows[NAMES_MAX];
    int64_t others; /* of names for which there was no room */
} ledger;

static void changed(hy_alloc_watch *watch, const char *name, int64_t bytes) {
    ledger *l = (ledger *)watch;
    int i = 0;
    while (i < l->n && strcmp(l->rows[i].name, name) != 0) {
        i++;
    }
    if (i == NAMES_MAX) {
        l->others += bytes;
        return;
    }
    if (i == l->n) {
        l->rows[l->n++].name = name;
    }
    l->rows[i].bytes += bytes;
}

/* The stage whose activations take most. */
static const hy_runner *largest_runner(const hy_trainer *trainer) {
    const hy_runner *largest = trainer->stages[0].train.runner;
    for (int i = 1; i < trainer->n_stages; i++) {
        const hy_runner *runner = trainer->stages[i].train.runner;
        largest = hy_runner_bytes(runner).arena > hy_runner_bytes(largest).arena ? runner : largest;
    }
    return largest;
}

static hy_status list_memory(const ledger *l, const hy_run_bytes *run, int64_t spans, hy_plan *plan) {
    int64_t small = l->others;
    hy_plan_init(plan);
    HY_TRY(hy_plan_add(plan, "matrices of the GEMM peak", "start", hy_gemm_peak_bytes()));
    /* as it was given, and with what it leaves open found */
    HY_TRY(hy_plan_add(plan, "configuration", "run", 2 * (int64_t)sizeof(hy_config)));
    HY_TRY(hy_plan_add(plan, "checkpoints: hashing", "operation", HY_HASH_BLOCK));
    HY_TRY(spans > 0 ? hy_plan_add(plan, HY_PLANNED_SPANS, "run", spans) : HY_OK);
    for (int i = 0; i < l->n; i++) {
        if (strcmp(l->rows[i].name, HY_TRAINING_ARENA) == 0) {
            HY_TRY(hy_plan_add(plan, "activations held for backward", "step", run->held));
            HY_TRY(hy_plan_add(plan, "working set of a block: activations, gradients, scratch", "block",
                               run->arena - run->held));
        } else if (strcmp(l->rows[i].name, HY_OFFLOADED) == 0) {
            HY_TRY(hy_plan_add(plan, HY_OFFLOADED, "step", l->rows[i].bytes));
        } else if (l->rows[i].bytes >= SMALL) {
            HY_TRY(hy_plan_add(plan, l->rows[i].name, "run", l->rows[i].bytes));
        } else {
            small += l->rows[i].bytes;
        }
    }
    return hy_plan_add(plan, "small allocations", "run", small);
}

static hy_status find_activations(const hy_trainer *trainer, int ranks, int rank, hy_dry_run *run) {
    run->activations = hy_runner_bytes(largest_runner(trainer));
    for (int i = 0; i < trainer->n_stages; i++) {
        const hy_model *model = trainer->stages[i].model != NULL ? trainer->stages[i].model : trainer->model;
        hy_run_shape shape;
        hy_data_split split;
        hy_run_bytes plain;
        HY_TRY(hy_trainer_shape(trainer->config, i, ranks, rank, &shape, &split));
        shape.offload = HY_OFFLOAD_NONE;
        HY_TRY(hy_runner_plan_bytes(model, &shape, hy_device_profile(trainer->device), &plain));
        run->on_device = plain.arena > run->on_device.arena ? plain : run->on_device;
    }
    return HY_OK;
}

/* ---- what nodes do ---- */

typedef struct meter {
    hy_run_watch watch; /* first: see at_node */
    const hy_dry_record *record;
    hy_exchange_log *log;
    hy_dry_stage *stage;
    int64_t calls;    /* what one stands for */
    hy_dry_work work; /* when the node began */
    hy_exchange_log before;
    hy_dry_work work_inside; /* of all nodes */
    hy_exchange_log inside;
} meter;

static void copy_log(const hy_exchange_log *from, hy_exchange_log *to) {
    to->n = from->n;
    memcpy(to->records, from->records, (size_t)from->n * sizeof from->records[0]);
}

static hy_dry_work less(hy_dry_work a, hy_dry_work b) {
    return (hy_dry_work){a.launches - b.launches, a.flops - b.flops, a.bytes - b.bytes};
}

static void add_work(hy_dry_side *side, hy_dry_work work, int64_t times) {
    side->launches += times * work.launches;
    side->flops += (double)times * work.flops;
    side->moved += (double)times * work.bytes;
}

static void add_exchange(hy_dry_side *side, const hy_exchange_record *r, int64_t times) {
    if (r->kind != HY_X_RECV) {
        side->messages += times * r->count;
        side->sent += times * r->bytes;
    }
}

static void end_node(meter *m, hy_dry_side *side) {
    const hy_dry_work work = less(hy_dry_total(m->record), m->work);
    add_work(side, work, m->calls);
    m->work_inside.launches += work.launches;
    m->work_inside.flops += work.flops;
    m->work_inside.bytes += work.bytes;
    for (int i = 0; i < m->log->n; i++) {
        const bool known = i < m->before.n;
        hy_exchange_record r = m->log->records[i], *sum = &m->inside.records[i];
        r.count -= known ? m->before.records[i].count : 0;
        r.bytes -= known ? m->before.records[i].bytes : 0;
        add_exchange(side, &r, m->calls);
        sum->count += r.count;
        sum->bytes += r.bytes;
    }
}

static void at_node(hy_run_watch *watch, int block, bool backward, bool begins) {
    meter *m = (meter *)watch;
    if (begins) {
        m->work = hy_dry_total(m->record);
        copy_log(m->log, &m->before);
        return;
    }
    hy_dry_layer *layer = block > 0 ? &m->stage->layers[block - 1] : &m->stage->ends;
    end_node(m, backward ? &layer->bwd : &layer->fwd);
}

/* The exchanges of a step: those of nodes in every call, the others once. */
static void write_step(const meter *m, hy_exchange_log *out) {
    copy_log(m->log, out);
    for (int i = 0; i < out->n; i++) {
        hy_exchange_record *r = &out->records[i];
        r->count += (m->calls - 1) * m->inside.records[i].count;
        r->bytes += (m->calls - 1) * m->inside.records[i].bytes;
        r->waited = 0.0;
    }
}

static void start(meter *m, hy_runner *runner, int64_t calls) {
    m->calls = calls;
    m->work_inside = (hy_dry_work){0};
    memset(&m->inside, 0, sizeof m->inside);
    memset(m->log, 0, sizeof *m->log);
    m->watch.node = at_node;
    hy_runner_set_watch(runner, &m->watch);
}

/* ---- a stage ---- */

static hy_status run_step(hy_trainer *trainer, hy_trainer_stage *stage, meter *m) {
    hy_pass *pass = &stage->train;
    const hy_dry_work before = hy_dry_total(m->record);
    const hy_dry_record earlier = *m->record;
    hy_step_result result;
    start(m, pass->runner, pass->split.calls);
    pass->split.count = pass->split.unit < pass->split.count ? pass->split.unit : pass->split.count;
    HY_TRY(hy_train_step(trainer, stage->stage.first, 1, false, &result));
    m->stage->synchronisations = m->record->synchronisations - earlier.synchronisations;
    m->stage->to_host = m->calls * (int64_t)(m->record->to_host - earlier.to_host);
    m->stage->from_host = m->calls * (int64_t)(m->record->from_host - earlier.from_host);
    add_work(&m->stage->rest, less(less(hy_dry_total(m->record), before), m->work_inside), 1);
    for (int i = 0; i < m->log->n; i++) {
        hy_exchange_record r = m->log->records[i];
        r.count -= m->inside.records[i].count;
        r.bytes -= m->inside.records[i].bytes;
        add_exchange(&m->stage->rest, &r, 1);
    }
    write_step(m, &m->stage->step);
    return HY_OK;
}

/* A validation of one store over so many sequences. `config`: the trainer's, which may be changed once the trainer is there. */
static hy_status validate_dry(hy_trainer *trainer, hy_config *config, int64_t sequences, hy_exchange_log *log,
                              hy_exchange_log *out) {
    const int64_t all = config->train.eval.sequences;
    hy_eval_result result;
    memset(log, 0, sizeof *log);
    config->train.eval.sequences = sequences < all ? sequences : all;
    const hy_status status = hy_eval_pass(trainer, 0, &result);
    config->train.eval.sequences = all;
    copy_log(log, out);
    return status;
}

/* What a second call adds, every further one does; stores are alike. */
static hy_status run_validation(hy_trainer *trainer, const hy_trainer_stage *stage, hy_config *config, meter *m) {
    hy_exchange_log *out = &m->stage->validation;
    const hy_data_split *split = &stage->eval.split;
    const int64_t stores = trainer->stores.n_eval, unit = trainer->mesh.data_size * split->unit;
    if (stage->eval.runner == NULL) {
        return HY_OK;
    }
    HY_TRY(validate_dry(trainer, config, unit, m->log, out));
    HY_TRY(split->calls > 1 ? validate_dry(trainer, config, 2 * unit, m->log, &m->before) : HY_OK);
    for (int i = 0; i < out->n; i++) {
        hy_exchange_record *r = &out->records[i];
        const hy_exchange_record first = *r, second = split->calls > 1 ? m->before.records[i] : first;
        *r = (hy_exchange_record){.name = first.name, .kind = first.kind};
        r->count = stores * (first.count + (split->calls - 1) * (second.count - first.count));
        r->bytes = stores * (first.bytes + (split->calls - 1) * (second.bytes - first.bytes));
    }
    return HY_OK;
}

static hy_status run_stages(hy_dry_run *run, hy_trainer *trainer, hy_config *config, hy_exchange_log *log) {
    meter *m = NULL;
    hy_status status = HY_OK;
    HY_TRY(HY_NEW("meter", 1, &m));
    m->record = hy_dry_record_of(trainer->device);
    m->log = log;
    for (int i = 0; i < run->n_stages && status == HY_OK; i++) {
        m->stage = &run->stages[i];
        status = HY_NEW("layers", run->n_layers, &run->stages[i].layers);
        if (status == HY_OK) {
            status = run_step(trainer, &trainer->stages[i], m);
        }
        if (status == HY_OK) {
            status = run_validation(trainer, &trainer->stages[i], config, m);
        }
    }
    hy_free(m);
    return status;
}

/* ---- a schedule ---- */

typedef struct recorder {
    hy_dry_watch launches; /* first: see record_launch */
    hy_run_watch nodes;
    hy_schedule *schedule;
} recorder;

static void record_launch(hy_dry_watch *watch, hy_op_id op, double flops, double bytes) {
    hy_schedule_compute(((recorder *)watch)->schedule, (int)op, flops, bytes);
}

static void record_node(hy_run_watch *watch, int block, bool backward, bool begins) {
    recorder *r = (recorder *)((char *)watch - offsetof(recorder, nodes));
    hy_schedule_place(r->schedule, begins ? HY_PLACE_BLOCKS + 2 * block + backward : HY_PLACE_REST);
}

static hy_status record_step(hy_trainer *trainer, hy_trainer_stage *stage, hy_schedule *schedule) {
    recorder r = {.launches.launch = record_launch, .nodes.node = record_node, .schedule = schedule};
    hy_pass *pass = &stage->train;
    hy_step_result result;
    hy_runner_set_watch(pass->runner, &r.nodes);
    hy_dry_set_watch(trainer->device, &r.launches);
    pass->split.count = pass->split.unit < pass->split.count ? pass->split.unit : pass->split.count;
    schedule->stopped = false;
    hy_status status = hy_train_step(trainer, stage->stage.first, 1, false, &result);
    hy_schedule_place(schedule, HY_PLACE_REST);
    hy_schedule_mark(schedule);
    if (status == HY_OK) {
        status = hy_train_step(trainer, stage->stage.first, 1, false, &result);
    }
    schedule->stopped = true;
    hy_dry_set_watch(trainer->device, NULL);
    hy_runner_set_watch(pass->runner, NULL);
    return status != HY_OK ? status : schedule->status;
}

/* ---- all of it ---- */

/* What a run needs to be made of. */
typedef struct dry_parts {
    hy_config config; /* a copy with a dry device */
    hy_exchange_log log;
    ledger ledger;
    hy_comm *world;
    hy_trainer *trainer;
} dry_parts;

static hy_status create_parts(const hy_config *config, const char *device, dry_parts **out) {
    HY_TRY(HY_NEW("dry run", 1, out));
    memcpy(&(*out)->config, config, sizeof *config);
    (void)snprintf((*out)->config.run.device, sizeof(*out)->config.run.device, "%s:%.20s", device, config->run.device);
    return HY_OK;
}

static void destroy_parts(dry_parts *parts) {
    if (parts != NULL) {
        hy_trainer_destroy(parts->trainer);
        hy_comm_destroy(parts->world);
        hy_free(parts);
    }
}

/* The trainer, and the memory of a run that makes one. p->world is there. */
static hy_status create_watched(hy_dry_run *run, dry_parts *p, int ranks, int rank) {
    p->ledger.watch.changed = changed;
    hy_alloc_set_watch(&p->ledger.watch);
    const hy_status status = hy_trainer_create_blank(&p->config, p->world, &p->trainer);
    hy_alloc_set_watch(NULL);
    HY_TRY(status);
    HY_TRY(find_activations(p->trainer, ranks, rank, run));
    return list_memory(&p->ledger, &run->activations, hy_recorder_bytes(&p->config), &run->memory);
}

static hy_status run_on(hy_dry_run *run, dry_parts *p, int ranks, int rank) {
    HY_TRY(hy_comm_count_create(ranks, rank, &p->log, &p->world));
    HY_TRY(create_watched(run, p, ranks, rank));
    run->n_layers = p->config.model.layers;
    run->n_stages = p->trainer->n_stages;
    HY_TRY(HY_NEW("stages", run->n_stages, &run->stages));
    return run_stages(run, p->trainer, &p->config, &p->log);
}

hy_status hy_dry_run_create(const hy_config *config, int ranks, int rank, bool whole, hy_dry_run **out) {
    hy_dry_run *run = NULL;
    dry_parts *parts = NULL;
    HY_TRY(HY_NEW("dry run", 1, &run));
    hy_status status = create_parts(config, whole ? "dry:whole" : "dry", &parts);
    if (status == HY_OK) {
        status = run_on(run, parts, ranks, rank);
    }
    destroy_parts(parts);
    if (status != HY_OK) {
        hy_dry_run_destroy(run);
        return status;
    }
    *out = run;
    return HY_OK;
}

static hy_status schedule_on(dry_parts *p, int stage, int ranks, int rank, hy_schedule *schedule, double *memory) {
    hy_dry_run run = {.n_stages = 0};
    schedule->stopped = true;
    HY_TRY(hy_comm_schedule_create(ranks, rank, &p->log, schedule, &p->world));
    if (memory != NULL) {
        HY_TRY(create_watched(&run, p, ranks, rank));
        *memory = (double)hy_plan_total(&run.memory);
    } else {
        HY_TRY(hy_trainer_create_blank(&p->config, p->world, &p->trainer));
    }
    return record_step(p->trainer, &p->trainer->stages[stage], schedule);
}

hy_status hy_dry_run_schedule(const hy_config *config, int stage, int ranks, int rank, bool whole,
                              hy_schedule *schedule, double *memory) {
    dry_parts *parts = NULL;
    hy_status status = create_parts(config, whole ? "dry:whole" : "dry", &parts);
    if (status == HY_OK) {
        status = schedule_on(parts, stage, ranks, rank, schedule, memory);
    }
    destroy_parts(parts);
    return status;
}

void hy_dry_run_destroy(hy_dry_run *run) {
    if (run != NULL) {
        for (int i = 0; i < run->n_stages && run->stages != NULL; i++) {
            hy_free(run->stages[i].layers);
        }
        hy_free(run->stages);
        hy_free(run);
    }
}
