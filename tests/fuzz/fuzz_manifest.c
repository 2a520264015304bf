/* A checkpoint's manifest behind a seal that fits it, as a stranger would make one. */
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "train/checkpoint/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char digits[17], seal[64];
    hy_manifest m = {0};
    hy_hash_format(hy_hash_bytes(data, size), digits);
    const int n = snprintf(seal, sizeof seal, "%zu %s\n", size, digits);
    fuzz_write("manifest.json", data, size);
    fuzz_write("manifest.json.xxh3", seal, (size_t)n);
    const int64_t bytes = hy_alloc_bytes();
    const hy_status status = hy_manifest_read(fuzz_folder(), &m);
    FUZZ_REFUSED(status, HY_ERR_CHECKPOINT);
    for (int64_t f = 0; f < m.n_files; f++) {
        const char *name = m.files[f].name;
        FUZZ_NEED(name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL);
        for (int64_t s = 0; s < m.files[f].n_slices; s++) {
            const hy_slice *slice = &m.files[f].slices[s];
            FUZZ_NEED(slice->tensor < m.n_tensors && slice->begin >= 0 && slice->count >= 0 &&
                      slice->begin + slice->count <= m.tensors[slice->tensor].size);
            FUZZ_NEED(slice->at >= 0 && slice->at + slice->count <= m.files[f].hash.size);
        }
    }
    hy_manifest_fini(&m);
    FUZZ_NEED(hy_alloc_bytes() == bytes);
    return 0;
}
