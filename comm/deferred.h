/* Exchanges of an asynchronous device's memory over a transport that the host drives. An exchange waits in its communicator's queue until
 * the device's COMPUTE lane has passed what it had been given when the exchange was posted; then the transport has it; once it has
 * landed the host raises a signal, for which COMPUTE waits from where the caller said hy_comm_wait. The host waits nowhere.
 *
 * A communicator's exchanges start in the order in which they were posted, the same on all ranks (what collectives need, and what a
 * transport that runs on a lane itself does anyway). They move in hy_comm_progress and while the host waits for something else. */
#ifndef HY_COMM_DEFERRED_H
#define HY_COMM_DEFERRED_H

#include "comm/comm_internal.h"

HY_MUST_CHECK hy_status hy_deferred_create(hy_comm *comm, hy_device *device, hy_deferred **out);
/* Waits for what was posted. NULL allowed. */
void hy_deferred_destroy(hy_deferred *deferred);
/* req->record and req->span say where it is recorded. */
void hy_deferred_post(hy_deferred *deferred, const hy_xfer *xfer, hy_req *req);
void hy_deferred_wait(hy_req *req);
/* Of all communicators. */
void hy_deferred_progress(void);
/* Of all that are under way the one that started first; NULL: none is. */
const hy_req *hy_deferred_oldest(void);

/* Around every call of a transport: while exchanges are on their way it may move any of them, and touch what devices hold. */
void hy_deferred_enter(void);
void hy_deferred_leave(void);

#endif
