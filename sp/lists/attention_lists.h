/* The work of softmax attention, by where the keys lie: which rows this rank gets of others and gives to them, and the pairs of a range
 * of own queries and a block of keys (kernels.h, hy_attn). Hop 0 are the own keys; what follows is the method's. Rows that a mask makes
 * empty are in no hop, and pairs of which no query sees a key in no part.
 *
 * What a device likes cut (hy_tuning) is cut here: queries into ranges of attn_products multiplications, pairs into calls of as many, rows
 * of a latent into parts whose keys and values are made together. */
#ifndef HY_SP_ATTENTION_LISTS_H
#define HY_SP_ATTENTION_LISTS_H

#include "comm/comm.h"
#include "sp/attention/attention_pieces.h"
#include "sp/lists/list_image.h"

/* What a list depends on beside the layout. */
typedef struct hy_attn_need {
    int64_t window;   /* tokens including self, 0 = none */
    int64_t products; /* multiplications of a query and a key: H·(D+DV) */
    bool latent;
} hy_attn_need;

/* Consecutive pairs that one call computes; nq, nk: the most of any. Of a call's only pair more may be known (kernels.h). */
typedef struct hy_attn_group {
    int64_t first, n, nq, nk;
    hy_attn_sight sight;
    hy_attn_pair known;
} hy_attn_group;

/* Consecutive rows of a hop's keys, those of a latent made together. Pairs count their keys from `row` on. first_apart, n_apart: calls of the same
 * pairs where known ones are alone; none where the device likes no pair alone. */
typedef struct hy_attn_part {
    int64_t row, rows, first_group, n_groups, first_apart, n_apart;
} hy_attn_part;

/* A step of an exchange and what is computed of it; the method says of which rows. */
typedef struct hy_attn_hop {
    int from, to;              /* ranks whose rows come, to which rows go */
    int64_t rows_in, rows_out; /* of the messages; 0: there is none */
    const hy_block *out;       /* device [n_out]: rows that go, into the message */
    const hy_row_block *home;  /* device [n_out]: their gradients, as they come back, to where the rows lie */
    int64_t n_out, out_max;    /* out_max: the most rows of any */
    const hy_attn_part *parts;
    int64_t n_parts;
} hy_attn_hop;

typedef struct hy_attn_lists {
    hy_attn_need need;
    hy_sp_method method;
    int n_hops;
    hy_attn_hop *hops;         /* host, as all that follows but pairs */
    const hy_attn_pair *pairs; /* device */
    hy_attn_pair *built;       /* the same */
    hy_attn_group *groups;     /* of which nothing is known */
    hy_attn_group *apart;      /* those of attn_fwd where it has a plan (hy_device_plan_attn) */
    hy_attn_part *parts;
    hy_kv_piece *pieces; /* [HY_PIECE_LISTS·n_local] while they are built */
    hy_req *reqs;        /* of the messages under way, as many as the method says; zero when none is */
} hy_attn_lists;

enum { HY_PIECE_LISTS = 2 };

/* Queries, and keys, of the pairs that can be known: whole fragments of the greatest length, so that sizes of plans depend on the layout alone.
 * 0: none can. */
int64_t hy_attn_known_rows(const hy_profile *profile, const hy_layout_dims *dims);

/* Most rows of a part. */
int64_t hy_attn_part_rows(const hy_profile *profile, const hy_layout_dims *dims, hy_attention_method method,
                          int64_t window);

/* Bytes of an image that they take at most. */
size_t hy_attn_lists_image(const hy_profile *profile, const hy_layout_dims *dims, const hy_sp_method *method,
                           const hy_attn_need *need);
HY_MUST_CHECK hy_status hy_attn_lists_create(const hy_profile *profile, const hy_layout_dims *dims,
                                             const hy_sp_method *method, const hy_attn_need *need, hy_attn_lists **out);
void hy_attn_lists_destroy(hy_attn_lists *lists); /* NULL allowed */

/* lo: host, of the need's window. */
void hy_attn_lists_set(hy_attn_lists *lists, const hy_profile *profile, hy_list_image *image, const hy_layout *layout,
                       const int64_t *lo);

#endif
