/* Brings to every own fragment the state that enters it, forward (step 1: S_in from the maps A, H) or backward
 * (step −1: dS_out from dH and the A of forward).
 *
 *   allgather  one all-gather of all fragments' maps (backward: of dH alone); each rank folds what it reads
 *   ring       the state itself goes from fragment to fragment; each rank applies its own map and passes the result on
 *
 * Use: open; write the own maps to own_A (forward), own_H; post; compute something else; resume, and compute more, calling progress now
 * and then; finish. What was opened again in the same place can resume and finish what another posted. */
#ifndef HY_SP_STATE_EXCHANGE_H
#define HY_SP_STATE_EXCHANGE_H

#include "sp/carve.h"
#include "sp/sp.h"
#include "sp/state/segment_map.h"

typedef struct hy_state_row hy_state_row;

typedef struct hy_state_pass {
    hy_sp *sp;
    const hy_state_row *row;
    int step;
    hy_segment_shape shape;
    char *own_A, *own_H; /* [n_local,HV,a_size], [n_local,HV,K,V] */
    char *kept_A;        /* allgather: A of all ranks' fragments; ring: own_A */
    char *in;            /* [n_local,HV,K,V] what enters; with levels [n_local,levels,HV,K,V], as H */
    char *message;       /* allgather: [ranks, rank_bytes]: per rank A (forward only), then H */
    size_t rank_bytes;
    hy_req *gather, *recv, *send; /* of the lists; ring: [n_local] each, by slot */
    int64_t stage, stages;        /* ring: own fragments of a sequence whose state has been passed on; all of them */
    bool in_flight;
} hy_state_pass;

/* A way to exchange states: what one is (methods.h lists all). Called on more than one rank only. */
struct hy_state_row {
    const char *title;                           /* in tables of layers */
    int64_t (*kept)(const hy_layout_dims *dims); /* fragments whose A stays from forward to backward */
    void (*open)(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work);
    void (*post)(hy_state_pass *pass);
    void (*advance)(hy_state_pass *pass); /* between resume and finish; NULL = nothing to do */
    void (*finish)(hy_state_pass *pass);
};

#define HY_X(value, name, row) extern const hy_state_row hy_state_row_##row;
HY_STATE_EXCHANGES(HY_X)
#undef HY_X
const hy_state_row *hy_state_row_of(hy_state_exchange exchange);

/* For rows: an exchange's name; the lists of this direction; a test's damage to a state that came (sp->broken). */
const char *hy_state_pass_name(const hy_state_pass *pass);
const hy_state_lists *hy_state_pass_lists(const hy_state_pass *pass);
void hy_state_damage(const hy_state_pass *pass, char *state);

/* Bytes of A that stay from forward to backward. */
size_t hy_state_kept_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape);
/* Bytes of one rank's message in the all-gather. */
size_t hy_state_message_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape, int step);

/* Cuts the pass's scratch from `work`. kept_A, in: see above. */
void hy_state_open(hy_state_pass *pass, hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape, int step,
                   hy_carve *work);
void hy_state_post(hy_state_pass *pass);
void hy_state_resume(hy_state_pass *pass);
void hy_state_progress(hy_state_pass *pass);
void hy_state_finish(hy_state_pass *pass);

#endif
