/* The interpreter's state: simt.c runs lanes, simt_memory.c keeps shared memory, simt_error.c tells what went wrong. */
#ifndef HY_TESTS_SIMT_SIMT_INTERNAL_H
#define HY_TESTS_SIMT_SIMT_INTERNAL_H

#include <stdbool.h>

#include "tests/simt/fiber.h"
#include "tests/simt/order.h"
#include "tests/simt/simt.h"

typedef enum hy_lane_state {
    HY_LANE_NEW,
    HY_LANE_RUNS,
    HY_LANE_WAITS, /* until the others come, and then for its turn */
    HY_LANE_DONE
} hy_lane_state;

/* On its way to shared memory. */
typedef struct hy_simt_copy {
    void *to;
    const void *from;
    int bytes;
    int64_t group;
} hy_simt_copy;

typedef struct hy_simt_lane {
    hy_lane_state state;
    hy_fiber *fiber;
    uint32_t mask;        /* whom it waits for, 0 for the block */
    hy_simt_copy *copies; /* [room], n_copies of them not landed */
    int n_copies, room;
    int64_t groups; /* committed */
} hy_simt_lane;

typedef struct hy_simt_meeting {
    uint32_t mask, arrived;
    const char *what;
    void *own[HY_SIMT_WARP];
} hy_simt_meeting;

/* Meetings that wait for somebody: their masks have no lane in common. */
typedef struct hy_simt_warp {
    hy_simt_meeting open[HY_SIMT_WARP];
    int n_open;
} hy_simt_warp;

typedef struct hy_simt_state {
    const hy_simt_kernel *kernel; /* NULL: none runs */
    hy_fiber *scheduler;
    hy_fiber *idle[HY_SIMT_THREADS_MAX];
    int n_idle;
    hy_simt_lane lanes[HY_SIMT_THREADS_MAX];
    hy_simt_warp warps[HY_SIMT_THREADS_MAX / HY_SIMT_WARP];
    hy_turns turns;       /* lanes that may run */
    int turn;             /* the one to run next, -1: not chosen */
    int done, at_barrier; /* how many lanes of the block */
} hy_simt_state;
extern hy_simt_state hy_simt;

/* Memory of `bytes` for a block: `side` 0 places it before the upper guard, 1 behind the lower one. */
void hy_simt_shared_begin(size_t bytes, int side);
void hy_simt_shared_end(void);
/* Whether the address is where shared memory ends. */
bool hy_simt_shared_guards(const void *address);

/* While a kernel runs. */
void hy_simt_catch_faults(void);
void hy_simt_leave_faults(void);
void hy_simt_check_launch(const hy_simt_kernel *kernel);
void hy_simt_fail_deadlock(void) __attribute__((noreturn));

#endif
