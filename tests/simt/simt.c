#include "tests/simt/simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simt/simt_internal.h"

hy_simt_place hy_simt_now;
hy_simt_state hy_simt;

/* ---- lanes ---- */

/* The lane may run when its turn comes. */
static void make_ready(int thread) {
    hy_turns_add(&hy_simt.turns, thread);
}

/* The running lane stops until somebody makes it ready; mask: whom it waits for, 0 for the block. */
static void wait_for(uint32_t mask) {
    hy_simt_lane *lane = &hy_simt.lanes[hy_simt_now.thread];
    lane->state = HY_LANE_WAITS;
    lane->mask = mask;
    hy_fiber_switch(lane->fiber, hy_simt.scheduler);
}

/* Lanes that have not begun, one after the other, as long as it is their turn. */
static void work(hy_fiber *self) {
    for (;;) {
        int thread = hy_simt.turn;
        hy_simt.turn = -1;
        while (thread >= 0 && hy_simt.lanes[thread].state == HY_LANE_NEW) {
            hy_simt_lane *lane = &hy_simt.lanes[thread];
            hy_simt_now.thread = thread;
            lane->state = HY_LANE_RUNS;
            lane->fiber = self;
            hy_simt.kernel->call(hy_simt.kernel->job);
            lane->state = HY_LANE_DONE;
            hy_simt.done++;
            thread = hy_turns_take(&hy_simt.turns);
        }
        hy_simt.turn = thread;
        hy_simt.idle[hy_simt.n_idle++] = self;
        hy_fiber_switch(self, hy_simt.scheduler);
    }
}

static hy_fiber *idle_fiber(void) {
    return hy_simt.n_idle > 0 ? hy_simt.idle[--hy_simt.n_idle] : hy_fiber_create(work);
}

/* ---- meetings ---- */

void hy_simt_barrier(void) {
    if (++hy_simt.at_barrier < hy_simt_now.threads) {
        wait_for(0);
        return;
    }
    hy_simt.at_barrier = 0;
    for (int i = 0; i < hy_simt_now.threads; i++) {
        if (i != hy_simt_now.thread) {
            make_ready(i);
        }
    }
}

static hy_simt_meeting *meeting_of(hy_simt_warp *warp, uint32_t mask, const char *what) {
    for (int i = 0; i < warp->n_open; i++) {
        hy_simt_meeting *m = &warp->open[i];
        if (m->mask == mask) {
            if (strcmp(m->what, what) != 0) {
                hy_simt_fail("is in %s, others of the mask %08x are in %s", what, mask, m->what);
            }
            return m;
        }
        if ((m->mask & mask) != 0) {
            hy_simt_fail("is in %s with mask %08x, others of it are in %s with mask %08x", what, mask, m->what,
                         m->mask);
        }
    }
    hy_simt_meeting *m = &warp->open[warp->n_open++];
    m->mask = mask;
    m->arrived = 0;
    m->what = what;
    return m;
}

void hy_simt_meet(uint32_t mask, const char *what, void *own, hy_simt_compute compute) {
    const int first = hy_simt_now.thread & ~31, lane = hy_simt_now.thread & 31;
    const uint32_t self = (uint32_t)1 << lane;
    hy_simt_warp *warp = &hy_simt.warps[first / HY_SIMT_WARP];
    if ((mask & self) == 0) {
        hy_simt_fail("is in %s without being in its mask %08x", what, mask);
    }
    hy_simt_meeting *m = meeting_of(warp, mask, what);
    m->own[lane] = own;
    m->arrived |= self;
    if (m->arrived != mask) {
        wait_for(mask);
        return;
    }
    if (compute != NULL) {
        compute(m->own, mask);
    }
    for (int i = 0; i < HY_SIMT_WARP; i++) {
        if (i != lane && (mask >> i & 1) != 0) {
            make_ready(first + i);
        }
    }
    *m = warp->open[--warp->n_open];
}

/* ---- asynchronous copies ---- */

void hy_simt_copy_async(void *to, const void *from, int bytes) {
    hy_simt_lane *lane = &hy_simt.lanes[hy_simt_now.thread];
    hy_simt_check_shared("async copy", to, 16, 16);
    if (bytes < 0 || bytes > 16) {
        hy_simt_fail("copies %d bytes: 0 to 16 are possible", bytes);
    }
    hy_simt_check_aligned("async copy", from, 16);
    if (lane->n_copies == lane->room) {
        lane->room = lane->room > 0 ? 2 * lane->room : 16;
        lane->copies = realloc(lane->copies, (size_t)lane->room * sizeof lane->copies[0]);
        if (lane->copies == NULL) {
            hy_simt_fail("has no memory for its copies");
        }
    }
    memset(to, 0xFF, 16);
    lane->copies[lane->n_copies++] = (hy_simt_copy){.to = to, .from = from, .bytes = bytes, .group = lane->groups};
}

void hy_simt_copy_commit(void) {
    hy_simt.lanes[hy_simt_now.thread].groups++;
}

void hy_simt_copy_wait(int but) {
    hy_simt_lane *lane = &hy_simt.lanes[hy_simt_now.thread];
    int landed = 0;
    while (landed < lane->n_copies && lane->copies[landed].group < lane->groups - but) {
        const hy_simt_copy *copy = &lane->copies[landed++];
        unsigned char block[16] = {0};
        memcpy(block, copy->from, (size_t)copy->bytes);
        memcpy(copy->to, block, sizeof block);
    }
    if (landed == 0) {
        return;
    }
    lane->n_copies -= landed;
    memmove(lane->copies, lane->copies + landed, (size_t)lane->n_copies * sizeof lane->copies[0]);
}

/* ---- blocks ---- */

static void block_begin(int64_t serial) {
    const hy_simt_kernel *k = hy_simt.kernel;
    hy_simt_shared_begin(k->shared_bytes, (int)(serial % 2));
    for (int i = 0; i < k->threads; i++) {
        hy_simt_lane *lane = &hy_simt.lanes[i];
        lane->state = HY_LANE_NEW;
        lane->n_copies = 0;
        lane->groups = 0;
    }
    for (int w = 0; w * HY_SIMT_WARP < k->threads; w++) {
        hy_simt.warps[w].n_open = 0;
    }
    hy_simt.done = hy_simt.at_barrier = 0;
    hy_simt.turn = -1;
    hy_turns_begin(&hy_simt.turns, k->threads);
}

/* The lane whose turn it is goes on, or begins, until it waits or ends. */
static void run_turn(void) {
    hy_simt_lane *lane = &hy_simt.lanes[hy_simt.turn];
    hy_fiber *fiber = lane->fiber;
    if (lane->state == HY_LANE_NEW) {
        fiber = idle_fiber();
    } else {
        hy_simt_now.thread = hy_simt.turn;
        lane->state = HY_LANE_RUNS;
        hy_simt.turn = -1;
    }
    hy_fiber_switch(hy_simt.scheduler, fiber);
}

static void block_run(int64_t serial) {
    block_begin(serial);
    while (hy_simt.done < hy_simt_now.threads) {
        if (hy_simt.turn < 0) {
            hy_simt.turn = hy_turns_take(&hy_simt.turns);
        }
        if (hy_simt.turn < 0) {
            hy_simt_fail_deadlock();
        }
        run_turn();
    }
    hy_simt_shared_end();
}

static int64_t launched;
static bool only_counted;

int64_t hy_simt_launches(void) {
    return launched;
}

void hy_simt_only_count(void) {
    only_counted = true;
}

static void write_launch(const hy_simt_kernel *kernel) {
    extern const char __executable_start[]; /* of linkers */
    const char *path = getenv("HYLAS_SIMT_LAUNCHES");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    if (file == NULL) {
        return;
    }
    (void)fprintf(file, "%jx %d %zu %jd\n", (uintmax_t)((uintptr_t)kernel->function - (uintptr_t)__executable_start),
                  kernel->threads, kernel->shared_bytes, (intmax_t)(kernel->grid.x * kernel->grid.y * kernel->grid.z));
    (void)fclose(file);
}

void hy_simt_launch(const hy_simt_kernel *kernel) {
    const hy_simt_grid grid = kernel->grid;
    const int64_t blocks = grid.x * grid.y * grid.z;
    if (hy_simt.scheduler == NULL) {
        hy_simt.scheduler = hy_fiber_of_caller();
    }
    hy_simt.kernel = kernel;
    hy_simt_now = (hy_simt_place){.thread = -1, .threads = kernel->threads, .grid = grid};
    hy_simt_check_launch(kernel);
    hy_simt_catch_faults();
    hy_simt.turns.order = hy_order_chosen();
    write_launch(kernel);
    launched++;
    for (int64_t i = 0; i < blocks && !only_counted; i++) {
        const int64_t b = hy_order_block(&hy_simt.turns.order, i, blocks);
        hy_simt_now.block = (hy_simt_grid){b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
        block_run(i);
    }
    hy_simt_leave_faults();
    hy_simt.kernel = NULL;
}
