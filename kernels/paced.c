#include "kernels/paced.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/cost.h"

typedef struct pace {
    double flops, bytes; /* per second */
    double late;         /* seconds that the last calls took longer than they should, which the next ones make up for */
} pace;

enum { NANOSECONDS = 1000000000 };
static const double LATE_MOST =
    0.02; /* what is later than that stays lost: a step does not make up for the one before */

hy_status hy_paced_open(hy_device *device) {
    pace *p = NULL;
    const char *text = getenv("HYLAS_PACE");
    HY_TRY(HY_NEW("pace", 1, &p));
    char behind;
    if (text == NULL || sscanf(text, "%lf,%lf%c", &p->flops, &p->bytes, &behind) != 2 || !(p->flops > 0) ||
        !(p->bytes > 0)) {
        hy_free(p);
        return hy_fail(HY_ERR_USAGE,
                       "device '%s': say its pace, HYLAS_PACE=FLOPS,BYTES per second, as HYLAS_PACE=1e9,1e9",
                       device->profile.name);
    }
    device->own = p;
    return HY_OK;
}

void hy_paced_close(hy_device *device) {
    hy_free(device->own);
}

static void sleep_for(double seconds) {
    const struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * NANOSECONDS)};
    (void)nanosleep(&time, NULL);
}

/* A processor that others had for a while, or a sleep that was too long, is made up for by what follows. */
void hy_paced_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes) {
    pace *p = device->own;
    const double begun = hy_now();
    (void)bytes;
    const hy_cost cost = hy_cost_of(op, args, device->profile.dtype, NULL);
    const double by_flops = cost.flops / p->flops, by_bytes = cost.bytes / p->bytes;
    const double due = by_flops > by_bytes ? by_flops : by_bytes;
    hy_table_call(&device->table, op, args);
    const double left = due - p->late - (hy_now() - begun);
    if (left > 0) {
        sleep_for(left);
    }
    const double took = hy_now() - begun;
    p->late = fmin(p->late + took - due, LATE_MOST);
    device->counts.seconds[op] += took;
}
