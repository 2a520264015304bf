/* The linear recurrences of the table. */
#include "kernels/cuda/overlay.cuh"
#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

/* Three ways: in chunks, by channels where states are single numbers, and by tokens for every other form. */
static void recur_walk_once(const recur_of &args, scan_task scan, channel_task channels, walk_task walk) {
    if (recur_in_chunks(args.a)) {
        recur_prep(args, scan != SCAN_MAP);
        recur_scan(args, scan);
    } else if (recur_is_channels(args.a)) {
        recur_channels(args, channels);
    } else {
        recur_walk(args, walk);
    }
}

template <hy_dtype P> static void recur_fwd(const hy_recur_args *a) {
    recur_walk_once(recur_args<P>(a), SCAN_FWD, CHANNELS_FWD, WALK_FWD);
}

template <hy_dtype P> static void recur_inject(const hy_recur_args *a) {
    if (a->S0 != nullptr)
        recur_walk_once(recur_args<P>(a), SCAN_INJECT, CHANNELS_INJECT, WALK_INJECT);
}

template <hy_dtype P> static void recur_map_bwd(const hy_recur_args *a) {
    recur_walk_once(recur_args<P>(a), SCAN_MAP_BWD, CHANNELS_MAP_BWD, WALK_BACK);
}

/* Channels have A_map from the same walk. */
template <hy_dtype P> static void recur_map(const hy_recur_args *a) {
    const recur_of args = recur_args<P>(a);
    recur_walk_once(args, SCAN_MAP, CHANNELS_MAP, WALK_MAP);
    if (a->A_map == nullptr || recur_is_channels(*a))
        return;
    if (recur_in_chunks(*a) && a->rule != HY_RULE_ADDITIVE)
        recur_scan(args, SCAN_TRANSITION);
    else
        recur_walk(args, WALK_TRANSITION);
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
