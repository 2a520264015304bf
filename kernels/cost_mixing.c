/* Costs of what looks at other tokens: convolutions, recurrences, maps, attention. */
#include <math.h>
#include <stdbool.h>

#include "kernels/cost_internal.h"

typedef const hy_cost_env *env;

/* ---- runs ---- */

/* Tokens of a call's runs, of which a rank may have more. Runs that a state or halo enters, and that somebody wants the state after; their tokens; entering
 * ones of the latter. */
typedef struct run_counts {
    double tokens, entered, left, entered_tokens, left_tokens, both;
    double both_tokens;
} run_counts;

static run_counts count_runs(env e, const hy_run *list, int64_t n) {
    const hy_run *runs = hy_cost_list(e, list);
    run_counts c = {0};
    for (int64_t i = 0; i < n; i++) {
        const bool in = runs[i].s0 >= 0, out = runs[i].s1 >= 0;
        const double tokens = (double)runs[i].len;
        c.tokens += tokens;
        c.entered += in;
        c.left += out;
        c.both += in && out;
        c.entered_tokens += in ? tokens : 0;
        c.left_tokens += out ? tokens : 0;
        c.both_tokens += in && out ? tokens : 0;
    }
    return c;
}

/* ---- convolutions ---- */

static double conv_inputs(const hy_conv_args *a, const run_counts *r, env e) {
    return r->tokens * (double)a->C * e->act + hy_elements(a->C, a->W) * e->stat +
           hy_there(a->bias, (double)a->C, e->stat) +
           hy_there(a->halo, r->entered * hy_elements(a->W - 1, a->C), e->act);
}

hy_cost hy_cost_conv_fwd(const hy_conv_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    const double n = r.tokens * (double)a->C;
    return (hy_cost){n * (2 * (double)a->W + (a->act == HY_ACT_SILU ? 4 : 0)), conv_inputs(a, &r, e) + n * e->act};
}

hy_cost hy_cost_conv_bwd(const hy_conv_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    const double n = r.tokens * (double)a->C, w = hy_elements(a->C, a->W);
    return (hy_cost){n * (4 * (double)a->W + (a->act == HY_ACT_SILU ? 2 * (double)a->W + 7 : 0)),
                     conv_inputs(a, &r, e) + n * e->act + hy_written(a->dx, n, e->act, a->acc) +
                         hy_written(a->dw, w, e->grad, 1) + hy_written(a->dbias, (double)a->C, e->grad, 1) +
                         hy_there(a->dhalo, r.entered * hy_elements(a->W - 1, a->C), e->act)};
}

hy_cost hy_cost_window_filter_fwd(const hy_window_filter_args *a, env e) {
    const double w = hy_elements(a->C, a->W), h = hy_elements(a->G, a->W);
    return (hy_cost){3 * h + w, (w + h) * e->stat + hy_there(a->log_alpha, (double)a->G, e->stat)};
}

hy_cost hy_cost_window_filter_bwd(const hy_window_filter_args *a, env e) {
    const double w = hy_elements(a->C, a->W), h = hy_elements(a->G, a->W);
    return (hy_cost){w + 6 * h, (w + h) * e->stat + hy_there(a->log_alpha, (double)a->G, e->stat) +
                                    hy_written(a->dh, h, e->grad, 1) +
                                    hy_written(a->dlog_alpha, (double)a->G, e->grad, 1)};
}

hy_cost hy_cost_modal_filter_fwd(const hy_modal_filter_args *a, env e) {
    const double h = hy_elements(a->C, a->L), p = hy_elements(a->C, a->N) / (double)(a->group > 0 ? a->group : 1);
    return (hy_cost){3 * h * (double)a->N, h * e->stat + 2 * p * e->stat};
}

hy_cost hy_cost_modal_filter_bwd(const hy_modal_filter_args *a, env e) {
    const double h = hy_elements(a->C, a->L), p = hy_elements(a->C, a->N) / (double)(a->group > 0 ? a->group : 1);
    return (hy_cost){6 * h * (double)a->N, h * e->stat + p * (2 * e->stat + 4 * e->grad)};
}

/* Of one channel: transforms of twice a document's length, and products of what they give. */
static double fft_flops(env e, const hy_long_conv_args *a, double transforms, double products, double *longest) {
    const int64_t *docs = hy_cost_list(e, a->docs);
    double flops = 0;
    for (int64_t d = 0; d < a->n_docs; d++) {
        const double n = (double)(docs[d + 1] - docs[d]);
        flops += n > 0 ? transforms * 2.5 * 2 * n * log2(2 * n) + products * 6 * (n + 1) : 0;
        *longest = n > *longest ? n : *longest;
    }
    return flops;
}

hy_cost hy_cost_long_conv_fwd(const hy_long_conv_args *a, env e) {
    double longest = 0;
    const double flops = (double)a->C * fft_flops(e, a, 3, 1, &longest);
    return (hy_cost){flops, 2 * hy_elements(a->C, a->T) * e->act + (double)a->C * longest * e->stat};
}

hy_cost hy_cost_long_conv_bwd(const hy_long_conv_args *a, env e) {
    double longest = 0;
    const double flops = (double)a->C * fft_flops(e, a, 5, 2, &longest);
    return (hy_cost){flops, 3 * hy_elements(a->C, a->T) * e->act + (double)a->C * (longest + (double)a->L) * e->stat};
}

/* ---- recurrences ---- */

/* Multiply-adds per token and value head of the chunk form with C = 64 (Yang et al. 2024), triangles counted half. */
typedef struct recur_work {
    double scores, inverse, inside; /* q kᵀ and k kᵀ; (I + A)⁻¹ applied; the chunk's own part of the outputs */
    double state;                   /* one product of a token with the state, K·V */
    double products;                /* of those: what a state's update takes */
} recur_work;

static recur_work work_of(hy_rule rule, double K, double V) {
    const double C = 64;
    if (K * V <= 1) {
        return (recur_work){.state = 0.5, .products = 1}; /* a scan: h = e^g h + x */
    }
    switch (rule) {
    case HY_RULE_DELTA:
        return (recur_work){C * K, C * C / 6 + C * (K + V) / 2, C * V / 2, K * V, 2};
    case HY_RULE_DPLR:
        return (recur_work){2 * C * K, C * C / 6 + C * V, C * V, K * V, 3};
    default:
        return (recur_work){C * K / 2, 0, C * V / 2, K * V, 1};
    }
}

double hy_recur_flops(hy_rule rule, int64_t K, int64_t V) {
    const recur_work w = work_of(rule, (double)K, (double)V);
    return 2 * (w.scores + w.inverse + w.inside + (w.products + 1) * w.state);
}

/* A state alone: no read-out, and of the scores those among keys. */
static double map_flops(hy_rule rule, int64_t K, int64_t V) {
    const recur_work w = work_of(rule, (double)K, (double)V);
    return 2 * ((rule == HY_RULE_ADDITIVE ? 0 : w.scores / 2 + w.inverse) + w.products * w.state);
}

/* The part of a state that passes through: values are zero. */
static double inject_flops(hy_rule rule, int64_t K, int64_t V) {
    return rule == HY_RULE_ADDITIVE ? 2 * (double)K * (double)V : hy_recur_flops(rule, K, V);
}

static double decay_size(const hy_recur_args *a) {
    return a->decay == HY_DECAY_VECTOR ? hy_elements(a->HV, a->K) : a->decay == HY_DECAY_SCALAR ? (double)a->HV : 0;
}

/* Bytes of a token's q, k, a, b, and of its g and beta; decays of a parameter count nothing. */
static double keys_bytes(const hy_recur_args *a, env e) {
    const double key = hy_elements(a->H, a->K);
    return hy_there(a->q, key, e->act) + hy_there(a->k, key, e->act) +
           (a->rule == HY_RULE_DPLR ? 2 * key * e->act : 0) + hy_there(a->g, decay_size(a), e->stat) +
           hy_there(a->beta, (double)a->HV, e->stat);
}

static double values_bytes(const hy_recur_args *a, env e) {
    return hy_elements(a->HV, a->V) * e->act;
}

static double state_bytes(const hy_recur_args *a, env e) {
    return hy_elements(a->HV, a->K) * (double)a->V * e->stat;
}

hy_cost hy_cost_recur_map(const hy_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    const double transition = (double)hy_transition_size(a->decay, a->rule, a->K), heads = (double)a->HV;
    const double maps = a->A_map != NULL && a->rule != HY_RULE_ADDITIVE ? r.both_tokens : 0;
    const recur_work square = work_of(a->rule, (double)a->K, (double)a->K);
    const double keys = keys_bytes(a, e) - hy_there(a->q, hy_elements(a->H, a->K), e->act);
    return (hy_cost){heads *
                         (r.left_tokens * map_flops(a->rule, a->K, a->V) + maps * 2 * square.products * square.state),
                     r.left_tokens * (keys + values_bytes(a, e)) + r.left * state_bytes(a, e) +
                         hy_there(a->A_map, r.left * heads * transition, e->stat)};
}

hy_cost hy_cost_recur_fwd(const hy_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    return (hy_cost){r.tokens * (double)a->HV * hy_recur_flops(a->rule, a->K, a->V),
                     r.tokens * (keys_bytes(a, e) + 2 * values_bytes(a, e)) +
                         hy_there(a->S0, r.entered, state_bytes(a, e)) + hy_there(a->S1, r.left, state_bytes(a, e))};
}

hy_cost hy_cost_recur_inject(const hy_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    return (hy_cost){r.entered_tokens * (double)a->HV * inject_flops(a->rule, a->K, a->V),
                     r.entered_tokens * (keys_bytes(a, e) + 2 * values_bytes(a, e)) + r.entered * state_bytes(a, e)};
}

hy_cost hy_cost_recur_map_bwd(const hy_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    return (hy_cost){r.entered_tokens * (double)a->HV * inject_flops(a->rule, a->K, a->V),
                     r.entered_tokens * (keys_bytes(a, e) + values_bytes(a, e)) + r.entered * state_bytes(a, e)};
}

hy_cost hy_cost_recur_bwd(const hy_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->runs, a->n_runs);
    const double T = r.tokens, state = state_bytes(a, e);
    const double dg = a->decay == HY_DECAY_HEAD ? hy_written(a->dg, (double)a->HV, e->grad, 1)
                                                : hy_there(a->dg, T * decay_size(a), e->stat);
    const double given = hy_there(a->dq, hy_elements(a->H, a->K), e->act) +
                         hy_there(a->dk, hy_elements(a->H, a->K), e->act) +
                         (a->rule == HY_RULE_DPLR ? 2 * hy_elements(a->H, a->K) * e->act : 0) +
                         hy_there(a->dbeta, (double)a->HV, e->stat);
    return (hy_cost){2 * T * (double)a->HV * hy_recur_flops(a->rule, a->K, a->V),
                     T * (keys_bytes(a, e) + given + 3 * values_bytes(a, e)) + dg + hy_there(a->S0, r.entered, state) +
                         hy_there(a->dS1, r.left, state) + hy_there(a->dS0, r.entered, state)};
}

hy_cost hy_cost_bonus_fwd(const hy_bonus_args *a, env e) {
    const double heads = hy_elements(a->T, a->H), K = (double)a->K, V = (double)a->V;
    return (hy_cost){heads * (3 * K + 2 * V),
                     heads * (2 * K + V * (a->acc_o ? 3 : 2)) * e->act + hy_elements(a->H, a->K) * e->stat};
}

hy_cost hy_cost_bonus_bwd(const hy_bonus_args *a, env e) {
    const double heads = hy_elements(a->T, a->H), K = (double)a->K, V = (double)a->V;
    return (hy_cost){heads * (12 * K + 5 * V), heads * (2 * K + 2 * V) * e->act +
                                                   hy_elements(a->H, a->K) * (e->stat + 2 * e->grad) +
                                                   hy_written(a->dr, heads * K, e->act, a->acc_r) +
                                                   hy_written(a->dk, heads * K, e->act, a->acc_k) +
                                                   hy_written(a->dv, heads * V, e->act, a->acc_v)};
}

/* ---- log-linear recurrences: every state whose level the position has is read ---- */

/* Multiply-adds of all tokens of a head: the chunk's own part, one state written, every larger block's state read. */
static double level_flops(const hy_level_recur_args *a, const run_counts *r, env e, double part) {
    const int64_t *pos = hy_cost_list(e, a->pos);
    const hy_run *runs = hy_cost_list(e, a->base.runs);
    const double C = 64, K = (double)a->base.K, V = (double)a->base.V;
    const bool delta = a->base.rule == HY_RULE_DELTA;
    const double own = delta ? C * K + C * C / 3 + C * (K + V) / 2 + C * V / 2 + K * V : C * (K + V) / 2 + K * V;
    double blocks = 0;
    for (int64_t i = 0; i < a->base.n_runs; i++) {
        for (int64_t t = runs[i].begin; t < runs[i].begin + runs[i].len; t++) {
            blocks += (double)__builtin_popcountll((unsigned long long)pos[t] >> 6);
        }
    }
    return 2 * part * (double)a->base.HV * (r->tokens * own + blocks * (delta ? 3 : 1) * K * V);
}

static double level_bytes(const hy_level_recur_args *a, const run_counts *r, env e) {
    return r->tokens * (keys_bytes(&a->base, e) + values_bytes(&a->base, e) + hy_elements(a->base.HV, a->L) * e->stat +
                        sizeof(int64_t));
}

hy_cost hy_cost_level_fwd(const hy_level_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->base.runs, a->base.n_runs);
    const double states = (double)a->N * state_bytes(&a->base, e);
    return (hy_cost){level_flops(a, &r, e, 1), level_bytes(a, &r, e) + r.tokens * values_bytes(&a->base, e) +
                                                   hy_there(a->base.S0, r.entered, states) +
                                                   hy_there(a->base.S1, r.left, states)};
}

hy_cost hy_cost_level_map_bwd(const hy_level_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->base.runs, a->base.n_runs);
    return (hy_cost){level_flops(a, &r, e, 1),
                     level_bytes(a, &r, e) + r.entered * (double)a->N * state_bytes(&a->base, e)};
}

hy_cost hy_cost_level_bwd(const hy_level_recur_args *a, env e) {
    const run_counts r = count_runs(e, a->base.runs, a->base.n_runs);
    const double T = r.tokens, states = (double)a->N * state_bytes(&a->base, e);
    const double given = 2 * hy_elements(a->base.H, a->base.K) * e->act + values_bytes(&a->base, e) +
                         (decay_size(&a->base) + hy_elements(a->base.HV, a->L)) * e->stat +
                         hy_there(a->base.dbeta, (double)a->base.HV, e->stat);
    return (hy_cost){level_flops(a, &r, e, 2), level_bytes(a, &r, e) + T * (given + values_bytes(&a->base, e)) +
                                                   hy_there(a->base.S0, r.entered, states) +
                                                   hy_there(a->base.dS1, r.left, states) +
                                                   hy_there(a->base.dS0, r.entered, states)};
}

/* ---- maps ---- */

/* A token's multiply-adds with the transition: per element of the state. */
static double through(int64_t a_size, int64_t K) {
    return a_size == K * K && K > 1 ? 2 * (double)K : 1;
}

hy_cost hy_cost_map_apply(const hy_map_apply_args *a, env e) {
    const double n = (double)a->n, state = hy_elements(a->K, a->V);
    return (hy_cost){n * state * ((a->S ? through(a->a_size, a->K) : 0) + (a->S && a->H ? 1 : 0)),
                     n * e->stat * ((a->S ? (double)a->a_size + state : 0) + (a->H ? state : 0) + state)};
}

static int64_t bits_set(int64_t x) {
    int64_t n = 0;
    for (; x > 0; x >>= 1) {
        n += x & 1;
    }
    return n;
}

hy_cost hy_cost_map_fold(const hy_map_fold_args *a, env e) {
    const hy_fold_step *steps = hy_cost_list(e, a->steps);
    const double n = (double)a->n, state = hy_elements(a->K, a->V),
                 all = state * (double)(a->levels > 0 ? a->levels : 1);
    double passed = 0, maps = 0, read = 0; /* states through a map; maps; copies */
    for (int64_t i = 0; i < a->n_steps; i++) {
        read += steps[i].from >= 0 && steps[i].read >= 0;
        maps += steps[i].at >= 0;
        passed += steps[i].at < 0 ? 0 : a->levels > 0 ? (double)bits_set(steps[i].first) : 1;
    }
    return (hy_cost){n * passed * state * (through(a->a_size, a->K) + 1),
                     n * e->stat * (read * 2 * all + maps * (double)a->a_size + passed * 3 * state)};
}

hy_cost hy_cost_map_join(const hy_map_join_args *a, env e) {
    const hy_map_join_entry *joins = hy_cost_list(e, a->joins);
    const double n = (double)a->n, state = hy_elements(a->K, a->V), size = (double)a->a_size;
    double pieces = 0, products = 0;
    for (int64_t i = 0; i < a->n_joins; i++) {
        pieces += (double)bits_set(joins[i].bits);
        products += (double)bits_set(joins[i].bits) - 1;
    }
    return (hy_cost){n * products * (size + state) * through(a->a_size, a->K),
                     n * e->stat * (pieces * (size + state) + (double)a->n_joins * (size + (double)a->levels * state))};
}

hy_cost hy_cost_map_compose(const hy_map_compose_args *a, env e) {
    const double n = (double)a->n, state = hy_elements(a->K, a->V), size = (double)a->a_size;
    return (hy_cost){n * ((size + state) * through(a->a_size, a->K) + state), n * e->stat * 3 * (size + state)};
}

/* ---- softmax attention ---- */

double hy_pairs_seen(const int64_t *lo, int64_t nq, int64_t q_begin, int64_t nk, int64_t k_begin) {
    const int64_t k_end = k_begin + nk;
    double pairs = 0;
    if (nq > 0 && lo[nq - 1] <= k_begin && q_begin >= k_end - 1) {
        return hy_elements(nq, nk); /* all see all */
    }
    for (int64_t i = 0; i < nq; i++) {
        const int64_t first = lo[i] > k_begin ? lo[i] : k_begin,
                      end = q_begin + i + 1 < k_end ? q_begin + i + 1 : k_end;
        pairs += end > first ? (double)(end - first) : 0;
    }
    return pairs;
}

/* What the pairs of a call add up to: pairs of tokens, rows of queries and keys, each pair's own. */
typedef struct attn_counts {
    double seen, queries, keys;
} attn_counts;

static attn_counts count_pairs(const hy_attn_args *a, env e) {
    const hy_attn_pair *pairs = hy_cost_list(e, a->pairs);
    const int64_t *lo = hy_cost_list(e, a->lo);
    attn_counts c = {0};
    for (int64_t i = 0; i < a->n_pairs; i++) {
        const hy_attn_pair *p = &pairs[i];
        c.seen += (double)a->H * hy_pairs_seen(lo + p->q, p->nq, p->q_begin, p->nk, p->k_begin);
        c.queries += hy_elements(p->nq, a->H);
        c.keys += hy_elements(p->nk, a->HKV);
    }
    return c;
}

hy_cost hy_cost_attn_fwd(const hy_attn_args *a, env e) {
    const attn_counts c = count_pairs(a, e);
    const double D = (double)a->D, DV = (double)a->DV;
    return (hy_cost){2 * c.seen * (D + DV), (c.queries * D + c.keys * (D + DV)) * e->act +
                                                2 * c.queries * (DV + 1) * e->stat +
                                                (double)a->n_pairs * sizeof *a->pairs};
}

hy_cost hy_cost_attn_bwd(const hy_attn_args *a, env e) {
    const attn_counts c = count_pairs(a, e);
    const double D = (double)a->D, DV = (double)a->DV;
    return (hy_cost){2 * c.seen * (3 * D + 2 * DV), (c.queries + c.keys) * (D + DV) * e->act +
                                                        (2 * c.queries * (D + 1) + 2 * c.keys * (D + DV)) * e->stat +
                                                        (double)a->n_pairs * sizeof *a->pairs};
}

hy_cost hy_cost_attn_delta(const hy_attn_delta_args *a, env e) {
    const double n = hy_elements(a->rows, a->DV);
    return (hy_cost){2 * n, 2 * n * e->act + (double)a->rows * e->stat};
}

hy_cost hy_cost_attn_sink_fwd(const hy_attn_sink_args *a, env e) {
    return (hy_cost){3 * hy_elements(a->H, a->N) + (double)a->H,
                     (hy_elements(a->H, a->N) + hy_elements(a->T, a->H)) * e->stat};
}

hy_cost hy_cost_attn_sink_bwd(const hy_attn_sink_args *a, env e) {
    return (hy_cost){4 * hy_elements(a->T, a->H) * (double)a->N,
                     hy_elements(a->H, a->N) * (e->stat + 2 * e->grad) + 2 * hy_elements(a->T, a->H) * e->stat};
}

/* Heads' own elements, and those they share, of all tokens. */
static double own_head_elements(const hy_latent_heads_args *a) {
    return hy_elements(a->T, a->H) * (double)(a->nope + a->DV);
}

hy_cost hy_cost_latent_heads_fwd(const hy_latent_heads_args *a, env e) {
    return (hy_cost){0, (2 * own_head_elements(a) + hy_elements(a->T, a->rope) * (double)(1 + a->H)) * e->act};
}

hy_cost hy_cost_latent_heads_bwd(const hy_latent_heads_args *a, env e) {
    const double shared = hy_elements(a->T, a->rope), n = own_head_elements(a);
    return (hy_cost){shared * (double)a->H, n * (e->act + e->stat) + shared * (double)(2 + a->H) * e->stat};
}
