/* One call of a sequence-parallel recurrence: its scratch, and what recurrence.c shares with document_states.c. */
#ifndef HY_SP_RECURRENCE_INTERNAL_H
#define HY_SP_RECURRENCE_INTERNAL_H

#include "sp/state/state_exchange.h"

typedef enum hy_recur_phase { HY_RECUR_FWD, HY_RECUR_BWD } hy_recur_phase;

/* State arrays have `slots` = n_local entries, then one per document if document states are in use (n_docs > 0):
 * entry n_local + d is what enters document d's first token, or leaves its last. */
typedef struct hy_recur_call {
    hy_sp *sp;
    hy_sp_recur *r;
    const hy_layout *layout;
    hy_segment_shape shape;
    hy_recur_args op;
    int64_t n_docs;
    hy_state_pass pass;
    char *kept_states;   /* [n_local,HV,K,V] S_in, from forward to backward */
    char *S0;            /* [slots,HV,K,V] what enters runs; kept_states if n_docs == 0 */
    char *S1;            /* [slots,HV,K,V] forward: what leaves documents, or sequences that are carried; else NULL */
    char *dS1;           /* [slots,HV,K,V] backward: gradient of what leaves runs */
    char *dS0;           /* [slots,HV,K,V] backward: gradient of what enters documents; NULL if n_docs == 0 */
    char *end_A, *end_H; /* [n_local,...] maps of runs that continue and end, for dht */
    char *between[2];    /* [HV,K,V] states between the pieces of a long run */
    const hy_run_lists *runs; /* with document slots if n_docs > 0 */
} hy_recur_call;

/* document_states.c */

/* The states that enter documents (h0, or zeros) into S0; their gradients (dht, or zeros) into dS1. */
void hy_document_load_h0(hy_recur_call *c);
void hy_document_load_dht(hy_recur_call *c);
/* H += A·h0 for runs that start a document which goes on: its state does not start from zero. */
void hy_document_add_h0(hy_recur_call *c);
/* dH += Aᵀ·dht for runs that continue a document and end it: the gradient at its end is not zero. */
void hy_document_add_dht(hy_recur_call *c);
/* ht from S1, dh0 from dS0, of documents that end (start) here, and of empty ones. */
void hy_document_store_ht(hy_recur_call *c);
void hy_document_store_dh0(hy_recur_call *c);

#endif
