#include "comm/schedule_members.h"

#include <stdlib.h>

#include "base/memory.h"

typedef struct member {
    int color, place, rank;
} member;

static int by_color_and_place(const void *a, const void *b) {
    const member *x = a, *y = b;
    return x->color != y->color ? (x->color < y->color ? -1 : 1) : x->place < y->place ? -1 : x->place > y->place;
}

static hy_status list_one(const hy_schedule *const *schedules, int ranks, int comm, member *list, hy_members *out) {
    int n = 0;
    HY_TRY(HY_NEW("members", ranks, &out->ranks));
    HY_TRY(HY_NEW("members", ranks, &out->first));
    for (int r = 0; r < ranks; r++) {
        if (comm < schedules[r]->n_comms) {
            list[n++] = (member){schedules[r]->comms[comm].color, schedules[r]->comms[comm].rank, r};
        }
    }
    qsort(list, (size_t)n, sizeof *list, by_color_and_place);
    for (int i = 0, first = 0; i < n; i++) {
        first = i > 0 && list[i].color == list[i - 1].color ? first : i;
        out->ranks[i] = list[i].rank;
        out->first[list[i].rank] = first;
    }
    return HY_OK;
}

hy_status hy_members_list(const hy_schedule *const *schedules, int ranks, int *n, hy_members **out) {
    member *list = NULL;
    *n = 0;
    *out = NULL;
    for (int r = 0; r < ranks; r++) {
        *n = schedules[r]->n_comms > *n ? schedules[r]->n_comms : *n;
    }
    HY_TRY(HY_NEW("communicators", *n, out));
    HY_TRY(HY_NEW("members", ranks, &list));
    hy_status status = HY_OK;
    for (int c = 0; c < *n && status == HY_OK; c++) {
        status = list_one(schedules, ranks, c, list, &(*out)[c]);
    }
    hy_free(list);
    return status;
}

void hy_members_destroy(hy_members *members, int n) {
    for (int c = 0; c < n && members != NULL; c++) {
        hy_free(members[c].ranks);
        hy_free(members[c].first);
    }
    hy_free(members);
}
