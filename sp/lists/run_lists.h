/* The lists of a layout's runs, for lists.c. */
#ifndef HY_SP_RUN_LISTS_H
#define HY_SP_RUN_LISTS_H

#include "sp/lists/lists.h"

/* Tokens of a part of a long run; 0: runs stay whole. */
int64_t hy_run_part_tokens(const hy_profile *profile, const hy_layout_dims *dims);
/* Bytes of an image that they take at most; entries of `starts`. */
size_t hy_run_lists_bytes(const hy_profile *profile, const hy_layout_dims *dims, bool in_parts);
int64_t hy_run_lists_starts(const hy_layout_dims *dims);

/* All runs of an array in the image. */
hy_run_list hy_run_list_of(const hy_list_image *image, const hy_run *host, int64_t n);

/* Runs with no s0 but an s1 (`opening`), or the reverse: what they lack as what they have. */
hy_run_list hy_half_open_runs(hy_list_image *image, const hy_layout *layout, bool opening);

/* What runs have where no fragment of this batch gives or takes a state. */
typedef enum hy_run_ends {
    HY_RUN_ENDS_NONE,      /* what the layout says */
    HY_RUN_ENDS_DOCUMENTS, /* s0 and s1 point to entries of documents where they start and end */
    HY_RUN_ENDS_CARRIED    /* s1 of the run that ends a sequence is its fragment's slot. Forward only */
} hy_run_ends;

hy_run_lists hy_run_lists_build(hy_list_image *image, const hy_layout *layout, int64_t part, hy_run_ends ends,
                                int64_t *starts);

#endif
