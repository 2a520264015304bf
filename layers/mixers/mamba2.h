/* The two ends of a Mamba-2 layer, shared by the mixers that differ in the recurrence between them. */
#ifndef HY_LAYERS_MAMBA2_H
#define HY_LAYERS_MAMBA2_H

#include "layers/mixers/mixer.h"

typedef struct hy_mamba2_parts {
    hy_recur_vars in; /* q = C, k = B [T,G·N], v = Δx [T,H·P], g = −exp(A_log)Δ [T,H] */
    hy_var x;         /* convolved input [T,H·P] */
    hy_var more;      /* in_proj's last rows, if more were asked for */
    hy_weight A_log;
    hy_var u;                  /* what in_proj reads, */
    hy_weight gate, gate_bias; /* and its first rows, which make the gate */
} hy_mamba2_parts;

/* Defaults of every Mamba layer; normed: its output is. */
HY_MUST_CHECK hy_status hy_mamba_resolve_choices(const hy_mixer_request *r, bool normed, hy_skip skip);
hy_status hy_mamba2_resolve(const hy_mixer_request *r);
extern const hy_mixer_key hy_mamba2_keys[];
/* Everything before the recurrence. more: extra rows of in_proj, behind those of the step. */
hy_mamba2_parts hy_mamba2_begin(hy_graph *g, const hy_mixer_config *m, hy_var u, int64_t more);
/* Everything behind it: o [T,H·P] is its output. */
hy_var hy_mamba2_end(hy_graph *g, const hy_model_config *config, const hy_mixer_config *m, const hy_mamba2_parts *parts,
                     hy_var o);

hy_var hy_mamba2_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *m,
                       int64_t layer, hy_var u);

#endif
