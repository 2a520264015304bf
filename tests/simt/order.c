#include "tests/simt/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hy_order hy_order_chosen(void) {
    static const char *const words[] = {"forward", "reverse", "shuffle"};
    const char *word = getenv("HYLAS_SIMT_ORDER"), *seed = getenv("HYLAS_SIMT_SEED");
    hy_order order = {.kind = HY_ORDER_FORWARD, .seed = seed != NULL ? strtoull(seed, NULL, 10) : 1};
    if (word == NULL || word[0] == '\0') {
        return order;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(word, words[i]) == 0) {
            order.kind = (hy_order_kind)i;
            return order;
        }
    }
    (void)fprintf(stderr, "simt: HYLAS_SIMT_ORDER=%s is unknown: choose forward, reverse or shuffle\n", word);
    abort();
}

/* splitmix64 */
static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int64_t common_divisor(int64_t a, int64_t b) {
    return b == 0 ? a : common_divisor(b, a % b);
}

/* Shuffled: the i-th is (step·i + first) mod n, with a step that has no divisor in common with n. */
int64_t hy_order_block(const hy_order *order, int64_t i, int64_t n) {
    if (order->kind != HY_ORDER_SHUFFLE || n < 3) {
        return order->kind == HY_ORDER_FORWARD ? i : n - 1 - i;
    }
    uint64_t state = (uint64_t)n;
    int64_t step = 1 + (int64_t)(draw(&state) % (uint64_t)(n < 1 << 30 ? n : 1 << 30));
    while (common_divisor(step, n) != 1) {
        step++;
    }
    const int64_t first = (int64_t)(draw(&state) % (uint64_t)n);
    return (int64_t)(((unsigned __int128)i * (uint64_t)step + (uint64_t)first) % (uint64_t)n);
}

static int mirrored(const hy_turns *turns, int i) {
    return turns->order.kind == HY_ORDER_REVERSE ? turns->n - 1 - i : i;
}

void hy_turns_begin(hy_turns *turns, int n) {
    turns->n = n;
    for (int w = 0; w * 64 < n; w++) {
        turns->bits[w] = n - w * 64 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - w * 64)) - 1;
    }
}

void hy_turns_add(hy_turns *turns, int lane) {
    const int i = mirrored(turns, lane);
    turns->bits[i / 64] |= (uint64_t)1 << i % 64;
}

/* The first bit from `from` on, around the end. */
static int first_from(const hy_turns *turns, int from) {
    const int words = (turns->n + 63) / 64, begin = from / 64;
    uint64_t bits = turns->bits[begin] & ~(uint64_t)0 << from % 64;
    for (int k = 0; k <= words; k++) {
        if (bits != 0) {
            return (begin + k) % words * 64 + __builtin_ctzll(bits);
        }
        bits = turns->bits[(begin + k + 1) % words];
    }
    return -1;
}

int hy_turns_take(hy_turns *turns) {
    const int from = turns->order.kind == HY_ORDER_SHUFFLE ? (int)(draw(&turns->order.seed) % (uint64_t)turns->n) : 0;
    const int i = first_from(turns, from);
    if (i < 0) {
        return -1;
    }
    turns->bits[i / 64] &= ~((uint64_t)1 << i % 64);
    return mirrored(turns, i);
}
