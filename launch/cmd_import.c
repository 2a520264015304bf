/* `hylas import hf DIR --out CKPT`: a published model into a checkpoint of step 0, from which it is evaluated or trained further. The
 * original config.json and the tensors' element types travel along as attachments, for `export hf`. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/published.h"
#include "train/checkpoint/checkpoint.h"
#include "train/publish/hf.h"
#include "train/publish/hf_companions.h"
#include "train/run/config.h"

/* The defaults, this model, and CKPT as the place to start from. */
static hy_status make_config(const hy_hf *hf, const char *out, char **text, size_t *len) {
    hy_config *config;
    HY_TRY(HY_NEW("config", 1, &config));
    hy_status status = hy_config_parse("defaults", "{}", 2, config);
    if (status == HY_OK) {
        config->model = *hy_hf_model_config(hf);
        char place[PATH_MAX]; /* absolute, so that the config works from any folder */
        if (!realpath(out, place) ||
            snprintf(config->train.init, sizeof config->train.init, "%s", place) >= (int)sizeof config->train.init)
            status = hy_fail(HY_ERR_USAGE, "--out %s: not a usable path", out);
    }
    if (status == HY_OK)
        status = hy_config_write(config, text, len);
    hy_free(config);
    return status;
}

/* A folder that holds a run's checkpoints is no place for another model's step 0. */
static hy_status check_out_place(const char *out) {
    hy_file_list list;
    hy_status status = HY_OK;
    if (!hy_file_exists(out))
        return HY_OK;
    HY_TRY(hy_file_list_dir(out, HY_ERR_USAGE, &list));
    for (int64_t i = 0; i < list.count && status == HY_OK; i++)
        if (strncmp(list.names[i], "step-", 5) == 0 && strcmp(list.names[i], "step-0") != 0)
            status = hy_fail(HY_ERR_USAGE, "--out %s: holds %s already; choose another folder", out, list.names[i]);
    hy_file_list_free(&list);
    return status;
}

typedef struct import {
    hy_hf *hf;
    hy_model *model;
    hy_comm *self;
    hy_dtype dtype;
    void *params;
    char *types, *config, files[HY_PATH_MAX]; /* files: as HY_PUBLISHED_FILES, "" = there are none */
    size_t config_len;
} import;

static hy_status save_checkpoint(const import *im, const char *out) {
    size_t len;
    const hy_attachment attachments[] = {{HY_PUBLISHED_CONFIG, (char *)(uintptr_t)hy_hf_config_text(im->hf, &len)},
                                         {HY_PUBLISHED_TYPES, im->types},
                                         {HY_PUBLISHED_FILES, (char *)(uintptr_t)im->files}};
    char path[HY_PATH_MAX];
    HY_TRY(hy_checkpoint_write_params(out, im->model, im->self, im->config, im->dtype, im->params, attachments,
                                      im->files[0] ? 3 : 2));
    if (snprintf(path, sizeof path, "%s/config.yaml", out) >= (int)sizeof path)
        return hy_fail(HY_ERR_USAGE, "--out %s: path too long", out);
    return hy_file_write_atomic(path, im->config, im->config_len, HY_ERR_CHECKPOINT);
}

/* Copies of them in out/hf, an absolute path so that checkpoints trained from here find it. */
static hy_status keep_companions(import *im, const char *dir, const char *out) {
    char place[PATH_MAX];
    int64_t n = 0;
    if (!realpath(out, place) || snprintf(im->files, sizeof im->files, "%s/hf", place) >= (int)sizeof im->files)
        return hy_fail(HY_ERR_USAGE, "--out %s: not a usable path", out);
    HY_TRY(hy_hf_companions_copy(dir, im->files, &n));
    if (n == 0)
        im->files[0] = '\0';
    return HY_OK;
}

static hy_status import_model(import *im, const char *dir, const char *out) {
    HY_TRY(check_out_place(out));
    HY_TRY(hy_hf_open(dir, &im->hf));
    HY_TRY(hy_file_make_dirs(out, HY_ERR_USAGE));
    HY_TRY(make_config(im->hf, out, &im->config, &im->config_len));
    HY_TRY(hy_comm_self_create(&im->self));
    HY_TRY(hy_model_create(hy_hf_model_config(im->hf), 1, &im->model));
    HY_TRY(hy_hf_stored_dtype(dir, &im->dtype));
    HY_TRY(hy_alloc("parameters", (size_t)hy_model_flat_size(im->model) * hy_dtype_size(im->dtype), &im->params));
    HY_TRY(hy_hf_read_params(im->hf, dir, im->model, im->dtype, im->params, &im->types));
    HY_TRY(keep_companions(im, dir, out));
    HY_TRY(save_checkpoint(im, out));
    const hy_model_config *model = hy_hf_model_config(im->hf);
    printf("%s: %s, %lld layers of width %lld, %s parameters\n", dir, model->family, (long long)model->layers,
           (long long)model->width, hy_text_count((double)hy_model_parameter_count(im->model)).s);
    printf("checkpoint  %s/step-0\n", out);
    printf("train it    mpirun -np N hylas train %s/config.yaml --set data.store=FILE --set run.dir=DIR\n", out);
    return HY_OK;
}

hy_status hy_cmd_import(int argc, char **argv, hy_comm *world) {
    const char *out = NULL;
    const hy_option options[] = {
        {"--out", HY_OPTION_TEXT, &out, "CKPT", "folder for the checkpoint, which becomes CKPT/step-0"}};
    const hy_usage usage = {
        .line = "hylas import hf DIR --out CKPT",
        .about = "Reads a published model (config.json and model.safetensors, whole or sharded; models and hybrids of "
                 "flash-linear-attention, dense "
                 "hybrids of transformers) into a checkpoint of step 0. A model_type that is not known, or a key of "
                 "config.json that changes "
                 "the mathematics and is not supported, is an error that names it.",
        .options = options,
        .n_options = 1,
        .min_args = 2,
        .max_args = 2,
    };
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help)
        return HY_OK;
    hy_status status = HY_OK;
    if (hy_comm_rank(world) == 0) {
import im = {.dtype = HY_F32 };
        status = hy_published_check_format(args.positional[0]);
        if (status == HY_OK && !out)
            status = hy_fail(HY_ERR_USAGE, "import needs --out CKPT");
        if (status == HY_OK)
            status = import_model(&im, args.positional[1], out);
        hy_free(im.params);
        hy_free(im.types);
        hy_free(im.config);
        hy_model_destroy(im.model);
        hy_comm_destroy(im.self);
        hy_hf_close(im.hf);
    }
    return hy_comm_agree(world, status);
}
