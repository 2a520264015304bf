#include "layers/model_config.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "layers/mixers/mixer.h"
#include "layers/mixers/mlp.h"
#include "layers/model_config_keys.h"

void hy_mixer_config_init(hy_mixer_config *mixer, const char *name) {
    hy_schema_defaults(&hy_mixer_schema, mixer);
    snprintf(mixer->name, sizeof(mixer->name), "%s", name);
    snprintf(mixer->kind, sizeof(mixer->kind), "%s", name);
}

void hy_model_config_init(hy_model_config *config) {
    hy_schema_defaults(&hy_model_schema, config);
    config->n_pattern = 0; /* the schedule is the caller's */
}

static const char *nearest_kind(const char *kind) {
    const char *names[64];
    int n = 0;
    for (; n < 64 && hy_mixer_row_at(n); n++) {
        names[n] = hy_mixer_row_at(n)->kind;
    }
    return names[hy_text_nearest(kind, names, n)];
}

/* Index of the mixer called `name`; one that is only named in the schedule is added with its row's defaults. */
static hy_status mixer_index(hy_model_config *config, const hy_schema_origins *origins, const char *key,
                             const char *name, int *out) {
    for (int i = 0; i < config->n_mixers; i++) {
        if (strcmp(config->mixers[i].name, name) == 0) {
            *out = i;
            return HY_OK;
        }
    }
    if (!hy_mixer_row_find(name)) {
        return hy_schema_fail(origins, key,
                              "%s: no mixer '%s' under model.mixers and no kind of that name; nearest: '%s'", key, name,
                              nearest_kind(name));
    }
    if (config->n_mixers == HY_MIXERS_MAX) {
        return hy_fail(HY_ERR_USAGE, "model.mixers: more than %d", HY_MIXERS_MAX);
    }
    hy_mixer_config_init(&config->mixers[config->n_mixers], name);
    *out = (int)config->n_mixers++;
    return HY_OK;
}

static hy_status expand_schedule(hy_model_config *config, const hy_schema_origins *origins) {
    if (config->n_pattern == 0) {
        return hy_schema_fail(
            origins, "model.schedule.pattern",
            "model.schedule.pattern: empty; name at least one mixer, e.g. [gated_deltanet, attention]");
    }
    for (int64_t l = 0; l < config->layers; l++) {
        HY_TRY(mixer_index(config, origins, "model.schedule.pattern", config->pattern[l % config->n_pattern],
                           &config->layer_mixer[l]));
    }
    for (int64_t i = 0; i < config->n_overrides; i++) {
        int64_t l = config->overrides[i].layer;
        if (l < 0 || l >= config->layers) {
            return hy_schema_fail(origins, "model.schedule.overrides",
                                  "model.schedule.overrides: layer %lld, but the model has layers 0 to %lld",
                                  (long long)l, (long long)config->layers - 1);
        }
        HY_TRY(mixer_index(config, origins, "model.schedule.overrides", config->overrides[i].mixer,
                           &config->layer_mixer[l]));
    }
    return HY_OK;
}

/* The first layer's mixer says what is not given. A model without any MLP has no width of one. */
static hy_status resolve_mlp(hy_model_config *config, const hy_schema_origins *origins) {
    const hy_mixer_row *first = hy_mixer_row_find(config->mixers[config->layer_mixer[0]].kind);
    bool any = false;
    for (int64_t l = 0; l < config->layers; l++) {
        any = any || config->mixers[config->layer_mixer[l]].mlp == HY_SWITCH_ON;
    }
    if (config->mlp_kind[0] == '\0') {
        snprintf(config->mlp_kind, sizeof(config->mlp_kind), "%s", first->mlp ? first->mlp : "swiglu");
    }
    const hy_mlp_row *row = hy_mlp_row_find(config->mlp_kind);
    if (!row) {
        const char *names[16];
        int n = 0;
        for (; n < 16 && hy_mlp_row_at(n); n++) {
            names[n] = hy_mlp_row_at(n)->kind;
        }
        return hy_schema_fail(origins, "model.mlp.kind", "model.mlp.kind: no MLP '%s'; nearest: '%s'", config->mlp_kind,
                              names[hy_text_nearest(config->mlp_kind, names, n)]);
    }
    if (config->mlp_ratio <= 0) {
        config->mlp_ratio = first->mlp_ratio;
    }
    if (!any) {
        config->mlp_width = 0;
    } else if (config->mlp_width == 0) {
        config->mlp_width = row->width(config->width, config->mlp_ratio);
        if (config->mlp_width < 1) {
            return hy_fail(HY_ERR_USAGE, "model.mlp.ratio: %g times a width of %lld leaves the MLP no channel",
                           config->mlp_ratio, (long long)config->width);
        }
    }
    return HY_OK;
}

hy_status hy_model_config_resolve(hy_model_config *config) {
    return hy_model_config_resolve_from(config, NULL);
}

hy_status hy_model_config_resolve_from(hy_model_config *config, const hy_schema_origins *origins) {
    HY_TRY(hy_schema_check_ranges(&hy_model_schema, config, "model.")); /* a published config.json knows no ranges */
    if (config->pad_token >= config->vocab) {
        return hy_fail(HY_ERR_USAGE, "model.pad_token: %lld, but token ids are 0 to %lld; or none",
                       (long long)config->pad_token, (long long)config->vocab - 1);
    }
    if (config->norm == HY_NORM_LAYER && config->zero_centred) {
        return hy_schema_fail(origins, "model.zero_centred",
                              "model.zero_centred: only RMSNorm counts its weight from 1; nearest: norm: rms");
    }
    HY_TRY(expand_schedule(config, origins));
    for (int64_t i = 0; i < config->n_mixers; i++) {
        hy_mixer_config *m = &config->mixers[i];
        if (m->kind[0] == '\0') {
            memcpy(m->kind, m->name, sizeof(m->kind)); /* both HY_NAME_MAX */
        }
        if (!hy_mixer_row_find(m->kind)) {
            char key[2 * HY_NAME_MAX];
            snprintf(key, sizeof key, "model.mixers.%s.kind", m->name);
            return hy_schema_fail(origins, key, "%s: no mixer '%s'; nearest: '%s'", key, m->kind,
                                  nearest_kind(m->kind));
        }
        HY_TRY(hy_mixer_resolve(config, origins, m));
    }
    HY_TRY(resolve_mlp(config, origins));
    return hy_schema_check_ranges(&hy_model_schema, config, "model."); /* defaults that follow from other keys, too */
}

hy_status hy_model_config_check_reach(const hy_model_config *config, int64_t len, const char *what) {
    for (int64_t l = 0; l < config->layers; l++) {
        const hy_mixer_config *m = &config->mixers[config->layer_mixer[l]];
        int64_t needed = 1;
        for (int64_t last = len - 1; last > 0; last >>= 1) {
            needed++;
        }
        if (hy_mixer_row_find(m->kind)->leveled && m->levels < needed) {
            return hy_fail(HY_ERR_USAGE,
                           "model.mixers.%s: levels = %lld (15 by default) reach %lld tokens, but %s have %lld; "
                           "nearest: %lld",
                           m->name, (long long)m->levels, (long long)1 << (m->levels - 1), what, (long long)len,
                           (long long)needed);
        }
    }
    return HY_OK;
}
