/* Brings to every own fragment the state that enters it, forward (step 1: S_in from the maps A, H) or backward
 * (step −1: dS_out from dH and the A of forward). Rows (docs/exchanges.md):
 *
 *   allgather     one all-gather of all fragments' maps; each rank folds what it reads
 *   ring          the state itself goes from fragment to fragment; each rank applies its own map and passes the result on
 *   chain         the same in blocks of columns, so that ranks work at once
 *   hierarchical  maps are gathered inside a node, the state passes from node to node in blocks
 *   scan          maps are composed in rounds, over twice as many fragments in each
 *
 * From forward to backward stay the maps' A of own fragments, and nothing of others.
 *
 * Use: open; write the own maps to own_A (forward), own_H; post; compute something else; resume, and compute more, calling progress now
 * and then; finish. What was opened again in the same place can resume and finish what another posted; in between it is the lists that know it
 * (hy_lists.pass), and hy_sp_progress moves it on. */
#ifndef HY_SP_STATE_EXCHANGE_H
#define HY_SP_STATE_EXCHANGE_H

#include "sp/carve.h"
#include "sp/sp.h"
#include "sp/state/segment_map.h"

typedef struct hy_state_row hy_state_row;

/* How far an exchange of several messages one after the other goes: as far as they have come; the next one, for which it waits; all. */
typedef enum hy_state_move { HY_MOVE_WHAT_CAME, HY_MOVE_ONE, HY_MOVE_ALL } hy_state_move;

enum { HY_STATE_BLOCKS = 16 }; /* of one state, at most */

/* Of own fragments [n_local]: A before them, as the rounds go in turn; what came; what goes on. */
typedef struct hy_scan_maps {
    char *before[2], *came_A, *came_H, *next_A, *next_H;
    int64_t round;
} hy_scan_maps;

typedef struct hy_state_pass {
    hy_sp *sp;
    const hy_state_row *row;
    int step;
    hy_segment_shape shape;
    char *own_A; /* [n_local,HV,a_size] given by the caller: what stays from forward to backward */
    char *own_H; /* [n_local,HV,K,V]; with levels [n_local,levels,HV,K,V], as `in` */
    char
        *in; /* [n_local,HV,K,V] what enters; given by the caller. Right behind own_A: an all-gather sends from there */
    bool in_flight;
    int64_t reach; /* of these states (reach.h) */
    const hy_state_lists *lists;
    /* relay: what passes from node to node. Maps of the node's ranks, rank i's from byte i·rank_bytes of `message` on: A if there
     * are several, then H in blocks of columns, [blocks][n_local,HV,K,columns]. */
    int node, node_rank;    /* ranks of this one's node; which of them it is */
    int64_t n_blocks, n_in; /* n_in: states that come in (hy_relay_hop) */
    char *message, *H;      /* H: rank 0's in `message`; own_H where that is the same */
    char *node_A;           /* [node·n_local,HV,a_size] */
    char *own;              /* this rank's part of the message, to send */
    char *states;           /* [blocks][n_in,HV,K,columns] what comes in; `in` where that is the same */
    size_t rank_bytes;
    hy_req *requests; /* of the lists */
    bool gathered;
    int64_t time; /* relay_lists.c: messages until this one have been posted */
    hy_scan_maps scan;
} hy_state_pass;

/* A way to exchange states: what one is (methods.h lists all). Called on more than one rank only. */
struct hy_state_row {
    const char *title; /* in tables of layers */
    bool by_heads;     /* no states travel, and what follows is not there: state_heads.h */
    /* its lists, of states of a reach: bytes of an image that they take at most, requests of one exchange, the lists of a layout */
    size_t (*lists_bytes)(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach);
    int64_t (*requests)(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach);
    void (*build)(hy_list_image *image, const hy_layout *layout, const hy_sp_method *method, int64_t reach,
                  hy_state_lists *out);
    void (*open)(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work);
    void (*post)(hy_state_pass *pass);
    bool (*posts_later)(const hy_state_pass *pass); /* something that waits for what is under way now */
    void (*move_on)(hy_state_pass *pass, hy_state_move move);
    void (*finish)(hy_state_pass *pass);               /* when all has come; NULL: nothing to do */
    int (*node)(const hy_sp_method *method, int size); /* relay: ranks that gather each other's maps */
    bool in_blocks;                                    /* relay: what passes between nodes */
};

#define HY_X(value, name, row) extern const hy_state_row hy_state_row_##row;
HY_STATE_EXCHANGES(HY_X)
#undef HY_X
const hy_state_row *hy_state_row_of(hy_state_exchange exchange);

/* For rows: an exchange's name; a test's damage (sp->broken) to n elements of a state that came. */
const char *hy_state_pass_name(const hy_state_pass *pass);
void hy_state_damage(const hy_state_pass *pass, char *state, int64_t n);

/* Bytes of A that stay from forward to backward, aligned: the same for any number of ranks. */
size_t hy_state_kept_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape);

/* Cuts the pass's scratch from `work`. own_A, in: set before. */
void hy_state_open(hy_state_pass *pass, hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape, int step,
                   hy_carve *work);
void hy_state_post(hy_state_pass *pass);
void hy_state_resume(hy_state_pass *pass);
void hy_state_progress(hy_state_pass *pass);
void hy_state_finish(hy_state_pass *pass);

#endif
