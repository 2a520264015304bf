/* Every message: kernel, block, thread, what; then the process ends. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/simt/simt_internal.h"

static void print_place(char *line, size_t size) {
    const hy_simt_place *p = &hy_simt_now;
    int n = snprintf(line, size, "simt: kernel %s", hy_simt.kernel != NULL ? hy_simt.kernel->name : "(none)");
    if (p->shared != NULL && n > 0 && (size_t)n < size) {
        n += snprintf(line + n, size - (size_t)n, ", block (%lld,%lld,%lld)", (long long)p->block.x,
                      (long long)p->block.y, (long long)p->block.z);
    }
    if (p->thread >= 0 && n > 0 && (size_t)n < size) {
        (void)snprintf(line + n, size - (size_t)n, ", thread %d", p->thread);
    }
}

void hy_simt_fail(const char *format, ...) {
    char place[256];
    va_list args;
    print_place(place, sizeof place);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: ", place);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    (void)fflush(stderr);
    abort();
}

/* "0-3 7": of the warp's lanes those in the mask. */
static void print_lanes(char *out, size_t size, uint32_t mask) {
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < HY_SIMT_WARP; i++) {
        int last = i;
        if ((mask >> i & 1) == 0) {
            continue;
        }
        while (last + 1 < HY_SIMT_WARP && (mask >> (last + 1) & 1) != 0) {
            last++;
        }
        n += (size_t)snprintf(out + n, size - n, last > i ? "%s%d-%d" : "%s%d", n > 0 ? " " : "", i, last);
        i = last;
    }
}

static void print_warp(int warp) {
    uint32_t done = 0, at_barrier = 0;
    char lanes[128], missing[128];
    for (int i = 0; i < HY_SIMT_WARP && warp * HY_SIMT_WARP + i < hy_simt_now.threads; i++) {
        const hy_simt_lane *lane = &hy_simt.lanes[warp * HY_SIMT_WARP + i];
        done |= (uint32_t)(lane->state == HY_LANE_DONE) << i;
        at_barrier |= (uint32_t)(lane->state == HY_LANE_WAITS && lane->mask == 0) << i;
    }
    for (int i = 0; i < hy_simt.warps[warp].n_open; i++) {
        const hy_simt_meeting *m = &hy_simt.warps[warp].open[i];
        print_lanes(lanes, sizeof lanes, m->arrived);
        print_lanes(missing, sizeof missing, m->mask & ~m->arrived);
        (void)fprintf(stderr, "  warp %d: lanes %s wait in %s for lanes %s\n", warp, lanes, m->what, missing);
    }
    if (at_barrier != 0) {
        print_lanes(lanes, sizeof lanes, at_barrier);
        (void)fprintf(stderr, "  warp %d: lanes %s wait at the barrier\n", warp, lanes);
    }
    if (done != 0) {
        print_lanes(lanes, sizeof lanes, done);
        (void)fprintf(stderr, "  warp %d: lanes %s have ended\n", warp, lanes);
    }
}

void hy_simt_fail_deadlock(void) {
    for (int w = 0; w * HY_SIMT_WARP < hy_simt_now.threads; w++) {
        print_warp(w);
    }
    hy_simt_now.thread = -1;
    hy_simt_fail("lanes wait for others that never come (deadlock)");
}

void hy_simt_check_launch(const hy_simt_kernel *k) {
    if (k->threads < 1 || k->threads > HY_SIMT_THREADS_MAX) {
        hy_simt_fail("is launched with %d threads: 1 to %d are possible", k->threads, HY_SIMT_THREADS_MAX);
    }
    if (k->shared_bytes > HY_SIMT_SHARED_MAX) {
        hy_simt_fail("is launched with %zu bytes of shared memory: %d are possible", k->shared_bytes,
                     HY_SIMT_SHARED_MAX);
    }
    if (k->grid.x < 0 || k->grid.x > 2147483647 || k->grid.y < 0 || k->grid.y > 65535 || k->grid.z < 0 ||
        k->grid.z > 65535) {
        hy_simt_fail("is launched with a grid of %lld × %lld × %lld blocks: 2147483647 × 65535 × 65535 are possible",
                     (long long)k->grid.x, (long long)k->grid.y, (long long)k->grid.z);
    }
}

/* ---- addresses that may not be touched ---- */

static struct sigaction before_us;

static void fault(int number, siginfo_t *info, void *context) {
    const int thread = hy_simt_now.thread;
    (void)context;
    if (hy_simt_shared_guards(info->si_addr)) {
        hy_simt_fail("touches byte %td of its %zu bytes of shared memory",
                     (unsigned char *)info->si_addr - hy_simt_now.shared, hy_simt_now.shared_bytes);
    }
    if (thread >= 0 && hy_fiber_overflows(hy_simt.lanes[thread].fiber, info->si_addr)) {
        hy_simt_fail("has more local variables than its stack holds");
    }
    char place[256];
    print_place(place, sizeof place);
    (void)fprintf(stderr, "%s: touches %p\n", place, info->si_addr);
    (void)sigaction(number, &before_us, NULL); /* the access is made again, and its owner told */
}

/* A stack of its own: the lane's may be what overflowed. */
static void use_own_stack(void) {
    static _Thread_local unsigned char *memory;
    stack_t now;
    if (memory != NULL || sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) {
        return;
    }
    const size_t size = 64 << 10;
    memory = malloc(size);
    (void)sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = memory != NULL ? size : 0}, NULL);
}

void hy_simt_catch_faults(void) {
    struct sigaction ours = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    use_own_stack();
    (void)sigemptyset(&ours.sa_mask);
    (void)sigaction(SIGSEGV, &ours, &before_us);
}

void hy_simt_leave_faults(void) {
    (void)sigaction(SIGSEGV, &before_us, NULL);
}
