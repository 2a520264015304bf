/* How a batch of sequences is cut over the ranks of a sequence communicator.
 *
 * Coordinates: the batch is n_seq sequences of `len` tokens; token p of sequence s has the global position s·len + p.
 * Every sequence's first token starts a document, so a state, a convolution or an attention window never crosses sequences, and
 * code that respects documents needs no notion of a sequence.
 *
 * Each sequence is cut into F fragments of consecutive tokens, F = P (contiguous, or P = 1) or 2P (zigzag). contiguous: rank i owns
 * fragment i. zigzag: rank r owns r and 2P−1−r, which balances causal attention. Fragment i of a sequence is tokens
 * [⌊W_i·len/W_F⌋, ⌊W_{i+1}·len/W_F⌋) of it, W_i the sum of the weights of the owners of those before it. Where all weigh the same,
 * sizes differ by at most one; a fragment may be empty. Or F is fixed, a multiple of these (parallel.invariant): then what has been said of the owner
 * of fragment i holds for the i-th F/P (F/2P) of them, all of equal weight, and the cuts are the same on any number of ranks. A rank's local buffer is its fragments one after the other, by increasing id. */
#ifndef HY_SP_LAYOUT_H
#define HY_SP_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "sp/methods.h"

/* Where the i-th of `parts` shares of n things begins: ⌊i·n/parts⌋ without overflow. */
static inline int64_t hy_share_begin(int64_t i, int64_t n, int64_t parts) {
    return i * (n / parts) + i * (n % parts) / parts;
}

typedef struct hy_fragment {
    int64_t begin, len; /* global position of its first token; tokens */
    int owner;          /* rank */
    int64_t local;      /* offset of its first token in the owner's buffer */
    int64_t slot;       /* its ordinal among the owner's fragments: index into state arrays */
    bool continues;     /* its first token belongs to a document begun earlier (false if empty) */
    bool flows;         /* the document of its last token goes on after it (false if empty) */
    bool single;        /* no document starts inside it after its first token (true if empty) */
    int64_t doc_begin;  /* global position of the first token of the document that its first token belongs to */
} hy_fragment;

/* Sizes that do not depend on documents: what memory planning needs. Pure, Local. */
typedef struct hy_layout_dims {
    hy_layout_kind kind;
    hy_cuts cuts;
    int size, rank;
    int64_t n_seq, len;
    int64_t n_local;            /* fragments of this rank */
    int64_t n_frags;            /* of all ranks */
    int64_t T, T_max;           /* this rank's tokens; most of any rank */
    int64_t frag_max, frag_min; /* longest and shortest fragment */
} hy_layout_dims;

typedef struct hy_layout {
    hy_layout_kind kind;
    hy_cuts cuts;
    int size, rank;
    int64_t n_seq, len;
    int64_t n_frags; /* of all ranks: n_seq·F, ids in global order */
    hy_fragment *frags;
    int64_t n_local; /* this rank's fragments: n_seq (contiguous, or one rank) or 2·n_seq; n_seq·F/P where F is fixed */
    int64_t *local; /* [n_local] their ids, increasing */
    int64_t T;      /* this rank's tokens */
    hy_layout_dims dims;

    /* what hy_layout_set_documents fills */
    int64_t n_docs;
    int64_t
        *docs; /* [n_docs+1] global positions: 0 = docs[0] ≤ ... = n_seq·len; equal neighbours are empty documents */
    int64_t n_runs;
    hy_run *runs; /* this rank's runs. s0 = slot of the fragment if the run continues a document begun earlier, else −1;
                           s1 = slot of the fragment if its document goes on after the fragment, else −1 */
    int64_t *run_doc;   /* [n_runs] index of the run's document */
    int64_t *first_run; /* [n_local+1] index of each own fragment's first run; a fragment's runs follow one another */
    int64_t *pos;       /* [T] global position */
    int64_t *doc_pos;   /* [T] position inside the document (RoPE) */
    int64_t *doc_start; /* [T] global position of the document's first token */
    int64_t
        *before; /* [n_seq] tokens of a sequence's first document that earlier steps had (hy_layout_carry); 0: none */
} hy_layout;

/* HY_ERR_USAGE unless `size` ranks that share a sequence can have these cuts: weights are as many as ranks, or divide them (one rank has any), and
 * fixed fragments are shared out evenly. Local. */
HY_MUST_CHECK hy_status hy_cuts_check(hy_layout_kind kind, const hy_cuts *cuts, int size);

/* cuts: as hy_cuts_check wants them; NULL: all alike. */
hy_layout_dims hy_layout_sizes_cut(hy_layout_kind kind, const hy_cuts *cuts, int size, int rank, int64_t n_seq,
                                   int64_t len);
static inline hy_layout_dims hy_layout_sizes(hy_layout_kind kind, int size, int rank, int64_t n_seq, int64_t len) {
    return hy_layout_sizes_cut(kind, NULL, size, rank, n_seq, len);
}
/* The sizes of a layout. */
static inline hy_layout_dims hy_layout_dims_of(const hy_layout *layout) {
    return layout->dims;
}

/* Whether a sequence has cuts, so that states and rows pass from fragment to fragment: of several ranks, or of one. Pure. */
static inline bool hy_layout_dims_cut(const hy_layout_dims *dims) {
    return dims->n_frags > dims->n_seq;
}
static inline bool hy_layout_cut(const hy_layout *layout) {
    return layout->n_frags > layout->n_seq;
}

/* Most tokens of a call, and what a rank adds up apart: all at once, or each of its fixed fragments by itself. Pure. */
static inline int64_t hy_layout_call_tokens(const hy_layout_dims *dims) {
    return dims->cuts.fixed > 0 ? dims->frag_max : dims->T;
}
static inline int64_t hy_layout_call_count(const hy_layout_dims *dims) {
    return dims->cuts.fixed > 0 ? dims->n_local : 1;
}

/* Tokens of a rank. Pure. */
int64_t hy_layout_rank_tokens(const hy_layout_dims *dims, int rank);

/* Documents a layout takes at most. Pure. */
int64_t hy_layout_documents_max(const hy_layout_dims *dims);

/* Of fragment i of a sequence. Pure. */
int64_t hy_layout_fragment_tokens(const hy_layout_dims *dims, int64_t i);

/* A length of sequences from which on no fragment is shorter than `rows`. Pure. */
int64_t hy_layout_length_for(const hy_layout_dims *dims, int64_t rows);

/* Allocates everything (documents may then change every step without allocation; one document per sequence is set). cuts NULL: all alike;
 * HY_ERR_USAGE for a list that does not fit (hy_cuts_check). Local. */
HY_MUST_CHECK hy_status hy_layout_create_cut(hy_layout_kind kind, const hy_cuts *cuts, int size, int rank,
                                             int64_t n_seq, int64_t len, hy_layout **out);
HY_MUST_CHECK static inline hy_status hy_layout_create(hy_layout_kind kind, int size, int rank, int64_t n_seq,
                                                       int64_t len, hy_layout **out) {
    return hy_layout_create_cut(kind, NULL, size, rank, n_seq, len, out);
}
void hy_layout_destroy(hy_layout *layout);

/* Sets the documents: `docs` [n_docs+1] global positions, nondecreasing, 0 first, n_seq·len last. Sequence starts are
 * document starts whether listed or not: layout->docs holds them too, so documents after one that was not listed have
 * higher indices there. HY_ERR_DATA if the list is not so, or longer than n_seq·len + 1024 (which only empty documents can make it).
 * Every rank passes the same. Local. */
HY_MUST_CHECK hy_status hy_layout_set_documents(hy_layout *layout, const int64_t *docs, int64_t n_docs);

/* Sets those of another layout of the same sequences. Local. */
void hy_layout_share_documents(hy_layout *layout, const hy_layout *other);
/* After hy_layout_set_documents: sequence s goes on with a document of which earlier steps had before[s] tokens; 0: its first document starts
 * there. Positions inside that document count from its start, and the run that begins the sequence has s0 = the slot of its fragment,
 * whose state and halo are what the step before left; the fragment does not `continue`, since no other sends it anything. Every rank
 * passes the same. Needs sequences of at least a token per fragment. Local. */
void hy_layout_carry(hy_layout *layout, const int64_t *before);

/* The first (last = 0) or last fragment of sequence `sequence`: an index into frags. */
static inline int64_t hy_layout_end_fragment(const hy_layout *layout, int64_t sequence, int last) {
    const int64_t each = layout->n_frags / layout->n_seq;
    return sequence * each + (last ? each - 1 : 0);
}

/* The same where it is this rank's own, NULL where it is not. */
static inline const hy_fragment *hy_layout_own_end(const hy_layout *layout, int64_t sequence, int last) {
    const hy_fragment *f = &layout->frags[hy_layout_end_fragment(layout, sequence, last)];
    return f->owner == layout->rank ? f : NULL;
}

/* Where in its first token's document a fragment begins. */
static inline int64_t hy_layout_fragment_position(const hy_layout *layout, const hy_fragment *f) {
    const int64_t sequence = f->doc_begin / layout->len;
    return f->begin - f->doc_begin + (f->doc_begin == sequence * layout->len ? layout->before[sequence] : 0);
}

/* The next (step = 1) or previous (step = −1) fragment that is not empty, or −1. Ids are over all ranks and sequences. Pure. */
int64_t hy_layout_neighbour(const hy_layout *layout, int64_t id, int step);

/* Copies this rank's rows out of a full array [n_seq·len, row_bytes], and the reverse (only own rows are written). */
void hy_layout_shard(const hy_layout *layout, const void *full, size_t row_bytes, void *local);
void hy_layout_unshard(const hy_layout *layout, const void *local, size_t row_bytes, void *full);

#endif
