/* The role of every array of every operation's arguments, as kernels.h documents them: what gives a buffer its element type. */
#ifndef HY_TESTS_PARITY_ROLES_H
#define HY_TESTS_PARITY_ROLES_H

#include <string.h>

#include "kernels/kernels.h"

/* Members that are not activations; "*" are all the others of the struct. */
static const struct {
    const char *type, *members;
    hy_role role;
} parity_roles[] = {
    {"hy_bias", " bias ", HY_ROLE_STAT},
    {"hy_bias", " dbias ", HY_ROLE_GRAD},
    {"hy_embed", " w ", HY_ROLE_WEIGHT},
    {"hy_embed", " dw ", HY_ROLE_GRAD},
    {"hy_rmsnorm", " w ", HY_ROLE_STAT},
    {"hy_rmsnorm", " dw ", HY_ROLE_GRAD},
    {"hy_layernorm", " w b ", HY_ROLE_STAT},
    {"hy_layernorm", " dw db ", HY_ROLE_GRAD},
    {"hy_decay_gate", " A_log dt_bias g dg ", HY_ROLE_STAT},
    {"hy_decay_gate", " dA_log ddt_bias ", HY_ROLE_GRAD},
    {"hy_scale", " w ", HY_ROLE_STAT},
    {"hy_scale", " dw ", HY_ROLE_GRAD},
    {"hy_bound", " w y dy ", HY_ROLE_STAT},
    {"hy_bound", " dw ", HY_ROLE_GRAD},
    {"hy_bound_gate", " bound g dg dbound ", HY_ROLE_STAT},
    {"hy_lerp", " w ", HY_ROLE_STAT},
    {"hy_lerp", " dw ", HY_ROLE_GRAD},
    {"hy_conv", " w bias ", HY_ROLE_STAT},
    {"hy_conv", " dw dbias ", HY_ROLE_GRAD},
    {"hy_window_filter", "*", HY_ROLE_STAT},
    {"hy_modal_filter", "*", HY_ROLE_STAT},
    {"hy_long_conv", " h dh ", HY_ROLE_STAT},
    {"hy_recur", " g beta A_map H_map dH S0 S1 dS1 dg dbeta dS0 ", HY_ROLE_STAT},
    {"hy_level_recur", " g beta dH S0 dS1 dg dbeta dS0 l dl ", HY_ROLE_STAT},
    {"hy_bonus", " u ", HY_ROLE_STAT},
    {"hy_bonus", " du ", HY_ROLE_GRAD},
    {"hy_map_apply", "*", HY_ROLE_STAT},
    {"hy_map_compose", "*", HY_ROLE_STAT},
    {"hy_map_fold", "*", HY_ROLE_STAT},
    {"hy_map_join", "*", HY_ROLE_STAT},
    {"hy_attn", " o lse delta dq dk dv ", HY_ROLE_STAT},
    {"hy_attn_delta", " delta ", HY_ROLE_STAT},
    {"hy_rows_add", "*", HY_ROLE_STAT},
    {"hy_latent_heads", " dk dv dshared ", HY_ROLE_STAT},
    {"hy_attn_sink", "*", HY_ROLE_STAT},
    {"hy_cross_entropy", " logits ", HY_ROLE_STAT},
    {"hy_sumsq", "*", HY_ROLE_GRAD},
    {"hy_adamw", " g ", HY_ROLE_GRAD},
    {"hy_adamw", " w m v ", HY_ROLE_STAT},
};

static int parity_is_one_of(const char *member, const char *members) {
    char word[64];
    snprintf(word, sizeof word, " %s ", member);
    return strcmp(members, "*") == 0 || strstr(members, word) != NULL;
}

/* Roles that the arguments themselves tell; `fallback` for members that have none there. */
static hy_role parity_role_told(const char *type, const char *member, const void *args, hy_role fallback) {
#define TOLD(name, members, field)                                                                                     \
    if (strcmp(type, #name) == 0 && parity_is_one_of(member, members))                                                 \
    return ((const name##_args *)args)->field
    TOLD(hy_fill, " y ", role);
    TOLD(hy_values, " y ", role);
    TOLD(hy_copy_blocks, " src dst ", role);
    TOLD(hy_copy2d, " src ", from);
    TOLD(hy_copy2d, " dst ", to);
    TOLD(hy_axpy, " x ", from);
    TOLD(hy_axpy, " y ", to);
    TOLD(hy_gemm, " a ", a_role);
    TOLD(hy_gemm, " b ", b_role);
    TOLD(hy_gemm, " c ", c_role);
    TOLD(hy_bias, " y dy ", role);
    TOLD(hy_unary, " x dx ", from);
    TOLD(hy_unary, " y dy ", to);
    TOLD(hy_glu, " z dz ", z_role);
    TOLD(hy_adamw, " copy ", copy_role);
    TOLD(hy_repeat, " x dx ", from);
    TOLD(hy_repeat, " y dy ", to);
    TOLD(hy_scale, " x add y dy dx ", role);
#undef TOLD
    return fallback;
}

/* `type` without _args; `member` may be "base.S0". */
static hy_role parity_role_of(const char *type, const char *member, const void *args) {
    const char *dot = strchr(member, '.');
    const char *name = dot != NULL ? dot + 1 : member;
    for (size_t i = 0; i < sizeof parity_roles / sizeof parity_roles[0]; i++)
        if (strcmp(type, parity_roles[i].type) == 0 && parity_is_one_of(name, parity_roles[i].members))
            return parity_roles[i].role;
    return parity_role_told(type, name, args, HY_ROLE_ACT);
}

#endif
