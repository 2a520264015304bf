/* Sequence-parallel operations: what layers call. Each has a forward and a backward, works on this rank's tokens
 * [T, ...] in the layout's local order, and hides its exchange behind what can be computed without it.
 *
 * Every operation has two size functions, so that all memory is planned: `kept` bytes live from forward to backward
 * (with them a recompute of the block repeats no exchange), `work` bytes are scratch of one call. Both depend only on
 * hy_layout_dims and shapes, not on documents. All buffers are aligned to 64 bytes by the caller. A third one tells which lists of
 * the layout it reads (lists.h): sp->lists has them.
 *
 * An operation that exchanges can be called twice with the same arguments, first for its START, later for its FINISH (sp->part):
 * the same calls of the device in the same order, with room for others in between, which the exchange then hides behind as well. One
 * exchange is under way at a time; until its FINISH inputs, `kept` and `work` are left alone. */
#ifndef HY_SP_SP_H
#define HY_SP_SP_H

#include "comm/comm.h"
#include "kernels/device.h"
#include "sp/lists/lists.h"
#include "sp/methods.h"

/* START makes what travels and posts it: it reads no q (nor l), and writes nothing but kept and work, in the backward of a convolution also
 * its gradients. FINISH does the rest. On one rank all is FINISH. */
typedef enum hy_sp_part { HY_SP_WHOLE, HY_SP_START, HY_SP_FINISH } hy_sp_part;

typedef struct hy_sp {
    const hy_profile *profile; /* what sizes depend on */
    hy_device *device;         /* NULL while planning */
    hy_comm *comm;             /* ranks that share the sequences; size == layout->size */
    const hy_layout *layout;
    const hy_lists *lists; /* of this layout, with what the operations below told (hy_sp_..._need) */
    hy_sp_method method;   /* its layout is that of `layout` */
    int stride;            /* > 1: rank r of the layout is rank stride·r + (own rank mod stride) of comm */
    hy_sp_part part;       /* what a forward or backward that exchanges is called for */
    bool carries;          /* sequences go on from step to step: `carried` of the operations below */
    int broken;            /* test hook: damage every exchange of states, K/V and halos (verify must notice) */
} hy_sp;

static inline bool hy_sp_starts(const hy_sp *sp) {
    return sp->part != HY_SP_FINISH && hy_layout_cut(sp->layout);
}

static inline bool hy_sp_finishes(const hy_sp *sp) {
    return sp->part != HY_SP_START;
}

/* Between instructions, from START to FINISH too: moves exchanges on, and posts what the one of states under way has to pass on. */
void hy_sp_progress(const hy_sp *sp);

/* Bytes of an element of an array with this role. */
static inline size_t hy_sp_size(const hy_sp *sp, hy_role role) {
    return hy_role_size(sp->profile->dtype, role);
}

/* ---- linear recurrence (segment maps; LASP-2, generalised) ---- */

typedef struct hy_sp_recur {
    hy_recur_args
        op; /* shapes, q k v g beta, o, and in bwd d_o dq dk dv dg dbeta; runs, states, work are filled in here */
    void *kept, *work;
    /* initial and final states per document [n_docs,HV,K,V], for `hylas op`; NULL in training. Every rank passes all of h0
     * and dht; ht and dh0 are filled on the rank that owns the document's last (first) token; an empty document's
     * ht = h0, dh0 = dht on every rank. */
    const void *h0, *dht;
    void *ht, *dh0;
    /* With sp->carries: [n_seq,HV,K,V] the state that the step before left, for sequences that go on with its document, and then the one that
     * this step leaves, of all. Read by the START on the rank that has a sequence's first fragment, written by the FINISH on that
     * which has its last; others may pass NULL. Its gradient ends there. */
    void *carried;
} hy_sp_recur;

/* The exchange's name in tables of layers. */
const char *hy_sp_state_title(const hy_sp_method *method);
void hy_sp_recur_need(hy_lists_needs *needs, const hy_recur_args *shape, int64_t n_docs_with_states);
size_t hy_sp_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape);
size_t hy_sp_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                        int64_t n_docs_with_states);
/* n_docs_with_states: n_docs if h0/ht/dht/dh0 are used, else 0. */
void hy_sp_recur_fwd(hy_sp *sp, hy_sp_recur *r);       /* Collective */
void hy_sp_recur_recompute(hy_sp *sp, hy_sp_recur *r); /* o again, from kept states; Local */
void hy_sp_recur_bwd(hy_sp *sp, hy_sp_recur *r);       /* Collective */

size_t hy_sp_recur_carried(const hy_sp *sp, const hy_recur_args *shape); /* bytes of a sequence's part of `carried` */

/* ---- log-linear recurrence: the same exchange, of one state per Fenwick level ---- */

typedef struct hy_sp_level_recur {
    hy_level_recur_args
        op; /* shapes, L, q k v g beta l, o, and in bwd d_o dq dk dv dg dbeta dl; the rest is filled in here.
                               No document may be longer than 2^(L−1) tokens, with what earlier steps had of it */
    void *kept, *work;
    void *carried; /* [n_seq,L−1,HV,K,V]; as in hy_sp_recur */
} hy_sp_level_recur;

void hy_sp_level_recur_need(hy_lists_needs *needs, const hy_level_recur_args *shape);
size_t hy_sp_level_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape);
size_t hy_sp_level_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape);
size_t hy_sp_level_recur_carried(const hy_sp *sp, const hy_level_recur_args *shape);
void hy_sp_level_recur_fwd(hy_sp *sp, hy_sp_level_recur *r);       /* Collective */
void hy_sp_level_recur_recompute(hy_sp *sp, hy_sp_level_recur *r); /* Local */
void hy_sp_level_recur_bwd(hy_sp *sp, hy_sp_level_recur *r);       /* Collective */

/* ---- softmax attention ---- */

/* Multi-head latent attention (DeepSeek-V2 2024): keys and values are made, block by block, from rows that are much
 * narrower; so rows are what ranks exchange. With w [HKV,(D−rope)+DV,rank], per key head h:
 *   key_h = [ (w latent)_h, first D−rope | shared ];   value_h = (w latent)_h, last DV */
typedef struct hy_sp_latent {
    int64_t rank, rope; /* columns of `latent`, of `shared`; rank 0: there is no latent */
    const void *w;
    void *dw; /* accumulated: the part of the blocks that this rank computed */
} hy_sp_latent;

typedef struct hy_sp_attn {
    int64_t H, HKV, D, DV, window; /* window: tokens including self, 0 = none */
    double scale;
    hy_sp_latent latent;
    int64_t n_sinks;   /* learned logits in the denominator of every query head; 0 = none */
    const void *sinks; /* [H,n_sinks] */
    void *dsinks;      /* accumulated: this rank's queries */
    const void *q;     /* [T,H,D] */
    const void *k, *v; /* [T,HKV,D] [T,HKV,DV]; with a latent: latent [T,rank], shared [T,rope] */
    void *o;           /* [T,H,DV]; kept by the caller for the backward */
    void *lse;         /* [T,H]; likewise */
    const void *d_o;
    void *dq, *dk, *dv; /* overwritten; shapes of q, k, v */
    void *kept,
        *work; /* kept: by `heads` and `2d`, q, k, v and lse of own heads; else, with sp->carries, the rows before a sequence */
    void *
        carried; /* with sp->carries: [n_seq] the window−1 rows of k before a sequence, then those of v; as in hy_sp_recur */
    /* of the call that computes some heads for `heads` and `2d`; else zero: */
    const void *delta; /* [T,H] stat: Σ d_o·o, and backward reads no o */
    int parts;         /* dk, dv are parts of sums: stat */
    int64_t products;  /* multiplications of a query and a key with all heads: what its lists are told by */
} hy_sp_attn;

/* The exchange's name in tables of layers. */
const char *hy_sp_attn_title(const hy_sp_method *method, bool latent);
void hy_sp_attn_need(hy_lists_needs *needs, const hy_sp_attn *shape);
size_t hy_sp_attn_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape);
size_t hy_sp_attn_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape);
/* Bytes of a sequence's part of `carried`. −1: it cannot be carried, because there is no window, or there is a latent. */
int64_t hy_sp_attn_carried(const hy_sp *sp, const hy_sp_attn *shape);
void hy_sp_attn_fwd(hy_sp *sp, hy_sp_attn *a); /* Collective */
void hy_sp_attn_bwd(hy_sp *sp, hy_sp_attn *a); /* Collective */

/* ---- short convolution with halo (also the token shift: W = 2) ---- */

typedef struct hy_sp_conv {
    hy_conv_args op; /* shapes, x w bias y, and in bwd dy dx acc dw dbias; runs, halo, dhalo are filled in here */
    void *kept;      /* the halo rows: [n_local, W−1, C] */
    void *work;
    void *carried; /* with sp->carries: [n_seq, W−1, C] the rows before a sequence; as in hy_sp_recur */
    /* In a layout of fixed fragments: what dw and dbias point to is there `sums` times, `sum_ld` bytes apart, and own fragment `slot` adds
     * to number slot mod `sums`. */
    int64_t sums;
    size_t sum_ld;
} hy_sp_conv;

void hy_sp_conv_need(hy_lists_needs *needs, int64_t W);
size_t hy_sp_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W);
size_t hy_sp_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W);
size_t hy_sp_conv_carried(const hy_sp *sp, int64_t C, int64_t W); /* bytes of a sequence's part of `carried` */
void hy_sp_conv_fwd(hy_sp *sp, hy_sp_conv *c);                    /* Collective */
void hy_sp_conv_recompute(hy_sp *sp, hy_sp_conv *c);              /* Local */
void hy_sp_conv_bwd(hy_sp *sp, hy_sp_conv *c);                    /* Collective */

/* ---- long convolution: kernels.h, hy_modal_filter and hy_long_conv; channels are shared out by all-to-all ---- */

typedef struct hy_sp_long_conv {
    int64_t C, N, group; /* channels; exponentials of a filter; channels that share one */
    const void *x;       /* [T,C] */
    const void *R, *p;   /* [C/group,N] */
    void *y;             /* [T,C] */
    const void *dy;
    void *dx;      /* [T,C] */
    int acc;       /* dx adds */
    void *dR, *dp; /* this rank's channels' part is added */
    void *kept;    /* all tokens of this rank's channels of x: backward does not read x */
    void *work;
} hy_sp_long_conv;

void hy_sp_long_conv_need(hy_lists_needs *needs, int64_t C);
size_t hy_sp_long_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C);
size_t hy_sp_long_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C);
void hy_sp_long_conv_fwd(hy_sp *sp, hy_sp_long_conv *c); /* Collective */
void hy_sp_long_conv_bwd(hy_sp *sp, hy_sp_long_conv *c); /* Collective */

#endif
