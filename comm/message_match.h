/* Which receive belongs to which send, where neither waits for the other: of the same two ranks, communicator and tag in the order in which
 * they were posted. */
#ifndef HY_COMM_MESSAGE_MATCH_H
#define HY_COMM_MESSAGE_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct hy_message_key {
    int32_t comm, from, to;
    uint64_t tag;
} hy_message_key;

typedef struct hy_message {
    hy_message_key key;
    int64_t send, recv; /* the caller's; -1: not posted yet */
    int64_t bytes;
    bool left, arrived;
    int64_t next; /* of those that are not matched, or spare */
} hy_message;

typedef struct hy_message_table {
    hy_message *messages;
    int64_t *buckets; /* [n_buckets] first of a list, oldest first */
    int64_t n, limit, spare, n_buckets, unmatched;
} hy_message_table; /* zeros: empty */

/* The message that this side belongs to: one whose other side is there, or a new one, which then waits for it. `what` >= 0. HY_ERR_MEMORY. */
HY_MUST_CHECK hy_status hy_message_side(hy_message_table *table, const hy_message_key *key, bool send, int64_t what,
                                        int64_t *out);
/* The caller has no more use for it. Both sides were there. */
void hy_message_drop(hy_message_table *table, int64_t message);
void hy_message_clear(hy_message_table *table);

#endif
