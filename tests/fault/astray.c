/* astray MODE RANK TIMEOUT: ranks take short steps, each with one exchange, under a watchdog of TIMEOUT seconds; after some, RANK goes
 * astray: it stops (SIGSTOP), is killed (SIGKILL), loops (computes for ever), or waits in an exchange that the others are not in (other). Or
 * it is slow: five times as slow as the others, to the end. Or it fails with an exit code of its own (abort). Or the steps' exchanges are
 * messages, and it stops (message). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/comm.h"
#include "comm/presence.h"
#include "comm/watchdog.h"

enum { GOOD_STEPS = 20, SLOW_STEPS = 60 };

/* Without taking a core from the others. */
static void compute(double seconds) {
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    (void)nanosleep(&time, NULL);
}

static void wait_elsewhere(hy_comm *elsewhere) {
    int64_t never = 0;
    hy_req req = {0};
    hy_comm_recv(elsewhere, "states", &never, sizeof never, (hy_comm_rank(elsewhere) + 1) % hy_comm_size(elsewhere), 7,
                 &req);
    hy_comm_wait(&req);
}

/* To the rank behind, from the one ahead: in a communicator that has the world's ranks in reverse. */
static void pass_on(hy_comm *elsewhere) {
    const int size = hy_comm_size(elsewhere), rank = hy_comm_rank(elsewhere);
    int64_t sent = rank, came = -1;
    hy_req reqs[2] = {0};
    hy_comm_send(elsewhere, "states", &sent, sizeof sent, (rank + size - 1) % size, 7, &reqs[1]);
    hy_comm_recv(elsewhere, "states", &came, sizeof came, (rank + 1) % size, 7, &reqs[0]);
    hy_comm_wait_all(reqs, 2);
    if (came != (rank + 1) % size) {
        hy_comm_abort(4);
    }
}

static void go_astray(const char *mode, hy_comm *elsewhere) {
    if (strcmp(mode, "stop") == 0 || strcmp(mode, "message") == 0) {
        raise(SIGSTOP);
    } else if (strcmp(mode, "kill") == 0) {
        raise(SIGKILL);
    } else if (strcmp(mode, "loop") == 0) {
        compute(1e9);
    } else if (strcmp(mode, "other") == 0) {
        wait_elsewhere(elsewhere);
    } else if (strcmp(mode, "abort") == 0) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *elsewhere = NULL;
    if (argc != 4 || hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 2;
    }
    const char *mode = argv[1];
    const bool slow = strcmp(mode, "slow") == 0, chosen = hy_comm_rank(world) == atoi(argv[2]);
    if (hy_comm_split(world, 0, hy_comm_size(world) - hy_comm_rank(world), &elsewhere) != HY_OK ||
        hy_watchdog_begin(world, &(hy_watchdog_settings){.timeout = atof(argv[3]), .slow = 0.25}) != HY_OK) {
        return 3;
    }
    for (int64_t step = 1; step <= GOOD_STEPS + SLOW_STEPS; step++) {
        hy_presence_phase("gradients", step);
        compute(slow && chosen ? 0.05 : 0.01);
        if (chosen && step == GOOD_STEPS) {
            go_astray(mode, elsewhere);
        }
        if (strcmp(mode, "message") == 0) {
            pass_on(elsewhere);
            continue;
        }
        int64_t sum = 1;
        hy_req req = {0};
        hy_comm_all_reduce(world, "step counts", &sum, 1, HY_TYPE_I64, HY_SUM, &req);
        hy_comm_wait(&req);
        if (sum != hy_comm_size(world)) {
            return 4;
        }
    }
    hy_watchdog_end();
    hy_comm_destroy(elsewhere);
    hy_comm_destroy(world);
    printf("done\n");
    return 0;
}
