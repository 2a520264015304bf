#include "train/data/data_mix.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "train/data/store_stretch.h"

hy_status hy_data_state_find(hy_data_state *state, const char *name, int64_t tokens, int *index, int *fresh) {
    int i = 0;
    while (i < state->n_stores && strcmp(state->stores[i].name, name) != 0) {
        i++;
    }
    if (i == HY_RECORDS_MAX) {
        return hy_fail(HY_ERR_DATA, "a run reads at most %d stores in all; '%s' is one more", HY_RECORDS_MAX, name);
    }
    hy_store_record *record = &state->stores[i];
    *index = i;
    *fresh = i == state->n_stores || record->tokens != tokens;
    if (*fresh) {
        *record = (hy_store_record){.tokens = tokens};
        (void)snprintf(record->name, sizeof record->name, "%s", name);
    }
    state->n_stores += i == state->n_stores;
    return HY_OK;
}

/* u_q as a fraction of 2^64, where multiples of φ wrap around by themselves. */
static double point(uint64_t seed, int64_t number) {
    const uint64_t phi = 0x9e3779b97f4a7c15u;
    const uint64_t u = hy_random_u64(seed, hy_random_stream("data mix"), 0) + (uint64_t)number * phi;
    return (double)(u >> 11) * 0x1p-53;
}

int hy_data_mix_source(const hy_data_mix *mix, int64_t number) {
    double all = 0.0, sum = 0.0;
    for (int i = 0; i < mix->n; i++) {
        all += mix->sources[i].weight;
    }
    const double at = mix->n > 1 ? all * point(mix->seed, number) : 0.0;
    int last = 0; /* with a weight: rounding may leave `at` at the very end */
    for (int i = 0; i < mix->n; i++) {
        sum += mix->sources[i].weight;
        if (mix->sources[i].weight > 0.0) {
            last = i;
            if (at < sum) {
                break;
            }
        }
    }
    return last;
}

void hy_data_mix_next(const hy_data_mix *mix, hy_data_state *state, int *source, int64_t *begin) {
    *source = hy_data_mix_source(mix, state->sequences);
    hy_store_record *record = &state->stores[mix->sources[*source].record];
    const hy_store_order order = {mix->seed, record->tokens, mix->sources[*source].block};
    *begin = hy_store_order_next(&order, mix->sequence, &record->position);
    state->sequences++;
    state->tokens += mix->sequence;
}

static hy_store_stretch stretch_of(const hy_data_mix *mix, const hy_data_state *state) {
    return (hy_store_stretch){mix->seed, state->stores[mix->sources[0].record].tokens, mix->places};
}

static hy_store_position *position_of(const hy_data_mix *mix, hy_data_state *state) {
    return &state->stores[mix->sources[0].record].position;
}

void hy_data_mix_enter(const hy_data_mix *mix, hy_data_state *state) {
    const hy_store_stretch stretch = stretch_of(mix, state);
    hy_stretch_enter(&stretch, mix->sequence, position_of(mix, state));
}

int64_t hy_data_mix_read(const hy_data_mix *mix, const hy_data_state *state, int64_t place, int64_t *seen) {
    const hy_store_stretch stretch = stretch_of(mix, state);
    return hy_stretch_read(&stretch, place, &state->stores[mix->sources[0].record].position, seen);
}

void hy_data_mix_advance(const hy_data_mix *mix, hy_data_state *state) {
    const hy_store_stretch stretch = stretch_of(mix, state);
    hy_stretch_advance(&stretch, mix->sequence, position_of(mix, state));
    state->sequences += mix->places;
    state->tokens += mix->places * mix->sequence;
}

void hy_data_mix_forget(const hy_data_mix *mix, hy_data_state *state) {
    const hy_store_stretch stretch = stretch_of(mix, state);
    hy_stretch_forget(&stretch, position_of(mix, state));
}
