#include "sp/lists/lists.h"

#include <string.h>

#include "base/memory.h"
#include "sp/attention/attention_row.h"
#include "sp/carve.h"
#include "sp/lists/carried_folds.h"
#include "sp/lists/carried_keys.h"
#include "sp/lists/channel_lists.h"
#include "sp/lists/halo_lists.h"
#include "sp/lists/head_lists.h"
#include "sp/lists/run_lists.h"
#include "sp/lists/state_lists.h"
#include "sp/reach.h"
#include "sp/state/state_exchange.h"

static int find_key(const hy_list_keys *keys, int64_t value) {
    int i = 0;
    while (i < keys->n && keys->at[i] != value) {
        i++;
    }
    return i;
}

void hy_lists_need_key(hy_lists_needs *needs, hy_list_keys *keys, int64_t value) {
    const int i = find_key(keys, value);
    if (i == HY_LISTS_MAX) {
        needs->status = hy_fail(
            HY_ERR_USAGE, "a model with more than %d different windows, widths or reaches (parallel.prune) of one kind",
            (int)HY_LISTS_MAX);
        return;
    }
    keys->at[i] = value;
    keys->n = i < keys->n ? keys->n : i + 1;
}

void hy_lists_need_reach(hy_lists_needs *needs, int64_t reach) {
    const hy_layout_dims lengths = {.frag_min = needs->frag_min, .frag_max = needs->frag_max};
    hy_lists_need_key(needs, &needs->reaches, needs->frag_max > 0 ? hy_reach_among(&lengths, reach) : reach);
}

static int find_attention(const hy_lists_needs *needs, const hy_attn_need *need) {
    int i = 0;
    while (i < needs->n_attentions &&
           (needs->attentions[i].window != need->window || needs->attentions[i].products != need->products ||
            needs->attentions[i].latent != need->latent)) {
        i++;
    }
    return i;
}

void hy_lists_need_attention(hy_lists_needs *needs, const hy_attn_need *need) {
    hy_lists_need_key(needs, &needs->windows, need->window);
    const int i = find_attention(needs, need);
    if (i == HY_LISTS_MAX) {
        needs->status =
            hy_fail(HY_ERR_USAGE, "a model with more than %d different shapes of softmax attention", (int)HY_LISTS_MAX);
        return;
    }
    needs->attentions[i] = *need;
    needs->n_attentions = i < needs->n_attentions ? needs->n_attentions : i + 1;
}

static const hy_state_row *exchange_of(const hy_lists_needs *needs) {
    return hy_state_row_of(needs->method.state);
}

static bool exchanges_states(const hy_layout_dims *dims, const hy_lists_needs *needs) {
    return needs->recurrences && hy_layout_dims_cut(dims) && !exchange_of(needs)->by_heads;
}

static int find_heads(const hy_lists_needs *needs, const hy_head_need *need) {
    int i = 0;
    while (i < needs->n_heads &&
           (needs->heads[i].heads.main != need->heads.main || needs->heads[i].heads.shared != need->heads.shared ||
            needs->heads[i].kind != need->kind || needs->heads[i].near != need->near)) {
        i++;
    }
    return i;
}

void hy_lists_need_heads(hy_lists_needs *needs, const hy_head_need *need) {
    const int i = find_heads(needs, need);
    if (i == HY_LISTS_MAX) {
        needs->status =
            hy_fail(HY_ERR_USAGE, "a model with more than %d different numbers of heads", (int)HY_LISTS_MAX);
        return;
    }
    needs->heads[i] = *need;
    needs->n_heads = i < needs->n_heads ? needs->n_heads : i + 1;
}

static size_t indices_bytes(int64_t n) {
    return hy_aligned((size_t)n * sizeof(int64_t));
}

/* Ranks of a group that changes tokens for heads. */
static int head_members(const hy_layout_dims *dims, const hy_lists_needs *needs, bool near) {
    return near ? hy_sp_group_ranks(&needs->method, dims->size) : dims->size;
}

static size_t image_bytes(const hy_profile *profile, const hy_layout_dims *dims, const hy_lists_needs *needs) {
    const size_t runs = hy_run_lists_bytes(profile, dims, needs->recurrences);
    size_t bytes =
        2 * hy_aligned((size_t)dims->T * sizeof(int32_t)) + hy_aligned(sizeof(double)) + indices_bytes(dims->T);
    bytes += needs->documents ? indices_bytes(hy_layout_documents_max(dims) + 1) : 0;
    bytes += runs;
    bytes += needs->carries ? runs + hy_carried_folds_bytes(dims) : 0;
    if (needs->n_states > 0) {
        bytes += runs + 2 * hy_aligned((size_t)dims->n_local * sizeof(hy_run));
    }
    bytes += (size_t)needs->windows.n * (indices_bytes(dims->T) + (needs->carries ? hy_carried_keys_bytes(dims) : 0));
    for (int i = 0; i < needs->n_attentions; i++) {
        bytes += hy_attn_lists_image(profile, dims, &needs->method, &needs->attentions[i]);
    }
    for (int i = 0; i < needs->reaches.n && exchanges_states(dims, needs); i++) {
        bytes += exchange_of(needs)->lists_bytes(dims, &needs->method, needs->reaches.at[i]);
    }
    for (int i = 0; i < needs->widths.n; i++) {
        bytes += hy_width_lists_bytes(dims, needs->widths.at[i]);
    }
    for (int i = 0; i < needs->channels.n; i++) {
        bytes += hy_channel_lists_bytes(profile, dims, needs->channels.at[i]);
    }
    for (int i = 0; i < needs->n_heads && dims->size > 1; i++) {
        bytes += hy_head_lists_bytes(dims, head_members(dims, needs, needs->heads[i].near));
    }
    for (int i = 0; i < needs->levels.n; i++) {
        bytes += hy_level_lists_bytes(dims, needs->levels.at[i], needs->carries);
    }
    return bytes;
}

int64_t hy_lists_requests(const hy_layout_dims *dims, const hy_lists_needs *needs) {
    int64_t most = 0;
    for (int i = 0; i < needs->reaches.n && exchanges_states(dims, needs); i++) {
        const int64_t requests = exchange_of(needs)->requests(dims, &needs->method, needs->reaches.at[i]);
        most = requests > most ? requests : most;
    }
    if (needs->channels.n > 0 && most < HY_CHANNEL_REQUESTS) {
        most = HY_CHANNEL_REQUESTS;
    }
    if (needs->n_heads > 0) {
        const int64_t messages = (int64_t)HY_HEAD_MOVES * 2 * (dims->size - 1);
        most = messages > most ? messages : most;
    }
    for (int i = 0; i < needs->widths.n; i++) {
        const int64_t pieces = hy_halo_pieces_max(dims, needs->widths.at[i]);
        most = pieces > most ? pieces : most;
    }
    return most;
}

static int64_t inner_starts(const hy_layout_dims *dims, const hy_lists_needs *needs) {
    return needs->widths.n * dims->n_local;
}

/* What needs of softmax attention say moves from *own to *part. */
static void split_attention(hy_lists_needs *own, hy_lists_needs *part) {
    part->windows = own->windows;
    part->n_attentions = own->n_attentions;
    memcpy(part->attentions, own->attentions, sizeof own->attentions);
    own->windows.n = own->n_attentions = 0;
}

/* Takes what is computed by heads out of *own and gives it to *whole, and what is among groups of near ranks to *near, which exchange
 * it around a ring. */
static void split_needs(hy_lists_needs *own, hy_lists_needs *whole, hy_lists_needs *near) {
    const hy_attn_by_heads *by_heads = hy_attn_row_of(own->method.attention)->by_heads;
    *whole = *near = (hy_lists_needs){.method = own->method};
    near->method.attention = HY_ATTENTION_RING;
    if (by_heads) {
        split_attention(own, by_heads->near ? near : whole);
    }
    if (exchange_of(own)->by_heads) {
        whole->recurrences = own->recurrences;
        whole->n_states = own->n_states;
        whole->levels = own->levels;
        own->recurrences = false;
        own->n_states = own->levels.n = 0;
    }
}

static bool needs_heads(const hy_lists_needs *needs, bool near) {
    int i = 0;
    while (i < needs->n_heads && needs->heads[i].near != near) {
        i++;
    }
    return i < needs->n_heads;
}

/* The lists of a group's tokens. */
static hy_status create_outer(const hy_lists *lists, bool near, const hy_lists_needs *needs, hy_layout **layout,
                              hy_lists **out) {
    const hy_layout_dims outer = hy_head_outer(&lists->dims, head_members(&lists->dims, &lists->needs, near));
    if (!needs_heads(&lists->needs, near)) {
        return HY_OK;
    }
    HY_TRY(hy_layout_create_cut(outer.kind, &outer.cuts, outer.size, outer.rank, outer.n_seq, outer.len, layout));
    return hy_lists_create(lists->device, &outer, needs, out);
}

/* Those that say the same of fragments of these lengths are one. */
static void merge_reaches(const hy_layout_dims *dims, hy_lists_needs *needs) {
    const hy_list_keys told = needs->reaches;
    needs->reaches.n = 0;
    for (int i = 0; i < told.n; i++) {
        hy_lists_need_key(needs, &needs->reaches, hy_reach_among(dims, told.at[i]));
    }
}

hy_status hy_lists_create(hy_device *device, const hy_layout_dims *dims, const hy_lists_needs *told, hy_lists **out) {
    hy_lists *lists = NULL;
    hy_lists_needs whole, near;
    HY_TRY(told->status);
    HY_TRY(HY_NEW("lists of documents and layout", 1, &lists));
    *lists = (hy_lists){.device = device, .dims = *dims, .needs = *told};
    merge_reaches(dims, &lists->needs);
    const hy_lists_needs *needs = &lists->needs;
    const bool by_heads = dims->size > 1 && needs->n_heads > 0;
    if (by_heads) {
        split_needs(&lists->needs, &whole, &near);
    }
    hy_status status = hy_list_image_create(device, image_bytes(hy_device_profile(device), dims, needs), &lists->image);
    for (int i = 0; i < 2 && status == HY_OK; i++) {
        status = HY_NEW("lists by fragment", hy_run_lists_starts(dims), &lists->fragment_starts[i]);
    }
    if (status == HY_OK) {
        status = HY_NEW("lists by fragment", inner_starts(dims, needs), &lists->inner_starts);
    }
    if (status == HY_OK) {
        status = HY_NEW("requests of exchanges", hy_lists_requests(dims, needs), &lists->requests);
    }
    if (status == HY_OK && exchanges_states(dims, needs)) {
        status = HY_NEW("exchange of states", 1, &lists->pass);
    }
    for (int i = 0; i < needs->n_attentions && status == HY_OK; i++) {
        status = hy_attn_lists_create(hy_device_profile(device), dims, &needs->method, &needs->attentions[i],
                                      &lists->attentions[i]);
    }
    if (status == HY_OK && by_heads) {
        status = create_outer(lists, false, &whole, &lists->whole_layout, &lists->whole);
    }
    if (status == HY_OK && by_heads) {
        status = create_outer(lists, true, &near, &lists->near_layout, &lists->near);
    }
    if (status != HY_OK) {
        hy_lists_destroy(lists);
        return status;
    }
    *out = lists;
    return HY_OK;
}

void hy_lists_destroy(hy_lists *lists) {
    if (lists) {
        hy_list_image_destroy(lists->image);
        for (int i = 0; i < lists->needs.n_attentions; i++) {
            hy_attn_lists_destroy(lists->attentions[i]);
        }
        hy_free(lists->fragment_starts[0]);
        hy_free(lists->fragment_starts[1]);
        hy_free(lists->inner_starts);
        hy_free(lists->requests);
        hy_free(lists->pass);
        hy_lists_destroy(lists->whole);
        hy_layout_destroy(lists->whole_layout);
        hy_lists_destroy(lists->near);
        hy_layout_destroy(lists->near_layout);
        hy_free(lists);
    }
}

static hy_index_list indices(hy_list_image *image, const int64_t *from, int64_t n) {
    int64_t *host = hy_list_image_take(image, (size_t)n * sizeof *host);
    if (from && n > 0) {
        memcpy(host, from, (size_t)n * sizeof *host);
    }
    return (hy_index_list){.host = host, .device = hy_list_image_device(image, host), .n = n};
}

static hy_token_list token_list(hy_list_image *image, const int32_t *from, int64_t T) {
    if (!from) {
        return (hy_token_list){0};
    }
    int32_t *host = hy_list_image_take(image, (size_t)T * sizeof *host);
    memcpy(host, from, (size_t)T * sizeof *host);
    return (hy_token_list){.host = host, .device = hy_list_image_device(image, host), .n = T};
}

static const double *number_sent(hy_list_image *image, double value) {
    double *host = hy_list_image_take(image, sizeof *host);
    *host = value;
    return hy_list_image_device(image, host);
}

static hy_index_list documents(hy_list_image *image, const hy_layout *layout) {
    hy_index_list docs = indices(image, layout->docs, layout->n_docs + 1);
    for (int64_t d = 0; d < layout->n_docs; d++) {
        const int64_t tokens = layout->docs[d + 1] - layout->docs[d];
        docs.longest = tokens > docs.longest ? tokens : docs.longest;
    }
    return docs;
}

static hy_window_lists window_lists(hy_list_image *image, const hy_layout *layout, int64_t window) {
    hy_index_list list = indices(image, NULL, layout->T);
    int64_t *lo = (int64_t *)(uintptr_t)list.host;
    for (int64_t t = 0; t < layout->T; t++) {
        const int64_t reach = window > 0 ? layout->pos[t] - window + 1 : 0;
        lo[t] = layout->doc_start[t] > reach ? layout->doc_start[t] : reach;
    }
    return (hy_window_lists){.window = window, .lo = list};
}

static void build_told(hy_lists *lists) {
    const hy_lists_needs *needs = &lists->needs;
    lists->n_windows = needs->windows.n;
    for (int i = 0; i < needs->windows.n; i++) {
        const int64_t window = needs->windows.at[i];
        lists->windows[i] = window_lists(lists->image, lists->layout, window);
        if (needs->carries && window > 0) {
            lists->windows[i].carried = hy_carried_keys_build(lists->image, lists->layout, window);
        }
    }
    for (int i = 0; i < needs->n_attentions; i++) {
        hy_attn_lists_set(lists->attentions[i], hy_device_profile(lists->device), lists->image, lists->layout,
                          hy_lists_window(lists, needs->attentions[i].window)->lo.host);
    }
    for (int i = 0; i < needs->widths.n; i++) {
        lists->widths[i] = hy_width_lists_build(lists->image, lists->layout, needs->widths.at[i],
                                                lists->inner_starts + i * lists->dims.n_local);
    }
    for (int i = 0; i < needs->channels.n; i++) {
        lists->channels[i] = hy_channel_lists_build(lists->image, hy_device_profile(lists->device), lists->layout,
                                                    needs->channels.at[i]);
    }
    for (int i = 0; i < needs->n_heads && lists->dims.size > 1; i++) {
        lists->heads[i] =
            hy_head_lists_build(lists->image, lists->layout,
                                needs->heads[i].near ? lists->near_layout : lists->whole_layout, &needs->heads[i]);
    }
    for (int i = 0; i < needs->levels.n; i++) {
        lists->levels[i] = hy_level_lists_build(lists->image, lists->layout, needs->levels.at[i], needs->carries);
    }
    for (int i = 0; i < needs->reaches.n && exchanges_states(&lists->dims, needs); i++) {
        exchange_of(needs)->build(lists->image, lists->layout, &needs->method, needs->reaches.at[i], &lists->states[i]);
    }
}

/* The lists of a group's tokens, if there are such. */
static void set_outer(hy_lists *lists, hy_layout *outer, const hy_layout *layout) {
    if (lists) {
        hy_layout_share_documents(outer, layout);
        hy_lists_set(lists, outer, NULL, NULL, 0.0);
    }
}

void hy_lists_set(hy_lists *lists, const hy_layout *layout, const int32_t *tokens, const int32_t *labels,
                  double d_scale) {
    hy_list_image *image = lists->image;
    const int64_t part =
        lists->needs.recurrences ? hy_run_part_tokens(hy_device_profile(lists->device), &lists->dims) : 0;
    hy_list_image_begin(image);
    lists->layout = layout;
    lists->tokens = token_list(image, tokens, layout->T);
    lists->labels = token_list(image, labels, layout->T);
    lists->d_scale = number_sent(image, d_scale);
    lists->doc_pos = indices(image, layout->doc_pos, layout->T);
    if (lists->needs.documents) {
        lists->docs = documents(image, layout);
    }
    lists->runs = hy_run_lists_build(image, layout, part, HY_RUN_ENDS_NONE, lists->fragment_starts[0]);
    if (lists->needs.carries) {
        lists->carrying_runs = hy_run_lists_build(image, layout, part, HY_RUN_ENDS_CARRIED, lists->fragment_starts[1]);
        lists->carried = hy_carried_folds_build(image, layout);
    }
    if (lists->needs.n_states > 0) {
        lists->document_runs =
            hy_run_lists_build(image, layout, part, HY_RUN_ENDS_DOCUMENTS, lists->fragment_starts[1]);
        lists->opening = hy_half_open_runs(image, layout, true);
        lists->closing = hy_half_open_runs(image, layout, false);
    }
    set_outer(lists->whole, lists->whole_layout, layout);
    set_outer(lists->near, lists->near_layout, layout);
    build_told(lists);
    hy_list_image_end(image);
}

const hy_window_lists *hy_lists_window(const hy_lists *lists, int64_t window) {
    return &lists->windows[find_key(&lists->needs.windows, window)];
}

const hy_attn_lists *hy_lists_attention(const hy_lists *lists, const hy_attn_need *need) {
    return lists->attentions[find_attention(&lists->needs, need)];
}

const hy_width_lists *hy_lists_width(const hy_lists *lists, int64_t width) {
    return &lists->widths[find_key(&lists->needs.widths, width)];
}

const hy_state_lists *hy_lists_states(const hy_lists *lists, int64_t reach) {
    return &lists->states[find_key(&lists->needs.reaches, reach)];
}

const hy_level_lists *hy_lists_levels(const hy_lists *lists, int64_t columns) {
    return &lists->levels[find_key(&lists->needs.levels, columns)];
}

const hy_head_lists *hy_lists_heads(const hy_lists *lists, const hy_head_need *need) {
    return &lists->heads[find_heads(&lists->needs, need)];
}

const hy_channel_lists *hy_lists_channels(const hy_lists *lists, int64_t channels) {
    return &lists->channels[find_key(&lists->needs.channels, channels)];
}
