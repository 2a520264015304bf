/* The linear recurrences of the table. */
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

/* Three ways: in chunks, by channels where states are single numbers, and by tokens for every other form. */
template <hy_dtype P> static void recur_fwd(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    if (recur_in_chunks(*a)) {
        recur_prep(args, true);
        recur_scan(args, SCAN_FWD);
    } else if (recur_is_channels(*a)) {
        recur_channels(args, CHANNELS_FWD);
    } else {
        recur_walk(args, WALK_FWD);
    }
}

template <hy_dtype P> static void recur_inject(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    if (a->S0 == nullptr)
        return;
    if (recur_in_chunks(*a)) {
        recur_prep(args, true);
        recur_scan(args, SCAN_INJECT);
    } else if (recur_is_channels(*a)) {
        recur_channels(args, CHANNELS_INJECT);
    } else {
        recur_walk(args, WALK_INJECT);
    }
}

template <hy_dtype P> static void recur_map(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    if (recur_is_channels(*a)) {
        recur_channels(args, CHANNELS_MAP);
        return;
    }
    const bool chunks = recur_in_chunks(*a);
    if (chunks) {
        recur_prep(args, false);
        recur_scan(args, SCAN_MAP);
    } else {
        recur_walk(args, WALK_MAP);
    }
    if (a->A_map != nullptr && chunks && a->rule != HY_RULE_ADDITIVE)
        recur_scan(args, SCAN_TRANSITION);
    else if (a->A_map != nullptr)
        recur_walk(args, WALK_TRANSITION);
}

template <hy_dtype P> static void recur_map_bwd(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    if (recur_in_chunks(*a)) {
        recur_prep(args, true);
        recur_scan(args, SCAN_MAP_BWD);
    } else if (recur_is_channels(*a)) {
        recur_channels(args, CHANNELS_MAP_BWD);
    } else {
        recur_walk(args, WALK_BACK);
    }
}

template <hy_dtype P> static void recur_bwd(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    if (recur_in_chunks(*a)) {
        const chunk_place *chunks = recur_prep(args, true);
        recur_scan(args, SCAN_STATES);
        recur_scan(args, SCAN_GRADS);
        recur_grad(args, chunks);
    } else if (recur_is_channels(*a)) {
        recur_channels(args, CHANNELS_STATES);
        recur_channels(args, CHANNELS_GRADS);
    } else {
        recur_walk_bwd(args);
    }
}

template <hy_dtype P> static size_t recur_work(const hy_recur_args *a) {
    return recur_in_chunks(*a) ? recur_chunk_work(*a, P == HY_BF16) : recur_walk_work(a);
}

template <hy_dtype P> static void recur_entries(hy_table *table) {
    table->recur_fwd = recur_fwd<P>;
    table->recur_inject = recur_inject<P>;
    table->recur_map = recur_map<P>;
    table->recur_map_bwd = recur_map_bwd<P>;
    table->recur_bwd = recur_bwd<P>;
    table->recur_work = recur_work<P>;
}

void overlay_recur(hy_table *table) {
    HY_OVERLAY(recur_entries, table);
}

} // namespace HY_GPU
