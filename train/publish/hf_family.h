/* What a family of published models brings: which config.json keys it knows, how they fill a hy_model_config, and where each of our
 * parameters lies in its files. A new family is one file with one such table, named in HY_HF_FAMILIES (hf.c). */
#ifndef HY_TRAIN_HF_FAMILY_H
#define HY_TRAIN_HF_FAMILY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "layers/model.h"
#include "train/publish/safetensors.h"

/* ---- config.json ---- */

/* An object of config.json being read. The first wrong value is logged and stays in `status`; reads after it give the default. */
typedef struct hy_hf_reader {
    const char *file, *prefix; /* prefix: "" or "attn." in messages */
    const json_t *object;
    hy_status status;
} hy_hf_reader;

/* `absent` is returned for missing keys and nulls. */
int64_t hy_hf_size(hy_hf_reader *reader, const char *key,
                   int64_t absent); /* 1 .. 2^31 − 1; `absent` < 0: the key must be there */
/* The key pad_token_id, whose embedding the input does not train; negative ones count from the end, as PyTorch counts. absent: −1 = none. */
void hy_hf_read_pad_token(hy_hf_reader *reader, hy_model_config *model, int64_t absent);
double hy_hf_real(hy_hf_reader *reader, const char *key,
                  double absent); /* numbers, also Infinity and {"__float__": "Infinity"} */
bool hy_hf_flag(hy_hf_reader *reader, const char *key, bool absent); /* null = false */
const char *hy_hf_word(hy_hf_reader *reader, const char *key, const char *absent);
/* Logs and sets reader->status, unless it holds an error already: `key` has a value that this program does not support. */
void hy_hf_unsupported(hy_hf_reader *reader, const char *key, const char *why);

typedef enum hy_hf_use {
    HY_HF_USED,     /* read by the family */
    HY_HF_HARMLESS, /* no effect on the mathematics of the model */
    HY_HF_ONLY      /* must be one of `only`, a JSON array */
} hy_hf_use;

typedef struct hy_hf_key {
    const char *name; /* NULL ends the table */
    hy_hf_use use;
    const char *only;
} hy_hf_key;

/* Every key of the object must be in one of the tables (NULL-ended list) and obey it. */
void hy_hf_check_keys(hy_hf_reader *reader, const hy_hf_key *const *tables);

/* Keys without effect that any family's config.json may hold. */
extern const hy_hf_key hy_hf_common_keys[];

/* JSON from text that may hold bare Infinity and NaN, which become strings. NULL and a logged error if it is none. */
json_t *hy_hf_load_json(const char *name, const char *text, size_t len);

/* ---- tensors ---- */

/* A run of equal blocks of rows shared by a tensor of the file and a parameter. A row is everything behind the first dimension.
 * Block b < n_blocks: rows file_row + b·file_stride + i of the file's tensor are rows param_row + b·param_stride + i of the
 * parameter, i < block_rows. */
typedef struct hy_hf_binding {
    char name[192]; /* in the file */
    int n_dims;     /* shape in the file */
    int64_t shape[4];
    int64_t n_blocks, block_rows, file_row, file_stride, param_row, param_stride;
} hy_hf_binding;

enum { HY_HF_BINDINGS_MAX = 4 }; /* of one parameter */

/* The whole parameter under `name`, in its own shape. */
void hy_hf_bind_whole(const hy_param *param, const char *name, hy_hf_binding *out);
/* Whole, under our name in which the first place of every row's `ours` became `theirs`, row by row; ours = NULL ends the table. */
typedef struct hy_hf_rename {
    const char *ours, *theirs;
} hy_hf_rename;
int hy_hf_bind_renamed(const hy_param *param, const hy_hf_rename *renames, hy_hf_binding *out);
/* The names of Mamba-2's own code and of what came of it: everything under backbone., a layer's norm called .norm. or .mixer_norm. */
int hy_hf_bind_backbone_norm(const json_t *config, const hy_param *param, hy_hf_binding *out);
int hy_hf_bind_backbone_mixer_norm(const json_t *config, const hy_param *param, hy_hf_binding *out);

/* What layers a family's models have besides those of its own kind. */
typedef enum hy_hf_softmax {
    HY_HF_ALONE, /* none */
    HY_HF_ANY,   /* softmax attention in some layers, of several forms */
    HY_HF_PAIR   /* some of softmax attention, all of one form, and some of its own */
} hy_hf_softmax;

/* A model of ours that a family is to describe: its layers are such as the family has. */
typedef struct hy_hf_subject {
    const hy_model_config *model;
    const hy_mixer_config *own, *softmax; /* of all layers of its own kind; HY_HF_PAIR: of all the others */
    const char *why;                      /* set where the family cannot describe it */
} hy_hf_subject;

typedef struct hy_hf_family hy_hf_family;
struct hy_hf_family {
    const char *model_type;
    const char *name; /* what --as calls it, if another family has the same model_type; NULL = model_type */
    const char *kind; /* mixer of its own layers */
    hy_hf_softmax softmax;
    /* Whether this family is the one that wrote `config`, where several share a model_type; NULL = it is. */
    bool (*is)(const json_t *config);
    /* Checks all keys and fills *model, initialised with defaults. Errors go into reader->status. */
    void (*read)(hy_hf_reader *reader, hy_model_config *model);
    /* Where `param` lies in the files, into out[HY_HF_BINDINGS_MAX]; returns how many bindings. `config` is the whole config.json. */
    int (*bind)(const json_t *config, const hy_param *param, hy_hf_binding *out);
    /* Name pattern ('*' matches any text) of tensors that carry no parameter, NULL-ended; NULL = none. */
    const char *const *skip;
    /* A config.json that comes as near to the subject as the family can: reading it back shows what is lost. It must be one that `read`
     * takes; where there is none, NULL and subject->why. NULL = config.json is only read and handed on. */
    json_t *(*describe)(hy_hf_subject *subject);
    /* Files of other versions name or divide tensors otherwise: the family table whose `bind` fits `names`, an object whose keys are the
     * tensors' names. NULL = there is one form only. */
    const hy_hf_family *(*form)(const json_t *names);
};

struct hy_hf {
    const hy_hf_family *family;
    const hy_hf_family *form; /* what binds tensors: the family, or the form of it that was read last */
    hy_safetensors *rest;     /* tensors to be written along, or NULL */
    json_t *json;
    char *text; /* as it was read */
    size_t len;
    hy_model_config model;
};

/* Every family, in the order in which they are asked to describe a model that was made here: first what more programs open. */
#define HY_HF_FAMILIES(X)                                                                                              \
    X(hy_hf_llama)                                                                                                     \
    X(hy_hf_mamba2)                                                                                                    \
    X(hy_hf_qwen3_5_text)                                                                                              \
    X(hy_hf_olmo_hybrid)                                                                                               \
    X(hy_hf_bamba)                                                                                                     \
    X(hy_hf_fla_transformer)                                                                                           \
    X(hy_hf_fla_retnet)                                                                                                \
    X(hy_hf_fla_gla)                                                                                                   \
    X(hy_hf_fla_delta_net)                                                                                             \
    X(hy_hf_fla_gated_deltanet)                                                                                        \
    X(hy_hf_fla_mla)                                                                                                   \
    X(hy_hf_fla_mamba2)                                                                                                \
    X(hy_hf_fla_hgrn)                                                                                                  \
    X(hy_hf_fla_hgrn2)                                                                                                 \
    X(hy_hf_fla_log_linear_mamba2)                                                                                     \
    X(hy_hf_fla_kda)                                                                                                   \
    X(hy_hf_fla_linear_attn)                                                                                           \
    X(hy_hf_fla_based)                                                                                                 \
    X(hy_hf_fla_rebased)                                                                                               \
    X(hy_hf_fla_rwkv6)                                                                                                 \
    X(hy_hf_fla_rwkv7)                                                                                                 \
    X(hy_hf_fla_samba)                                                                                                 \
    X(hy_hf_qwen3_5)

#define HY_X(family) extern const hy_hf_family family;
HY_HF_FAMILIES(HY_X)
#undef HY_X

const hy_hf_family *hy_hf_family_at(int index); /* NULL behind the last */
const char *hy_hf_family_called(const hy_hf_family *family);

/* ---- config.json out ---- */

/* As text, numbers as short as they read back, {"__float__": "Infinity"} as Infinity; from malloc, NULL if memory is short. */
char *hy_hf_json_text(const json_t *json);
json_t *hy_hf_number(double x);         /* whole ones as integers */
json_t *hy_hf_number_or_null(double x); /* null for infinities */
json_t *hy_hf_limits(double low, double high);
json_t *hy_hf_pad_token(const hy_model_config *model);

#endif
