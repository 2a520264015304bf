/* Gradients of a chunk of a recurrence (recur_chunk.cuh), all chunks at once, from what both scans left: X the state entering the chunk, dX
 * the gradient of the one leaving it, Z and du. With W = du Xᵀ, dP = scale tril(do Zᵀ)·E, dA = −δ tril(du Zᵀ, −1)·E:
 *
 *   dq = scale e^G (do Xᵀ) + dP K      U = −δ e^G W + dA K      k⁺ = b U      dbeta = Σ_V du v + Σ_K k U
 *   k⁻ = e^{G_C−G} (Z dXᵀ) + dPᵀ Q + (b dA)ᵀ K                   dk = k⁺ + k⁻
 *   dG = Σ_K q dq + k (k⁺ − k⁻), in the last row also e^{G_C} Σ X dX + Σ k e^{G_C−G} (Z dXᵀ);  dg: sums of dG from a token on
 *
 * A block is a chunk and a value head, a warp 16 tokens × 64 keys; sums over V go by slices of 32 columns through the block's memory. Of more
 * than GRAD_PASS keys a block takes as many at a time: its memory and its registers are those of GRAD_PASS. */
#ifndef HY_KERNELS_CUDA_RECUR_GRAD_CUH
#define HY_KERNELS_CUDA_RECUR_GRAD_CUH

#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

enum { GRAD_KEYS = 64, GRAD_TILES = GRAD_KEYS / 8, GRAD_PASS = 128, GRAD_THREADS = 256, SLICE = 32 };

struct grad_of {
    recur_of r;
    int keys, passes; /* at a time: a thread for each; how often */
    int group;        /* value heads that share keys */
    const chunk_place *chunks;
    chunk_work work;
};

/* With keys that the compiler knows. */
HY_DEVICE grad_of grad_with_keys(grad_of w, int keys) {
    w.keys = keys;
    return w;
}

static inline grid grad_blocks(const grad_of &w) {
    return grid(chunks_at_most(w.r.a) * w.r.a.HV);
}

/* The block's memory. */
template <class E> struct grad_shared {
    chunk_token *tokens; /* [CHUNK] */
    float *rows[3];      /* [groups of keys][CHUNK] parts of dG; of Σ k U; [warps][CHUNK] of Σ_V du v */
    float *parts[2];     /* [passes][warps] parts of Σ X dX and of Σ k e^{G_C−G} (Z dXᵀ) */
    E *k, *q;            /* [CHUNK][keys] */
    E *x, *dx;           /* [SLICE][keys] of X^T, dX^T */
    E *d_o, *du, *z, *v; /* [CHUNK][SLICE] */
    E *dp, *dp_turned, *da, *bda_turned; /* [CHUNK][CHUNK] */
    float *weights;                      /* [CHUNK][CHUNK] E, column by column at j·CHUNK + i */
    float *by;                           /* a decay per key, in place of slices: [CHUNK][keys] weights of a level, */
    E *k_by, *q_by;                      /*   and k, q times these, in place of x, dx; */
    float *decays;                       /*   e^g */
    size_t bytes;
};

template <class E> HY_BOTH grad_shared<E> grad_shared_of(unsigned char *base, const grad_of &w, bool vector) {
    grad_shared<E> s = {};
    const int keys = w.keys;
    /* Of as many passes as there can be: the compiler knows where everything lies. */
    const int warps = keys > GRAD_KEYS ? 2 * CHUNK_KEYS_MAX / GRAD_KEYS : 2;
    const auto take = [&](size_t bytes) {
        unsigned char *at = reinterpret_cast<unsigned char *>((uintptr_t)base + s.bytes);
        s.bytes += (bytes + 15) / 16 * 16;
        return at;
    };
    s.tokens = reinterpret_cast<chunk_token *>(take(CHUNK * sizeof(chunk_token)));
    const auto tile = [&](int width) {
        return reinterpret_cast<E *>(take((size_t)(CHUNK * pitch_of<E>(width)) * sizeof(E)));
    };
    s.k = tile(keys), s.q = tile(keys), s.x = tile(keys), s.dx = tile(keys);
    s.dp = tile(CHUNK), s.dp_turned = tile(CHUNK), s.da = tile(CHUNK), s.bda_turned = tile(CHUNK);
    s.d_o = tile(SLICE), s.du = tile(SLICE), s.z = tile(SLICE), s.v = tile(SLICE);
    if (vector) {
        s.by = reinterpret_cast<float *>(s.d_o), s.k_by = s.x, s.q_by = s.dx;
        const size_t slices = 4 * sizeof(E) * (size_t)(CHUNK * pitch_of<E>(SLICE));
        const size_t weights = sizeof(float) * (size_t)(CHUNK * pitch_of<float>(keys));
        take(weights > slices ? weights - slices : 0);
        s.decays = reinterpret_cast<float *>(take(weights));
    } else {
        s.weights = reinterpret_cast<float *>(take(CHUNK * CHUNK * 4));
    }
    for (int i = 0; i < 3; i++)
        s.rows[i] = reinterpret_cast<float *>(take((size_t)warps * CHUNK * 4));
    for (int i = 0; i < 2; i++)
        s.parts[i] = reinterpret_cast<float *>(take((size_t)warps * 4));
    return s;
}

/* Where a warp is. */
struct grad_place {
    chunk_place c;
    int chunk, hv, key_head;
    int first, row, key; /* first key of the pass; first token and, in the pass, first key of the warp */
    int group, warps;    /* which of the groups of keys of a pass; warps of the block */
    bool delta;
};

HY_DEVICE bool grad_last_group(const grad_place &p) {
    return p.group == p.warps / 2 - 1;
}

/* Its number among those of all passes. */
HY_DEVICE int grad_group(const grad_place &p) {
    return p.first / GRAD_KEYS + p.group;
}

/* A warp's sums of a pass. */
struct grad_sums {
    float dq[GRAD_TILES][4], u[GRAD_TILES][4], k[GRAD_TILES][4]; /* [16,GRAD_KEYS] */
    float dp[CHUNK_TILES][4], da[CHUNK_TILES][4];                /* [16,CHUNK], of the first and the last group */
    float duv, xdx; /* the thread's: xdx of the key of its number in the block */
};

/* SLICE rows of X^T from column `first` on: kept inside runs, on their edges a float state [K,V]. */
template <class E>
HY_DEVICE void grad_fetch_state(const grad_of &w, const grad_place &p, E *to, const void *kept, int64_t edge,
                                const void *states, int64_t slot, int64_t first) {
    const hy_recur_args &a = w.r.a;
    const int64_t rest = a.V - first;
    const int rows = rest < SLICE ? (int)rest : (int)SLICE;
    if (slot == PLACE_INSIDE) {
        const E *from = static_cast<const E *>(kept) + ((edge / CHUNK * a.HV + p.hv) * a.V + first) * a.K;
        tile_fetch(to, w.keys, from + p.first, a.K, rows, a.K - p.first, unknown(thread_index()), w.keys);
        return;
    }
    HY_ROLLED
    for (int i = unknown(thread_index()); i < SLICE * w.keys; i += w.keys) {
        const int j = i % SLICE, key = i / SLICE;
        const bool given = states != nullptr && slot >= 0 && j < rows && p.first + key < a.K;
        const int64_t at = ((slot * a.HV + p.hv) * a.K + p.first + key) * a.V + first + j;
        set_value(to[j * pitch_of<E>(w.keys) + key], given ? stat(states, at) : 0.0f);
    }
}

template <class E>
HY_DEVICE void grad_fetch_slice(const grad_of &w, const grad_place &p, const grad_shared<E> &s, int64_t first) {
    const hy_recur_args &a = w.r.a;
    const int64_t at = (p.c.begin * a.HV + p.hv) * a.V + first;
    grad_fetch_state(w, p, s.x, w.work.states, p.c.begin, a.S0, p.c.before, first);
    grad_fetch_state(w, p, s.dx, w.work.grads, p.c.begin + CHUNK, a.dS1, p.c.after, first);
    HY_ROLLED
    for (int i = 0; i < 4; i++) { /* one behind the other in the block's memory */
        const void *const from = i == 0 ? a.d_o : i == 1 ? w.work.du : i == 2 ? w.work.z : a.v;
        tile_fetch(s.d_o + i * CHUNK * pitch_of<E>(SLICE), SLICE, static_cast<const E *>(from) + at, a.HV * a.V,
                   (int)p.c.len, a.V - first, unknown(thread_index()), w.keys);
    }
    copy_commit();
}

template <class E>
HY_DEVICE void grad_slice(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g) {
    const int narrow = pitch_of<E>(SLICE), wide = pitch_of<E>(w.keys);
    HY_ROLLED
    for (int n = 0; n < SLICE; n += 16) {
        factor<E> d_o, du, z, b;
        factor_left(d_o, s.d_o + p.row * narrow + n, narrow);
        factor_left(du, s.du + p.row * narrow + n, narrow);
        factor_left(z, s.z + p.row * narrow + n, narrow);
        HY_UNROLL
        for (int m = 0; m < GRAD_KEYS / 16; m++) {
            factor_right(b, s.x + n * wide + p.key + 16 * m, wide);
            factor_product(g.dq + 2 * m, d_o, b);
            if (p.delta)
                factor_product(g.u + 2 * m, du, b);
            factor_right(b, s.dx + n * wide + p.key + 16 * m, wide);
            factor_product(g.k + 2 * m, z, b);
        }
        HY_UNROLL
        for (int m = 0; m < 2; m++) {
            if (16 * m > p.row)
                continue; /* above the diagonal */
            factor_right_turned(b, s.z + 16 * m * narrow + n, narrow);
            if (p.first == 0 && p.group == 0)
                factor_product(g.dp + 2 * m, d_o, b);
            if (p.first == 0 && p.delta && grad_last_group(p))
                factor_product(g.da + 2 * m, du, b);
        }
    }
    for (int j = warp_index(); j < SLICE && p.first == 0; j += p.warps)
        g.duv += value_of(s.du[lane_index() * narrow + j]) * value_of(s.v[lane_index() * narrow + j]);
    HY_ROLLED
    for (int i = thread_index(); i < SLICE * w.keys; i += w.keys) {
        const int at = i / w.keys * wide + i % w.keys;
        g.xdx += value_of(s.x[at]) * value_of(s.dx[at]);
    }
}

/* Element i of tile n of a warp's accumulators: its token, its column. */
HY_DEVICE int grad_token(const grad_place &p, int i) {
    return p.row + (lane_index() >> 2) + 8 * (i >> 1);
}
HY_DEVICE int grad_column(int n, int i) {
    return 8 * n + 2 * (lane_index() & 3) + (i & 1);
}

/* Over the four lanes that have a row. */
HY_DEVICE float grad_row_sum(float x) {
    HY_UNROLL
    for (int bits = 1; bits < 4; bits <<= 1)
        x += shuffle_xor(x, bits);
    return x;
}

/* dP and dA, both ways, of E: weight(i, j). */
template <class E, class F>
HY_DEVICE void grad_squares(const grad_of &w, const grad_place &p, const grad_shared<E> &s, const grad_sums &g,
                            F weight) {
    const int pitch = pitch_of<E>(CHUNK);
    HY_UNROLL
    for (int n = 0; n < CHUNK_TILES; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++) {
        const int row = grad_token(p, i), column = grad_column(n, i);
        const float by = weight(row, column);
        if (p.group == 0) {
            const bool reads = column < row || (column == row && !w.r.a.exclusive);
            const float dp = reads ? (float)w.r.a.scale * by * g.dp[n][i] : 0.0f;
            set_value(s.dp[row * pitch + column], dp);
            set_value(s.dp_turned[column * pitch + row], dp);
        }
        if (p.delta && grad_last_group(p)) {
            const float da = column < row ? -by * g.da[n][i] : 0.0f;
            set_value(s.da[row * pitch + column], da);
            set_value(s.bda_turned[column * pitch + row], s.tokens[row].beta * da);
        }
    }
}

/* The lane's first element of a row of dq or dk (0, 1): of the array, or, of heads that share it, in floats beside it. */
template <class E> HY_DEVICE void *grad_row_of(const grad_of &w, const grad_place &p, int array, int token, int key) {
    const hy_recur_args &a = w.r.a;
    const int64_t t = p.c.begin + token;
    if (a.HV > a.H)
        return w.work.keys + ((array * a.T + t) * a.HV + p.hv) * a.K + p.first + key;
    return static_cast<E *>(array == 0 ? a.dq : a.dk) + (t * a.H + p.key_head) * a.K + p.first + key;
}

/* Two neighbours of it, `at` elements behind the first; the row has `rest` of them. */
template <class E> HY_DEVICE void grad_put(const grad_of &w, void *row, int at, int rest, float first, float second) {
    if (w.r.a.HV > w.r.a.H)
        set_pair(static_cast<float *>(row) + at, rest - at, first, second);
    else
        set_pair(static_cast<E *>(row) + at, rest - at, first, second);
}

/* dq, dk to their arrays; Σ k U of the warp's keys to s.rows; gate(element, q dq, k (k⁺ − k⁻)) for every element of a tile. */
template <class E, class F>
HY_DEVICE void grad_results(const grad_of &w, const grad_place &p, const grad_shared<E> &s, const grad_sums &g,
                            F gate) {
    const int wide = pitch_of<E>(w.keys), row = grad_token(p, 0), first = p.key + grad_column(0, 0);
    const int place = unknown(row * wide + first);
    float ku[2] = {};
    HY_UNROLL
    for (int i = 0; i < 4; i += 2) {
        const float beta = s.tokens[unknown(row) + 4 * i].beta;
        void *const dq_row = grad_row_of<E>(w, p, 0, row + 4 * i, first);
        void *const dk_row = grad_row_of<E>(w, p, 1, row + 4 * i, first);
        const int rest = row + 4 * i < p.c.len ? (int)w.r.a.K - p.first - first : 0;
        HY_UNROLL
        for (int n = 0; n < GRAD_TILES; n++) {
            float dk[2];
            HY_UNROLL
            for (int e = 0; e < 2; e++) {
                const int at = place + 4 * i * wide + 8 * n + e;
                const float k = value_of(s.k[at]), q = value_of(s.q[at]), forward = beta * g.u[n][i + e];
                dk[e] = forward + g.k[n][i + e];
                gate(i + e, q * g.dq[n][i + e], k * (forward - g.k[n][i + e]));
                ku[i >> 1] += k * g.u[n][i + e];
            }
            grad_put<E>(w, dq_row, 8 * n, rest, g.dq[n][i], g.dq[n][i + 1]);
            grad_put<E>(w, dk_row, 8 * n, rest, dk[0], dk[1]);
        }
    }
    HY_UNROLL
    for (int i = 0; i < 2; i++) {
        ku[i] = grad_row_sum(ku[i]);
        if ((lane_index() & 3) == 0)
            s.rows[1][grad_group(p) * CHUNK + grad_token(p, 2 * i)] = ku[i];
    }
}

/* dbeta: lane = token. */
template <class E> HY_DEVICE void grad_beta(const grad_of &w, const grad_place &p, const grad_shared<E> &s) {
    const int j = lane_index();
    float db = 0;
    for (int n = 0; n < w.passes * p.warps / 2; n++)
        db += s.rows[1][n * CHUNK + j];
    for (int n = 0; n < p.warps; n++)
        db += s.rows[2][n * CHUNK + j];
    if (w.r.a.dbeta != nullptr && j < p.c.len)
        stat_at(w.r.a.dbeta, (p.c.begin + j) * w.r.a.HV + p.hv) = db;
}

/* Of the pass from key `first` on. Made anew where a part of it begins, it takes no registers between them. */
HY_DEVICE grad_place grad_place_of(const grad_of &w, int first) {
    const int block = unknown((int)block_x()), heads = (int)w.r.a.HV, warp = unknown(thread_index()) / 32;
    grad_place p;
    p.chunk = block / heads, p.c = w.chunks[p.chunk], p.hv = block % heads, p.key_head = p.hv / w.group;
    p.warps = 2 * (w.keys / GRAD_KEYS), p.group = warp / 2;
    p.first = unknown(first), p.row = warp % 2 * 16, p.key = p.group * GRAD_KEYS, p.delta = w.r.a.rule == HY_RULE_DELTA;
    return p;
}

/* The same, its chunk read again: takes no registers for it from one slice to the next. */
HY_DEVICE grad_place grad_place_again(const grad_of &w, grad_place p) {
    p.c = w.chunks[unknown(p.chunk)], p.hv = unknown((int)block_x()) - p.chunk * (int)w.r.a.HV;
    return p;
}

/* The chunk's keys, queries and tokens, there with the first slice. */
template <class E> HY_DEVICE void grad_fetch(const grad_of &w, const grad_place &p, const grad_shared<E> &s) {
    const hy_recur_args &a = w.r.a;
    const int i = unknown(thread_index()), len = (int)p.c.len;
    const int64_t row = (p.c.begin * a.H + p.key_head) * a.K + p.first, token = p.c.begin * a.HV + p.hv;
    tile_fetch(s.k, w.keys, static_cast<const E *>(a.k) + row, a.H * a.K, len, a.K - p.first, i, w.keys);
    tile_fetch(s.q, w.keys, static_cast<const E *>(a.q) + row, a.H * a.K, len, a.K - p.first, i, w.keys);
    if (i < CHUNK)
        copy_async(s.tokens + i, w.work.tokens + (i < len ? token + i * a.HV : token), i < len ? 16 : 0);
}

/* All slices of V; Σ_V du v to s.rows. */
template <class E>
HY_DEVICE void grad_slices(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g) {
    for (int64_t first = 0; first < w.r.a.V; first += SLICE) {
        grad_fetch_slice(w, grad_place_again(w, p), s, first);
        copy_wait<0>();
        barrier();
        grad_slice(w, p, s, g);
        barrier(); /* before the slice is filled again */
    }
    if (p.first == 0)
        s.rows[2][warp_index() * CHUNK + lane_index()] = g.duv;
}

/* A block per chunk and value head, keys of a decay of their own. */
void recur_grad_vector(const grad_of &w);

} // namespace HY_GPU

#endif
