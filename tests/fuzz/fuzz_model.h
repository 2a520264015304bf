/* What is done with a configuration or a model that was accepted. */
#ifndef HY_TESTS_FUZZ_MODEL_H
#define HY_TESTS_FUZZ_MODEL_H

#include "fuzz.h"
#include "train/run/config.h"

/* Writes it and reads it back; builds its model and plans the memory of its first rank, unless that would be slow. */
void fuzz_use_config(const hy_config *config);
/* Builds the model (few layers only); NULL: it is refused, or has many layers. The caller destroys it. */
hy_model *fuzz_build_model(const hy_model_config *config);

#endif
