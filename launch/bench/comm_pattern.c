#include "launch/bench/comm_pattern.h"

int64_t hy_comm_case_sent(const hy_comm_case *c) {
    return c->kind == HY_X_REDUCE_SCATTER || c->kind == HY_X_ALL_TO_ALL ? c->size * c->count : c->count;
}

int64_t hy_comm_case_received(const hy_comm_case *c) {
    return c->kind == HY_X_ALL_GATHER || c->kind == HY_X_ALL_TO_ALL ? c->size * c->count : c->count;
}

/* 1 to 61: zero is what nobody wrote. Sums of 200,000 ranks are below 2^24. */
static int64_t given(const hy_comm_case *c, int rank, int64_t i) {
    return 1 + (i * 7 + (int64_t)rank * 17 + c->round * 29) % 61;
}

static int64_t reduced(const hy_comm_case *c, int64_t i) {
    const hy_reduce op = c->kind == HY_X_REDUCE_SCATTER ? HY_SUM : c->op;
    int64_t value = given(c, 0, i);
    for (int r = 1; r < c->size; r++) {
        const int64_t theirs = given(c, r, i);
        value = op == HY_SUM ? value + theirs : (op == HY_MAX) == (theirs > value) ? theirs : value;
    }
    return value;
}

/* Element i of what this rank must get. */
static int64_t expected(const hy_comm_case *c, int64_t i) {
    switch (c->kind) {
    case HY_X_ALL_GATHER:
        return given(c, (int)(i / c->count), i % c->count);
    case HY_X_ALL_TO_ALL:
        return given(c, (int)(i / c->count), c->rank * c->count + i % c->count);
    case HY_X_REDUCE_SCATTER:
        return reduced(c, c->rank * c->count + i);
    case HY_X_ALL_REDUCE:
        return reduced(c, i);
    case HY_X_BROADCAST:
        return given(c, 0, i);
    default:
        return given(c, (c->rank + c->size - 1) % c->size, i);
    }
}

static void set_element(void *array, hy_type type, int64_t i, int64_t value) {
    switch (type) {
    case HY_TYPE_F32:
        ((float *)array)[i] = (float)value;
        break;
    case HY_TYPE_F64:
        ((double *)array)[i] = (double)value;
        break;
    case HY_TYPE_I64:
        ((int64_t *)array)[i] = value;
        break;
    }
}

static bool is_element(const void *array, hy_type type, int64_t i, int64_t value) {
    switch (type) {
    case HY_TYPE_F32:
        return ((const float *)array)[i] == (float)value;
    case HY_TYPE_F64:
        return ((const double *)array)[i] == (double)value;
    default:
        return ((const int64_t *)array)[i] == value;
    }
}

void hy_comm_pattern_fill(const hy_comm_case *c, void *sent) {
    const int64_t n = hy_comm_case_sent(c);
    const bool nothing = c->kind == HY_X_BROADCAST && c->rank != 0;
    for (int64_t i = 0; i < n; i++) {
        set_element(sent, c->type, i, nothing ? 0 : given(c, c->rank, i));
    }
}

int64_t hy_comm_pattern_wrong(const hy_comm_case *c, const void *received) {
    const int64_t n = hy_comm_case_received(c);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        wrong += !is_element(received, c->type, i, expected(c, i));
    }
    return wrong;
}

int64_t hy_comm_pattern_spoil(const hy_comm_case *c, void *received, int64_t n) {
    const int64_t all = hy_comm_case_received(c), spoiled = n < all ? n : all;
    for (int64_t i = 0; i < spoiled; i++) {
        set_element(received, c->type, i, -1);
    }
    return spoiled;
}
