/* Gradients of a chunk (recur_grad.cuh) where every key has a decay of its own: dP and dA without E, which the products with K and Q take by
 * levels (recur_vector.cuh). A thread is a key too: it makes the weights of all tokens for it, and its dg. */
#include "kernels/cuda/recur_grad.cuh"
#include "kernels/cuda/recur_vector.cuh"

namespace HY_GPU {

/* f(tile, element, token, key) for the lane's accumulators. */
template <class F> HY_DEVICE void grad_each(const grad_place &p, F f) {
    HY_UNROLL
    for (int n = 0; n < GRAD_TILES; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++)
        f(n, i, grad_token(p, i), p.key + grad_column(n, i));
}

/* Weights of a level of the thread's key to s.by; f(i, weight) besides. */
template <class E, class F> HY_DEVICE void grad_weigh(const grad_of &w, const grad_shared<E> &s, int h, F f) {
    const int pitch = pitch_of<float>(w.keys), key = unknown(thread_index());
    const auto decay = [&](int i) { return s.decays[i * pitch + key]; };
    level_weights<4>(h, decay, w.r.a.exclusive != 0, [&](int i, float by) {
        s.by[i * pitch + key] = by;
        f(i, by);
    });
    barrier();
}

/* dg of the thread's key from s.by, where now q dq + k k⁺ are of upper halves, k k⁻ of lower ones. What follows writes the
 * same key's there first. */
template <class E> HY_DEVICE void grad_collect(const grad_of &w, const grad_shared<E> &s, float dg[CHUNK], int h) {
    barrier();
    level_gradients(h, s.by + unknown(thread_index()), pitch_of<float>(w.keys), w.r.a.exclusive != 0, dg);
}

/* What the state entering and the one leaving give, with its decays. */
template <class E>
HY_DEVICE void grad_carried(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g,
                            float dg[CHUNK]) {
    const int wide = pitch_of<E>(w.keys), pitch = pitch_of<float>(w.keys);
    grad_weigh(w, s, LEVEL_FROM_BEGIN, [](int, float) {});
    grad_each(p, [&](int n, int i, int row, int key) {
        float &by = s.by[row * pitch + key];
        g.dq[n][i] *= (float)w.r.a.scale * by, g.u[n][i] *= -by;
        by = value_of(s.q[row * wide + key]) * g.dq[n][i] +
             value_of(s.k[row * wide + key]) * s.tokens[row].beta * g.u[n][i];
    });
    grad_collect(w, s, dg, LEVEL_FROM_BEGIN);
    grad_weigh(w, s, LEVEL_TO_END, [](int, float) {});
    grad_each(p, [&](int n, int i, int row, int key) {
        float &by = s.by[row * pitch + key];
        g.k[n][i] *= by;
        by = g.k[n][i] * value_of(s.k[row * wide + key]);
    });
    grad_collect(w, s, dg, LEVEL_TO_END);
}

/* The left factor: what level h has of the warp's rows of `from` [CHUNK,CHUNK], or of its transpose, in the tile from `column` on. */
template <class E>
HY_DEVICE factor<E> grad_level_left(const grad_place &p, const E *from, int column, int h, bool turned) {
    factor<E> a;
    factor_left(a, from + p.row * pitch_of<E>(CHUNK) + column, pitch_of<E>(CHUNK));
    factor_keep(a, [&](int i, int j) {
        return turned ? level_has(h, column + j, p.row + i) : level_has(h, p.row + i, column + j);
    });
    return a;
}

/* f(tile, element, weight of its token, q, k) for accumulators of the tokens in the upper, or the lower, half of their blocks at level h, 16 keys
 * from tile `first` on; what it returns is left in the weight's place. */
template <class E, class F>
HY_DEVICE void grad_half(const grad_of &w, const grad_place &p, const grad_shared<E> &s, int h, bool upper, int first,
                         F f) {
    const int wide = pitch_of<E>(w.keys), pitch = pitch_of<float>(w.keys);
    const int row = unknown(grad_token(p, 0)), key = p.key + grad_column(first, 0);
    float *const weights = s.by + row * pitch + key;
    const E *const qs = s.q + row * wide + key, *const ks = s.k + row * wide + key;
    HY_UNROLL
    for (int n = 0; n < 2; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++) {
        const int below = 8 * (i >> 1), beside = 8 * n + (i & 1);
        float &by = weights[below * pitch + beside];
        if ((((row + below) & h) == h) == upper)
            by = f(n, i, by, value_of(qs[below * wide + beside]), value_of(ks[below * wide + beside]));
    }
}

/* dq and u of the warp's tokens from pairs of level h whose later token they are. s.by becomes what grad_collect takes. */
template <class E>
HY_DEVICE void grad_later(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g, int h,
                          int other) {
    const int wide = pitch_of<E>(w.keys);
    const factor<E> dp = grad_level_left(p, s.dp, other, h, false);
    factor<E> da;
    if (p.delta)
        da = grad_level_left(p, s.da, other, h, false);
    HY_UNROLL
    for (int m = 0; m < GRAD_TILES; m += 2) {
        float dq[2][4] = {}, u[2][4] = {};
        factor<E> b;
        factor_right(b, s.k_by + other * wide + p.key + 8 * m, wide);
        factor_product(dq, dp, b);
        if (p.delta)
            factor_product(u, da, b);
        grad_half(w, p, s, h, true, m, [&](int n, int i, float by, float q, float k) {
            g.dq[m + n][i] += by * dq[n][i], g.u[m + n][i] += by * u[n][i];
            return by * (q * dq[n][i] + k * s.tokens[grad_token(p, i)].beta * u[n][i]);
        });
    }
}

/* k of the warp's tokens from pairs whose earlier token they are. */
template <class E>
HY_DEVICE void grad_earlier(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g, int h,
                            int other) {
    const int wide = pitch_of<E>(w.keys);
    const factor<E> dp = grad_level_left(p, s.dp_turned, other, h, true);
    factor<E> bda;
    if (p.delta)
        bda = grad_level_left(p, s.bda_turned, other, h, true);
    HY_UNROLL
    for (int m = 0; m < GRAD_TILES; m += 2) {
        float dk[2][4] = {};
        factor<E> b;
        factor_right(b, s.q_by + other * wide + p.key + 8 * m, wide);
        factor_product(dk, dp, b);
        if (p.delta) {
            factor_right(b, s.k_by + other * wide + p.key + 8 * m, wide);
            factor_product(dk, bda, b);
        }
        grad_half(w, p, s, h, false, m, [&](int n, int i, float by, float, float k) {
            g.k[m + n][i] += by * dk[n][i];
            return by * k * dk[n][i];
        });
    }
}

/* The pairs of level h. */
template <class E>
HY_DEVICE void grad_level(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g, float dg[CHUNK],
                          int h) {
    const int wide = pitch_of<E>(w.keys), key = unknown(thread_index());
    grad_weigh(w, s, h, [&](int i, float by) {
        set_value(s.k_by[i * wide + key], value_of(s.k[i * wide + key]) * by);
        set_value(s.q_by[i * wide + key], value_of(s.q[i * wide + key]) * by);
    });
    const int other = h == LEVEL_FIRST ? 16 - p.row : p.row; /* first token of the other side of the pairs */
    if (h < LEVEL_FIRST || p.row > 0)
        grad_later(w, p, s, g, h, unknown(other));
    if (h < LEVEL_FIRST || p.row == 0)
        grad_earlier(w, p, s, g, h, unknown(other));
    grad_collect(w, s, dg, h);
}

/* Every token and itself. */
template <class E>
HY_DEVICE void grad_diagonal(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g) {
    const int wide = pitch_of<E>(w.keys);
    grad_each(p, [&](int n, int i, int row, int key) {
        const float dp = value_of(s.dp[row * pitch_of<E>(CHUNK) + row]);
        g.dq[n][i] += dp * value_of(s.k[row * wide + key]);
        g.k[n][i] += dp * value_of(s.q[row * wide + key]);
    });
}

/* Products with states, dP and dA, decays of the thread's key; dg: what crosses the whole chunk. */
template <class E>
HY_DEVICE void grad_states(const grad_of &w, int first, const grad_shared<E> &s, grad_sums &g, float dg[CHUNK]) {
    grad_fetch(w, grad_place_of(w, first), s);
    grad_slices(w, grad_place_of(w, first), s, g);
    const grad_place p = grad_place_of(w, first);
    if (p.first == 0)
        grad_squares(w, p, s, g, [](int, int) { return 1.0f; });
    HY_ROLLED
    for (int i = 0; i < CHUNK; i++) {
        const float decay = chunk_decay(w.r.a, p.c, p.hv, p.first + thread_index(), i);
        s.decays[i * pitch_of<float>(w.keys) + thread_index()] = decay;
        g.xdx *= decay;
    }
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++)
        dg[i] = g.xdx;
}

HY_DEVICE void grad_put_gates(const grad_of &w, const grad_place &p, const float dg[CHUNK]) {
    const hy_recur_args &a = w.r.a;
    const int key = p.first + thread_index();
    if (a.dg == nullptr || key >= a.K)
        return;
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++)
        if (i < p.c.len)
            stat_at(a.dg, ((p.c.begin + i) * a.HV + p.hv) * a.K + key) = dg[i];
}

template <class E, int KEYS> HY_KERNEL_BLOCKS(KEYS, GRAD_THREADS / KEYS, grad_vector_kernel)(const grad_of given) {
    const grad_of w = grad_with_keys(given, KEYS);
    if (grad_place_of(w, 0).c.len == 0)
        return;
    const grad_shared<E> s = grad_shared_of<E>(shared_at<unsigned char>(0), w, true);
    HY_ROLLED
    for (int first = 0; first < w.r.a.K; first += w.keys) {
        grad_sums g = {};
        float dg[CHUNK];
        grad_states(w, first, s, g, dg);
        grad_carried(w, grad_place_of(w, first), s, g, dg);
        HY_ROLLED
        for (int h = LEVEL_FIRST; h > 0; h /= 2)
            grad_level(w, grad_place_of(w, first), s, g, dg, h);
        grad_diagonal(w, grad_place_of(w, first), s, g);
        grad_put_gates(w, grad_place_of(w, first), dg);
        grad_results(w, grad_place_of(w, first), s, g, [](int, float, float) {});
        barrier(); /* before keys are fetched again, and before sums over them */
    }
    if (warp_index() == 0)
        grad_beta(w, grad_place_of(w, 0), s);
}

template <class E, int KEYS> static void grad_vector(const grad_of &w) {
    HY_LAUNCH((grad_vector_kernel<E, KEYS>), grad_blocks(w), KEYS, grad_shared_of<E>(nullptr, w, true).bytes, w);
}

void recur_grad_vector(const grad_of &w) {
    if (w.r.half)
        w.keys == GRAD_KEYS ? grad_vector<uint16_t, GRAD_KEYS>(w) : grad_vector<uint16_t, GRAD_PASS>(w);
    else
        w.keys == GRAD_KEYS ? grad_vector<float, GRAD_KEYS>(w) : grad_vector<float, GRAD_PASS>(w);
}

} // namespace HY_GPU
