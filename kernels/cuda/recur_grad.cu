/* Gradients of a chunk (recur_grad.cuh) with one decay per head, or none. */
#include "kernels/cuda/recur_grad.cuh"

namespace HY_GPU {

/* Lane j: e^{sum of log decays of tokens j + 1 .. i} for all i ≥ j. */
template <class E> HY_DEVICE void grad_weights(const grad_of &w, const grad_place &p, const grad_shared<E> &s) {
    const int j = lane_index();
    float sum = 0;
    HY_ROLLED
    for (int i = 0; i < CHUNK; i++) {
        sum += i > j && i < p.c.len ? log_decay(w.r.a, p.c.begin + i, p.hv, 0) : 0.0f;
        s.weights[j * CHUNK + i] = i < j ? 0.0f : exp_fast(sum);
    }
}

/* sum [16,GRAD_KEYS] += rows of `left` [CHUNK,CHUNK] times keys [CHUNK,keys]. */
template <class E>
HY_DEVICE void grad_inside(const grad_of &w, const grad_place &p, float sum[GRAD_TILES][4], const E *left,
                           const E *keys) {
    const E *const mine = keys + unknown(p.key); /* read again by each product, not kept from the one before */
    HY_ROLLED
    for (int n = 0; n < CHUNK; n += 16) {
        factor<E> a, b;
        factor_left(a, left + p.row * pitch_of<E>(CHUNK) + n, pitch_of<E>(CHUNK));
        HY_UNROLL
        for (int m = 0; m < GRAD_KEYS / 16; m++) {
            factor_right(b, mine + n * pitch_of<E>(w.keys) + 16 * m, pitch_of<E>(w.keys));
            factor_product(sum + 2 * m, a, b);
        }
    }
}

/* dq, dk, and the warp's parts of what is summed over keys. */
template <class E>
HY_DEVICE void grad_keys(const grad_of &w, const grad_place &p, const grad_shared<E> &s, grad_sums &g) {
    const float scale = (float)w.r.a.scale;
    float dG[2] = {}, leaving = 0;
    HY_UNROLL
    for (int n = 0; n < GRAD_TILES; n++)
        HY_UNROLL
    for (int i = 0; i < 4; i++) {
        const int row = grad_token(p, i);
        const chunk_token t = s.tokens[row];
        g.dq[n][i] *= scale * t.from_begin, g.u[n][i] *= -t.from_begin, g.k[n][i] *= t.to_end;
        leaving += g.k[n][i] * value_of(s.k[row * pitch_of<E>(w.keys) + p.key + grad_column(n, i)]);
    }
    grad_inside(w, p, g.dq, s.dp, s.k);
    grad_inside(w, p, g.k, s.dp_turned, s.q);
    if (p.delta) {
        grad_inside(w, p, g.u, s.da, s.k);
        grad_inside(w, p, g.k, s.bda_turned, s.k);
    }
    grad_results(w, p, s, g, [&](int i, float read, float write) { dG[i >> 1] += read + write; });
    HY_UNROLL
    for (int i = 0; i < 2; i++) {
        dG[i] = grad_row_sum(dG[i]);
        if ((lane_index() & 3) == 0)
            s.rows[0][grad_group(p) * CHUNK + grad_token(p, 2 * i)] = dG[i];
    }
    leaving = warp_sum(leaving), g.xdx = warp_sum(g.xdx);
    const int part = p.first / w.keys * p.warps + warp_index();
    if (lane_index() == 0)
        s.parts[0][part] = g.xdx, s.parts[1][part] = leaving;
}

/* dg of one decay per head: lane = token. */
template <class E> HY_DEVICE void grad_gates(const grad_of &w, const grad_place &p, const grad_shared<E> &s) {
    const hy_recur_args &a = w.r.a;
    const int j = lane_index();
    float dg = 0, last = 0, xdx = 0;
    for (int n = 0; n < w.passes * p.warps / 2; n++)
        dg += s.rows[0][n * CHUNK + j];
    for (int n = 0; n < w.passes * p.warps; n++)
        xdx += s.parts[0][n], last += s.parts[1][n];
    if (j == p.c.len - 1)
        dg += s.tokens[j].from_begin * xdx + last;
    HY_UNROLL
    for (int step = 1; step < CHUNK; step <<= 1) {
        const float above = shuffle_down(dg, step);
        dg += j + step < CHUNK ? above : 0.0f;
    }
    const int64_t at = (p.c.begin + j) * a.HV + p.hv;
    if (j >= p.c.len || a.dg == nullptr)
        return;
    if (a.decay == HY_DECAY_SCALAR)
        stat_at(a.dg, at) = dg;
    if (a.decay == HY_DECAY_HEAD)
        w.work.gates[at] = dg;
}

template <class E, int KEYS> HY_KERNEL_BLOCKS(KEYS, GRAD_THREADS / KEYS, grad_kernel)(const grad_of given) {
    const grad_of w = grad_with_keys(given, KEYS);
    if (grad_place_of(w, 0).c.len == 0)
        return;
    const grad_shared<E> s = grad_shared_of<E>(shared_at<unsigned char>(0), w, false);
    if (warp_index() == 0)
        grad_weights(w, grad_place_of(w, 0), s);
    HY_ROLLED
    for (int first = 0; first < w.r.a.K; first += w.keys) {
        const grad_place p = grad_place_of(w, first);
        grad_fetch(w, p, s);
        grad_sums g = {};
        grad_slices(w, p, s, g);
        if (first == 0) {
            grad_squares(w, p, s, g, [&](int i, int j) { return s.weights[j * CHUNK + i]; });
            barrier();
        }
        grad_keys(w, grad_place_of(w, first), s, g);
        barrier(); /* before keys are fetched again, and before sums over them */
    }
    if (warp_index() == 0) {
        const grad_place p = grad_place_of(w, 0);
        grad_gates(w, p, s);
        grad_beta(w, p, s);
    }
}

template <class E, int KEYS> static void grad(const grad_of &w) {
    HY_LAUNCH((grad_kernel<E, KEYS>), grad_blocks(w), KEYS, grad_shared_of<E>(nullptr, w, false).bytes, w);
}

void recur_grad(const recur_of &args, const chunk_place *chunks) {
    const hy_recur_args &a = args.a;
    const int keys = a.K > GRAD_KEYS ? GRAD_PASS : GRAD_KEYS, passes = (int)((a.K + keys - 1) / keys);
    const grad_of w = {args, keys, passes, (int)key_group(a), chunks, chunk_work_of(a, args.half)};
    if (a.decay == HY_DECAY_VECTOR)
        recur_grad_vector(w);
    else if (args.half)
        keys == GRAD_KEYS ? grad<uint16_t, GRAD_KEYS>(w) : grad<uint16_t, GRAD_PASS>(w);
    else
        keys == GRAD_KEYS ? grad<float, GRAD_KEYS>(w) : grad<float, GRAD_PASS>(w);
    recur_sum_heads(args, w.work.keys, w.work.gates);
}

} // namespace HY_GPU
