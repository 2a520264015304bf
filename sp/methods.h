/* The ways to share a sequence and to exchange. Each list is the one place of its values and of their names: the configuration's choices,
 * `hylas verify --all` and reports follow from it. */
#ifndef HY_SP_METHODS_H
#define HY_SP_METHODS_H

/* X(value, name) */
#define HY_LAYOUT_KINDS(X)                                                                                             \
    X(HY_LAYOUT_CONTIGUOUS, "contiguous")                                                                              \
    X(HY_LAYOUT_ZIGZAG, "zigzag")
#define HY_STATE_EXCHANGES(X)                                                                                          \
    X(HY_STATE_ALLGATHER, "allgather")                                                                                 \
    X(HY_STATE_RING, "ring")
#define HY_ATTENTION_METHODS(X)                                                                                        \
    X(HY_ATTENTION_RING, "ring")                                                                                       \
    X(HY_ATTENTION_ALLGATHER, "allgather")
/* split: outputs from zero state hide the exchange, then the incoming state's part is added (more arithmetic);
 * seeded: one pass that starts from the incoming state, once it is there. */
#define HY_OVERLAPS(X)                                                                                                 \
    X(HY_OVERLAP_SPLIT, "split")                                                                                       \
    X(HY_OVERLAP_SEEDED, "seeded")

#define HY_X(value, name) value,
typedef enum hy_layout_kind { HY_LAYOUT_KINDS(HY_X) } hy_layout_kind;
typedef enum hy_state_exchange { HY_STATE_EXCHANGES(HY_X) } hy_state_exchange;
typedef enum hy_attention_method { HY_ATTENTION_METHODS(HY_X) } hy_attention_method;
typedef enum hy_overlap { HY_OVERLAPS(HY_X) } hy_overlap;
#undef HY_X

/* By value; NULL at the end. */
extern const char *const hy_layout_names[], *const hy_state_exchange_names[], *const hy_attention_method_names[],
                                                                                  *const hy_overlap_names[];

#endif
