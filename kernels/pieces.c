#include "kernels/pieces.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/device_internal.h"

/* A piece has about a hundred calls: enough that giving it costs nothing beside them, few enough that the device does not wait for its
 * end. Fewer than FEWEST are not worth a place. */
enum { PIECE_BYTES = 16 << 10, FEWEST = 4 };
/* Room for hashes of pieces that came once, each in two places that it gives; and how many pieces go by before one that did not come gives up its place. */
enum { SEEN = 1 << 14, STALE = 16 * HY_PIECES_PLACES };

typedef struct kept_piece {
    uint64_t hash, last; /* last: number of the piece when it last came */
    hy_piece piece;
} kept_piece;

struct hy_pieces {
    hy_device *device;
    bool on, giving;
    bool repeatable; /* whether `piece` may be kept */
    hy_piece piece;  /* collected */
    uint64_t pieces; /* so far */
    uint64_t seen[SEEN];
    int n_kept;
    kept_piece kept[HY_PIECES_PLACES];
    hy_piece_counts counts;
    unsigned char *bytes; /* [PLACES + 1][PIECE_BYTES] of what is kept, then of `piece` */
};

/* ---- pieces ---- */

typedef struct call_head {
    uint32_t op, bytes;
} call_head;

static size_t call_room(size_t bytes) {
    return sizeof(call_head) + (bytes + 7) / 8 * 8;
}

bool hy_piece_next(const hy_piece *piece, size_t *at, hy_piece_call *out) {
    call_head head;
    if (*at == piece->used) {
        return false;
    }
    memcpy(&head, piece->bytes + *at, sizeof head);
    *out = (hy_piece_call){.op = (hy_op_id)head.op, .bytes = head.bytes, .args = piece->bytes + *at + sizeof head};
    *at += call_room(head.bytes);
    return true;
}

/* Eight bytes at a time: call_room is a multiple of that. */
static uint64_t hash_of_piece(const hy_piece *piece) {
    uint64_t hash = piece->used, word;
    for (size_t at = 0; at < piece->used; at += sizeof word) {
        memcpy(&word, piece->bytes + at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash;
}

static void begin_piece(hy_pieces *r) {
    r->piece.n = 0;
    r->piece.used = 0;
    r->repeatable = true;
}

/* ---- what is kept ---- */

static int find_kept(const hy_pieces *r, uint64_t hash) {
    for (int i = 0; i < r->n_kept; i++) {
        const kept_piece *k = &r->kept[i];
        if (k->hash == hash && k->piece.used == r->piece.used &&
            memcmp(k->piece.bytes, r->piece.bytes, r->piece.used) == 0) {
            return i;
        }
    }
    return -1;
}

/* −1: all are in use. */
static int free_place(const hy_pieces *r) {
    int oldest = 0;
    if (r->n_kept < HY_PIECES_PLACES) {
        return r->n_kept;
    }
    for (int i = 1; i < HY_PIECES_PLACES; i++) {
        oldest = r->kept[i].last < r->kept[oldest].last ? i : oldest;
    }
    return r->pieces - r->kept[oldest].last > STALE ? oldest : -1;
}

/* Where the collected piece is from now on; −1: nowhere. */
static int keep_piece(hy_pieces *r, uint64_t hash) {
    const hy_device_kind *kind = r->device->kind;
    const int place = free_place(r);
    if (place < 0 || (kind->keep != NULL && !kind->keep(r->device, place, &r->piece))) {
        return -1;
    }
    kept_piece *k = &r->kept[place];
    *k = (kept_piece){.hash = hash, .piece = r->piece};
    k->piece.bytes = r->bytes + (size_t)place * PIECE_BYTES;
    memcpy(k->piece.bytes, r->piece.bytes, r->piece.used);
    r->n_kept += place == r->n_kept;
    r->counts.kept++;
    return place;
}

/* Whether it came before; from now on it did. */
static bool came_before(hy_pieces *r, uint64_t hash) {
    uint64_t *a = &r->seen[hash % SEEN], *b = &r->seen[(hash >> 32) % SEEN];
    const bool yes = *a == hash || *b == hash;
    *a = *b = hash;
    return yes;
}

/* ---- giving ---- */

static void give_one_by_one(hy_pieces *r) {
    hy_piece_call call;
    for (size_t at = 0; hy_piece_next(&r->piece, &at, &call);) {
        r->device->kind->launch(r->device, call.op, call.args, call.bytes);
    }
    r->counts.single += r->piece.n;
}

void hy_pieces_flush(hy_pieces *r) {
    if (r->piece.n == 0 || r->giving) { /* giving: the device waits for room, and exchanges go on meanwhile */
        return;
    }
    r->giving = true;
    r->pieces++;
    int place = -1;
    if (r->repeatable && r->piece.n >= FEWEST) {
        const uint64_t hash = hash_of_piece(&r->piece);
        place = find_kept(r, hash);
        if (place < 0 && came_before(r, hash)) {
            place = keep_piece(r, hash);
        }
    }
    if (place >= 0) {
        r->kept[place].last = r->pieces;
        r->device->kind->replay(r->device, place, &r->kept[place].piece);
        r->counts.replayed += r->piece.n;
    } else {
        give_one_by_one(r);
    }
    begin_piece(r);
    r->giving = false;
}

bool hy_pieces_add(hy_pieces *r, hy_op_id op, const void *args, size_t bytes) {
    const call_head head = {(uint32_t)op, (uint32_t)bytes};
    const size_t room = call_room(bytes);
    if (!r->on) {
        return false;
    }
    if (r->piece.used + room > PIECE_BYTES) {
        hy_pieces_flush(r);
    }
    unsigned char *at = r->piece.bytes + r->piece.used;
    memset(at + room - 8, 0, 8); /* what fills it up is compared, too */
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, args, bytes);
    r->piece.used += room;
    r->piece.n++;
    r->repeatable &= op != HY_OP_adamw; /* its segments */
    return true;
}

/* ---- create, destroy ---- */

static const size_t pieces_bytes = (size_t)(HY_PIECES_PLACES + 1) * PIECE_BYTES;

size_t hy_pieces_bytes(void) {
    return sizeof(hy_pieces) + pieces_bytes;
}

hy_status hy_pieces_create(hy_device *device, hy_pieces **out) {
    hy_pieces *r = NULL;
    HY_TRY(HY_NEW("calls that come again", 1, &r));
    r->device = device;
    const hy_status status = hy_alloc("pieces that come again", pieces_bytes, (void **)&r->bytes);
    if (status != HY_OK) {
        hy_free(r);
        return status;
    }
    r->piece.bytes = r->bytes + (size_t)HY_PIECES_PLACES * PIECE_BYTES;
    begin_piece(r);
    *out = r;
    return HY_OK;
}

void hy_pieces_destroy(hy_pieces *pieces) {
    if (pieces != NULL) {
        hy_free(pieces->bytes);
        hy_free(pieces);
    }
}

void hy_pieces_set(hy_pieces *pieces, bool on) {
    hy_pieces_flush(pieces);
    pieces->on = on;
}

hy_piece_counts hy_pieces_counted(const hy_pieces *pieces) {
    return pieces->counts;
}
