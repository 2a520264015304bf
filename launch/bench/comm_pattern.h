/* Numbers to exchange and what must come of them, for `hylas bench comm`: small whole numbers, different for every rank, element and
 * round, whose sums over all ranks every type holds exactly. So what arrives is right or wrong, whatever the order of summation. */
#ifndef HY_LAUNCH_COMM_PATTERN_H
#define HY_LAUNCH_COMM_PATTERN_H

#include "comm/comm.h"

/* One exchange of a bench. count: elements of a block: what a rank gives to an all-gather or gets of a reduce-scatter, what goes from one
 * rank to another in an all-to-all; all of them for all-reduce, broadcast and messages. */
typedef struct hy_comm_case {
    hy_exchange_kind kind; /* HY_X_SEND: every rank sends to the next and receives from the one before */
    hy_type type;
    hy_reduce op; /* of all-reduce */
    int64_t count;
    int rank, size;
    int64_t round;
} hy_comm_case;

/* Elements of what a rank gives, and of what it gets. */
int64_t hy_comm_case_sent(const hy_comm_case *c);
int64_t hy_comm_case_received(const hy_comm_case *c);
/* What this rank gives; a broadcast's root, rank 0, alone gives something: others get zeros. */
void hy_comm_pattern_fill(const hy_comm_case *c, void *sent);
/* Elements of `received` that are not what they must be. */
int64_t hy_comm_pattern_wrong(const hy_comm_case *c, const void *received);
/* Makes the first `n` elements wrong; how many that were. */
int64_t hy_comm_pattern_spoil(const hy_comm_case *c, void *received, int64_t n);

#endif
