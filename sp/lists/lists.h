/* Everything that operations read and that depends on documents and layout, built once per micro-step for all layers. A list lies
 * twice: `host` for launchers and control flow, `device` for operations; nobody else reads that. What lists there are is told
 * before the first step (hy_lists_needs), so that their memory is planned. */
#ifndef HY_SP_LISTS_H
#define HY_SP_LISTS_H

#include "comm/comm.h"
#include "kernels/device.h"
#include "sp/head_shares.h"
#include "sp/layout.h"
#include "sp/lists/attention_lists.h"
#include "sp/lists/list_image.h"

enum { HY_LISTS_MAX = 64 }; /* different windows, widths, ... of one model */

/* Values told so far, each once. */
typedef struct hy_list_keys {
    int n;
    int64_t at[HY_LISTS_MAX];
} hy_list_keys;

/* An array that ranks change between tokens and heads (sp/head_exchange.h). */
typedef struct hy_head_need {
    hy_heads heads;
    hy_head_kind kind;
    bool near; /* among ranks that are near each other (hy_sp_group_ranks), else among all */
} hy_head_need;

/* Heads of softmax attention, as hy_attn_args has them. */
typedef struct hy_attn_heads {
    int64_t H, HKV, D, DV;
    double scale;
} hy_attn_heads;

/* What the operations of sp.h tell (hy_sp_recur_need, ...). Start from zeros. */
typedef struct hy_lists_needs {
    hy_status status;           /* HY_ERR_USAGE: too many of a kind */
    bool recurrences;           /* runs in parts */
    bool documents;             /* their borders */
    int64_t n_states;           /* documents whose states are given or wanted, 0 in training */
    bool carries;               /* states go on from step to step (hy_layout_carry); not with n_states */
    hy_list_keys windows;       /* of attention; 0 = none */
    hy_list_keys widths;        /* of convolutions with a halo */
    hy_list_keys levels;        /* columns of log-linear scales */
    hy_list_keys channels;      /* of long convolutions */
    hy_list_keys reaches;       /* of states (reach.h), with recurrences; in lists those that differ in the layout */
    hy_sp_method method;        /* how they exchange: set before anything is told */
    int64_t frag_min, frag_max; /* of the layout, likewise: reaches that say the same there are one; 0: not known yet */
    int n_attentions;
    hy_attn_need attentions[HY_LISTS_MAX];
    int n_attn_heads;
    hy_attn_heads attn_heads[HY_LISTS_MAX];
    int n_heads;
    hy_head_need heads[HY_LISTS_MAX];
} hy_lists_needs;

void hy_lists_need_attention(hy_lists_needs *needs, const hy_attn_need *need);
void hy_lists_need_attn_heads(hy_lists_needs *needs, const hy_attn_heads *heads);
void hy_lists_need_heads(hy_lists_needs *needs, const hy_head_need *need);
void hy_lists_need_key(hy_lists_needs *needs, hy_list_keys *keys, int64_t value);
/* How far states reach (hy_reach_of). */
void hy_lists_need_reach(hy_lists_needs *needs, int64_t reach);

/* Runs of this rank. tokens, longest: of all together; of the longest. */
typedef struct hy_run_list {
    const hy_run *host, *device;
    int64_t n, tokens, longest;
} hy_run_list;

/* Some of a list's runs. */
hy_run_list hy_run_list_part(const hy_run_list *list, int64_t first, int64_t n);

/* The runs that a call works on. */
static inline void hy_recur_set_runs(hy_recur_args *op, const hy_run_list *runs) {
    op->runs = runs->device;
    op->n_runs = runs->n;
    op->run_tokens = runs->tokens;
    op->run_longest = runs->longest;
}

static inline void hy_conv_set_runs(hy_conv_args *op, const hy_run_list *runs) {
    op->runs = runs->device;
    op->n_runs = runs->n;
    op->run_tokens = runs->tokens;
    op->run_longest = runs->longest;
}

typedef struct hy_index_list {
    const int64_t *host, *device;
    int64_t n, longest; /* longest: the greatest distance of neighbours where they are borders */
} hy_index_list;

typedef struct hy_token_list {
    const int32_t *host, *device;
    int64_t n;
} hy_token_list;

/* This rank's runs by what they wait for. Those of a fragment stay in order. */
typedef struct hy_run_lists {
    hy_run_list all;        /* continuing ones, then the others */
    hy_run_list continuing; /* their document began in an earlier fragment: those that go on, then those that end */
    int64_t n_passing;      /* continuing ones that go on */
    hy_run_list starting;   /* the others */
    hy_run_list ending;     /* their document ends here */
    hy_run_list flowing;    /* it goes on in a later fragment */
    const int64_t *continuing_at;  /* host [n_local]: a fragment's place in `continuing`, −1: none */
    const int64_t *first_starting; /* host [n_local+1]: a fragment's first in `starting` */
    const int64_t *first_ending;   /* host [n_local+1] */
    /* A run longer than `part` tokens in pieces of so many, whose ends (but for the run's own) are entry 0 of state arrays. In the
     * order of the layout's runs. 0: none is cut. */
    int64_t part;
    hy_run_list parts;
} hy_run_lists;

/* Queries that see keys of the step before, and those keys: the window − 1 rows before each sequence, in order of sequences, at positions before
 * its own. One pair per sequence that goes on and begins here. */
typedef struct hy_carried_keys {
    const hy_attn_pair *pairs; /* device */
    int64_t n, nq;             /* nq: the most queries of any */
    hy_index_list lo;          /* [T] first position that a query of the pairs sees */
} hy_carried_keys;

/* Per window of attention. */
typedef struct hy_window_lists {
    int64_t window;
    hy_index_list lo;        /* [T] global position of the first key that a token sees; never decreases in a fragment */
    hy_carried_keys carried; /* with carries and a window */
} hy_window_lists;

/* Rows of a halo that travel between this rank and `peer`. */
typedef struct hy_halo_piece {
    int peer;
    bool serves; /* this rank holds the rows; else it reads them */
    int64_t rows, row,
        back; /* row: the first in x or in the halo; back: in the gradients that come back, if this rank serves */
} hy_halo_piece;

/* Per width W of a convolution. Rows of a halo [n_local,W−1] are counted through; behind them lie those that come back. */
typedef struct hy_width_lists {
    int64_t width, n_pieces;
    hy_run_list edges;           /* of continuing runs, their first W−1 tokens */
    hy_run_list inner;           /* what follows, HY_RUN_GOES_ON */
    const int64_t *inner_at;     /* host [n_local]: a fragment's place in `inner`, −1: none */
    hy_block_list take;          /* in rows, from own rows of x; zeros before a document's start */
    hy_block_list add;           /* in rows: halo rows and rows that came back, to rows of dx, in a fixed order */
    const hy_halo_piece *pieces; /* host: in one order on all ranks */
} hy_width_lists;

typedef struct hy_fold_list {
    const hy_fold_step *host, *device;
    int64_t n;
} hy_fold_list;

/* A message of a state between two ranks: block b of it goes at time `time` + b (relay_lists.c). */
typedef struct hy_relay_message {
    int peer;
    bool sends, left; /* left: what left map `at`; else state `at` of those that come in */
    int64_t time, at, tag;
} hy_relay_message;

/* Steps over the maps of this rank's node, at (owner in the node)·n_local + slot, once the messages of their time are there. They
 * read and write states that come in: those that enter own fragments, by slot, then those that enter the node elsewhere. */
typedef struct hy_relay_hop {
    int64_t time;
    hy_fold_list fold;
} hy_relay_hop;

/* Only what an own fragment reads, or what another node does and this rank sends. */
typedef struct hy_relay_lists {
    const hy_relay_message *messages; /* host; those of one time and peer in the same order on both sides */
    const hy_relay_hop *hops;         /* host; by time */
    int64_t n_messages, n_hops;
    int64_t end; /* times are −1 .. end−1, for a state of one block */
} hy_relay_lists;

/* A map that goes from an own slot (`from`), or comes to one (`to`), −1: the peer's. */
typedef struct hy_scan_transfer {
    int peer;
    bool maps; /* A and H; else H alone */
    int64_t from, to, tag;
} hy_scan_transfer;

typedef struct hy_scan_round {
    const hy_scan_transfer *transfers; /* host; those of one peer in the same order on both sides */
    int64_t n_transfers;
    bool maps;            /* some A comes */
    hy_fold_list reach;   /* what came through what is before own fragments */
    hy_fold_list through; /* what then is before own fragments through these */
} hy_scan_round;

typedef struct hy_scan_lists {
    const hy_scan_round *rounds; /* host */
    int64_t n_rounds;
} hy_scan_lists;

/* Per reach of states (reach.h): forward, backward; those of the exchange that the method names. */
typedef struct hy_state_lists {
    hy_relay_lists relays[2];
    hy_scan_lists scans[2];
} hy_state_lists;

/* With carries: states that go on from step to step through own maps, at a fragment's slot. */
typedef struct hy_carried_folds {
    hy_fold_list enter; /* what enters a sequence, into the map of its first fragment, where that goes on in another */
    hy_fold_list leave; /* what enters the last run of a sequence, into the map of its last fragment */
} hy_carried_folds;

/* Per number of columns of l: hy_level_recur's L. */
typedef struct hy_level_lists {
    int64_t columns, levels; /* levels: states of a position, N */
    hy_run_list pieces;      /* of flowing runs, one per bit of the position at their end: s0 = s1 = slot·N + bit */
    const hy_map_join_entry *joins, *joins_device;
    int64_t n_joins;
} hy_level_lists;

enum { HY_SLICES_MAX = 4, HY_CHANNEL_REQUESTS = 4 /* two slices on their way in each direction */ };

/* Per number of channels C of a long convolution: the moves of channel_exchange.h, slice by slice. Offsets are elements. */
typedef struct hy_channel_lists {
    int64_t channels;
    hy_block_list to_blocks[HY_SLICES_MAX],
        from_blocks[HY_SLICES_MAX]; /* turned: own rows [T,C] and blocks of all ranks */
    hy_block_list to_lines[HY_SLICES_MAX], from_lines[HY_SLICES_MAX]; /* blocks and lines [channels, n_seq·len] */
} hy_channel_lists;

enum { HY_HEAD_MOVES = 8 }; /* arrays of an operation, to heads and back */

/* What a rank and one member of its group send each other, in entries (heads of a token) of the buffer. */
typedef struct hy_head_peer {
    int64_t rows, rows_at;   /* own tokens of the member's heads */
    int64_t heads, heads_at; /* the member's tokens of own heads */
} hy_head_peer;

typedef struct hy_head_lists {
    int members;
    const hy_head_peer *peers;            /* host [members] */
    hy_block_list pack, unpack;           /* own rows to the buffer; the buffer to rows of own heads */
    hy_block_list pack_back, unpack_back; /* rows of own heads to the buffer; the buffer to own rows, [T,total,parts] */
} hy_head_lists;

typedef struct hy_lists {
    hy_device *device;
    hy_layout_dims dims;
    hy_lists_needs needs;
    hy_list_image *image;
    int64_t *fragment_starts[2]; /* host: of `runs`, of `document_runs` */
    int64_t *inner_starts;       /* host: of `widths` */

    const hy_layout *layout;      /* whose lists these are; set by hy_lists_set, as all below */
    hy_token_list tokens, labels; /* [T]; n = 0 where none were given */
    const double *d_scale;        /* [1] on the device: of the loss's gradient */
    hy_index_list doc_pos;        /* [T] position inside the document */
    hy_index_list docs;           /* [n_docs+1], with `documents` */
    hy_run_lists runs;
    hy_run_lists carrying_runs; /* with carries: forward, s1 of a run that ends a sequence is its fragment's slot */
    hy_carried_folds carried;   /* with carries and recurrences */
    hy_run_lists document_runs; /* with n_states: s0 (s1) is n_local + document where one starts (ends) */
    /* with n_states: runs of `runs` that start a document which goes on, s0 as s1; that end one which began before, s1 as s0 */
    hy_run_list opening, closing;
    int n_windows;
    hy_window_lists windows[HY_LISTS_MAX];
    hy_attn_lists *attentions[HY_LISTS_MAX]; /* as needs.attentions */
    hy_state_lists states[HY_LISTS_MAX];     /* as needs.reaches */
    hy_width_lists widths[HY_LISTS_MAX];
    hy_level_lists levels[HY_LISTS_MAX];
    hy_channel_lists channels[HY_LISTS_MAX];
    hy_head_lists heads[HY_LISTS_MAX]; /* as needs.heads */
    /* Where tokens are changed for heads: the lists of all tokens, as of one rank alone, of what computes by heads; else NULL. */
    struct hy_lists *whole;
    hy_layout *whole_layout;
    /* Likewise where only ranks that are near each other change tokens for heads: of their tokens, as of one rank. */
    struct hy_lists *near;
    hy_layout *near_layout;
    hy_req *requests;           /* host: of the exchange under way, zero when none is; as many as hy_lists_requests */
    struct hy_state_pass *pass; /* host: the exchange of states under way (hy_sp_progress); NULL: there never is one */
} hy_lists;

/* Local. HY_ERR_USAGE if the needs say so. */
HY_MUST_CHECK hy_status hy_lists_create(hy_device *device, const hy_layout_dims *dims, const hy_lists_needs *needs,
                                        hy_lists **out);
void hy_lists_destroy(hy_lists *lists); /* NULL allowed */

/* Before the first step: plans for attention of these needs, where the device can have some (hy_device_plan_attn). Takes memory while it lasts. Local. */
void hy_lists_plan_attention(hy_device *device, const hy_layout_dims *dims, const hy_lists_needs *needs);

/* The lists of a layout, which is borrowed and has the sizes told, and what else a micro-step sends: tokens, labels [T], which may be NULL, and the
 * number that gradients of losses are multiplied with. Allocates nothing. Local. */
void hy_lists_set(hy_lists *lists, const hy_layout *layout, const int32_t *tokens, const int32_t *labels,
                  double d_scale);

/* One of those told. */
const hy_window_lists *hy_lists_window(const hy_lists *lists, int64_t window);
const hy_attn_lists *hy_lists_attention(const hy_lists *lists, const hy_attn_need *need);
const hy_width_lists *hy_lists_width(const hy_lists *lists, int64_t width);
const hy_state_lists *hy_lists_states(const hy_lists *lists, int64_t reach);
const hy_level_lists *hy_lists_levels(const hy_lists *lists, int64_t columns);
const hy_head_lists *hy_lists_heads(const hy_lists *lists, const hy_head_need *need);
const hy_channel_lists *hy_lists_channels(const hy_lists *lists, int64_t channels);
int64_t hy_lists_requests(const hy_layout_dims *dims, const hy_lists_needs *needs);

#endif
