/* Which variables of a model are statistics: what the consumers ask for, all the way back to the product it begins as; and graphs in which what is
 * asked for cannot be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "capture.h"
#include "layers/mixers/mixer.h"
#include "layers/model_build.h"

static hy_role role(const hy_graph *g, hy_var v) {
    return g->vars[v].role;
}

/* The variable is a statistic, and so is all it comes from down to a projection, a gate or an activation. */
static void check_chain(const hy_graph *g, hy_var v, const char *kind) {
    static const char *const ends[] = {"linear",      "decay gate", "bounded gate",  "head decay",
                                       "lower bound", "shift taps", "window filter", NULL};
    for (;;) {
        const hy_node *node = &g->nodes[g->vars[v].producer];
        if (role(g, v) != HY_ROLE_STAT) {
            fail_msg("%s: '%s' of node '%s' is rounded to an activation", kind, g->vars[v].name, node->class->name);
        }
        for (int i = 0; ends[i]; i++) {
            if (strcmp(node->class->name, ends[i]) == 0) {
                return;
            }
        }
        v = node->in[0];
    }
}

static void check_kind(const char *kind) {
    static hy_model_config config;
    hy_graph g;
    hy_model_config_init(&config);
    config.layers = 2;
    config.width = 256;
    config.vocab = 11;
    config.n_pattern = config.n_mixers = 1;
    snprintf(config.pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config_init(&config.mixers[0], kind);
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    hy_graph_init(&g);
    assert_int_equal(hy_model_build(&g, &config), HY_OK);
    int asked = 0;
    for (int n = 0; n < g.n_nodes; n++) {
        const hy_node *node = &g.nodes[n];
        for (int i = 0; i < node->n_in; i++) {
            if (node->in[i] != HY_NONE && (node->class->stat_in >> i & 1)) {
                check_chain(&g, node->in[i], kind);
                asked++;
            }
        }
        assert_true(node->n_out == 0 || g.vars[node->out[0]].grad_alias == HY_NONE ||
                    role(&g, node->out[0]) == role(&g, g.vars[node->out[0]].grad_alias));
    }
    const bool plain = hy_mixer_row_find(kind)->softmax || strcmp(kind, "linear") == 0 || strcmp(kind, "based") == 0 ||
                       strcmp(kind, "rebased") == 0 || strcmp(kind, "conv_long") == 0;
    assert_true(plain == (asked == 0));
    hy_graph_fini(&g);
}

static void test_mixers(void **state) {
    (void)state;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        check_kind(hy_mixer_row_at(i)->kind);
    }
}

/* A delta rule whose beta is made by the hand of `beta_of`, with x read by a norm as well if `shared`. */
static hy_status build_delta(hy_graph *g, hy_var (*beta_of)(hy_graph *g, hy_var x), bool shared) {
    hy_graph_init(g);
    hy_weight table = hy_graph_param(g, "table", 2, (int64_t[]){5, 4}, HY_INIT_NORMAL, true);
    hy_var x = hy_node_embed(g, table, 4, 5, -1), beta = beta_of(g, x);
    const hy_recur_vars in = {.q = hy_node_linear(g, x, "q", 4, false),
                              .k = hy_node_linear(g, x, "k", 4, false),
                              .v = hy_node_linear(g, x, "v", 4, false),
                              .g = HY_NONE,
                              .beta = beta};
    hy_var y = hy_node_recur(g, &in, HY_DECAY_NONE, HY_RULE_DELTA, 1, 4, 1);
    y = shared ? hy_node_residual(g, y, hy_node_l2norm(g, beta, 4, 0)) : y;
    hy_node_head_loss(g, y, table, 4, 5);
    return g->status == HY_OK ? hy_graph_roles(g) : g->status;
}

static hy_var beta_of_linear(hy_graph *g, hy_var x) {
    return hy_node_unary(g, hy_node_linear(g, x, "b", 4, false), HY_ACT_SIGMOID, 1, 0);
}

static hy_var beta_of_conv(hy_graph *g, hy_var x) {
    return hy_node_conv(g, x, "b", 3, false, HY_ACT_SILU);
}

static hy_var beta_of_conv_rounded(hy_graph *g, hy_var x) {
    return hy_node_unary(g, beta_of_conv(g, x), HY_ACT_IDENTITY, 1, 0);
}

static void test_where_it_cannot_be(void **state) {
    (void)state;
    hy_graph g;
    assert_int_equal(build_delta(&g, beta_of_linear, false), HY_OK);
    hy_graph_fini(&g);
    assert_int_equal(build_delta(&g, beta_of_conv_rounded, false), HY_OK);
    const hy_var made = g.nodes[g.n_nodes - 2].in[4], from = g.nodes[g.vars[made].producer].in[0];
    assert_int_equal(role(&g, made), HY_ROLE_STAT);
    assert_int_equal(role(&g, from), HY_ROLE_ACT);
    hy_graph_fini(&g);
    capture_begin();
    assert_int_equal(build_delta(&g, beta_of_conv, false), HY_ERR_FAILED);
    assert_contains(capture_end(), "node 'convolution' makes activations, but 'conv' is read as a statistic");
    hy_graph_fini(&g);
    capture_begin();
    assert_int_equal(build_delta(&g, beta_of_linear, true), HY_ERR_FAILED);
    assert_contains(capture_end(), "node 'l2norm' cannot read 'act' as the statistic");
    hy_graph_fini(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mixers), cmocka_unit_test(test_where_it_cannot_be)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
