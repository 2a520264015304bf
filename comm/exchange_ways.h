/* Between exchanges.c, which runs exchanges, and exchange_ways.c, which says of what messages each is made. */
#ifndef HY_COMM_EXCHANGE_WAYS_H
#define HY_COMM_EXCHANGE_WAYS_H

#include "comm/exchanges.h"

enum { HY_PHASES = 2 };

/* What a phase does. begin posts a step's messages; end, NULL for nothing, runs when all have come. */
typedef struct hy_algorithm {
    int (*steps)(const hy_exchange *e);
    void (*begin)(hy_exchange *e, int step);
    void (*end)(hy_exchange *e, int step);
} hy_algorithm;

typedef struct hy_work {
    struct hy_work *next;
    int size; /* of 1 << size bytes */
    char *bytes;
} hy_work;

typedef struct hy_awaited {
    void *handle;
    int peer;
} hy_awaited;

struct hy_exchange {
    hy_exchange *next; /* posting order, or spare */
    hy_exchanges *all;
    hy_xfer xfer;
    uint64_t tag;
    size_t unit; /* bytes per element */
    /* The blocks of all ranks: block b from b·stride, up to `bytes` in all. */
    char *blocks;
    size_t stride, bytes;
    const hy_algorithm *phases[HY_PHASES];
    void (*last)(hy_exchange *e); /* NULL: nothing is left to do */
    int phase, step;              /* step −1: not begun */
    bool collective, begun, done;
    int64_t span;        /* told when it is complete; 0: none */
    hy_awaited *awaited; /* [2·size] */
    int n_awaited;
    hy_work *work; /* NULL: none */
};

/* Sets the exchange's phases, and whatever they start from. */
void hy_exchange_plan(hy_exchange *e);

/* exchanges.c: the step that begins waits for these. */
void hy_exchange_send(hy_exchange *e, int peer, const void *buf, size_t bytes);
void hy_exchange_recv(hy_exchange *e, int peer, void *buf, size_t bytes);
/* Of at least `bytes`, until the exchange is complete; once per exchange. */
char *hy_exchange_work(hy_exchange *e, size_t bytes);
int hy_exchange_size(const hy_exchange *e);
int hy_exchange_rank(const hy_exchange *e);
bool hy_exchange_untouched(const hy_exchange *e); /* p2p.h */

#endif
