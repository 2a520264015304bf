/* Shapes of the recurrences' inputs: one check for every form. */
#include <math.h>
#include <string.h>

#include "base/product.h"
#include "launch/op/op_recurrence.h"

enum {
    LEVELS_MAX = 62, /* as model.mixers.*.levels */
    STATISTICS = 1 << DECAY | 1 << BETA | 1 << BONUS | 1 << LEVELS | 1 << H0 | 1 << DHT
};

/* Sizes from q and v, or from x alone. */
static hy_status read_recurrence_sizes(const hy_op_context *context, hy_op_recurrence_input *r) {
    const hy_op_tensor *q = r->t[Q], *v = r->t[VALUE];
    hy_recur_args *s = &r->shape;
    if (r->form->elementwise && v->shape.n != 3)
        return hy_op_fail(context, HY_ERR_DATA, "%s: %s must be [B,T,D]", r->in.path, v->name);
    if (!r->form->elementwise && (q->shape.n != 4 || v->shape.n != 4))
        return hy_op_fail(context, HY_ERR_DATA, "%s: %s must be [B,T,H,K] and v [B,T,HV,V]", r->in.path, q->name);
    r->B = v->shape.dim[0], r->T = v->shape.dim[1];
    s->H = q ? q->shape.dim[2] : 1, s->K = q ? q->shape.dim[3] : 1;
    s->HV = v->shape.dim[2], s->V = q ? v->shape.dim[3] : 1;
    r->N = r->t[DOCUMENTS] ? r->t[DOCUMENTS]->shape.dim[0] - 1 : r->B;
    r->states = q ? HY_SHAPE(r->N, s->HV, s->K, s->V) : HY_SHAPE(r->N, s->HV);
    if (r->B < 1 || s->H < 1 || s->K < 1 || s->HV < 1 || s->V < 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: only the number of tokens may be 0", r->in.path);
    if (s->HV % s->H != 0 || (r->t[BONUS] && s->HV != s->H))
        return hy_op_fail(context, HY_ERR_DATA, "%s: %lld value heads do not fit %lld query heads", r->in.path,
                          (long long)s->HV, (long long)s->H);
    /* A file may have keys and values of any width without a token, and so claim far more states than it has bytes. */
    const int64_t state = hy_product(hy_product(s->HV, s->K), s->V), all = hy_product(state, r->N > 1 ? r->N : 1);
    if (all < 0 || all > HY_OP_STATES_MAX || hy_product(state, r->B + r->T) < 0)
        return hy_op_fail(context, HY_ERR_DATA, "%s: %lld states of %lld heads, %lld by %lld: more than %d elements",
                          r->in.path, (long long)r->N, (long long)s->HV, (long long)s->K, (long long)s->V,
                          HY_OP_STATES_MAX);
    return HY_OK;
}

static hy_status read_decay(const hy_op_context *context, hy_op_recurrence_input *r) {
    const hy_op_tensor *g = r->t[DECAY];
    hy_recur_args *s = &r->shape;
    if (!g) {
        s->decay = HY_DECAY_NONE;
        return HY_OK;
    }
    if (g->shape.n == 1) {
        s->decay = HY_DECAY_HEAD;
        return hy_op_check_shape(context, &r->in, g, HY_SHAPE(s->HV));
    }
    if (g->shape.n == 3) {
        s->decay = HY_DECAY_SCALAR;
        return hy_op_check_shape(context, &r->in, g, HY_SHAPE(r->B, r->T, s->HV));
    }
    s->decay = HY_DECAY_VECTOR;
    return hy_op_check_shape(context, &r->in, g, HY_SHAPE(r->B, r->T, s->HV, s->K));
}

/* A state of a document's past has no place among the levels: these count from the document's first token. */
static hy_status check_levels(const hy_op_context *context, const hy_op_recurrence_input *r) {
    const hy_op_tensor *l = r->t[LEVELS];
    if (!l)
        return HY_OK;
    if (l->shape.n != 4 || l->shape.dim[3] < 1 || l->shape.dim[3] > LEVELS_MAX)
        return hy_op_fail(context, HY_ERR_DATA, "%s: l must be [B,T,HV,Levels] with 1 to %d levels", r->in.path,
                          LEVELS_MAX);
    if (r->t[H0])
        return hy_op_fail(context, HY_ERR_DATA, "%s: h0: a log-linear recurrence takes no initial state", r->in.path);
    return hy_op_check_shape(context, &r->in, l, HY_SHAPE(r->B, r->T, r->shape.HV, l->shape.dim[3]));
}

static hy_status check_recurrence_inputs(const hy_op_context *context, hy_op_recurrence_input *r) {
    const hy_op_input *in = &r->in;
    HY_TRY(read_recurrence_sizes(context, r));
    const hy_recur_args *s = &r->shape;
    const hy_shape keys = HY_SHAPE(r->B, r->T, s->H, s->K);
    HY_TRY(hy_op_check_shape(context, in, r->t[Q], keys));
    HY_TRY(hy_op_check_shape(context, in, r->t[KEY], keys));
    HY_TRY(hy_op_check_shape(context, in, r->t[READ], keys));
    HY_TRY(hy_op_check_shape(context, in, r->t[WRITE], keys));
    HY_TRY(hy_op_check_shape(context, in, r->t[D_O], r->t[VALUE]->shape));
    HY_TRY(hy_op_check_shape(context, in, r->t[BETA], HY_SHAPE(r->B, r->T, s->HV)));
    HY_TRY(hy_op_check_shape(context, in, r->t[BONUS], HY_SHAPE(s->H, s->K)));
    HY_TRY(check_levels(context, r));
    HY_TRY(hy_op_check_shape(context, in, r->t[H0], r->states));
    HY_TRY(hy_op_check_shape(context, in, r->t[DHT], r->states));
    return read_decay(context, r);
}

static hy_status check_attributes(const hy_op_context *context, hy_op_recurrence_input *r) {
    const hy_op_input *in = &r->in;
    r->shape.rule = r->form->rule;
    r->shape.exclusive = r->form->exclusive;
    if (r->form->rule_in_file && !in->has_rule)
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute rule is missing", in->path);
    if (r->form->rule_in_file) {
        const bool delta = strcmp(in->rule, "delta") == 0;
        if (!delta && strcmp(in->rule, "additive") != 0)
            return hy_op_fail(context, HY_ERR_DATA, "%s: rule \"%s\" is neither \"additive\" nor \"delta\"", in->path,
                              in->rule);
        r->shape.rule = delta ? HY_RULE_DELTA : HY_RULE_ADDITIVE;
    }
    const double scale = r->form->scale > 0 ? r->form->scale : 1 / sqrt((double)r->shape.K);
    r->shape.scale = in->has_scale ? in->scale : scale;
    if (!isfinite(r->shape.scale))
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute scale is not finite", in->path);
    return HY_OK;
}

hy_status hy_op_recurrence_read(const hy_op_context *context, const hy_op_form *form, const char *path,
                                hy_op_recurrence_input *r) {
    hy_op_wanted wanted[ROLES];
    int n = 0;
    *r = (hy_op_recurrence_input){.form = form};
    for (int i = 0; i < ROLES; i++)
        if (form->names[i])
            wanted[n++] = (hy_op_wanted){.name = form->names[i],
                                         .required = form->required >> i & 1,
                                         .role = STATISTICS >> i & 1 ? HY_ROLE_STAT : HY_ROLE_ACT,
                                         .integers = i == DOCUMENTS ? HY_ELEMENT_I64 : HY_ELEMENT_F32};
    HY_TRY(hy_op_input_read(context, path, wanted, n, &r->in));
    for (int i = 0; i < ROLES; i++)
        r->t[i] = form->names[i] ? hy_op_input_find(&r->in, form->names[i]) : NULL;
    hy_status status = check_recurrence_inputs(context, r);
    if (status == HY_OK)
        status = check_attributes(context, r);
    if (status != HY_OK)
        hy_op_input_free(&r->in);
    return status;
}
