#include "train/run/fixed_sums.h"

#include <string.h>

#include "sp/layout.h"

static bool is_power_of_two(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

static int64_t power_from(int64_t n) {
    int64_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return power;
}

hy_status hy_fixed_sums_check(const hy_config *config, int sequence_size) {
    const hy_sp_method *method = &config->parallel.method;
    const int64_t least = (int64_t)sequence_size * (method->layout == HY_LAYOUT_ZIGZAG ? 2 : 1);
    if (method->cuts.fixed == 0) {
        return hy_cuts_check(method->layout, &method->cuts, sequence_size);
    }
    if (!is_power_of_two(sequence_size)) {
        return hy_fail(HY_ERR_USAGE,
                       "parallel.invariant: %d ranks share a sequence, which is no power of two; nearest: %lld",
                       sequence_size, (long long)power_from(sequence_size) / 2);
    }
    if (!is_power_of_two(method->cuts.fixed) || method->cuts.fixed < least) {
        return hy_fail(
            HY_ERR_USAGE,
            "parallel.fragments: %lld with %d ranks per sequence: a power of two from %lld on (%s); nearest: %lld",
            (long long)method->cuts.fixed, sequence_size, (long long)least, hy_layout_names[method->layout],
            (long long)power_from(method->cuts.fixed > least ? method->cuts.fixed : least));
    }
    return hy_cuts_check(method->layout, &method->cuts, sequence_size);
}

int hy_fixed_sums_shards(const hy_sp_method *method, int ranks, int sequence_size) {
    return method->cuts.fixed > 0 ? ranks / sequence_size * (int)method->cuts.fixed : ranks;
}

int64_t hy_fixed_sums_arrays(const hy_sp_method *method, int sequence_size) {
    const int64_t sums = hy_sp_sums(method, sequence_size);
    return method->cuts.fixed == 0 ? 1 : sums > 2 ? sums : 2;
}

/* Item `from` is added to item `to`. */
typedef void add_item(void *items, int64_t to, int64_t from);

/* n items into the first; mirrored, where they are a power of two: i and n − 1 − i are the first pairs, else neighbours. */
static void add_in_pairs(void *items, int64_t n, bool mirrored, add_item *add) {
    for (int64_t i = 0; mirrored && i < n / 2; i++) {
        add(items, i, n - 1 - i);
    }
    n = mirrored ? n / 2 : n;
    for (int64_t step = 1; step < n; step *= 2) {
        for (int64_t i = 0; i + step < n; i += 2 * step) {
            add(items, i, i + step);
        }
    }
}

static void add_leaf(void *items, int64_t to, int64_t from) {
    double *leaves = items;
    leaves[to] += leaves[from];
}

double hy_fixed_sum(double *leaves, int64_t n) {
    add_in_pairs(leaves, n, false, add_leaf);
    return leaves[0];
}

double hy_fixed_sum_fragments(const hy_sp_method *method, double *leaves, int64_t n) {
    add_in_pairs(leaves, n, method->cuts.fixed > 0 && method->layout == HY_LAYOUT_ZIGZAG, add_leaf);
    return leaves[0];
}

typedef struct rank_values {
    double *all; /* [size,n] */
    int64_t n;
} rank_values;

static void add_rank(void *items, int64_t to, int64_t from) {
    const rank_values *v = items;
    for (int64_t i = 0; i < v->n; i++) {
        v->all[to * v->n + i] += v->all[from * v->n + i];
    }
}

void hy_fixed_sum_ranks(hy_comm *world, const char *name, double *values, int64_t n, double *all) {
    hy_req req = {0};
    hy_comm_all_gather(world, name, values, all, (size_t)n * sizeof *all, &req);
    hy_comm_wait(&req);
    add_in_pairs(&(rank_values){all, n}, hy_comm_size(world), false, add_rank);
    memcpy(values, all, (size_t)n * sizeof *all);
}

static void add_array(void *items, int64_t to, int64_t from) {
    const hy_fixed_arrays *a = items;
    hy_axpy(a->device, &(hy_axpy_args){.n = a->n,
                                       .a = 1,
                                       .x = a->first + (size_t)(from * a->ld + a->begin) * a->size,
                                       .y = a->first + (size_t)(to * a->ld + a->begin) * a->size,
                                       .acc = 1,
                                       .from = HY_ROLE_GRAD,
                                       .to = HY_ROLE_GRAD});
}

void hy_fixed_sum_arrays(const hy_fixed_arrays *a) {
    hy_fixed_arrays arrays = *a;
    add_in_pairs(&arrays, a->arrays, a->mirrored, add_array);
}
