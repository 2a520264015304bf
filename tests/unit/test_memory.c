/* Blocks are aligned and zero, counters are exact, also with threads; failures leave everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "capture.h"

static void test_blocks_are_aligned_and_zero(void **unused) {
    (void)unused;
    const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 100001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char *block = NULL;
        assert_int_equal(hy_alloc("test", sizes[i], (void **)&block), HY_OK);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % HY_ALIGN, 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(block[k], 0);
        }
        memset(block, 0xff, sizes[i]);
        hy_free(block);
    }
    hy_free(NULL);
}

static void test_counters(void **unused) {
    (void)unused;
    const int64_t count = hy_alloc_count(), bytes = hy_alloc_bytes();
    double *a = NULL;
    char *b = NULL;
    assert_int_equal(HY_NEW("a", 100, &a), HY_OK);
    assert_int_equal(HY_NEW("b", 7, &b), HY_OK);
    assert_int_equal(hy_alloc_count(), count + 2);
    assert_int_equal(hy_alloc_bytes(), bytes + 807);
    assert_true(hy_alloc_peak() >= bytes + 807);
    hy_free(a);
    assert_int_equal(hy_alloc_bytes(), bytes + 7);
    hy_free(b);
    assert_int_equal(hy_alloc_bytes(), bytes);
    assert_int_equal(hy_alloc_count(), count + 2);
    assert_true(hy_alloc_peak() >= bytes + 807);
}

static void test_impossible_sizes(void **unused) {
    (void)unused;
    const int64_t count = hy_alloc_count();
    void *block = &block;
    capture_begin();
    const hy_status huge = hy_alloc("huge", SIZE_MAX, &block);
    assert_contains(capture_end(), "cannot allocate huge: 18446744073709551615 bytes");
    assert_int_equal(huge, HY_ERR_MEMORY);
    double *wrapped = NULL;
    capture_begin();
    assert_int_equal(HY_NEW("negative", -1, &wrapped), HY_ERR_MEMORY);
    (void)capture_end();
    assert_null(wrapped);
    assert_ptr_equal(block, &block);
    assert_int_equal(hy_alloc_count(), count);
}

static void test_nth_allocation_fails(void **unused) {
    (void)unused;
    for (int n = 1; n <= 3; n++) {
        hy_alloc_fail_after(n);
        for (int i = 1; i <= 5; i++) {
            void *block = NULL;
            capture_begin();
            const hy_status status = hy_alloc("hooked", 8, &block);
            (void)capture_end();
            assert_int_equal(status, i == n ? HY_ERR_MEMORY : HY_OK);
            hy_free(block);
        }
    }
    hy_alloc_fail_after(1);
    hy_alloc_fail_after(0);
    void *block = NULL;
    assert_int_equal(hy_alloc("unhooked", 8, &block), HY_OK);
    hy_free(block);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *allocate_and_free(void *failed) {
    for (size_t i = 0; i < ROUNDS; i++) {
        void *block = NULL;
        if (hy_alloc("thread", i, &block) != HY_OK) {
            *(int *)failed = 1;
        }
        hy_free(block);
    }
    return NULL;
}

static void test_threads(void **unused) {
    (void)unused;
    const int64_t count = hy_alloc_count(), bytes = hy_alloc_bytes();
    pthread_t threads[THREADS];
    int failed[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, &failed[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failed[i], 0);
    }
    assert_int_equal(hy_alloc_count(), count + THREADS * ROUNDS);
    assert_int_equal(hy_alloc_bytes(), bytes);
}

/* Whether a forked child has the memory in the middle of a block. */
static bool child_has(const unsigned char *block, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = ((uintptr_t)block + bytes / 2) / page * page;
    const pid_t child = fork();
    if (child == 0) {
        unsigned char resident;
        _exit(mincore((void *)at, (size_t)page, &resident) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

static void test_large_blocks_can_be_kept_from_children(void **unused) {
    (void)unused;
    const size_t small = 1 << 20, large = 100 << 20;
    unsigned char *a = NULL, *b = NULL;
    assert_int_equal(hy_alloc("small", small, (void **)&a), HY_OK);
    assert_int_equal(hy_alloc("large", large, (void **)&b), HY_OK);
    a[small / 2] = b[large / 2] = 1;
    assert_true(child_has(b, large));
    hy_alloc_not_in_children(a);
    hy_alloc_not_in_children(b);
    assert_true(child_has(a, small));
    assert_false(child_has(b, large));
    assert_int_equal(b[large / 2], 1);
    hy_free(a);
    hy_free(b);
    assert_int_equal(hy_alloc("large", large, (void **)&b), HY_OK);
    b[large / 2] = 1;
    assert_true(child_has(b, large));
    hy_free(b);
}

static void test_grow(void **state) {
    int64_t room = 0, *items = NULL;
    const int64_t before = hy_alloc_bytes();
    (void)state;
    for (int64_t n = 0; n < 1000; n++) {
        assert_int_equal(HY_GROW("items", n + 1, &room, &items), HY_OK);
        assert_true(room > n);
        items[n] = n * n;
    }
    const int64_t *const kept = items;
    assert_int_equal(HY_GROW("items", room, &room, &items), HY_OK);
    assert_ptr_equal(items, kept);
    const int64_t had = room;
    hy_alloc_fail_after(1);
    assert_int_equal(HY_GROW("items", had + 1, &room, &items), HY_ERR_MEMORY);
    assert_true(items == kept && room == had);
    assert_int_equal(HY_GROW("items", 100000, &room, &items), HY_OK); /* more than twice as many */
    assert_true(room >= 100000);
    for (int64_t n = 0; n < 1000; n++) {
        assert_int_equal(items[n], n * n);
    }
    hy_free(items);
    assert_int_equal(hy_alloc_bytes(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_blocks_are_aligned_and_zero),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_large_blocks_can_be_kept_from_children),
        cmocka_unit_test(test_impossible_sizes),
        cmocka_unit_test(test_nth_allocation_fails),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
