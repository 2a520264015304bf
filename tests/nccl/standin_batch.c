#include "standin_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t standin_setting(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

void standin_pause(int64_t nanoseconds) {
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

static void delay(void) {
    static _Atomic uint64_t drawn;
    uint64_t x = atomic_fetch_add(&drawn, 0x9E3779B97F4A7C15u) + (uint64_t)standin_setting("HYLAS_STANDIN_SEED", 1);
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9u;
    x ^= x >> 29;
    if (x % 8 == 0) {
        standin_pause((int64_t)(x >> 40) % 200000);
    }
}

/* ---- what moves ---- */

size_t standin_type_size(ncclDataType_t type) {
    switch (type) {
    case ncclInt8:
    case ncclUint8:
        return 1;
    case ncclFloat16:
    case ncclBfloat16:
        return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
        return 4;
    default:
        return 8;
    }
}

static void add_side(batch *b, const group_op *op, bool sends, int peer, const void *at, size_t bytes) {
    if (b->n_sides == b->limit) {
        b->limit = 2 * b->limit + 16;
        b->sides = realloc(b->sides, (size_t)b->limit * sizeof *b->sides);
    }
    b->sides[b->n_sides++] = (standin_side){.pipes = op->comm->pipes,
                                            .sends = sends,
                                            .peer = peer,
                                            .at = (char *)(uintptr_t)at,
                                            .message = {(uint64_t)op->kind, op->number, bytes, op->place}};
}

/* This rank's own part: no message. */
static void keep_own(void *to, const void *from, size_t bytes) {
    if (to != from && bytes > 0) {
        memmove(to, from, bytes);
    }
}

/* The messages of an operation, and what stays on this rank. */
static void begin_op(batch *b, group_op *op) {
    const struct ncclComm *c = op->comm;
    const size_t bytes = op->count * standin_type_size(op->type);
    const int sums = op->kind == ALL_REDUCE || op->kind == REDUCE_SCATTER;
    if (sums) {
        op->blocks = malloc((size_t)c->size * bytes + 1);
    }
    for (int r = 0; r < c->size && op->kind != MESSAGE; r++) {
        const size_t at = (size_t)r * bytes;
        const bool cut = op->kind == REDUCE_SCATTER; /* a block for each rank */
        const void *out = cut ? op->send + at : op->send;
        char *in = sums ? op->blocks + at : op->kind == BROADCAST ? op->recv : op->recv + at; /* WINDOW: a gather */
        if (r == c->rank) {
            if (op->kind != BROADCAST || op->peer == r) {
                keep_own(in, out, bytes);
            }
            continue;
        }
        if (op->kind != BROADCAST || op->peer == c->rank) {
            add_side(b, op, true, r, out, bytes);
        }
        if (op->kind != BROADCAST || op->peer == r) {
            add_side(b, op, false, r, in, bytes);
        }
    }
    if (op->kind == MESSAGE && op->peer != c->rank) {
        add_side(b, op, op->send != NULL, op->peer, op->send != NULL ? op->send : op->recv, bytes);
    }
}

/* A message to oneself: the group's sends in order meet its receives. */
static void messages_to_self(batch *b) {
    int from = 0;
    for (int i = 0; i < b->n_ops; i++) {
        group_op *to = &b->ops[i];
        if (to->kind != MESSAGE || to->peer != to->comm->rank || to->recv == NULL) {
            continue;
        }
        while (from < b->n_ops && (b->ops[from].kind != MESSAGE || b->ops[from].peer != to->comm->rank ||
                                   b->ops[from].send == NULL || b->ops[from].comm != to->comm)) {
            from++;
        }
        if (from == b->n_ops) {
            fprintf(stderr, "NCCL stand-in: rank %d receives from itself what its group does not send\n",
                    to->comm->rank);
            abort();
        }
        keep_own(to->recv, b->ops[from++].send, to->count * standin_type_size(to->type));
    }
}

#define SUM_OF(type)                                                                                                   \
    for (size_t i = 0; i < op->count; i++) {                                                                           \
        type sum = ((const type *)(const void *)op->blocks)[i];                                                        \
        for (int r = 1; r < op->comm->size; r++) {                                                                     \
            const type x = ((const type *)(const void *)op->blocks)[(size_t)r * op->count + i];                        \
            sum = op->op == ncclSum ? sum + x : (op->op == ncclMax) == (x > sum) ? x : sum;                            \
        }                                                                                                              \
        ((type *)(void *)op->recv)[i] = sum;                                                                           \
    }

/* In the order of ranks. */
static void end_op(group_op *op) {
    if (op->blocks == NULL) {
        return;
    }
    if (op->type == ncclFloat32) {
        SUM_OF(float)
    } else if (op->type == ncclFloat64) {
        SUM_OF(double)
    } else {
        SUM_OF(int64_t)
    }
    free(op->blocks);
}

/* Messages of a pair go one behind the other. */
static bool is_behind(const batch *b, int side) {
    const standin_side *s = &b->sides[side];
    for (int i = 0; i < side; i++) {
        const standin_side *other = &b->sides[i];
        if (!other->done && other->pipes == s->pipes && other->peer == s->peer && other->sends == s->sends) {
            return true;
        }
    }
    return false;
}

static bool move_sides(batch *b, bool *complete) {
    bool moved = false;
    *complete = true;
    for (int i = 0; i < b->n_sides; i++) {
        standin_side *s = &b->sides[i];
        if (!s->done && !is_behind(b, i)) {
            moved |= standin_side_move(s);
        }
        *complete &= s->done;
    }
    return moved;
}

static void end_standing_still(const batch *b, int64_t seconds) {
    for (int i = 0; i < b->n_sides; i++) {
        const standin_side *s = &b->sides[i];
        if (!s->done) {
            fprintf(stderr,
                    "NCCL stand-in: nothing moves for %lld s: rank %d %s rank %d, collective %d, number %lld, "
                    "%lld bytes; are sends and receives that wait for each other in one group?\n",
                    (long long)seconds, b->ops[0].comm->rank, s->sends ? "sends to" : "receives from", s->peer,
                    (int)s->message.kind, (long long)s->message.number, (long long)s->message.bytes);
        }
    }
    abort();
}

static bool is_aborted(const batch *b) {
    bool aborted = false;
    for (int i = 0; i < b->n_ops; i++) {
        aborted |= atomic_load(&b->ops[i].comm->aborted);
    }
    return aborted;
}

static void look_at_ranks(const batch *b) {
    for (int i = 0; i < b->n_ops; i++) {
        int rank;
        if (standin_pipes_lost(b->ops[i].comm->pipes, &rank)) {
            atomic_store(&b->ops[i].comm->error, ncclRemoteError);
        }
    }
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void move_all(batch *b) {
    const int64_t limit = standin_setting("HYLAS_STANDIN_SECONDS", 120);
    double last = seconds_now();
    bool complete;
    for (int64_t idle = 0;; idle++) {
        if (move_sides(b, &complete)) {
            last = seconds_now();
            idle = 0;
        }
        if (complete) {
            return;
        }
        if (idle > 100) {
            look_at_ranks(b);
            if (is_aborted(b)) {
                return;
            }
            if (seconds_now() - last > (double)limit) {
                end_standing_still(b, limit);
            }
            standin_pause(20000);
        }
    }
}

void standin_run_batch(void *batch_) {
    batch *b = batch_;
    delay();
    if (!is_aborted(b)) {
        for (int i = 0; i < b->n_ops; i++) {
            begin_op(b, &b->ops[i]);
        }
        messages_to_self(b);
        move_all(b);
    }
    for (int i = 0; i < b->n_ops; i++) {
        end_op(&b->ops[i]);
        atomic_fetch_sub(&b->ops[i].comm->given, 1);
    }
    free(b->sides);
    free(b->ops);
    free(b);
}
