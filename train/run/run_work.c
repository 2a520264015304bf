#include "train/run/run_work.h"

hy_run_work hy_step_work(const hy_model *model, const hy_stage *stage) {
    const int64_t docs[2] = {0, stage->sequence};
    const double batch = (double)stage->batch;
    return (hy_run_work){batch * (double)stage->sequence, 3.0 * batch * hy_model_flops_fwd(model, docs, 1)};
}

hy_run_work hy_run_work_of(const hy_config *config, const hy_model *model) {
    hy_run_work sum = {0};
    for (int number = 0; number < hy_stage_count(config); number++) {
        const hy_stage stage = hy_stage_get(config, number);
        const hy_run_work step = hy_step_work(model, &stage);
        sum.tokens += step.tokens * (double)stage.steps;
        sum.flops += step.flops * (double)stage.steps;
    }
    return sum;
}
