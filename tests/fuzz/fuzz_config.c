/* A YAML configuration: read or refused; what is read can be written and read back, its model built, and its memory planned. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static hy_config config;
    (void)fuzz_folder();
    const hy_status status = hy_config_parse("fuzz", (const char *)data, size, &config);
    FUZZ_REFUSED(status, HY_ERR_USAGE);
    if (status == HY_OK) {
        fuzz_use_config(&config);
    }
    return 0;
}
