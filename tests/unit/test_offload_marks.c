/* What is offloaded is ordered by marks alone: with a lane that is late at every block, COPY or COMPUTE, a step gives the bits that it gives
 * without offload; and when a mark of a copy is lost, others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/model.h"

enum { LENGTH = 64, WIDTH = 16, VOCAB = 19, LAYERS = 4, STALLS = 2 * (LAYERS + 2) };

/* A lane that stands at a signal before each block, forward and backward. */
typedef struct laggard {
    hy_run_watch watch; /* first: see at_block */
    hy_device *device;
    hy_signal *signal;
    hy_lane lane;
    int block, stalls;
} laggard;

static void at_block(hy_run_watch *watch, int block, bool backward, bool begins) {
    laggard *late = (laggard *)watch;
    const int now = 2 * block + backward;
    if (begins && now != late->block) {
        late->block = now;
        hy_device_after_signal(late->device, late->lane, late->signal, (uint64_t)++late->stalls);
    }
}

static void let_go(laggard *late, int64_t microseconds) {
    for (int i = 1; i <= late->stalls; i++) {
        const struct timespec pause = {.tv_nsec = 1000 * microseconds};
        (void)nanosleep(&pause, NULL);
        hy_device_signal(late->device, late->signal, (uint64_t)i);
    }
}

/* ---- a step ---- */

typedef struct step {
    hy_model *model;
    int64_t flat;
    float *start, *grads; /* [flat] */
    hy_layout *layout;
    int32_t tokens[LENGTH];
} step;

static void make_step(step *s) {
    static hy_model_config config;
    hy_model_config_init(&config);
    config.layers = LAYERS;
    config.width = WIDTH;
    config.vocab = VOCAB;
    config.n_pattern = config.n_mixers = 1;
    snprintf(config.pattern[0], HY_NAME_MAX, "gla");
    hy_mixer_config_init(&config.mixers[0], "gla");
    config.mixers[0].heads = 2;
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    assert_int_equal(hy_model_create(&config, 1, &s->model), HY_OK);
    s->flat = hy_model_flat_size(s->model);
    assert_int_equal(HY_NEW("start", s->flat, &s->start), HY_OK);
    assert_int_equal(HY_NEW("gradients", s->flat, &s->grads), HY_OK);
    hy_model_init_params(s->model, 3, HY_F32, s->start);
    assert_int_equal(hy_layout_create(HY_LAYOUT_ZIGZAG, 1, 0, 1, LENGTH, &s->layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(s->layout, (int64_t[]){0, 21, LENGTH}, 2), HY_OK);
    for (int t = 0; t < LENGTH; t++) {
        s->tokens[t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % VOCAB);
    }
}

static void free_step(step *s) {
    hy_layout_destroy(s->layout);
    hy_free(s->start);
    hy_free(s->grads);
    hy_model_destroy(s->model);
}

/* Its gradients, with a lane late by `microseconds` a block; 0: none is. */
static hy_run_bytes take(step *s, const char *name, hy_offload_to offload, hy_lane lane, int64_t microseconds) {
    hy_device *device = NULL;
    hy_comm *comm = NULL;
    hy_runner *runner = NULL;
    void *params = NULL, *grads = NULL, *loss = NULL;
    laggard late = {.watch = {at_block}, .lane = lane, .block = -1};
    const size_t bytes = (size_t)s->flat * sizeof(float);
    const hy_run_shape shape = {.method = {.layout = HY_LAYOUT_ZIGZAG},
                                .sequence_size = 1,
                                .n_seq = 1,
                                .len = LENGTH,
                                .dtype = HY_F32,
                                .recompute = HY_RECOMPUTE_BLOCK,
                                .offload = offload,
                                .train = true};
    assert_int_equal(hy_device_create(name, HY_F32, &device), HY_OK);
    assert_int_equal(hy_comm_self_create(&comm), HY_OK);
    assert_int_equal(hy_device_alloc(device, "parameters", bytes, &params), HY_OK);
    assert_int_equal(hy_device_alloc(device, "gradients", bytes, &grads), HY_OK);
    assert_int_equal(hy_device_alloc(device, "loss", sizeof(double), &loss), HY_OK);
    assert_int_equal(hy_device_signals(device, 1, &late.signal), HY_OK);
    hy_device_write(device, s->start, bytes, params);
    assert_int_equal(hy_runner_create(s->model, &shape, device, comm, params, grads, 0, &runner), HY_OK);
    const hy_run_bytes needed = hy_runner_bytes(runner);
    late.device = device;
    hy_runner_set_watch(runner, microseconds > 0 ? &late.watch : NULL);
    hy_runner_step(runner, &(hy_batch){s->layout, s->tokens, s->tokens}, 1, loss, NULL, NULL);
    let_go(&late, microseconds);
    hy_device_read(device, grads, bytes, s->grads);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COPY));
    hy_runner_destroy(runner);
    hy_device_signals_free(device, late.signal);
    hy_device_free(device, params);
    hy_device_free(device, grads);
    hy_device_free(device, loss);
    hy_comm_destroy(comm);
    hy_device_destroy(device);
    return needed;
}

/* ---- tests ---- */

static void set_lost(int n) {
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv("HYLAS_ASYNC_DROP", text, 1);
}

/* Whether the loss of mark n shows when either lane is late. */
static bool is_noticed(step *s, int n, int64_t late, const float *want) {
    bool noticed = false;
    set_lost(n);
    for (int lane = 0; lane < 2 && !noticed; lane++) {
        (void)take(s, "cpu_async:cpu_ref", HY_OFFLOAD_HOST, lane ? HY_LANE_COPY : HY_LANE_COMPUTE, late);
        noticed = memcmp(s->grads, want, (size_t)s->flat * sizeof *want) != 0;
    }
    set_lost(0);
    return noticed;
}

static void test_late_lanes(void **state) {
    (void)state;
    step s;
    make_step(&s);
    const size_t bytes = (size_t)s.flat * sizeof(float);
    float *want = malloc(bytes);
    (void)take(&s, "cpu_ref", HY_OFFLOAD_NONE, HY_LANE_COMPUTE, 0);
    memcpy(want, s.grads, bytes);
    const hy_run_bytes needed = take(&s, "cpu_ref", HY_OFFLOAD_HOST, HY_LANE_COMPUTE, 0);
    assert_memory_equal(s.grads, want, bytes);
    const int values = (int)(needed.host / (int64_t)(LENGTH * WIDTH * sizeof(float)));
    assert_int_equal(values, LAYERS - 1); /* block inputs, but the last block's */
    for (int lane = 0; lane < 2; lane++) {
        (void)take(&s, "cpu_async:cpu_ref", HY_OFFLOAD_HOST, lane ? HY_LANE_COPY : HY_LANE_COMPUTE, 1000);
        assert_memory_equal(s.grads, want, bytes);
    }
    int noticed = 0,
        enough = 3 * values; /* of four; before a value comes in, its place may be nobody's as it happens */
    bool seen[4 * LAYERS + STALLS] = {false};
    static const int64_t microseconds[] = {500, 2500, 12500, 50000, 50000, 50000}; /* a busy machine needs longer */
    for (size_t round = 0; round < sizeof microseconds / sizeof *microseconds && noticed < enough; round++) {
        for (int n = 0; n < 4 * LAYERS + STALLS && noticed < enough; n++) {
            seen[n] = seen[n] || is_noticed(&s, n + 1, microseconds[round], want);
            noticed += seen[n];
        }
        noticed = noticed < enough ? 0 : noticed;
    }
    assert_true(noticed >= enough);
    free(want);
    free_step(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_late_lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
