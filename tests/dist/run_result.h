/* What a run that trained has come to. */
#ifndef HY_TESTS_RUN_RESULT_H
#define HY_TESTS_RUN_RESULT_H

#include <math.h>

#include "tests/dist/dist.h"
#include "train/checkpoint/checkpoint.h"
#include "train/run/config.h"

/* Its final parameters, gathered by `world`, after so many steps; *content: of all files of the checkpoint. */
static inline hy_status hy_test_final_params(hy_comm *world, const hy_config *config, int64_t steps,
                                             const hy_model *model, float *params, uint64_t *content) {
    hy_checkpoint checkpoint;
    HY_TRY(hy_checkpoint_open(config->run.dir, world, NULL, &checkpoint));
    CHECK(checkpoint.manifest.progress.step == steps, "step %lld", (long long)checkpoint.manifest.progress.step);
    *content = 0;
    for (int64_t f = 0; f < checkpoint.manifest.n_files; f++) {
        *content = *content * 31 + checkpoint.manifest.files[f].content;
    }
    const hy_status status =
        hy_checkpoint_read(&checkpoint, model, world, &(hy_checkpoint_target){.dtype = HY_F32, .params = params});
    hy_checkpoint_close(&checkpoint);
    return status;
}

/* Of b from a, relative. */
static inline double hy_test_difference(const float *a, const float *b, int64_t n) {
    double off = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        off += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
        size += (double)a[i] * (double)a[i];
    }
    return sqrt(off / size);
}

#endif
