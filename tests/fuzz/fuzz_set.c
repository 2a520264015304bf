/* Assignments of --set, one a line, on a small configuration. */
#include <string.h>

#include "fuzz_model.h"

static const char base[] = "{model: {layers: 2, width: 32, vocab: 64, schedule: {pattern: [gla, attention]}}, "
                           "data: {sequence: 64, batch: 2}}";
enum { SETS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static hy_config config;
    static char text[FUZZ_INPUT_MAX + 1];
    const char *sets[SETS_MAX];
    int n = 0;
    (void)fuzz_folder();
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line && n < SETS_MAX; line = strtok_r(NULL, "\n", &rest)) {
        sets[n++] = line;
    }
    const hy_status status = hy_config_parse_with("fuzz", base, sizeof base - 1, sets, n, &config);
    FUZZ_REFUSED(status, HY_ERR_USAGE);
    if (status == HY_OK) {
        fuzz_use_config(&config);
    }
    return 0;
}
