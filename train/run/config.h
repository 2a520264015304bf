/* The whole configuration of a run: struct here, keys, defaults, ranges and help in config.c (one table over
 * base/schema). */
#ifndef HY_TRAIN_CONFIG_H
#define HY_TRAIN_CONFIG_H

#include "base/schema.h"
#include "base/status.h"
#include "comm/comm.h"
#include "layers/model.h"
#include "train/data/data_mix.h"
#include "train/data/token_store.h"
#include "train/run/lr_schedule.h"

typedef enum hy_loss_targets { HY_LOSS_ALL, HY_LOSS_ANSWERS } hy_loss_targets;

typedef enum hy_precision { HY_PRECISION_F32, HY_PRECISION_BF16 } hy_precision;
extern const char *const hy_precision_names[]; /* by value; NULL at the end */

typedef enum hy_graph_use { HY_GRAPH_AUTO, HY_GRAPH_OFF } hy_graph_use;

enum { HY_STAGES_MAX = 16 };

typedef struct hy_store_config {
    char path[512];
    char name[HY_STORE_NAME_MAX]; /* "": the file's, without folder and ending; see hy_store_name */
    double weight;
} hy_store_config;

typedef struct hy_store_list {
    int64_t n;
    hy_store_config items[HY_STORES_MAX];
} hy_store_list;

/* One entry of train.stages; HY_DEFAULT, or no stores: as the configuration says without it. See stage.h. */
typedef struct hy_stage_config {
    int64_t steps, sequence, batch, accumulate;
    hy_store_list store;
    double rope_base; /* of softmax mixers */
    double lr, min_lr_ratio;
    int schedule; /* 0 = default, else 1 + hy_lr_kind */
    int64_t warmup, decay_steps;
} hy_stage_config;

typedef struct hy_config {
    hy_model_config model;
    struct {
        hy_store_list store, eval_store;  /* for training; for validation, which may be none */
        char tokenizer[HY_TOKENIZER_MAX]; /* "" = as the stores say */
        int64_t sequence;                 /* tokens per sequence */
        int64_t batch;                    /* sequences per step, over all ranks and micro-steps */
        int64_t block;                    /* store_order.h; 0 = the longest sequence read of a store */
        hy_loss_targets loss;             /* which targets train */
    } data;
    struct {
        int64_t steps; /* with stages: their sum */
        int64_t n_stages;
        hy_stage_config stages[HY_STAGES_MAX];
        double lr, min_lr_ratio; /* the end of cosine and wsd is lr·min_lr_ratio */
        hy_lr_kind schedule;
        int64_t warmup, decay_steps; /* decay_steps 0: a tenth of the steps */
        double weight_decay, beta1, beta2, eps;
        double clip;        /* global gradient norm; 0 = off */
        int64_t accumulate; /* micro-steps per step */
        hy_precision precision;
        hy_recompute recompute;
        hy_offload_to offload;
        bool carry_state; /* documents go on from step to step */
        int64_t seed;
        int64_t max_bad_steps; /* non-finite steps in a row that end the run (exit 7) */
        char init[512];        /* checkpoint folder to start from ("" = random) */
        struct {
            int64_t every, keep;
        } checkpoint; /* every = 0: only at the end */
        struct {
            int64_t every, sequences;
        } eval; /* every = 0: only at the end */
        int64_t log_every;
        bool tensorboard;  /* event files in run.dir */
        double time_limit; /* seconds; 0 = none: then save and exit 75 */
    } train;
    struct {
        int64_t data, sequence; /* mesh; sequence 0 = world/data */
        hy_sp_method method;
        hy_transport_id transport;
        char machine[640]; /* HY_MACHINE_NAME; "measured" */
        bool invariant;    /* method.cuts.fixed is `fragments`, else 0 */
        int64_t fragments;
    } parallel;
    struct {
        char dir[512];
        char device[32]; /* cpu, cpu_ref, cpu_async */
        hy_graph_use graph;
        double timeout, slow; /* watchdog.h */
    } run;
    struct {
        bool on;         /* recorder.h */
        char steps[128]; /* step_set.h */
    } trace;
} hy_config;

/* train.precision, as the element type that names it (dtype.h). */
static inline hy_dtype hy_config_precision(const hy_config *config) {
    return config->train.precision == HY_PRECISION_BF16 ? HY_BF16 : HY_F32;
}

/* Defaults, then the YAML file at `path`, then each "a.b=value" of `sets`; checked and resolved. HY_ERR_USAGE with
 * file, line, key. Local. */
HY_MUST_CHECK hy_status hy_config_load(const char *path, const char *const *sets, int n_sets, hy_config *config);
/* The same, and where each key was set (freed with hy_schema_origins_destroy). */
HY_MUST_CHECK hy_status hy_config_load_with_origins(const char *path, const char *const *sets, int n_sets,
                                                    hy_config *config, hy_schema_origins **origins);
/* Same from memory (`name` stands for the file in messages). */
HY_MUST_CHECK hy_status hy_config_parse(const char *name, const char *text, size_t len, hy_config *config);
/* Both: a text in memory, then `sets`. */
HY_MUST_CHECK hy_status hy_config_parse_with(const char *name, const char *text, size_t len, const char *const *sets,
                                             int n_sets, hy_config *config);
/* Every key as YAML; hy_config_parse of it gives the same config. Caller frees *text with hy_free. */
HY_MUST_CHECK hy_status hy_config_write(const hy_config *config, char **text, size_t *len);
/* The schema with defaults and help, to stdout. */
void hy_config_help(void);
/* For a unit test: HY_ERR_FAILED if the table of keys has a mistake. */
HY_MUST_CHECK hy_status hy_config_check_table(void);

#endif
