/* A fragment's first run may continue a document, its last may go on; so what waits for others is at most one run per fragment
 * and direction. */
#include "sp/lists/run_lists.h"

#include "sp/carve.h"
#include "sp/state/segment_map.h"

enum { PART_MIN = 256, PART_MULTIPLE = 64 };

int64_t hy_run_part_tokens(const hy_profile *profile, const hy_layout_dims *dims) {
    if (profile->tuning.recur_pieces == 0) {
        return 0;
    }
    const int64_t T = hy_layout_call_tokens(dims), /* the same on any number of ranks */
        share = T / profile->tuning.recur_pieces / PART_MULTIPLE * PART_MULTIPLE;
    return share > PART_MIN ? share : PART_MIN;
}

static int64_t count_of_parts(const hy_run *run, int64_t part) {
    return part > 0 && run->len > part ? (run->len + part - 1) / part : 0;
}

size_t hy_run_lists_bytes(const hy_profile *profile, const hy_layout_dims *dims, bool in_parts) {
    const int64_t part = in_parts ? hy_run_part_tokens(profile, dims) : 0;
    const size_t all = hy_aligned((size_t)dims->T * sizeof(hy_run)); /* a token may be a run of its own */
    const size_t parts = part > 0 ? hy_aligned((size_t)(2 * (dims->T / part)) * sizeof(hy_run)) : 0;
    return (hy_layout_dims_cut(dims) ? 2 : 1) * all + parts;
}

int64_t hy_run_lists_starts(const hy_layout_dims *dims) {
    return 3 * dims->n_local + 2;
}

hy_run_list hy_run_list_part(const hy_run_list *list, int64_t first, int64_t n) {
    hy_run_list some = {.host = list->host + first, .device = list->device + first, .n = n};
    if (n == list->n) {
        return *list;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t len = some.host[i].len;
        some.tokens += len;
        some.longest = len > some.longest ? len : some.longest;
    }
    return some;
}

hy_run_list hy_run_list_of(const hy_list_image *image, const hy_run *host, int64_t n) {
    const hy_run_list none = {.host = host, .device = hy_list_image_device(image, host), .n = -1};
    return hy_run_list_part(&none, 0, n);
}

typedef struct run_source {
    const hy_layout *layout;
    hy_run_ends ends;
} run_source;

static hy_run run_at(const run_source *s, int64_t i) {
    hy_run run = s->layout->runs[i];
    if (s->ends == HY_RUN_ENDS_CARRIED) {
        const int64_t after = s->layout->pos[run.begin] + run.len;
        run.s1 = after % s->layout->len == 0
                     ? s->layout->frags[hy_layout_end_fragment(s->layout, after / s->layout->len - 1, 1)].slot
                     : run.s1;
    }
    if (s->ends == HY_RUN_ENDS_DOCUMENTS) {
        const int64_t doc = s->layout->n_local + s->layout->run_doc[i];
        run.s0 = run.s0 >= 0 ? run.s0 : doc;
        run.s1 = run.s1 >= 0 ? run.s1 : doc;
    }
    return run;
}

static bool continues(const hy_layout *layout, int64_t slot) {
    return layout->frags[layout->local[slot]].continues;
}

static bool flows(const hy_layout *layout, int64_t slot) {
    return layout->frags[layout->local[slot]].flows;
}

static bool passes(const hy_layout *layout, int64_t slot) {
    return hy_segment_passes(&layout->frags[layout->local[slot]], 0);
}

static void build_forward(hy_list_image *image, const run_source *s, int64_t *starts, hy_run_lists *out) {
    const hy_layout *layout = s->layout;
    int64_t *continuing_at = starts, *first_starting = starts + layout->n_local;
    hy_run *all = hy_list_image_take(image, (size_t)layout->n_runs * sizeof *all);
    int64_t n = 0;
    for (int passing = 1; passing >= 0; passing--) {
        for (int64_t slot = 0; slot < layout->n_local; slot++) {
            if (continues(layout, slot) && passes(layout, slot) == passing) {
                continuing_at[slot] = n;
                all[n++] = run_at(s, layout->first_run[slot]);
            }
        }
        out->n_passing = passing ? n : out->n_passing;
    }
    const int64_t n_continuing = n;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const bool first_waits = continues(layout, slot);
        continuing_at[slot] = first_waits ? continuing_at[slot] : -1;
        first_starting[slot] = n - n_continuing;
        for (int64_t i = layout->first_run[slot] + first_waits; i < layout->first_run[slot + 1]; i++) {
            all[n++] = run_at(s, i);
        }
    }
    first_starting[layout->n_local] = n - n_continuing;
    out->all = hy_run_list_of(image, all, n);
    out->continuing = hy_run_list_part(&out->all, 0, n_continuing);
    out->starting = hy_run_list_part(&out->all, n_continuing, n - n_continuing);
    out->continuing_at = continuing_at;
    out->first_starting = first_starting;
}

static void build_backward(hy_list_image *image, const run_source *s, int64_t *first_ending, hy_run_lists *out) {
    const hy_layout *layout = s->layout;
    int64_t n = 0, n_flowing = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        n_flowing += flows(layout, slot);
        first_ending[slot] = layout->first_run[slot] - n_flowing + flows(layout, slot);
    }
    first_ending[layout->n_local] = layout->n_runs - n_flowing;
    out->first_ending = first_ending;
    out->ending = out->all;
    if (!hy_layout_cut(layout) || s->ends == HY_RUN_ENDS_CARRIED) {
        return;
    }
    hy_run *all = hy_list_image_take(image, (size_t)layout->n_runs * sizeof *all), *flowing = all;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        for (int64_t i = layout->first_run[slot]; i < layout->first_run[slot + 1] - flows(layout, slot); i++) {
            all[n++] = run_at(s, i);
        }
    }
    flowing += n;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        if (flows(layout, slot)) {
            all[n++] = run_at(s, layout->first_run[slot + 1] - 1);
        }
    }
    out->ending = hy_run_list_of(image, all, n - n_flowing);
    out->flowing = hy_run_list_of(image, flowing, n_flowing);
}

static void build_parts(hy_list_image *image, const run_source *s, hy_run_lists *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->layout->n_runs; i++) {
        n += count_of_parts(&s->layout->runs[i], out->part);
    }
    hy_run *parts = hy_list_image_take(image, (size_t)n * sizeof *parts), *next = parts;
    for (int64_t i = 0; i < s->layout->n_runs; i++) {
        const hy_run run = run_at(s, i);
        for (int64_t left = count_of_parts(&run, out->part), done = 0; left > 0; left--, done += out->part) {
            *next++ = (hy_run){.begin = run.begin + done,
                               .len = left == 1 ? run.len - done : out->part,
                               .s0 = done == 0 ? run.s0 : 0,
                               .s1 = left == 1 ? run.s1 : 0};
        }
    }
    out->parts = hy_run_list_of(image, parts, n);
}

hy_run_lists hy_run_lists_build(hy_list_image *image, const hy_layout *layout, int64_t part, hy_run_ends ends,
                                int64_t *starts) {
    const run_source source = {layout, ends};
    hy_run_lists lists = {.part = part};
    build_forward(image, &source, starts, &lists);
    build_backward(image, &source, starts + 2 * layout->n_local + 1, &lists);
    build_parts(image, &source, &lists);
    return lists;
}

hy_run_list hy_half_open_runs(hy_list_image *image, const hy_layout *layout, bool opening) {
    hy_run *runs = hy_list_image_take(image, (size_t)layout->n_local * sizeof *runs);
    int64_t n = 0;
    for (int64_t i = 0; i < layout->n_runs; i++) {
        hy_run run = layout->runs[i];
        if (opening ? run.s0 < 0 && run.s1 >= 0 : run.s0 >= 0 && run.s1 < 0) {
            run.s0 = run.s1 = opening ? run.s1 : run.s0;
            runs[n++] = run;
        }
    }
    return hy_run_list_of(image, runs, n);
}
