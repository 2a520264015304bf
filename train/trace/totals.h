/* What spans add up to, a row for each exchange and layer and one for each operation: kept while a run goes on, and made again of the spans
 * of single steps by `hylas trace`. Times in flight are unions of intervals: exchanges of a row that are under way together count once. */
#ifndef HY_TRAIN_TOTALS_H
#define HY_TRAIN_TOTALS_H

#include <stddef.h>

#include "base/status.h"
#include "train/trace/busy.h"

/* Durations are counted in classes of a quarter of an octave from a microsecond on. */
enum { HY_TOTAL_CLASSES = 120, HY_TOTALS_MAX = 2048 };

typedef struct hy_total {
    const char *name;
    int32_t kind;     /* HY_SPAN_EXCHANGE, HY_SPAN_WORK, HY_SPAN_HOST */
    int32_t exchange; /* hy_exchange_kind */
    int32_t block;    /* of exchanges, as in hy_span_place; else −1: all */
    int32_t size;     /* ranks of the exchange's communicator */
    int64_t count, bytes;
    double total;    /* EXCHANGE: seconds with one in flight; WORK: computing; HOST: as measured */
    double hidden;   /* of that behind computing; the rest is exposed */
    double waited;   /* seconds in its waits */
    double unsure;   /* Σ of end − not_yet: by so much the times in flight may be too long */
    double from, to; /* what is in flight so far and not yet in `total` */
    int32_t took[HY_TOTAL_CLASSES];
} hy_total;

typedef struct hy_totals hy_totals;

HY_MUST_CHECK hy_status hy_totals_create(hy_totals **out);
size_t hy_totals_bytes(void);              /* that one takes */
void hy_totals_destroy(hy_totals *totals); /* NULL allowed */
/* Spans in order of their beginnings, all of one rank; exchanges end at some time. Allocates nothing: what exceeds HY_TOTALS_MAX rows is in a last
 * row "(others)". The rows are whole after hy_totals_settle alone, with the same `busy`. */
void hy_totals_add(hy_totals *totals, const hy_span *spans, int64_t n, const hy_busy *busy);
void hy_totals_settle(hy_totals *totals, const hy_busy *busy);
/* Adds another's rows, settled; another rank's, say. */
void hy_totals_merge(hy_totals *totals, const hy_total *rows, int64_t n);
const hy_total *hy_totals_rows(const hy_totals *totals, int64_t *n);
/* The duration that a share of the row's exchanges did not exceed, to a tenth or so. */
double hy_total_quantile(const hy_total *total, double share);

#endif
