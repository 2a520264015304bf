/* Event files read back by the format's definition: frames, checks, messages; and what a full disk does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/run/tensorboard.h"

/* Castagnoli's code by its polynomial, highest power first, of bits in the order of transmission. */
static uint32_t crc32c(const uint8_t *bytes, size_t n) {
    uint32_t rest = 0xFFFFFFFFu, turned = 0;
    for (size_t i = 0; i < 8 * n; i++) {
        const uint32_t bit = (uint32_t)bytes[i / 8] >> (i % 8) & 1u;
        rest = rest << 1 ^ ((rest >> 31 ^ bit) != 0 ? 0x1EDC6F41u : 0u);
    }
    for (int i = 0; i < 32; i++) {
        turned |= (rest >> i & 1u) << (31 - i);
    }
    return ~turned;
}

static uint64_t fixed(const uint8_t *bytes, int n) {
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void assert_check(const uint8_t *bytes, size_t n, const uint8_t *check) {
    const uint32_t crc = crc32c(bytes, n);
    assert_int_equal(fixed(check, 4), (uint32_t)((crc >> 15 | crc << 17) + 0xA282EAD8u));
}

typedef struct field {
    unsigned number;
    uint64_t value; /* or the length of `bytes` */
    const uint8_t *bytes;
} field;

static uint64_t varint(const uint8_t **at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
}

static field next_field(const uint8_t **at) {
    const uint64_t key = varint(at);
    field f = {.number = (unsigned)(key >> 3)};
    switch (key & 7) {
    case 0:
        f.value = varint(at);
        break;
    case 1:
    case 5:
        f.value = fixed(*at, (key & 7) == 1 ? 8 : 4);
        *at += (key & 7) == 1 ? 8 : 4;
        break;
    default:
        assert_int_equal(key & 7, 2);
        f.value = varint(at);
        f.bytes = *at;
        *at += f.value;
    }
    return f;
}

typedef struct event {
    int64_t step;
    bool version, session;
    int n;
    char tags[HY_SCALARS_MAX][HY_TAG_MAX + 1];
    float values[HY_SCALARS_MAX];
} event;

static void read_summary(const field *summary, event *out) {
    for (const uint8_t *at = summary->bytes; at < summary->bytes + summary->value; out->n++) {
        const field value = next_field(&at);
        for (const uint8_t *in = value.bytes; in < value.bytes + value.value;) {
            const field f = next_field(&in);
            if (f.number == 1) {
                (void)snprintf(out->tags[out->n], sizeof out->tags[0], "%.*s", (int)f.value, (const char *)f.bytes);
            } else {
                const uint32_t bits = (uint32_t)f.value;
                assert_int_equal(f.number, 2);
                memcpy(&out->values[out->n], &bits, sizeof bits);
            }
        }
    }
}

static event read_event(const uint8_t *bytes, size_t n) {
    event e = {.step = 0};
    for (const uint8_t *at = bytes; at < bytes + n;) {
        const field f = next_field(&at);
        e.step = f.number == 2 ? (int64_t)f.value : e.step;
        e.version |= f.number == 3 && f.value == 13 && memcmp(f.bytes, "brain.Event:2", 13) == 0;
        e.session |= f.number == 7 && f.value == 2 && f.bytes[0] == 0x08 && f.bytes[1] == 1;
        if (f.number == 5) {
            read_summary(&f, &e);
        }
    }
    return e;
}

/* The events of the only file in the folder `name`. */
static int read_events(const char *name, event *events, int n_max) {
    hy_file_list list;
    char path[1024], *text = NULL;
    size_t length = 0;
    int n = 0;
    assert_int_equal(hy_file_list_dir(scratch_path(name), HY_ERR_FAILED, &list), HY_OK);
    assert_int_equal(list.count, 1);
    assert_memory_equal(list.names[0], "events.out.tfevents.", 20);
    (void)snprintf(path, sizeof path, "%s/%s", scratch_path(name), list.names[0]);
    hy_file_list_free(&list);
    assert_int_equal(hy_file_read(path, 1 << 20, HY_ERR_FAILED, &text, &length), HY_OK);
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t at = 0; at < length; n++) {
        const size_t size = (size_t)fixed(bytes + at, 8);
        assert_true(n < n_max && at + 16 + size <= length);
        assert_check(bytes + at, 8, bytes + at + 8);
        assert_check(bytes + at + 12, size, bytes + at + 12 + size);
        events[n] = read_event(bytes + at + 12, size);
        at += 16 + size;
    }
    hy_free(text);
    return n;
}

static hy_tensorboard *open_in(const char *name, int64_t last_step) {
    hy_tensorboard *board = NULL;
    assert_int_equal(hy_file_make_dirs(scratch_path(name), HY_ERR_FAILED), HY_OK);
    assert_int_equal(hy_tensorboard_open(scratch_path(name), last_step, &board), HY_OK);
    return board;
}

static void reads_back(void **unused) {
    (void)unused;
    static event events[4];
    char long_tag[400];
    memset(long_tag, 'x', sizeof long_tag - 1);
    long_tag[sizeof long_tag - 1] = '\0';
    const hy_scalar few[] = {{"loss", 2.5}, {"validation/web", (double)NAN}, {"", -1e-3}};
    hy_scalar many[HY_SCALARS_MAX + 1];
    for (int i = 0; i <= HY_SCALARS_MAX; i++) {
        many[i] = (hy_scalar){long_tag, i};
    }
    assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xE3069283u);
    hy_tensorboard *board = open_in("back", 41);
    assert_int_equal(hy_tensorboard_add(board, 42, few, 3), HY_OK);
    assert_int_equal(hy_tensorboard_add(board, (int64_t)1 << 40, many, HY_SCALARS_MAX + 1), HY_OK);
    hy_tensorboard_close(board);
    assert_int_equal(read_events("back", events, 4), 4);
    assert_true(events[0].version && events[0].step == 0);
    assert_true(events[1].session && events[1].step == 42);
    assert_true(events[2].step == 42 && events[2].n == 3);
    assert_string_equal(events[2].tags[1], "validation/web");
    assert_true(events[2].values[0] == 2.5f && isnan(events[2].values[1]) && events[2].values[2] == -1e-3f);
    assert_true(events[3].step == (int64_t)1 << 40 && events[3].n == HY_SCALARS_MAX);
    assert_int_equal(strlen(events[3].tags[0]), HY_TAG_MAX);
    assert_true(events[3].values[HY_SCALARS_MAX - 1] == (float)(HY_SCALARS_MAX - 1));
}

/* Two starts in a second have a file each. */
static void starts_have_their_own_files(void **unused) {
    (void)unused;
    hy_file_list list;
    hy_tensorboard *first = open_in("starts", 0), *second = open_in("starts", 0);
    hy_tensorboard_close(first);
    hy_tensorboard_close(second);
    assert_int_equal(hy_file_list_dir(scratch_path("starts"), HY_ERR_FAILED, &list), HY_OK);
    assert_int_equal(list.count, 2);
    hy_file_list_free(&list);
}

/* A file size limit takes part of a record: those before it stay whole, and later ones follow once there is room. */
static void full_disk_costs_only_its_records(void **unused) {
    (void)unused;
    static event events[4];
    const hy_scalar scalar = {"loss", 1.0};
    const struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    hy_tensorboard *board = open_in("full", 0);
    hy_status status = HY_OK;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    capture_begin();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    status = hy_tensorboard_add(board, 1, &scalar, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)capture_end(); /* the limit holds for the log too */
    assert_int_equal(status, HY_ERR_ENV);
    assert_int_equal(hy_tensorboard_add(board, 2, &scalar, 1), HY_OK);
    hy_tensorboard_close(board);
    assert_int_equal(read_events("full", events, 4), 3);
    assert_int_equal(events[2].step, 2);
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_back), cmocka_unit_test(starts_have_their_own_files),
                                       cmocka_unit_test(full_disk_costs_only_its_records)};
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
