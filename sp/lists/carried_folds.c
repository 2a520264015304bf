#include "sp/lists/carried_folds.h"

#include "sp/carve.h"

size_t hy_carried_folds_bytes(const hy_layout_dims *dims) {
    return 2 * hy_aligned((size_t)dims->n_seq * sizeof(hy_fold_step));
}

/* The state that enters fragment f through its map, from position `first` of the document on. */
static hy_fold_step step_of(const hy_fragment *f, int64_t first, int64_t len) {
    return (hy_fold_step){.from = -1, .read = f->slot, .at = f->slot, .first = first, .end = first + len};
}

static hy_fold_list build_enter(hy_list_image *image, const hy_layout *layout) {
    hy_fold_step *steps = hy_list_image_take(image, (size_t)layout->n_seq * sizeof *steps);
    int64_t n = 0;
    for (int64_t s = 0; s < layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 0);
        if (f && layout->before[s] > 0 && f->single && f->flows) {
            steps[n++] = step_of(f, layout->before[s], f->len);
        }
    }
    return (hy_fold_list){.host = steps, .device = hy_list_image_device(image, steps), .n = n};
}

/* Not where the last document starts in the fragment: then all of its state is in the map. */
static hy_fold_list build_leave(hy_list_image *image, const hy_layout *layout) {
    hy_fold_step *steps = hy_list_image_take(image, (size_t)layout->n_seq * sizeof *steps);
    int64_t n = 0;
    for (int64_t s = 0; s < layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 1);
        if (f == NULL || f->len == 0) {
            continue;
        }
        const hy_run *last = &layout->runs[layout->first_run[f->slot + 1] - 1];
        if (last->s0 >= 0) {
            steps[n++] = step_of(f, layout->doc_pos[last->begin], last->len);
        }
    }
    return (hy_fold_list){.host = steps, .device = hy_list_image_device(image, steps), .n = n};
}

hy_carried_folds hy_carried_folds_build(hy_list_image *image, const hy_layout *layout) {
    const hy_fold_list enter = build_enter(image, layout);
    return (hy_carried_folds){.enter = enter, .leave = build_leave(image, layout)};
}
