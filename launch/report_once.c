#include "launch/report_once.h"

#include "base/log.h"

hy_status hy_report_once(hy_comm *world, hy_status (*check)(void *context), void *context) {
    const int rank = hy_comm_rank(world);
    if (rank > 0) {
        hy_log_set_level(HY_LOG_NONE);
    }
    hy_status mine = check(context);
    hy_log_set_level(HY_LOG_INFO);

    int first = (int)mine;
    hy_req req = {0};
    hy_comm_broadcast(world, "status of rank 0", &first, sizeof first, 0, &req);
    hy_comm_wait(&req);
    if (rank > 0 && mine != HY_OK && first == HY_OK) {
        mine = check(context);
    }
    return hy_comm_agree(world, mine);
}
