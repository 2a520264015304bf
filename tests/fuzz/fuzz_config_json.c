/* config.json of a published model, any family: read or refused; what is read is a model that can be built, whose tensors have
 * places in files, and which can be described again. */
#include <string.h>

#include "base/memory.h"
#include "fuzz_model.h"
#include "train/publish/hf.h"
#include "train/publish/hf_tensors.h"

/* Every form that the family's files have: the names decide. */
static const char *const names[] = {"{}", "{\"model.layers.0.attn.x_x\": 1}",
                                    "{\"model.layers.0.input_layernorm.weight\": 1}",
                                    "{\"model.layers.0.attn.feature_map_q.layer.weight\": 1, "
                                    "\"model.layers.0.attn.feature_map_k.layer.weight\": 1}",
                                    "{\"model.layers.0.post_feedforward_layernorm.weight\": 1, "
                                    "\"model.layers.0.feedforward_layer_norm.weight\": 1}"};

static void bind_all(const hy_hf *hf, const hy_model *model) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *json = json_loads(names[i], 0, NULL);
        hy_hf_map map = {0};
        FUZZ_NEED(hy_hf_map_create(hf, hy_hf_form_of(hf, json), model, &map) == HY_OK);
        for (int64_t p = 0; p < map.n; p++) {
            const hy_hf_binding *b = &map.pieces[p].binding;
            FUZZ_NEED(b->n_dims >= 1 && b->n_dims <= 4 && b->n_blocks >= 0 && b->block_rows >= 0);
            for (int64_t k = 0; k < b->n_blocks && k < 8; k++) {
                FUZZ_NEED(b->param_row + k * b->param_stride + b->block_rows <= map.pieces[p].param->shape[0]);
                FUZZ_NEED(b->file_row + k * b->file_stride + b->block_rows <= b->shape[0]);
            }
        }
        hy_free(map.pieces);
        json_decref(json);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hy_hf *hf = NULL, *again = NULL;
    (void)fuzz_folder();
    const int64_t bytes = hy_alloc_bytes();
    const hy_status status = hy_hf_parse("fuzz", (const char *)data, size, &hf);
    FUZZ_REFUSED(status, HY_ERR_DATA);
    if (status == HY_OK) {
        hy_model *model = fuzz_build_model(hy_hf_model_config(hf));
        if (model) {
            bind_all(hf, model);
            char *original = strndup((const char *)data, size);
            FUZZ_NEED(original != NULL);
            FUZZ_REFUSED(hy_hf_describe(hy_hf_model_config(hf), NULL, &(hy_hf_extra){original, 77}, &again),
                         HY_ERR_USAGE);
            free(original);
        }
        hy_model_destroy(model);
        hy_hf_close(again);
        hy_hf_close(hf);
    }
    FUZZ_NEED(hy_alloc_bytes() == bytes);
    return 0;
}
