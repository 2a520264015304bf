/* The dry device: profiles of others, what it records, memory that is only addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "kernels/cost.h"
#include "kernels/dry.h"

static void test_profiles(void **unused) {
    (void)unused;
    hy_profile cpu, dry, whole;
    assert_int_equal(hy_profile_of("cpu", HY_F32, &cpu), HY_OK);
    assert_int_equal(hy_profile_of("dry:cpu", HY_F32, &dry), HY_OK);
    assert_int_equal(hy_profile_of("dry:whole:cpu", HY_F32, &whole), HY_OK);
    assert_string_equal(dry.name, "dry:cpu");
    assert_true(dry.recur_work == cpu.recur_work && dry.attn_work == cpu.attn_work);
    assert_int_equal(dry.tuning.recur_pieces, cpu.tuning.recur_pieces);
    assert_int_equal(whole.tuning.recur_pieces, 0);
    assert_int_equal(hy_profile_of("dry:gpu", HY_F32, &dry), HY_ERR_USAGE);
    assert_int_equal(hy_profile_of("dry", HY_F32, &dry), HY_OK);
    assert_string_equal(dry.name, "dry:cpu");
    assert_int_equal(hy_profile_of("cpu:cpu", HY_F32, &dry), HY_ERR_USAGE);
    assert_int_equal(hy_profile_of("cpu_async:whole:cpu", HY_F32, &dry), HY_OK);
    assert_int_equal(dry.tuning.attn_products, 0);
    assert_int_equal(hy_profile_of("dry:whole:cpu_async", HY_F32, &dry), HY_OK);
    hy_device *device;
    assert_int_equal(hy_device_create("whole:cpu_async", HY_F32, &device), HY_ERR_USAGE);
}

typedef struct seen {
    hy_alloc_watch watch;
    int64_t most, now;
} seen;

static void changed(hy_alloc_watch *watch, const char *name, int64_t bytes) {
    seen *s = (seen *)watch;
    (void)name;
    s->now += bytes;
    s->most = s->now > s->most ? s->now : s->most;
}

/* A terabyte of it, which this machine does not have. */
static void test_memory(void **unused) {
    (void)unused;
    const size_t bytes = (size_t)1 << 40;
    const int64_t before = hy_alloc_bytes();
    hy_device *device;
    void *x = NULL;
    seen s = {.watch = {changed}};
    assert_int_equal(hy_device_create("dry:cpu", HY_F32, &device), HY_OK);
    hy_alloc_set_watch(&s.watch);
    assert_int_equal(hy_device_alloc(device, "much", bytes, &x), HY_OK);
    assert_int_equal(s.now, bytes);
    assert_int_equal((uintptr_t)x % HY_ALIGN, 0);
    double zero = 1;
    hy_device_read(device, (char *)x + bytes - 8, sizeof zero, &zero);
    assert_true(zero == 0);
    hy_device_free(device, x);
    assert_int_equal(s.now, 0);
    hy_alloc_set_watch(NULL);
    hy_device_destroy(device);
    assert_int_equal(hy_alloc_bytes(), before);
}

/* What the host writes for operations to read is what costs see. */
static void test_records(void **unused) {
    (void)unused;
    const hy_run runs[2] = {{0, 3, 0, 0}, {3, 5, -1, -1}};
    hy_device *device;
    void *list = NULL, *x = NULL;
    assert_int_equal(hy_device_create("dry:cpu", HY_F32, &device), HY_OK);
    assert_int_equal(hy_device_alloc(device, "runs", sizeof runs, &list), HY_OK);
    assert_int_equal(hy_device_alloc(device, "x", 1 << 20, &x), HY_OK);
    hy_device_write(device, runs, sizeof runs, list);
    hy_recur_args a = {
        .T = 8, .H = 1, .HV = 1, .K = 2, .V = 2, .runs = list, .n_runs = 2, .q = x, .k = x, .v = x, .S0 = x};
    hy_recur_inject(device, &a);
    hy_recur_inject(device, &a);
    hy_fill(device, &(hy_fill_args){.n = 1000, .y = x, .value = 1});
    a.runs = runs;
    const hy_cost one = hy_cost_of(HY_OP_recur_inject, &a, HY_F32, NULL);
    const hy_dry_record *record = hy_dry_record_of(device);
    assert_true(one.flops > 0 && one.bytes > 0);
    assert_int_equal(record->ops[HY_OP_recur_inject].launches, 2);
    assert_true(record->ops[HY_OP_recur_inject].flops == 2 * one.flops);
    assert_true(record->ops[HY_OP_recur_inject].bytes == 2 * one.bytes);
    assert_true(record->ops[HY_OP_fill].bytes == 4000);
    const hy_dry_work all = hy_dry_total(record);
    assert_int_equal(all.launches, 3);
    assert_true(all.bytes == 2 * one.bytes + 4000);
    assert_int_equal(record->writes, 1);
    assert_int_equal(record->synchronisations, 0);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    assert_int_equal(record->synchronisations, 1);
    assert_int_equal(hy_device_counts(device)->calls[HY_OP_fill], 1);
    hy_device_free(device, x);
    hy_device_free(device, list);
    hy_device_destroy(device);
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    assert_null(hy_dry_record_of(device));
    hy_device_destroy(device);
}

/* Bytes between the device and the host's memory, in each direction; not those inside the device. */
static void test_host_copies(void **unused) {
    (void)unused;
    const size_t bytes = (size_t)1 << 40;
    hy_device *device;
    void *x = NULL, *image = NULL;
    assert_int_equal(hy_device_create("dry:cpu", HY_F32, &device), HY_OK);
    assert_int_equal(hy_device_alloc(device, "x", bytes, &x), HY_OK);
    assert_int_equal(hy_device_host_alloc(device, "image", bytes, &image), HY_OK);
    hy_device_copy(device, HY_LANE_COPY, image, x, bytes);
    hy_device_copy(device, HY_LANE_COPY, (char *)x + 4096, (char *)image + 64, 1000);
    hy_device_copy(device, HY_LANE_COPY, (char *)x + 4096, x, 2000);
    hy_device_zero(device, HY_LANE_COPY, x, 4000);
    const hy_dry_record *record = hy_dry_record_of(device);
    assert_int_equal(record->copies, 4);
    assert_true(record->to_host == (double)bytes);
    assert_true(record->from_host == 1000);
    hy_device_host_free(device, image);
    hy_device_host_free(device, NULL);
    hy_device_free(device, x);
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_profiles), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_records), cmocka_unit_test(test_host_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
