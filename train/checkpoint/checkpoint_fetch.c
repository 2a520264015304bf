#include "train/checkpoint/checkpoint_fetch.h"

#include <string.h>

#include "base/memory.h"

enum { PIECES = 2, PIECE = 1 << 20 };

typedef struct fetched_piece {
    void *memory, *to;
    size_t bytes; /* on their way; 0: free */
    hy_mark there;
} fetched_piece;

struct hy_fetch {
    hy_device *device;
    hy_shards from;
    void *image; /* NULL: nothing is being brought */
    int dataset, bucket;
    size_t at; /* in the bucket's shard: what comes next */
    fetched_piece pieces[PIECES];
};

/* ---- what goes where ---- */

static size_t dataset_bytes(const hy_shards *s) {
    const hy_bucket_shard *last = &s->buckets[s->n_buckets - 1];
    return (size_t)(last->state + last->n) * hy_dtype_size(s->dtype);
}

static char *image_of(const hy_fetch *f, int dataset) {
    return (char *)f->image + (size_t)dataset * dataset_bytes(&f->from);
}

/* The next stretch, a piece at most; false: there is none. */
static bool next_stretch(hy_fetch *f, const char **from, char **to, size_t *bytes) {
    const size_t element = hy_dtype_size(f->from.dtype);
    for (; f->dataset < 3; f->dataset++, f->bucket = 0) {
        for (; f->from.data[f->dataset] != NULL && f->bucket < f->from.n_buckets; f->bucket++, f->at = 0) {
            const hy_bucket_shard *shard = &f->from.buckets[f->bucket];
            const size_t rest = (size_t)shard->n * element - f->at;
            if (rest > 0) {
                *from = hy_shards_at(&f->from, f->dataset, f->bucket) + f->at;
                *to = image_of(f, f->dataset) + (size_t)shard->state * element + f->at;
                *bytes = rest < PIECE ? rest : PIECE;
                f->at += *bytes;
                return true;
            }
        }
    }
    return false;
}

/* ---- all of it ---- */

hy_status hy_fetch_create(hy_device *device, const hy_shards *from, hy_fetch **out) {
    hy_fetch *f = NULL;
    hy_status status = HY_NEW("shards on their way", 1, &f);
    for (int i = 0; i < PIECES && status == HY_OK; i++) {
        f->device = device;
        f->from = *from;
        status = hy_device_host_alloc(device, "pieces of a stopped save", PIECE, &f->pieces[i].memory);
    }
    if (status != HY_OK) {
        hy_fetch_destroy(f);
        return status;
    }
    *out = f;
    return HY_OK;
}

void hy_fetch_destroy(hy_fetch *f) {
    for (int i = 0; f != NULL && i < PIECES; i++) {
        if (f->pieces[i].bytes > 0) {
            hy_device_wait(f->device, f->pieces[i].there);
        }
        hy_device_host_free(f->device, f->pieces[i].memory);
    }
    if (f != NULL) {
        hy_free(f->image);
        hy_free(f);
    }
}

hy_status hy_fetch_begin(hy_fetch *f, hy_shards *image) {
    HY_TRY(hy_alloc("a stopped save", 3 * dataset_bytes(&f->from), &f->image));
    f->dataset = f->bucket = 0;
    f->at = 0;
    *image = f->from;
    image->flat = false;
    for (int k = 0; k < 3; k++) {
        image->data[k] = f->from.data[k] != NULL ? image_of(f, k) : NULL;
    }
    return HY_OK;
}

/* What has come makes room for what comes next; whether anything is on its way. */
static bool turn_piece(hy_fetch *f, fetched_piece *p, bool wait) {
    const char *from;
    char *to;
    if (p->bytes > 0 && wait) {
        hy_device_wait(f->device, p->there);
    }
    if (p->bytes > 0 && !hy_device_reached(f->device, p->there)) {
        return true;
    }
    if (p->bytes > 0) {
        memcpy(p->to, p->memory, p->bytes);
        p->bytes = 0;
    }
    if (!next_stretch(f, &from, &to, &p->bytes)) {
        return false;
    }
    p->to = to;
    hy_device_copy(f->device, HY_LANE_COPY, p->memory, from, p->bytes);
    p->there = hy_device_mark(f->device, HY_LANE_COPY);
    return true;
}

bool hy_fetch_go_on(hy_fetch *f, bool wait) {
    bool moving;
    do {
        moving = false;
        for (int i = 0; i < PIECES; i++) {
            moving |= turn_piece(f, &f->pieces[i], wait);
        }
    } while (moving && wait);
    return !moving;
}

void hy_fetch_end(hy_fetch *f) {
    hy_free(f->image);
    f->image = NULL;
}
