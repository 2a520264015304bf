#include "train/run/simulate.h"

#include "base/memory.h"
#include "train/run/dry_run.h"
#include "train/run/trainer.h"

static double seconds_of(const void *machine, int op, double flops, double bytes) {
    return hy_machine_seconds(machine, (hy_op_id)op, flops, bytes);
}

static hy_status record_ranks(const hy_config *config, int stage, int ranks, bool whole, hy_schedule *schedules,
                              const hy_schedule **all, hy_simulation *out) {
    for (int r = 0; r < ranks; r++) {
        schedules[r].waited = -1;
        all[r] = &schedules[r];
        HY_TRY(hy_dry_run_schedule(config, stage, ranks, r, whole, &schedules[r], r == 0 ? &out->memory : NULL));
    }
    return HY_OK;
}

static hy_status simulate_ranks(const hy_config *config, int stage, int ranks, const hy_machine *machine,
                                hy_schedule *schedules, hy_simulation *out) {
    const hy_replay_rates rates = {.seconds = seconds_of,
                                   .context = machine,
                                   .post = machine->post,
                                   .eager = (int64_t)machine->eager,
                                   .calls_progress = machine->calls_progress != 0.0};
    const hy_schedule **all = NULL;
    HY_TRY(hy_alloc("schedules", (size_t)ranks * sizeof *all, (void **)&all));
    hy_status status = record_ranks(config, stage, ranks, !rates.calls_progress, schedules, all, out);
    if (status == HY_OK) {
        status = hy_replay_run(all, ranks, &machine->network, &rates, &out->replay);
    }
    hy_free((void *)all);
    return status;
}

hy_status hy_simulate(const hy_config *config, int stage, int ranks, const hy_machine *machine, hy_simulation *out) {
    hy_schedule *schedules = NULL;
    hy_run_shape shape;
    hy_data_split split;
    *out = (hy_simulation){0};
    HY_TRY(hy_trainer_shape(config, stage, ranks, 0, &shape, &split));
    out->tokens = (double)config->parallel.data * (double)shape.n_seq * (double)shape.len;
    HY_TRY(HY_NEW("schedules", ranks, &schedules));
    const hy_status status = simulate_ranks(config, stage, ranks, machine, schedules, out);
    for (int r = 0; r < ranks; r++) {
        hy_schedule_clear(&schedules[r]);
    }
    hy_free(schedules);
    return status;
}

void hy_simulation_clear(hy_simulation *simulation) {
    hy_replay_destroy(simulation->replay);
    *simulation = (hy_simulation){0};
}
