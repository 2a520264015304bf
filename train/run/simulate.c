#include "train/run/simulate.h"

#include "base/memory.h"
#include "comm/schedule_pack.h"
#include "train/run/dry_run.h"
#include "train/run/trainer.h"

static double seconds_of(const void *machine, int op, double flops, double bytes) {
    return hy_machine_seconds(machine, (hy_op_id)op, flops, bytes);
}

typedef struct simulating {
    const hy_config *config;
    int stage, ranks;
    bool whole;
    hy_comm *world;
    hy_schedule *schedules; /* [ranks]; this rank's own, and on the first rank all */
    hy_simulation *out;
} simulating;

/* Of the ranks that are simulated each `size`-th, from its own on. */
static hy_status record_own(const simulating *s) {
    for (int r = hy_comm_rank(s->world); r < s->ranks; r += hy_comm_size(s->world)) {
        s->schedules[r].waited = -1;
        HY_TRY(hy_dry_run_schedule(s->config, s->stage, s->ranks, r, s->whole, &s->schedules[r],
                                   r == 0 ? &s->out->memory : NULL));
    }
    return HY_OK;
}

/* ---- schedules come to the first rank, one after the other ---- */

enum { SIZE, BYTES }; /* tags */

static void send_now(hy_comm *world, const void *buf, size_t bytes, int tag) {
    hy_req req;
    hy_comm_send(world, "schedule", buf, bytes, 0, tag, &req);
    hy_comm_wait(&req);
}

static void receive_now(hy_comm *world, void *buf, size_t bytes, int from, int tag) {
    hy_req req;
    hy_comm_recv(world, "schedule", buf, bytes, from, tag, &req);
    hy_comm_wait(&req);
}

/* 0 bytes: there was no memory to pack it. */
static void send_schedule(hy_comm *world, hy_schedule *schedule, hy_status *status) {
    int64_t bytes = (int64_t)hy_schedule_packed_bytes(schedule);
    void *packed = NULL;
    if (*status == HY_OK) {
        *status = hy_alloc("schedule", (size_t)bytes, &packed);
    }
    bytes = *status == HY_OK ? bytes : 0;
    send_now(world, &bytes, sizeof bytes, SIZE);
    if (bytes > 0) {
        hy_schedule_pack(schedule, packed);
        send_now(world, packed, (size_t)bytes, BYTES);
    }
    hy_free(packed);
    hy_schedule_clear(schedule);
}

static void receive_schedule(hy_comm *world, int from, hy_schedule *schedule, hy_status *status) {
    int64_t bytes = 0;
    void *packed = NULL;
    receive_now(world, &bytes, sizeof bytes, from, SIZE);
    if (bytes == 0) {
        *status = *status == HY_OK ? HY_ERR_PEER : *status;
        return;
    }
    if (hy_alloc("schedule", (size_t)bytes, &packed) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY); /* it waits to send */
    }
    receive_now(world, packed, (size_t)bytes, from, BYTES);
    *status = *status == HY_OK ? hy_schedule_unpack(packed, schedule) : *status;
    hy_free(packed);
}

static hy_status bring_together(const simulating *s) {
    hy_status status = HY_OK;
    for (int r = 0; r < s->ranks; r++) {
        const int from = r % hy_comm_size(s->world);
        if (from != 0 && hy_comm_rank(s->world) == 0) {
            receive_schedule(s->world, from, &s->schedules[r], &status);
        } else if (from != 0 && hy_comm_rank(s->world) == from) {
            send_schedule(s->world, &s->schedules[r], &status);
        }
    }
    return hy_comm_agree(s->world, status);
}

/* ---- all ---- */

static hy_status replay(const simulating *s, const hy_machine *machine) {
    const hy_replay_rates rates = {.seconds = seconds_of,
                                   .context = machine,
                                   .post = machine->post,
                                   .eager = (int64_t)machine->eager,
                                   .calls_progress = machine->calls_progress != 0.0};
    const hy_schedule **all = NULL;
    HY_TRY(hy_alloc("schedules", (size_t)s->ranks * sizeof *all, (void **)&all));
    for (int r = 0; r < s->ranks; r++) {
        all[r] = &s->schedules[r];
    }
    const hy_status status = hy_replay_run(all, s->ranks, &machine->network, &rates, &s->out->replay);
    hy_free((void *)all);
    return status;
}

static hy_status simulate(const simulating *s, const hy_machine *machine) {
    HY_TRY(hy_comm_agree(s->world, record_own(s)));
    HY_TRY(bring_together(s));
    return hy_comm_agree(s->world, hy_comm_rank(s->world) == 0 ? replay(s, machine) : HY_OK);
}

hy_status hy_simulate(const hy_config *config, int stage, int ranks, const hy_machine *machine, hy_comm *world,
                      hy_simulation *out) {
    simulating s = {.config = config,
                    .stage = stage,
                    .ranks = ranks,
                    .whole = machine->calls_progress == 0.0,
                    .world = world,
                    .out = out};
    hy_run_shape shape;
    hy_data_split split;
    *out = (hy_simulation){0};
    HY_TRY(hy_comm_agree(world, hy_trainer_shape(config, stage, ranks, 0, &shape, &split)));
    out->tokens = (double)config->parallel.data * (double)shape.n_seq * (double)shape.len;
    hy_status status = hy_comm_agree(world, HY_NEW("schedules", ranks, &s.schedules));
    status = status == HY_OK ? simulate(&s, machine) : status;
    for (int r = 0; r < ranks && s.schedules != NULL; r++) {
        hy_schedule_clear(&s.schedules[r]);
    }
    hy_free(s.schedules);
    return status;
}

void hy_simulation_clear(hy_simulation *simulation) {
    hy_replay_destroy(simulation->replay);
    *simulation = (hy_simulation){0};
}
