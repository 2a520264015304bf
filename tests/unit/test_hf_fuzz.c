/* Mutated config.json and safetensors files, from fixed seeds: the readers answer with a status, never with a crash or a hang. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "train/publish/hf.h"
#include "train/publish/safetensors.h"

static char dir[] = "/tmp/hylas-fuzz-XXXXXX";
static char path[64];

static int make_dir(void **unused) {
    (void)unused;
    hy_log_set_level(HY_LOG_NONE);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    return 0;
}

static int remove_dir(void **unused) {
    (void)unused;
    unlink(path);
    return rmdir(dir);
}

static char *slurp(const char *name, size_t *len) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *len = fread(text, 1, 1 << 19, file);
    fclose(file);
    return text;
}

/* Up to four edits: flip a bit, write a byte that means something in JSON, delete or repeat a stretch, replace a number's digit. */
static size_t mutate(uint64_t seed, char *text, size_t len, size_t window) {
    static const char meaningful[] = "{}[]\",:0123456789-eE.ntf\\ I";
    uint64_t edits = 1 + hy_random_u64(seed, 0, 0) % 4;
    for (uint64_t e = 0; e < edits && len > 1; e++) {
        uint64_t r = hy_random_u64(seed, 1, e), limit = len < window ? len : window;
        size_t at = (size_t)(hy_random_u64(seed, 2, e) % limit), n = 1 + (size_t)(hy_random_u64(seed, 3, e) % 40);
        n = at + n > len ? len - at : n;
        switch (r % 5) {
        case 0:
            text[at] = (char)(text[at] ^ (1 << (r >> 8) % 8));
            break;
        case 1:
            text[at] = meaningful[(r >> 8) % (sizeof meaningful - 1)];
            break;
        case 2:
            memmove(text + at, text + at + n, len - at - n);
            len -= n;
            break;
        case 3:
            memmove(text + at + n, text + at, len - at);
            len += n;
            break;
        default:
            for (size_t i = at; i < len; i++)
                if (text[i] >= '0' && text[i] <= '9') {
                    text[i] = (char)('0' + (r >> 8) % 10);
                    break;
                }
        }
    }
    return len;
}

/* Mutations of one config.json; a fair share of them must still be understood. */
static void fuzz_config(const char *model, uint64_t seeds) {
    size_t len;
    uint64_t understood = 0;
    char name[512], *copy = malloc(1 << 20);
    snprintf(name, sizeof name, "%s/models/%s/config.json", HY_TEST_DATA, model);
    char *text = slurp(name, &len);
    assert_non_null(copy);
    for (uint64_t seed = 0; seed < seeds; seed++) {
        memcpy(copy, text, len);
        size_t n = mutate(seed, copy, len, len);
        hy_hf *hf = NULL;
        hy_status status = hy_hf_parse("fuzz", copy, n, &hf);
        assert_true(status == HY_OK || status == HY_ERR_DATA || status == HY_ERR_USAGE);
        understood += status == HY_OK;
        hy_hf_close(hf);
    }
    assert_in_range(understood, seeds / 40, seeds - seeds / 40);
    free(copy), free(text);
}

static void test_config_json(void **unused) {
    (void)unused;
    fuzz_config("gated_deltanet_hybrid", 4000);
    fuzz_config("hf_llama", 1000);
    fuzz_config("hf_qwen3_5_nested", 2000);
    fuzz_config("hf_olmo_hybrid", 2000);
    fuzz_config("hf_mamba2", 1000);
    fuzz_config("hf_bamba", 1000);
}

/* The header gets most of the edits. What opens is read to the end. */
static void test_safetensors(void **unused) {
    (void)unused;
    size_t len;
    char *text = slurp(HY_TEST_DATA "/models/gla/model.safetensors", &len), *copy = malloc(1 << 20);
    float *elements = malloc(1 << 20);
    assert_true(copy && elements);
    for (uint64_t seed = 0; seed < 1000; seed++) {
        memcpy(copy, text, len);
        size_t n = mutate(seed, copy, len, seed % 4 == 0 ? len : 9000);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(copy, 1, n, file), n);
        fclose(file);
        hy_safetensors *set = NULL;
        hy_status status = hy_safetensors_open(dir, &set);
        assert_true(status == HY_OK || status == HY_ERR_DATA);
        int64_t tensors = 0;
        const hy_safetensor *all = status == HY_OK ? hy_safetensors_all(set, &tensors) : NULL;
        for (int64_t i = 0; i < tensors; i++) {
            assert_true(all[i].size >= 0 && all[i].bytes >= 0 && (size_t)all[i].bytes <= n);
            if (all[i].type != HY_SAFETENSOR_OTHER)
                assert_int_equal(hy_safetensors_read(set, &all[i], 0, all[i].size, HY_F32, elements), HY_OK);
        }
        hy_safetensors_close(set);
    }
    free(elements), free(copy), free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_json),
        cmocka_unit_test(test_safetensors),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
