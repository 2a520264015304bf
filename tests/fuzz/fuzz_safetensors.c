/* A safetensors file: the input is the whole file, or, where it begins with '{', its header, to which as many bytes are given as its
 * last tensor claims. What opens is read to the end. */
#include <string.h>

#include "fuzz.h"
#include "train/publish/safetensors.h"

enum { DATA_MAX = 1 << 18 };

/* The largest number of the text that data of this kind may have. */
static size_t claimed_bytes(const uint8_t *text, size_t size) {
    size_t most = 0, number = 0;
    for (size_t i = 0; i < size; i++) {
        const int digit = text[i] >= '0' && text[i] <= '9';
        number = digit ? number * 10 + (size_t)(text[i] - '0') : 0;
        number = number > DATA_MAX ? 0 : number;
        most = number > most ? number : most;
    }
    return most;
}

static void write_file(const uint8_t *data, size_t size) {
    static uint8_t file[8 + FUZZ_INPUT_MAX + DATA_MAX];
    if (size == 0 || data[0] != '{') {
        fuzz_write("model.safetensors", data, size);
        return;
    }
    size = size > FUZZ_INPUT_MAX ? FUZZ_INPUT_MAX : size;
    const size_t after = claimed_bytes(data, size);
    for (int i = 0; i < 8; i++) {
        file[i] = (uint8_t)(size >> 8 * i);
    }
    memcpy(file + 8, data, size);
    memset(file + 8 + size, 0x3c, after);
    fuzz_write("model.safetensors", file, 8 + size + after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { PIECE = 4096 };
    static float elements[PIECE];
    hy_safetensors *set = NULL;
    write_file(data, size);
    const hy_status status = hy_safetensors_open(fuzz_folder(), &set);
    FUZZ_REFUSED(status, HY_ERR_DATA);
    int64_t n = 0;
    const hy_safetensor *all = status == HY_OK ? hy_safetensors_all(set, &n) : NULL;
    for (int64_t i = 0; i < n; i++) {
        FUZZ_NEED(hy_safetensors_find(set, all[i].name) == &all[i]);
        FUZZ_NEED(all[i].size >= 0 && all[i].bytes >= 0 && all[i].bytes <= FUZZ_INPUT_MAX + DATA_MAX);
        for (int64_t at = 0; at < all[i].size && all[i].type != HY_SAFETENSOR_OTHER; at += PIECE) {
            const int64_t left = all[i].size - at;
            FUZZ_NEED(hy_safetensors_read(set, &all[i], at, left < PIECE ? left : PIECE, HY_F32, elements) == HY_OK);
        }
    }
    hy_safetensors_close(set);
    return 0;
}
