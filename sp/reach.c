#include "sp/reach.h"

#include <math.h>

#include "sp/state/state_exchange.h"

/* Of a log decay, for its rounding to float32 where it is used. */
static const double held = 1 - 1e-6;

static int64_t rounded_up(double tokens) {
    int exponent = 0;
    (void)frexp(tokens, &exponent);
    const double unit = exponent > 5 ? ldexp(1, exponent - 5) : 1;
    return (int64_t)(ceil(tokens / unit) * unit);
}

int64_t hy_reach_of(const hy_sp_method *method, double log_decay) {
    const bool travel = method->state != HY_STATE_AUTO && !hy_state_row_of(method->state)->by_heads;
    if (method->prune <= 0 || log_decay >= 0 || !travel) {
        return 0;
    }
    const double tokens = log(method->prune) / (log_decay * held);
    return tokens < 1 ? 1 : tokens < (double)((int64_t)1 << 60) ? rounded_up(tokens) : 0;
}

int64_t hy_reach_among(const hy_layout_dims *dims, int64_t reach) {
    return reach == 0 || reach > dims->frag_max ? 0 : reach <= dims->frag_min ? 1 : reach;
}

hy_reach_facts hy_reach_facts_of(const hy_sp_method *method, const hy_layout_dims *dims, double log_decay) {
    hy_reach_facts facts = {.reach = hy_reach_of(method, log_decay),
                            .fragments = dims->n_seq > 0 ? dims->n_frags / dims->n_seq : 0};
    int64_t shortest = 0;
    for (int64_t i = 1; i + 1 < facts.fragments; i++) {
        const int64_t len = hy_layout_fragment_tokens(dims, i);
        if (!hy_reach_passes(facts.reach, len)) {
            facts.closed++;
            shortest = shortest == 0 || len < shortest ? len : shortest;
        }
    }
    facts.bound = facts.closed > 0 ? exp((double)shortest * log_decay * held) : 0;
    return facts;
}
