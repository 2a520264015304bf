/* flash-linear-attention's log_linear_mamba2: mamba2's keys and layer, with 15 levels, and beside it an MLP whose width no key changes. */
#include <math.h>

#include "train/publish/hf_fla.h"

enum { LEVELS = 15 }; /* 2^14 tokens; fixed in the library */

static void read_log_linear_mamba2(hy_hf_reader *reader, hy_model_config *model) {
    hy_mixer_config *mixer = hy_hf_fla_read_mamba2(reader, model, "log_linear_mamba2");
    mixer->levels = LEVELS;
    model->mlp_ratio = 4;
    if (mixer->step_low > 0 || isfinite(mixer->step_high))
        hy_hf_unsupported(reader, "dt_limit", "only [0, Infinity]");
    if (hy_hf_flag(reader, "residual_in_fp32", false))
        hy_hf_unsupported(reader, "residual_in_fp32", "only false");
}

static json_t *describe_log_linear_mamba2(hy_hf_subject *subject) {
    json_t *json = hy_hf_fla_describe_mamba2(subject, "LogLinearMamba2ForCausalLM");
    json_object_set_new(json, "dt_limit", hy_hf_limits(0, (double)INFINITY));
    return json;
}

const hy_hf_family hy_hf_fla_log_linear_mamba2 = {.model_type = "log_linear_mamba2",
                                                  .kind = "log_linear_mamba2",
                                                  .read = read_log_linear_mamba2,
                                                  .bind = hy_hf_bind_backbone_mixer_norm,
                                                  .describe = describe_log_linear_mamba2};
