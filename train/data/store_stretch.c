#include "train/data/store_stretch.h"

#include "base/random.h"

enum { READ, SINCE, STRETCH_LANES };
_Static_assert((int)STRETCH_LANES <= (int)HY_ORDER_LANES, "a position has room for both");

static int64_t stretch_length(const hy_store_stretch *stretch) {
    return stretch->tokens / stretch->places;
}

int hy_stretch_holds(const hy_store_stretch *stretch, int64_t sequence) {
    return stretch_length(stretch) >= sequence;
}

static int is_of_stretches(const hy_store_stretch *stretch, const hy_store_position *p) {
    return p->n_spans == 1 && p->spans[0].block == stretch_length(stretch) && p->spans[0].taken == stretch->places &&
           p->n_lanes == STRETCH_LANES && p->lanes[SINCE].offset <= p->lanes[READ].offset;
}

void hy_stretch_enter(const hy_store_stretch *stretch, int64_t sequence, hy_store_position *p) {
    const int64_t length = stretch_length(stretch);
    const int known = is_of_stretches(stretch, p);
    if (known && p->lanes[READ].offset + sequence <= length) {
        return;
    }
    *p = (hy_store_position){.read = p->read,
                             .epoch = p->read > 0 ? p->epoch + 1 : p->epoch,
                             .n_spans = 1,
                             .spans = {{.block = length, .taken = stretch->places}},
                             .n_lanes = STRETCH_LANES};
}

int64_t hy_stretch_read(const hy_store_stretch *stretch, int64_t place, const hy_store_position *p, int64_t *seen) {
    const uint64_t stream = hy_random_stream("stretches") + (uint64_t)p->epoch;
    const int64_t number =
        (int64_t)hy_random_permute(stretch->seed, stream, (uint64_t)stretch->places, (uint64_t)place);
    *seen = p->lanes[READ].offset - p->lanes[SINCE].offset;
    return number * stretch_length(stretch) + p->lanes[READ].offset;
}

void hy_stretch_advance(const hy_store_stretch *stretch, int64_t sequence, hy_store_position *p) {
    p->lanes[READ].offset += sequence;
    p->read += stretch->places * sequence;
}

void hy_stretch_forget(const hy_store_stretch *stretch, hy_store_position *p) {
    if (is_of_stretches(stretch, p)) {
        p->lanes[SINCE].offset = p->lanes[READ].offset;
    }
}
