#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/data/file_hash.h"
#include "train/data/token_store.h"

/* Documents of random lengths with random ids, written in random pieces. */
static int64_t make_store(const char *path, int64_t vocab, int64_t n_docs, uint64_t seed, int32_t *tokens,
                          int64_t *offsets) {
    hy_token_writer *writer = NULL;
    int64_t n = 0;
    assert_int_equal(hy_token_writer_create(path, vocab, "bytes", &writer), HY_OK);
    offsets[0] = 0;
    for (int64_t d = 0; d < n_docs; d++) {
        const int64_t length = 1 + (int64_t)(hy_random_u64(seed, 1, (uint64_t)d) % (d % 7 == 3 ? 40000 : 90));
        for (int64_t i = 0; i < length; i++) {
            tokens[n + i] = (int32_t)(hy_random_u64(seed, 2, (uint64_t)(n + i)) % (uint64_t)vocab);
        }
        const int64_t half = length / 3;
        assert_int_equal(hy_token_writer_append(writer, tokens + n, half), HY_OK);
        assert_int_equal(hy_token_writer_append(writer, tokens + n + half, length - half), HY_OK);
        assert_int_equal(hy_token_writer_end_document(writer), HY_OK);
        n += length;
        offsets[d + 1] = n;
    }
    assert_int_equal(hy_token_writer_finish(writer), HY_OK);
    hy_token_writer_destroy(writer);
    return n;
}

enum { MAX_TOKENS = 1 << 20 };
static int32_t tokens[MAX_TOKENS], got[MAX_TOKENS];
static int64_t offsets[2000], bounds[MAX_TOKENS];

static void round_trip(void **state) {
    (void)state;
    static const int64_t vocabs[] = {256, 257, 65536, 70000, INT32_MAX};
    static const int bytes[] = {1, 2, 2, 4, 4};
    for (int c = 0; c < 5; c++) {
        const char *path = scratch_path("round.h5");
        const int64_t n_docs = 40 + c, n = make_store(path, vocabs[c], n_docs, (uint64_t)c, tokens, offsets);
        hy_store_summary summary;
        hy_token_store *store = NULL;
        assert_int_equal(hy_token_store_check(path, 1000, &summary), HY_OK);
        assert_true(summary.sealed);
        assert_int_equal(summary.tokens, n);
        int64_t longest = 0, longer = 0;
        for (int64_t d = 0; d < n_docs; d++) {
            const int64_t length = offsets[d + 1] - offsets[d];
            longest = length > longest ? length : longest;
            longer += length > 1000;
        }
        assert_int_equal(summary.longest, longest);
        assert_int_equal(summary.longer, longer);
        assert_int_equal(hy_token_store_open(path, &store), HY_OK);
        assert_int_equal(hy_token_store_documents(store), n_docs);
        assert_int_equal(hy_token_store_vocab(store), vocabs[c]);
        assert_int_equal(hy_token_store_token_bytes(store), bytes[c]);
        assert_string_equal(hy_token_store_tokenizer(store), "bytes");
        for (uint64_t r = 0; r < 60; r++) {
            const int64_t begin = (int64_t)(hy_random_u64(9, r, 0) % (uint64_t)(n + 1));
            const int64_t end = begin + (int64_t)(hy_random_u64(9, r, 1) % (uint64_t)(n - begin + 1));
            int64_t count = -1, expected = 0;
            assert_int_equal(hy_token_store_read(store, begin, end - begin, got), HY_OK);
            assert_memory_equal(got, tokens + begin, (size_t)(end - begin) * sizeof *got);
            assert_int_equal(hy_token_store_boundaries(store, begin, end, MAX_TOKENS, bounds, &count), HY_OK);
            for (int64_t d = 0; d <= n_docs; d++) {
                if (offsets[d] >= begin && offsets[d] <= end) {
                    assert_true(expected < count);
                    assert_int_equal(bounds[expected++], offsets[d]);
                }
            }
            assert_int_equal(count, expected);
        }
        hy_token_store_close(store);
    }
}

/* With answers written at another pace than tokens; without them nothing changes. */
static void answers_round_trip(void **state) {
    (void)state;
    enum { N = 70001, DOCUMENTS = 7 };
    static uint8_t answers[N], back[N];
    const char *path = scratch_path("answers.h5");
    hy_token_writer *writer = NULL;
    hy_token_store *store = NULL;
    hy_store_summary summary;
    int64_t count = 0;
    for (int64_t i = 0; i < N; i++) {
        answers[i] = hy_random_u64(4, 4, (uint64_t)i) % 5 == 0;
        tokens[i] = (int32_t)(i % 100);
        count += answers[i];
    }
    assert_int_equal(hy_token_writer_create(path, 100, "test", &writer), HY_OK);
    for (int64_t d = 0, at = 0; d < DOCUMENTS; d++) {
        const int64_t n = d + 1 < DOCUMENTS ? 10000 : N - at;
        assert_int_equal(hy_token_writer_append(writer, tokens + at, n), HY_OK);
        assert_int_equal(hy_token_writer_end_document(writer), HY_OK);
        at += n;
    }
    assert_int_equal(hy_token_writer_append_answers(writer, answers, 3), HY_OK);
    capture_begin();
    assert_int_equal(hy_token_writer_finish(writer), HY_ERR_DATA);
    assert_contains(capture_end(), "answers of 3 tokens were given, there are 70001");
    assert_int_equal(hy_token_writer_append_answers(writer, answers + 3, N - 3), HY_OK);
    assert_int_equal(hy_token_writer_finish(writer), HY_OK);
    hy_token_writer_destroy(writer);

    assert_int_equal(hy_token_store_check(path, 0, &summary), HY_OK);
    assert_true(summary.sealed);
    assert_int_equal(summary.answers, count);
    assert_int_equal(hy_token_store_open(path, &store), HY_OK);
    assert_true(hy_token_store_has_answers(store));
    assert_int_equal(hy_token_store_read_answers(store, 5, N - 6, back), HY_OK);
    assert_memory_equal(back, answers + 5, N - 6);
    capture_begin();
    assert_int_equal(hy_token_store_read_answers(store, 5, N, back), HY_ERR_DATA);
    assert_contains(capture_end(), "answers 5 .. 70006 asked for");
    hy_token_store_close(store);

    make_store(path, 256, 3, 1, tokens, offsets);
    assert_int_equal(hy_token_store_check(path, 0, &summary), HY_OK);
    assert_int_equal(summary.answers, -1);
    assert_int_equal(hy_token_store_open(path, &store), HY_OK);
    assert_false(hy_token_store_has_answers(store));
    hy_token_store_close(store);
}

/* Adds a list of answers to a store, which then has no seal. */
static void add_answers(const char *path, hsize_t n, uint8_t value) {
    char seal[4200];
    const uint8_t list[8] = {0, 1, value, 0, 1, 0, 0, 0};
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple(1, &n, NULL);
    const hid_t a = H5Dcreate2(file, "answers", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(a, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, list) >= 0);
    H5Dclose(a);
    H5Sclose(space);
    H5Fclose(file);
    snprintf(seal, sizeof seal, "%s.xxh3", path);
    remove(seal);
}

static void makes_missing_folders(void **state) {
    (void)state;
    hy_token_writer *writer = NULL;
    const char *path = scratch_path("new/folders/store.h5");
    assert_int_equal(hy_token_writer_create(path, 256, "bytes", &writer), HY_OK);
    hy_token_writer_destroy(writer);
}

static void writer_refuses(void **state) {
    (void)state;
    hy_token_writer *writer = NULL;
    const int32_t bad[] = {0, 255, 256};
    const char *path = scratch_path("refuse.h5");
    capture_begin();
    assert_int_equal(hy_token_writer_create(path, 256, "bytes", &writer), HY_OK);
    assert_int_equal(hy_token_writer_end_document(writer), HY_ERR_DATA);
    assert_int_equal(hy_token_writer_append(writer, bad, 3), HY_ERR_DATA);
    assert_int_equal(hy_token_writer_finish(writer), HY_ERR_DATA);
    assert_int_equal(hy_token_writer_append(writer, bad, 2), HY_OK);
    assert_int_equal(hy_token_writer_finish(writer), HY_ERR_DATA);
    hy_token_writer_destroy(writer);
    const char *said = capture_end();
    assert_contains(said, "document 0 is empty");
    assert_contains(said, "token 2 has id 256");
    assert_contains(said, "last document was not ended");
    assert_false(hy_file_exists(path));
    assert_false(hy_file_exists(scratch_path("refuse.h5.tmp")));
}

/* A store made by others: no seal, contiguous uint8, whatever offsets. */
static void make_foreign(const char *path, const uint8_t *ids, hsize_t n, const int64_t *docs, hsize_t n_offsets,
                         long long vocab) {
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t a = H5Screate_simple(1, &n, NULL), b = H5Screate_simple(1, &n_offsets, NULL),
                one = H5Screate(H5S_SCALAR);
    const hid_t t = H5Dcreate2(file, "tokens", H5T_STD_U8LE, a, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t d = H5Dcreate2(file, "documents", H5T_STD_I64LE, b, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t v = H5Acreate2(file, "vocab", H5T_STD_I64LE, one, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(t, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, ids) >= 0);
    assert_true(H5Dwrite(d, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, docs) >= 0);
    assert_true(H5Awrite(v, H5T_NATIVE_LLONG, &vocab) >= 0);
    H5Aclose(v);
    H5Dclose(t);
    H5Dclose(d);
    H5Sclose(a);
    H5Sclose(b);
    H5Sclose(one);
    H5Fclose(file);
}

static void foreign_answers(void **state) {
    (void)state;
    static const struct {
        hsize_t n;
        uint8_t value;
        hy_status status;
        const char *says;
    } cases[] = {{5, 1, HY_OK, "no seal"},
                 {5, 2, HY_ERR_DATA, "answers of token 2 is 2"},
                 {4, 1, HY_ERR_DATA, "answers are 4 integers of 1 bytes; they must be uint8, one for each of 5"}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const char *path = scratch_path("foreign-answers.h5");
        hy_store_summary summary;
        make_foreign(path, (const uint8_t[]){1, 2, 3, 4, 5}, 5, (const int64_t[]){0, 5}, 2, 10);
        add_answers(path, cases[c].n, cases[c].value);
        capture_begin();
        const hy_status status = hy_token_store_check(path, 0, &summary);
        assert_contains(capture_end(), cases[c].says);
        assert_int_equal(status, cases[c].status);
        assert_true(status != HY_OK || summary.answers == 3);
    }
}

static void foreign_stores(void **state) {
    (void)state;
    static const struct {
        uint8_t third;
        int64_t docs[4];
        long long vocab;
        hy_status status;
        const char *says;
    } cases[] = {
        {7, {0, 2, 3, 5}, 10, HY_OK, "no seal"},
        {10, {0, 2, 3, 5}, 10, HY_ERR_DATA, "token 2 has id 10, outside the store's vocabulary of 10"},
        {7, {0, 2, 2, 5}, 10, HY_ERR_DATA, "document 1 is empty"},
        {7, {0, 3, 2, 5}, 10, HY_ERR_DATA, "document 1 ends before it begins"},
        {7, {1, 2, 3, 5}, 10, HY_ERR_DATA, "go from 1 to 5"},
        {7, {0, 2, 3, 6}, 10, HY_ERR_DATA, "go from 0 to 6"},
        {7, {0, 2, 3, 5}, 1, HY_ERR_DATA, "vocab is 1"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const char *path = scratch_path("foreign.h5");
        const uint8_t ids[5] = {1, 2, cases[c].third, 4, 5};
        hy_store_summary summary;
        make_foreign(path, ids, 5, cases[c].docs, 4, cases[c].vocab);
        capture_begin();
        const hy_status status = hy_token_store_check(path, 2, &summary);
        const char *said = capture_end();
        assert_int_equal(status, cases[c].status);
        assert_contains(said, cases[c].says);
        if (status == HY_OK) {
            assert_false(summary.sealed);
            assert_int_equal(summary.longer, 0);
            assert_int_equal(summary.longest, 2);
        }
    }
}

static size_t read_all(const char *path, unsigned char **bytes) {
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(hy_file_read(path, 1 << 26, HY_ERR_FAILED, &text, &n), HY_OK);
    *bytes = (unsigned char *)text;
    return n;
}

static void write_all(const char *path, const unsigned char *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static hy_status check_quietly(const char *path, const char **said) {
    hy_store_summary summary;
    capture_begin();
    const hy_status status = hy_token_store_check(path, 0, &summary);
    *said = capture_end();
    return status;
}

static void damage(void **state) {
    (void)state;
    const char *path = scratch_path("damage.h5"), *said = NULL;
    unsigned char *bytes = NULL;
    make_store(path, 256, 50, 3, tokens, offsets);
    const size_t n = read_all(path, &bytes);

    assert_int_equal(check_quietly(scratch_path("nowhere.h5"), &said), HY_ERR_DATA);
    assert_contains(said, "no such token store");
    for (uint64_t flip = 0; flip < 40; flip++) {
        const size_t bit = hy_random_u64(4, flip, 0) % (8 * n);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        write_all(path, bytes, n);
        assert_int_equal(check_quietly(path, &said), HY_ERR_DATA);
        assert_contains(said, "damaged");
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    for (uint64_t cut = 0; cut < 10; cut++) {
        write_all(path, bytes, hy_random_u64(5, cut, 0) % n);
        assert_int_equal(check_quietly(path, &said), HY_ERR_DATA);
        assert_contains(said, "truncated");
    }
    write_all(path, bytes, n);
    assert_int_equal(check_quietly(path, &said), HY_OK);
    write_all(scratch_path("damage.h5.xxh3"), (const unsigned char *)"12 zz\n", 6);
    assert_int_equal(check_quietly(path, &said), HY_ERR_DATA);
    assert_contains(said, "damaged seal");
    hy_free(bytes);
}

/* Without a seal libhdf5 meets the damage, in the child: any outcome but a good reading of other tokens or a failed
 * test. */
static void damage_without_seal(void **state) {
    (void)state;
    const char *path = scratch_path("unsealed.h5"), *said = NULL;
    unsigned char *bytes = NULL;
    int refused = 0;
    const int64_t n_tokens = make_store(path, 256, 20, 6, tokens, offsets);
    const size_t n = read_all(path, &bytes);
    assert_int_equal(hy_seal_remove(path, HY_ERR_FAILED), HY_OK);
    for (uint64_t flip = 0; flip < 60; flip++) {
        const size_t span = flip % 2 == 0 ? 4096 : n; /* half of them where the structure is */
        const size_t bit = hy_random_u64(7, flip, 0) % (8 * (span < n ? span : n));
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        write_all(path, bytes, n);
        const hy_status status = check_quietly(path, &said);
        assert_true(status == HY_OK || status == HY_ERR_DATA);
        refused += status != HY_OK;
        if (status == HY_OK) { /* an unused byte: what is read is right */
            hy_token_store *store = NULL;
            assert_int_equal(hy_token_store_open(path, &store), HY_OK);
            assert_int_equal(hy_token_store_tokens(store), n_tokens);
            assert_int_equal(hy_token_store_read(store, 0, n_tokens, got), HY_OK);
            assert_memory_equal(got, tokens, (size_t)n_tokens * sizeof *got);
            hy_token_store_close(store);
        }
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    assert_true(refused > 10);
    hy_free(bytes);
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),          cmocka_unit_test(writer_refuses),
        cmocka_unit_test(foreign_stores),      cmocka_unit_test(damage),
        cmocka_unit_test(damage_without_seal), cmocka_unit_test(answers_round_trip),
        cmocka_unit_test(foreign_answers),     cmocka_unit_test(makes_missing_folders),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
