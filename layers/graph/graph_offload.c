#include "layers/graph/graph_offload.h"

#include <stdlib.h>

#include "base/memory.h"

hy_status hy_offload_init(hy_offload *offload, int values) {
    *offload = (hy_offload){0};
    HY_TRY(HY_NEW("offloaded values", values, &offload->values));
    return HY_NEW("moves of values", HY_MOVE_KINDS * values, &offload->moves);
}

void hy_offload_fini(hy_offload *offload) {
    hy_free(offload->values);
    hy_free(offload->moves);
}

bool hy_offload_times(const hy_segment_times *times, int last, int made, int read, int needed,
                      int before[HY_MOVE_KINDS]) {
    const int leaves = read > made ? read : made + 1;
    if (leaves > last || needed + 1 >= last) {
        return false;
    }
    before[HY_MOVE_OUT] = times[made].fwd_end;
    before[HY_MOVE_FREE] = times[leaves].fwd_end;
    before[HY_MOVE_IN] = times[needed + 1].bwd_begin;
    before[HY_MOVE_BACK] = times[needed].bwd_begin;
    return true;
}

void hy_offload_add(hy_offload *offload, hy_var var, int64_t bytes, const int before[HY_MOVE_KINDS]) {
    const int value = offload->n_values++;
    offload->values[value] = (hy_offloaded){.var = var, .bytes = bytes, .at = offload->bytes};
    offload->bytes += (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    for (int kind = 0; kind < HY_MOVE_KINDS; kind++) {
        offload->moves[offload->n_moves++] =
            (hy_move){.before = before[kind], .kind = (hy_move_kind)kind, .value = value};
    }
}

static int as_they_happen(const void *a, const void *b) {
    const hy_move *x = a, *y = b;
    return x->before != y->before ? x->before - y->before
           : x->kind != y->kind   ? (int)x->kind - (int)y->kind
                                  : x->value - y->value;
}

void hy_offload_order(hy_offload *offload) {
    if (offload->n_moves > 0) { /* qsort takes no NULL */
        qsort(offload->moves, (size_t)offload->n_moves, sizeof *offload->moves, as_they_happen);
    }
}

void hy_offload_move(const hy_offload *offload, const hy_move *move, const hy_exec *x, int64_t *const value_offset[2],
                     char *host, hy_mark *copied) {
    const hy_offloaded *value = &offload->values[move->value];
    char *there = host + value->at;
    if (move->kind == HY_MOVE_FREE || move->kind == HY_MOVE_BACK) {
        hy_device_after(x->device, HY_LANE_COMPUTE, copied[move->value]);
        return;
    }
    hy_device_after(x->device, HY_LANE_COPY, hy_device_mark(x->device, HY_LANE_COMPUTE));
    if (move->kind == HY_MOVE_OUT) {
        hy_device_copy(x->device, HY_LANE_COPY, there, x->arena + value_offset[0][value->var], (size_t)value->bytes);
    } else {
        hy_device_copy(x->device, HY_LANE_COPY, x->arena + value_offset[1][value->var], there, (size_t)value->bytes);
    }
    copied[move->value] = hy_device_mark(x->device, HY_LANE_COPY);
}
