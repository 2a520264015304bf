/* `hylas export hf CKPT --out DIR`: config.json and model.safetensors of a checkpoint, and what else the imported model's folder held. One
 * that was imported gets its own config.json and element types back; another one is described in the terms of a family that fits it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/published.h"
#include "train/checkpoint/checkpoint.h"
#include "train/publish/hf.h"
#include "train/publish/hf_companions.h"
#include "train/run/config.h"
#include "train/run/stage.h"

typedef struct exporting {
    hy_comm *self;
    bool opened;
    hy_checkpoint checkpoint;
    hy_config config;       /* as of the checkpoint's step */
    int64_t trained_length; /* tokens */
    hy_hf *hf;
    const char *types;
    hy_model *model;
    void *params;
} exporting;

/* Tokens of the longest sequence that it was trained on, 0 if it was not. */
static int64_t trained_length(const hy_config *config, const hy_progress *progress) {
    int64_t longest = 0;
    for (int i = 0; progress->updates > 0 && i <= hy_stage_at(config, progress->step); i++) {
        const int64_t sequence = hy_stage_get(config, i).sequence;
        longest = sequence > longest ? sequence : longest;
    }
    return longest;
}

/* The attached config.json, if it still says what the checkpoint's model is and is of the family that is wanted; else a new one. */
static hy_status find_description(exporting *ex, const char *family) {
    const char *text = hy_checkpoint_attachment(&ex->checkpoint, HY_PUBLISHED_CONFIG);
    const hy_hf_extra extra = {text, ex->trained_length};
    if (text) {
        HY_TRY(hy_hf_parse("the checkpoint's config.json", text, strlen(text), &ex->hf));
        const bool wanted = !family || strcmp(family, hy_hf_family_name(ex->hf)) == 0;
        if (wanted && hy_hf_fits(ex->hf, &ex->config.model)) {
            ex->types = hy_checkpoint_attachment(&ex->checkpoint, HY_PUBLISHED_TYPES);
            return hy_hf_allow_positions(ex->hf, extra.positions);
        }
        if (wanted)
            hy_warn("%s: its model is no longer the imported one: config.json is written anew", ex->checkpoint.path);
        hy_hf_close(ex->hf);
        ex->hf = NULL;
    }
    return hy_hf_describe(&ex->config.model, family, &extra, &ex->hf);
}

/* Tokenizer and generation settings, from the imported model's folder if it was given, else from import's copies. */
static hy_status put_companions(const exporting *ex, const char *out, const char *rest) {
    const char *kept = hy_checkpoint_attachment(&ex->checkpoint, HY_PUBLISHED_FILES), *from = rest ? rest : kept;
    int64_t n = 0;
    if (!from)
        return HY_OK;
    HY_TRY(hy_hf_companions_copy(from, out, &n));
    if (n == 0 && kept)
        hy_warn("%s: the imported model's tokenizer and generation settings are not there; --rest DIR, its folder, "
                "copies them",
                from);
    if (n > 0)
        printf("%s: %lld files of tokenizer and generation settings from %s\n", out, (long long)n, from);
    return HY_OK;
}

static hy_status export_model(exporting *ex, const char *path, const char *family, const char *out, const char *rest) {
    HY_TRY(hy_comm_self_create(&ex->self));
    HY_TRY(hy_checkpoint_open(path, ex->self, NULL, &ex->checkpoint));
    ex->opened = true;
    const char *yaml = ex->checkpoint.manifest.config;
    HY_TRY(hy_config_parse("the checkpoint's config", yaml, strlen(yaml), &ex->config));
    ex->trained_length = trained_length(&ex->config, &ex->checkpoint.manifest.progress);
    hy_stage_enter_config(&ex->config, ex->checkpoint.manifest.progress.step);
    HY_TRY(find_description(ex, family));
    HY_TRY(hy_model_create(&ex->config.model, 1, &ex->model));
    hy_dtype dtype = ex->types && strstr(ex->types, "\"F64\"") ? HY_F64 : HY_F32;
    HY_TRY(hy_alloc("parameters", (size_t)hy_model_flat_size(ex->model) * hy_dtype_size(dtype), &ex->params));
    const hy_checkpoint_target target = {.dtype = dtype, .params = ex->params};
    HY_TRY(hy_checkpoint_read(&ex->checkpoint, ex->model, ex->self, &target));
    if (rest)
        HY_TRY(hy_hf_take_rest(ex->hf, rest));
    HY_TRY(hy_hf_write(ex->hf, out, ex->model, dtype, ex->params, ex->types));
    HY_TRY(put_companions(ex, out, rest));
    printf("%s: %s, %s parameters\n%s/config.json\n%s/model.safetensors\n", ex->checkpoint.path,
           hy_hf_family_name(ex->hf), hy_text_count((double)hy_model_parameter_count(ex->model)).s, out, out);
    return HY_OK;
}

static hy_status run_alone(const hy_args *args, const char *family, const char *out, const char *rest) {
    exporting *ex = NULL;
    HY_TRY(hy_published_check_format(args->positional[0]));
    if (!out)
        return hy_fail(HY_ERR_USAGE, "export needs --out DIR");
    HY_TRY(HY_NEW("export", 1, &ex));
    hy_status status = export_model(ex, args->positional[1], family, out, rest);
    hy_free(ex->params);
    hy_model_destroy(ex->model);
    hy_hf_close(ex->hf);
    if (ex->opened)
        hy_checkpoint_close(&ex->checkpoint);
    hy_comm_destroy(ex->self);
    hy_free(ex);
    return status;
}

hy_status hy_cmd_export(int argc, char **argv, hy_comm *world) {
    const char *out = NULL, *rest = NULL, *family = NULL;
    char about[1024], names[640];
    hy_hf_family_names(names, sizeof names);
    snprintf(
        about, sizeof about,
        "Writes a checkpoint (or a run folder's newest) as a published model. Without training in between, an imported "
        "model's tensors come back byte for byte. Families for --as: %s. The first five open in transformers, the "
        "others "
        "in flash-linear-attention.",
        names);
    const hy_option options[] = {
        {"--out", HY_OPTION_TEXT, &out, "DIR", "folder for config.json and model.safetensors"},
        {"--as", HY_OPTION_TEXT, &family, "NAME",
         "family to write; default: the imported one, else the first that says the model exactly"},
        {"--rest", HY_OPTION_TEXT, &rest, "DIR",
         "the imported model's folder: tensors that import skips (of images, of drafts) and its tokenizer are copied "
         "from it"},
    };
    const hy_usage usage = {
        .line = "hylas export hf CKPT --out DIR [--as NAME] [--rest DIR]",
        .about = about,
        .options = options,
        .n_options = 3,
        .min_args = 2,
        .max_args = 2,
    };
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help)
        return HY_OK;
    hy_status status = hy_comm_rank(world) == 0 ? run_alone(&args, family, out, rest) : HY_OK;
    return hy_comm_agree(world, status);
}
