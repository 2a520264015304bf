/* Rotary embedding: channels (first + i, first + i + rot/2) turn by pos·θ_i, θ_i = base^(−2i/rot). Angles live in double. Per piece of
 * ANGLES frequencies, sine and cosine are computed once in at most ANCHOR tokens and in between carried from token to
 * token by the rotation by θ_i, whose error grows by 1e-16 a step; a position that does not follow the one before is
 * computed anew. */
#include <math.h>

#include "kernels/cpu/simd/elementwise.h"

#define ANGLES 64
#define ANCHOR 64

/* Frequencies i = first .. first + n − 1, and where their angles are now. */
typedef struct turning {
    int64_t first, n;
    double theta[ANGLES];
    double step_cos[ANGLES], step_sin[ANGLES]; /* of θ */
    double cos[ANGLES], sin[ANGLES];           /* of pos·θ */
    float c[ANGLES], s[ANGLES];                /* the same, rounded; s negated if inverse */
} turning;

static void turning_begin(const hy_rope_args *a, turning *w, int64_t first) {
    w->first = first;
    w->n = a->rot / 2 - first < ANGLES ? a->rot / 2 - first : ANGLES;
    for (int64_t i = 0; i < w->n; i++) {
        w->theta[i] = pow(a->base, -2.0 * (double)(first + i) / (double)a->rot);
        w->step_cos[i] = cos(w->theta[i]);
        w->step_sin[i] = sin(w->theta[i]);
    }
}

static void turning_anchor(turning *w, int64_t pos) {
    for (int64_t i = 0; i < w->n; i++) {
        w->cos[i] = cos((double)pos * w->theta[i]);
        w->sin[i] = sin((double)pos * w->theta[i]);
    }
}

static void turning_step(turning *w) {
#pragma omp simd
    for (int64_t i = 0; i < w->n; i++) {
        double c = w->cos[i] * w->step_cos[i] - w->sin[i] * w->step_sin[i];
        w->sin[i] = w->sin[i] * w->step_cos[i] + w->cos[i] * w->step_sin[i];
        w->cos[i] = c;
    }
}

static void turning_round(turning *w, int inverse) {
    const double sign = inverse ? -1 : 1;
#pragma omp simd
    for (int64_t i = 0; i < w->n; i++) {
        w->c[i] = (float)w->cos[i];
        w->s[i] = (float)(sign * w->sin[i]);
    }
}

HY_INLINE void turn_step(const hy_rope_args *a, const turning *w, int64_t head, int64_t i, int64_t n) {
    const hy_elem *x = (const hy_elem *)a->x + head + a->first + w->first + i;
    hy_elem *y = (hy_elem *)a->y + head + a->first + w->first + i;
    hy_vec c = hy_vec_load_tail(w->c + i, n), s = hy_vec_load_tail(w->s + i, n);
    hy_vec u = hy_vec_load_tail(x, n), v = hy_vec_load_tail(x + a->rot / 2, n);
    hy_vec_put(y, u * c - v * s, n, a->acc);
    hy_vec_put(y + a->rot / 2, u * s + v * c, n, a->acc);
}

static void turn_token(const hy_rope_args *a, const turning *w, int64_t t) {
    const hy_range all = {0, w->n};
    for (int64_t h = 0; h < a->H; h++) {
        const int64_t head = (t * a->H + h) * a->D;
#define STEP(i, n) turn_step(a, w, head, i, n)
        HY_FOR_VECS(i, all, STEP);
#undef STEP
    }
}

static void pass_token(const hy_rope_args *a, int64_t t) {
    const hy_range before = {0, a->first}, behind = {a->first + a->rot / 2 * 2, a->D};
    if (behind.begin - before.end == a->D || (a->x == a->y && !a->acc))
        return;
    for (int64_t h = 0; h < a->H; h++) {
        const int64_t head = (t * a->H + h) * a->D;
#define STEP(i, n)                                                                                                     \
    hy_vec_put((hy_elem *)a->y + head + (i), hy_vec_load_tail((const hy_elem *)a->x + head + (i), n), n, a->acc)
        HY_FOR_VECS(i, before, STEP);
        HY_FOR_VECS(i, behind, STEP);
#undef STEP
    }
}

void HY_ISA_NAME(hy_fast_rope)(const hy_rope_args *a) {
#pragma omp parallel if (a->T * a->H * a->D >= HY_PARALLEL_MIN)
    {
        const hy_range r = hy_thread_range(a->T, ANCHOR);
        turning w;
        for (int64_t first = 0; first < a->rot / 2; first += ANGLES) {
            turning_begin(a, &w, first);
            for (int64_t t = r.begin; t < r.end; t++) {
                if (t % ANCHOR == 0 || a->pos[t] != a->pos[t - 1] + 1)
                    turning_anchor(&w, a->pos[t]);
                else
                    turning_step(&w);
                turning_round(&w, a->inverse);
                turn_token(a, &w, t);
            }
        }
        for (int64_t t = r.begin; t < r.end; t++)
            pass_token(a, t);
    }
}
