/* Segment maps on states: out = A·S + H per head, A a number, a diagonal or a matrix. Lists (folds, joins) are walked by blocks that each own
 * columns of one head's state, which no map mixes, so their steps need no order among blocks. */
#include "kernels/cuda/levels.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* Whether a transition of `size` elements is one of K·K, not a diagonal (K of them) or a number. */
HY_BOTH bool is_matrix(int64_t size, int64_t K) {
    return size == K * K && K > 1;
}

/* A[i,m] of K·K, K or one element; 0 off a diagonal. */
struct transition {
    const float *A;
    int64_t K, size;
    int transpose;
};

HY_DEVICE float transition_at(const transition &t, int64_t i, int64_t m) {
    return is_matrix(t.size, t.K) ? t.A[t.transpose ? m * t.K + i : i * t.K + m] : t.A[t.size == 1 ? 0 : i];
}

/* (A·S)[i, column], S of `ld` columns. */
HY_DEVICE float transition_times(const transition &t, const float *S, int64_t ld, int64_t i, int64_t column) {
    if (!is_matrix(t.size, t.K))
        return transition_at(t, i, i) * S[i * ld + column];
    float sum = 0;
    for (int64_t m = 0; m < t.K; m++)
        sum += transition_at(t, i, m) * S[m * ld + column];
    return sum;
}

struct map_apply_of {
    int64_t n, K, V, a_size;
    int transpose;
    const float *A, *S, *H;
    float *out;
};

HY_KERNEL(EACH_THREADS, map_apply_kernel)(const map_apply_of a) {
    each(a.n * a.K * a.V, [&](int64_t at) {
        const int64_t head = at / (a.K * a.V), i = at / a.V % a.K;
        float sum = 0;
        if (a.S != nullptr)
            sum = transition_times({a.A + head * a.a_size, a.K, a.a_size, a.transpose}, a.S + head * a.K * a.V, a.V, i,
                                   at % a.V);
        a.out[at] = sum + (a.H != nullptr ? a.H[at] : 0.0f);
    });
}

static void map_apply(const hy_map_apply_args *a) {
    const map_apply_of args = {a->n,
                               a->K,
                               a->V,
                               a->a_size,
                               a->transpose,
                               static_cast<const float *>(a->A),
                               static_cast<const float *>(a->S),
                               static_cast<const float *>(a->H),
                               static_cast<float *>(a->out)};
    HY_LAUNCH(map_apply_kernel, blocks_for(a->n * a->K * a->V), EACH_THREADS, 0, args);
}

static void map_compose(const hy_map_compose_args *a) {
    const float *A1 = static_cast<const float *>(a->A1), *A2 = static_cast<const float *>(a->A2);
    const bool matrix = is_matrix(a->a_size, a->K);
    const map_apply_of state = {a->n,
                                a->K,
                                a->V,
                                a->a_size,
                                0,
                                A2,
                                static_cast<const float *>(a->H1),
                                static_cast<const float *>(a->H2),
                                static_cast<float *>(a->H)};
    /* of A1 the columns are states; a diagonal is n·a_size maps of one element */
    const map_apply_of product = {matrix ? a->n : a->n * a->a_size,
                                  matrix ? a->K : 1,
                                  matrix ? a->K : 1,
                                  matrix ? a->a_size : 1,
                                  0,
                                  A2,
                                  A1,
                                  nullptr,
                                  static_cast<float *>(a->A)};
    HY_LAUNCH(map_apply_kernel, blocks_for(a->n * a->K * a->V), EACH_THREADS, 0, state);
    HY_LAUNCH(map_apply_kernel, blocks_for(a->n * a->a_size), EACH_THREADS, 0, product);
}

/* ---- fold: a block walks all steps for MAP_COLUMNS columns of one head ---- */

enum { MAP_COLUMNS = 8, MAP_THREADS = 256 };

/* Of one head's [K,V]: to (+)= A·from, or = from where A is NULL; columns c0 to c0 + n − 1. */
HY_DEVICE void pass_columns(const transition &t, int64_t V, int64_t c0, int64_t n, const float *from, float *to) {
    for (int64_t i = thread_index(); i < t.K * n; i += MAP_THREADS) {
        const int64_t row = i / n, column = c0 + i % n;
        if (t.A == nullptr)
            to[row * V + column] = from[row * V + column];
        else
            to[row * V + column] += transition_times(t, from, V, row, column);
    }
    barrier();
}

HY_DEVICE int64_t fold_place(const hy_map_fold_args &a, int64_t i) {
    const int64_t size = (a.levels > 0 ? a.levels : 1) * a.n * a.K * a.V;
    return i / a.group * a.group_ld + i % a.group * size;
}

HY_DEVICE int64_t level_merged(int64_t first, int64_t end, int64_t bit) {
    return level_between(end, level_block(first, bit)) - 1;
}

HY_DEVICE void fold_step(const hy_map_fold_args &a, const hy_fold_step &s, int64_t head, int64_t c0, int64_t n) {
    const int64_t one = a.n * a.K * a.V, levels = a.levels > 0 ? a.levels : 1, own = head * a.K * a.V;
    const transition copy = {nullptr, a.K, 0, 0};
    float *H = static_cast<float *>(a.H), *in = static_cast<float *>(a.in);
    const float *S = in + (s.read >= 0 ? s.read : 0) * levels * one + own;
    if (s.from >= 0) {
        const float *left = H + fold_place(a, s.from) + own;
        for (int64_t bit = 0; s.read >= 0 && bit < levels; bit++)
            pass_columns(copy, a.V, c0, n, left + bit * one, in + (s.read * levels + bit) * one + own);
        S = left;
    }
    if (s.at < 0)
        return;
    const transition t = {static_cast<const float *>(a.A) + (s.at * a.n + head) * a.a_size, a.K, a.a_size, a.transpose};
    float *to = H + fold_place(a, s.at) + own;
    if (a.levels == 0)
        pass_columns(t, a.V, c0, n, S, to);
    for (int64_t bit = 0; bit < a.levels; bit++) {
        if ((s.first >> bit & 1) == 0)
            continue;
        const int64_t merged = level_merged(s.first, s.end, bit);
        pass_columns(t, a.V, c0, n, S + (a.transpose ? merged : bit) * one, to + (a.transpose ? bit : merged) * one);
    }
}

HY_KERNEL(MAP_THREADS, map_fold_kernel)(const hy_map_fold_args a) {
    const int64_t c0 = block_x() * MAP_COLUMNS, n = a.V - c0 < MAP_COLUMNS ? a.V - c0 : (int64_t)MAP_COLUMNS;
    for (int64_t head = block_y(); head < a.n; head += grid_y())
        for (int64_t i = 0; i < a.n_steps; i++)
            fold_step(a, a.steps[i], head, c0, n);
}

static void map_fold(const hy_map_fold_args *a) {
    if (a->n_steps > 0)
        HY_LAUNCH(map_fold_kernel,
                  grid((a->V + MAP_COLUMNS - 1) / MAP_COLUMNS, a->n < GRID_YZ_MAX ? a->n : (int64_t)GRID_YZ_MAX),
                  MAP_THREADS, 0, *a);
}

/* ---- join: what a piece leaves goes through the pieces after it one by one, column by column, and so does the first piece's transition ---- */

struct join_place {
    hy_map_join_entry join;
    int64_t head;
};

/* A block's columns c0 to c0 + n − 1 of `from` [K,ld], the piece of bit `bit`, to the end: to `to`. */
HY_DEVICE void join_columns(const hy_map_join_args &a, const join_place &p, int64_t bit, const float *from, float *to,
                            int64_t ld, int64_t c0, int64_t n) {
    float *now = shared_at<float>(0), *next = now + a.K * MAP_COLUMNS; /* [K][MAP_COLUMNS] each */
    const auto each_element = [&](auto call) {
        for (int64_t i = thread_index(); i < a.K * n; i += MAP_THREADS)
            call(i / n, i % n);
    };
    each_element([&](int64_t i, int64_t c) { now[i * MAP_COLUMNS + c] = from[i * ld + c0 + c]; });
    for (int64_t later = bit - 1; later >= 0; later--) {
        if ((p.join.bits >> later & 1) == 0)
            continue;
        const int64_t piece = (p.join.slot * a.levels + later) * a.n + p.head;
        const transition t = {static_cast<const float *>(a.A_pieces) + piece * a.a_size, a.K, a.a_size, 0};
        barrier();
        each_element(
            [&](int64_t i, int64_t c) { next[i * MAP_COLUMNS + c] = transition_times(t, now, MAP_COLUMNS, i, c); });
        float *const done = now;
        now = next, next = done;
    }
    each_element([&](int64_t i, int64_t c) { to[i * ld + c0 + c] = now[i * MAP_COLUMNS + c]; });
    barrier(); /* before that memory is filled again */
}

/* The first blocks have columns of states, those behind them columns of the transition, or all of it where it is a diagonal. */
HY_DEVICE void join_tile(const hy_map_join_args &a, const join_place &p, int64_t tile) {
    const float *A = static_cast<const float *>(a.A_pieces), *H = static_cast<const float *>(a.H_pieces);
    const int64_t tiles = (a.V + MAP_COLUMNS - 1) / MAP_COLUMNS, state = a.K * a.V;
    const bool of_states = tile < tiles, matrix = is_matrix(a.a_size, a.K);
    const int64_t c0 = (of_states ? tile : tile - tiles) * MAP_COLUMNS;
    const int64_t rest = (of_states ? a.V : a.K) - c0, n = rest < MAP_COLUMNS ? rest : (int64_t)MAP_COLUMNS;
    const auto piece = [&](int64_t bit) { return (p.join.slot * a.levels + bit) * a.n + p.head; };
    float *out = static_cast<float *>(a.A) + (p.join.slot * a.n + p.head) * a.a_size;
    int64_t top = a.levels - 1;
    while ((p.join.bits >> top & 1) == 0)
        top--;
    for (int64_t bit = 0; of_states && bit < a.levels; bit++) {
        float *to = static_cast<float *>(a.H) + piece(bit) * state;
        if ((p.join.bits >> bit & 1) != 0)
            join_columns(a, p, bit, H + piece(bit) * state, to, a.V, c0, n);
        else
            for (int64_t i = thread_index(); i < a.K * n; i += MAP_THREADS)
                to[i / n * a.V + c0 + i % n] = 0;
    }
    if (!of_states && matrix)
        join_columns(a, p, top, A + piece(top) * a.a_size, out, a.K, c0, n);
    for (int64_t i = thread_index(); !of_states && !matrix && i < a.a_size; i += MAP_THREADS) {
        float product = 1;
        for (int64_t bit = top; bit >= 0; bit--)
            product *= (p.join.bits >> bit & 1) != 0 ? A[piece(bit) * a.a_size + i] : 1.0f;
        out[i] = product;
    }
}

HY_KERNEL(MAP_THREADS, map_join_kernel)(const hy_map_join_args a) {
    for (int64_t i = block_z(); i < a.n_joins; i += grid_z())
        for (int64_t head = block_y(); head < a.n; head += grid_y())
            join_tile(a, {a.joins[i], head}, block_x());
}

static void map_join(const hy_map_join_args *a) {
    const bool matrix = is_matrix(a->a_size, a->K);
    const int64_t tiles =
        (a->V + MAP_COLUMNS - 1) / MAP_COLUMNS + (matrix ? (a->K + MAP_COLUMNS - 1) / MAP_COLUMNS : 1);
    const auto at_most = [](int64_t n) { return n < GRID_YZ_MAX ? n : (int64_t)GRID_YZ_MAX; };
    HY_LAUNCH(map_join_kernel, grid(tiles, at_most(a->n), at_most(a->n_joins)), MAP_THREADS,
              (size_t)(2 * a->K * MAP_COLUMNS) * sizeof(float), *a);
}

template <hy_dtype P> static void map_entries(hy_table *table) {
    table->map_apply = map_apply;
    table->map_compose = map_compose;
    table->map_fold = map_fold;
    table->map_join = map_join;
}

void overlay_map(hy_table *table) {
    HY_OVERLAY(map_entries, table);
}

} // namespace HY_GPU
