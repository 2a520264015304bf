/* model.safetensors.index.json beside two shards. */
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "train/publish/safetensors.h"

static void write_shard(const char *name, const char *header) {
    uint8_t file[256] = {(uint8_t)strlen(header)};
    memcpy(file + 8, header, strlen(header));
    memset(file + 8 + strlen(header), 0x3c, 8);
    fuzz_write(name, file, 8 + strlen(header) + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int ready;
    if (!ready) {
        write_shard("model-00001-of-00002.safetensors",
                    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}");
        write_shard("model-00002-of-00002.safetensors",
                    "{\"b\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
                    "\"c\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[4,8]}}");
        ready = 1;
    }
    hy_safetensors *set = NULL;
    int64_t n = 0;
    fuzz_write("model.safetensors.index.json", data, size);
    const int64_t bytes = hy_alloc_bytes();
    const hy_status status = hy_safetensors_open(fuzz_folder(), &set);
    FUZZ_REFUSED(status, HY_ERR_DATA);
    if (status == HY_OK) {
        (void)hy_safetensors_all(set, &n);
        FUZZ_NEED(n >= 0 && n <= 3);
    }
    hy_safetensors_close(set);
    FUZZ_NEED(hy_alloc_bytes() == bytes);
    return 0;
}
