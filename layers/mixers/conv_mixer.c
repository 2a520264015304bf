/* Gated convolutions of multi-hybrid models (Ku et al. 2025, StripedHyena 2):
 *
 *   q, k, v = convolutions of width 3 over projections of x;   y = o_proj( q ⊙ filter(k ⊙ v) )
 *
 * The rows differ in their filter, which groups of consecutive channels share: short explicit taps; more of them, damped with their
 * age; or a sum of exponentials as long as the document. */
#include <math.h>

#include "layers/mixers/mixer.h"

struct hy_conv_row {
    int64_t width;    /* default number of taps; 0 = as long as the document */
    double low, high; /* damping over the whole window, from the first filter to the last; 0 = none */
    int64_t group;    /* default number of channels that share a filter */
};

const hy_conv_row hy_conv_short = {.width = 7, .group = 16};
const hy_conv_row hy_conv_medium = {.width = 128, .low = 0.1, .high = 100, .group = 16};
const hy_conv_row hy_conv_long = {.width = 0, .group = 1};

/* width/group filters, or more where the group has to be smaller to divide the width. */
static int64_t default_filters(int64_t width, int64_t group) {
    while (width % group != 0) {
        group /= 2;
    }
    return width / group;
}

static const char filters_help[] = "filters, each shared by width/filter_groups channels";

const hy_mixer_key hy_conv_short_keys[] = {{.name = "conv", .preset = "3"},
                                           {.name = "filter_width", .preset = "7", .help = "taps of the filter"},
                                           {.name = "filter_groups", .preset = "width/16", .help = filters_help},
                                           {.name = "qkv_bias"},
                                           {.name = NULL}};
const hy_mixer_key hy_conv_medium_keys[] = {{.name = "conv", .preset = "3"},
                                            {.name = "filter_width", .preset = "128", .help = "taps of the filter"},
                                            {.name = "filter_groups", .preset = "width/16", .help = filters_help},
                                            {.name = "learned_decay"},
                                            {.name = "qkv_bias"},
                                            {.name = NULL}};
const hy_mixer_key hy_conv_long_keys[] = {{.name = "conv", .preset = "3"},
                                          {.name = "filter_groups", .preset = "width", .help = filters_help},
                                          {.name = "filter_order", .preset = "16"},
                                          {.name = "qkv_bias"},
                                          {.name = NULL}};

hy_status hy_conv_resolve(const hy_mixer_request *r) {
    const hy_model_config *config = r->config;
    hy_mixer_config *m = r->mixer;
    const hy_conv_row *row = r->row->conv;
    HY_TRY(hy_mixer_default(r, "conv", &m->conv, 3, 0));
    HY_TRY(hy_mixer_default(r, "filter_width", &m->filter_width, row->width, row->width > 0));
    HY_TRY(hy_mixer_default(r, "filter_groups", &m->filter_groups, default_filters(config->width, row->group), 1));
    HY_TRY(hy_mixer_default(r, "filter_order", &m->filter_order, 16, 1));
    if (config->width % m->filter_groups != 0) {
        return hy_mixer_fail(r, "filter_groups", "does not divide model.width = %lld", (long long)config->width);
    }
    m->window = 0;
    m->rope_base = 0;
    return HY_OK;
}

/* Width-3 convolutions keep the size of what they mix: their taps have variance 1/width, not the matrices'. */
static hy_var project_conv(hy_graph *g, const hy_mixer_config *m, hy_var x, const char *const names[2], int64_t cols) {
    hy_var y = hy_node_linear(g, x, names[0], cols, m->qkv_bias);
    if (m->conv == 0) {
        return y;
    }
    const double matrices = g->init_std;
    g->init_std = 1 / sqrt((double)m->conv);
    y = hy_node_conv(g, y, names[1], m->conv, false, HY_ACT_IDENTITY);
    g->init_std = matrices;
    return y;
}

hy_var hy_conv_build(const hy_mixer_row *table_row, hy_graph *g, const hy_model_config *config,
                     const hy_mixer_config *m, int64_t layer, hy_var x) {
    (void)layer;
    const hy_conv_row *row = table_row->conv;
    const int64_t D = config->width;
    hy_var q = project_conv(g, m, x, (const char *[]){"q_proj", "q_conv1d"}, D);
    hy_var k = project_conv(g, m, x, (const char *[]){"k_proj", "k_conv1d"}, D);
    hy_var v = project_conv(g, m, x, (const char *[]){"v_proj", "v_conv1d"}, D);
    hy_var y = hy_node_glu(g, v, k, HY_ACT_IDENTITY);
    if (row->width == 0) {
        y = hy_node_long_conv(g, y, "filter", m->filter_groups, m->filter_order);
    } else {
        const hy_window window = {.filters = m->filter_groups,
                                  .width = m->filter_width,
                                  .low = row->low,
                                  .high = row->high,
                                  .learned = m->learned_decay};
        y = hy_node_conv_by(g, y, hy_node_window_filter(g, "filter", D, &window), m->filter_width);
    }
    return hy_node_linear(g, hy_node_glu(g, y, q, HY_ACT_IDENTITY), "o_proj", D, false);
}
