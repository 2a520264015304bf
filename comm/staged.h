/* Exchanges of memory that the host never reaches, over a transport that moves the host's only. An exchange is cut into blocks; each goes
 * from the device into pinned memory, is an exchange of the transport there, and goes back, so that the three overlap between blocks. All
 * copies run on the lane EXCHANGE, to which nobody else gives anything that waits; the host looks when they are done.
 *
 * Ranks cut alike: they have devices of one kind, and a message is received with the size it was sent with. Each exchange has buffers of
 * its own, so none waits for another's; but the transport gets the blocks of collectives in the order in which these were posted, and likewise
 * those of messages with one peer, tag and direction, because it matches them by order. */
#ifndef HY_COMM_STAGED_H
#define HY_COMM_STAGED_H

#include "comm/comm_internal.h"

typedef struct hy_staged hy_staged;

HY_MUST_CHECK hy_status hy_staged_create(hy_comm *comm, hy_device *device, hy_staged **out);
/* Nothing is on its way. NULL allowed. */
void hy_staged_destroy(hy_staged *staged);

/* What the device was given before that concerns the exchange is done. */
void hy_staged_post(hy_staged *staged, const hy_xfer *xfer, hy_req *req);
/* Moves all on. */
void hy_staged_progress(hy_staged *staged);
/* As a transport's: true once what it brought is in the device's memory. Moves nothing. */
bool hy_staged_test(hy_staged *staged, hy_req *req);

/* Bytes of a block, all ranks' parts together; tests lower it to reach many blocks. */
extern int64_t hy_staged_block;

#endif
