/* A config with a row of every kind, for the tests of base/schema. */
#ifndef HY_TESTS_SAMPLE_CONFIG_H
#define HY_TESTS_SAMPLE_CONFIG_H

#include "base/schema.h"

typedef enum sample_layout { SAMPLE_CONTIGUOUS, SAMPLE_ZIGZAG, SAMPLE_STRIPED } sample_layout;

typedef struct sample_mixer {
    char name[24];
    int64_t heads;
    double floor;
    bool bias;
    sample_layout layout;
    char note[32];
} sample_mixer;

typedef struct sample_model {
    int64_t layers;
    int64_t n_pattern;
    char pattern[6][16];
    int64_t n_overrides;
    struct {
        int64_t layer;
        char mixer[16];
    } overrides[4];
    int64_t n_mixers;
    sample_mixer mixers[3];
} sample_model;

typedef struct sample_part {
    char path[24];
    double weight;
} sample_part;

typedef struct sample_stage {
    int64_t steps;
    sample_layout layout;
    int64_t n_parts;
    sample_part parts[2];
} sample_stage;

typedef struct sample_config {
    sample_model model;
    int64_t steps, seed;
    double lr, min_lr_ratio;
    bool tied;
    struct {
        int64_t every, keep;
    } checkpoint;
    sample_layout layout;
    int64_t n_sizes;
    int64_t sizes[5];
    char dir[40];
    int64_t n_parts, n_stages;
    sample_part parts[3];
    sample_stage stages[3];
} sample_config;

static const char *const sample_layout_names[] = {"contiguous", "zigzag", "striped", NULL};

static const hy_schema_entry sample_mixer_entries[] = {
    {HY_SCHEMA_INT(sample_mixer, heads, "heads", "default", 1, HY_SCHEMA_NO_MAX, "heads"),
     HY_SCHEMA_SPECIAL("default", -1)},
    {HY_SCHEMA_DOUBLE(sample_mixer, floor, "floor", "-.inf", -INFINITY, 0.0, "lower clamp of the decay")},
    {HY_SCHEMA_BOOL(sample_mixer, bias, "extra.bias", "true", "a bias")},
    {HY_SCHEMA_ENUM(sample_mixer, layout, "extra.layout", "striped", sample_layout_names, "layout")},
    {HY_SCHEMA_STRING(sample_mixer, note, "note", "", "any text")},
};
static const hy_schema sample_mixer_schema = HY_SCHEMA(sample_mixer, sample_mixer_entries);

static const hy_schema_entry sample_model_entries[] = {
    {HY_SCHEMA_INT(sample_model, layers, "layers", "24", 1, 512, "layers")},
    {HY_SCHEMA_STRING_LIST(sample_model, pattern, n_pattern, "schedule.pattern", "gla, attention", "mixers, repeated")},
    {HY_SCHEMA_INT_MAP(sample_model, overrides, n_overrides, layer, mixer, "schedule.overrides", 0, 511, "by layer")},
    {HY_SCHEMA_NAMED(sample_model, mixers, n_mixers, sample_mixer, name, "mixers", &sample_mixer_schema,
                     "of each mixer")},
};
static const hy_schema sample_model_schema = HY_SCHEMA(sample_model, sample_model_entries);

static const hy_schema_entry sample_part_entries[] = {
    {HY_SCHEMA_STRING(sample_part, path, "path", NULL, "where")},
    {HY_SCHEMA_DOUBLE(sample_part, weight, "weight", "1", 0.0, 10.0, "how much")},
};
static const hy_schema sample_part_schema = HY_SCHEMA(sample_part, sample_part_entries);

static const hy_schema_entry sample_stage_entries[] = {
    {HY_SCHEMA_INT(sample_stage, steps, "steps", "1", 1, 1000, "steps of the stage")},
    {HY_SCHEMA_ENUM(sample_stage, layout, "inner.layout", "striped", sample_layout_names, "layout")},
    {HY_SCHEMA_LIST(sample_stage, parts, n_parts, "parts", NULL, &sample_part_schema, "path", "parts of the stage")},
};
static const hy_schema sample_stage_schema = HY_SCHEMA(sample_stage, sample_stage_entries);

static const hy_schema_entry sample_entries[] = {
    {HY_SCHEMA_GROUP(sample_config, model, "model", &sample_model_schema, "the model")},
    {HY_SCHEMA_BOOL(sample_config, tied, "tied", "false", "share embedding and head")},
    {HY_SCHEMA_INT(sample_config, steps, "train.steps", "1000", 0, HY_SCHEMA_NO_MAX, "optimizer steps")},
    {HY_SCHEMA_INT(sample_config, seed, "train.seed", "1", HY_SCHEMA_NO_MIN, HY_SCHEMA_NO_MAX, "seed")},
    {HY_SCHEMA_DOUBLE(sample_config, lr, "train.lr", "3e-4", 0.0, 1.0, "peak learning rate")},
    {HY_SCHEMA_DOUBLE(sample_config, min_lr_ratio, "train.min_lr_ratio", "0.1", HY_SCHEMA_LOWEST, HY_SCHEMA_HIGHEST,
                      "end of the cosine")},
    {HY_SCHEMA_INT(sample_config, checkpoint.every, "train.checkpoint.every", "200", 0, HY_SCHEMA_NO_MAX, "steps")},
    {HY_SCHEMA_INT(sample_config, checkpoint.keep, "train.checkpoint.keep", "2", 1, 100, "how many stay")},
    {HY_SCHEMA_ENUM(sample_config, layout, "parallel.layout", "zigzag", sample_layout_names,
                    "how a sequence is split")},
    {HY_SCHEMA_INT_LIST(sample_config, sizes, n_sizes, "parallel.sizes", "1, 2", 0, 9, "sizes")},
    {HY_SCHEMA_STRING(sample_config, dir, "run.dir", "runs/x", "run directory")},
    {HY_SCHEMA_LIST(sample_config, parts, n_parts, "run.parts", "a.h5", &sample_part_schema, "path", "parts")},
    {HY_SCHEMA_LIST(sample_config, stages, n_stages, "run.stages", NULL, &sample_stage_schema, NULL, "stages")},
};
static const hy_schema sample_schema = HY_SCHEMA(sample_config, sample_entries);

static const char sample_yaml[] = "# a good config\n"
                                  "model:\n"
                                  "  layers: 12\n"
                                  "  schedule:\n"
                                  "    pattern: [gla, gla, attention]\n"
                                  "    overrides: {3: attention, 11: gla}\n"
                                  "  mixers:\n"
                                  "    gla: {heads: 4, floor: -5.5, note: \"two\\nlines\"}\n"
                                  "    attention:\n"
                                  "      extra:\n"
                                  "        bias: false\n"
                                  "        layout: contiguous\n"
                                  "tied: true\n"
                                  "train:\n"
                                  "  steps: 1_000_000\n"
                                  "  lr: 1e-3\n"
                                  "  checkpoint: {every: 50}\n"
                                  "parallel:\n"
                                  "  layout: striped\n"
                                  "  sizes:\n"
                                  "    - 3\n"
                                  "    - 5\n"
                                  "run:\n"
                                  "  dir: 'runs/a b'\n"
                                  "  parts: [a, {path: b, weight: 2}]\n"
                                  "  stages:\n"
                                  "    - {steps: 5, parts: c}\n"
                                  "    -\n"
                                  "      inner:\n"
                                  "        layout: zigzag\n"
                                  "      parts: {path: d, weight: 0.5}\n";

#endif
