/* Typed, suspicious reading of config.json. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/publish/hf_family.h"

/* Python writes infinities and NaN bare, which is no JSON: outside strings they get quotes. Grows by at most 2 per 3 characters. */
static size_t quote_bare(const char *text, size_t len, char *out) {
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    size_t n = 0;
    bool string = false;
    for (size_t i = 0; i < len;) {
        size_t word = 0;
        for (int w = 0; w < 3 && !string && word == 0; w++)
            if (len - i >= strlen(words[w]) && memcmp(text + i, words[w], strlen(words[w])) == 0)
                word = strlen(words[w]);
        if (word > 0) {
            out[n++] = '"';
            memcpy(out + n, text + i, word);
            n += word;
            out[n++] = '"';
            i += word;
            continue;
        }
        if (text[i] == '"')
            string = !string;
        if (string && text[i] == '\\' && i + 1 < len)
            out[n++] = text[i++];
        out[n++] = text[i++];
    }
    return n;
}

json_t *hy_hf_load_json(const char *name, const char *text, size_t len) {
    char *quoted;
    if (HY_NEW("config.json", 2 * len + 1, &quoted) != HY_OK)
        return NULL;
    size_t n = quote_bare(text, len, quoted);
    json_error_t error;
    json_t *json = json_loadb(quoted, n, JSON_REJECT_DUPLICATES, &error);
    hy_free(quoted);
    hy_status status = HY_OK;
    if (!json)
        status = hy_fail(HY_ERR_DATA, "%s:%d: %s", name, error.line, error.text);
    else if (!json_is_object(json))
        status = hy_fail(HY_ERR_DATA, "%s: not a JSON object", name);
    if (status == HY_OK)
        return json;
    json_decref(json);
    return NULL;
}

static void wrong_type(hy_hf_reader *reader, const char *key, const char *wanted) {
    if (reader->status == HY_OK)
        reader->status = hy_fail(HY_ERR_DATA, "%s: %s%s must be %s", reader->file, reader->prefix, key, wanted);
}

void hy_hf_unsupported(hy_hf_reader *reader, const char *key, const char *why) {
    if (reader->status != HY_OK)
        return;
    char *value = json_dumps(json_object_get(reader->object, key), JSON_ENCODE_ANY | JSON_COMPACT);
    reader->status = hy_fail(HY_ERR_USAGE, "%s: %s%s = %.120s is not supported: %s", reader->file, reader->prefix, key,
                             value ? value : "(absent)", why);
    free(value);
}

static const json_t *value_of_json(const hy_hf_reader *reader, const char *key) {
    const json_t *value = json_object_get(reader->object, key);
    return json_is_null(value) ? NULL : value;
}

int64_t hy_hf_size(hy_hf_reader *reader, const char *key, int64_t absent) {
    const json_t *value = value_of_json(reader, key);
    if (!value && absent >= 0)
        return absent;
    int64_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    if (n < 1 || n > INT32_MAX) {
        wrong_type(reader, key, "a whole number from 1 to 2147483647");
        return absent < 0 ? 1 : absent;
    }
    return n;
}

void hy_hf_read_pad_token(hy_hf_reader *reader, hy_model_config *model, int64_t absent) {
    const json_t *value = json_object_get(reader->object, "pad_token_id");
    json_int_t pad = json_is_integer(value) ? json_integer_value(value) : -1;
    model->pad_token = -1;
    if (!value) {
        model->pad_token = absent < model->vocab ? absent : -1;
        return;
    }
    if (json_is_null(value))
        return;
    if (!json_is_integer(value) || pad < -model->vocab || pad >= model->vocab) {
        hy_hf_unsupported(reader, "pad_token_id", "it must be a token, or null");
        return;
    }
    model->pad_token = pad < 0 ? pad + model->vocab : pad;
}

double hy_hf_real(hy_hf_reader *reader, const char *key, double absent) {
    const json_t *value = value_of_json(reader, key);
    const char *word = json_string_value(json_is_object(value) ? json_object_get(value, "__float__") : value);
    if (!value)
        return absent;
    if (json_is_number(value))
        return json_number_value(value);
    if (word && strcmp(word, "Infinity") == 0)
        return (double)INFINITY;
    if (word && strcmp(word, "-Infinity") == 0)
        return (double)-INFINITY;
    wrong_type(reader, key, "a number");
    return absent;
}

bool hy_hf_flag(hy_hf_reader *reader, const char *key, bool absent) {
    const json_t *value = json_object_get(reader->object, key);
    if (!value)
        return absent;
    if (!json_is_boolean(value) && !json_is_null(value))
        wrong_type(reader, key, "true or false");
    return json_is_true(value);
}

const char *hy_hf_word(hy_hf_reader *reader, const char *key, const char *absent) {
    const json_t *value = value_of_json(reader, key);
    if (!value)
        return absent;
    if (!json_is_string(value))
        wrong_type(reader, key, "a text");
    return json_is_string(value) ? json_string_value(value) : absent;
}

static const hy_hf_key *find_hf_key(const hy_hf_key *table, const char *name) {
    for (const hy_hf_key *key = table; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

static bool allowed(const char *only, const json_t *value) {
    json_t *values = json_loads(only, 0, NULL);
    const json_t *one;
    size_t i;
    bool found = false;
    json_array_foreach(values, i, one) found = found || json_equal(one, value);
    json_decref(values);
    return found;
}

void hy_hf_check_keys(hy_hf_reader *reader, const hy_hf_key *const *tables) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)reader->object, name, value) {
        const hy_hf_key *key = NULL;
        for (const hy_hf_key *const *table = tables; *table && !key; table++)
            key = find_hf_key(*table, name);
        if (!key)
            hy_hf_unsupported(reader, name, "this key is unknown here and may change the mathematics");
        else if (key->use == HY_HF_ONLY && !allowed(key->only, value)) {
            char why[160];
            snprintf(why, sizeof why, "only one of %s", key->only);
            hy_hf_unsupported(reader, name, why);
        }
    }
}

const hy_hf_key hy_hf_common_keys[] = {
    {"_attn_implementation", HY_HF_HARMLESS, NULL},
    {"_attn_implementation_autoset", HY_HF_HARMLESS, NULL},
    {"_commit_hash", HY_HF_HARMLESS, NULL},
    {"_name_or_path", HY_HF_HARMLESS, NULL},
    {"add_cross_attention", HY_HF_ONLY, "[false]"},
    {"architectures", HY_HF_HARMLESS, NULL},
    {"attn_implementation", HY_HF_HARMLESS, NULL},
    {"auto_map", HY_HF_HARMLESS, NULL},
    {"bad_words_ids", HY_HF_HARMLESS, NULL},
    {"begin_suppress_tokens", HY_HF_HARMLESS, NULL},
    {"bos_token_id", HY_HF_HARMLESS, NULL},
    {"chunk_size_feed_forward", HY_HF_HARMLESS, NULL},
    {"cross_attention_hidden_size", HY_HF_ONLY, "[null]"},
    {"decoder_start_token_id", HY_HF_HARMLESS, NULL},
    {"diversity_penalty", HY_HF_HARMLESS, NULL},
    {"do_sample", HY_HF_HARMLESS, NULL},
    {"dtype", HY_HF_HARMLESS, NULL},
    {"early_stopping", HY_HF_HARMLESS, NULL},
    {"encoder_no_repeat_ngram_size", HY_HF_HARMLESS, NULL},
    {"eos_token_id", HY_HF_HARMLESS, NULL},
    {"exponential_decay_length_penalty", HY_HF_HARMLESS, NULL},
    {"finetuning_task", HY_HF_HARMLESS, NULL},
    {"forced_bos_token_id", HY_HF_HARMLESS, NULL},
    {"forced_eos_token_id", HY_HF_HARMLESS, NULL},
    {"id2label", HY_HF_HARMLESS, NULL},
    {"is_decoder", HY_HF_HARMLESS, NULL},
    {"is_encoder_decoder", HY_HF_ONLY, "[false]"},
    {"label2id", HY_HF_HARMLESS, NULL},
    {"length_penalty", HY_HF_HARMLESS, NULL},
    {"max_length", HY_HF_HARMLESS, NULL},
    {"max_new_tokens", HY_HF_HARMLESS, NULL},
    {"max_position_embeddings", HY_HF_HARMLESS, NULL},
    {"min_length", HY_HF_HARMLESS, NULL},
    {"model_type", HY_HF_USED, NULL},
    {"no_repeat_ngram_size", HY_HF_HARMLESS, NULL},
    {"num_beam_groups", HY_HF_HARMLESS, NULL},
    {"num_beams", HY_HF_HARMLESS, NULL},
    {"num_return_sequences", HY_HF_HARMLESS, NULL},
    {"output_attentions", HY_HF_HARMLESS, NULL},
    {"output_hidden_states", HY_HF_HARMLESS, NULL},
    {"output_scores", HY_HF_HARMLESS, NULL},
    {"pad_token_id", HY_HF_USED, NULL},
    {"prefix", HY_HF_HARMLESS, NULL},
    {"problem_type", HY_HF_HARMLESS, NULL},
    {"pruned_heads", HY_HF_ONLY, "[null, {}]"},
    {"quantization_config", HY_HF_ONLY, "[null]"},
    {"remove_invalid_values", HY_HF_HARMLESS, NULL},
    {"repetition_penalty", HY_HF_HARMLESS, NULL},
    {"return_dict", HY_HF_HARMLESS, NULL},
    {"return_dict_in_generate", HY_HF_HARMLESS, NULL},
    {"sep_token_id", HY_HF_HARMLESS, NULL},
    {"suppress_tokens", HY_HF_HARMLESS, NULL},
    {"task_specific_params", HY_HF_HARMLESS, NULL},
    {"temperature", HY_HF_HARMLESS, NULL},
    {"tf_legacy_loss", HY_HF_HARMLESS, NULL},
    {"tie_encoder_decoder", HY_HF_ONLY, "[false]"},
    {"tokenizer_class", HY_HF_HARMLESS, NULL},
    {"top_k", HY_HF_HARMLESS, NULL},
    {"top_p", HY_HF_HARMLESS, NULL},
    {"torch_dtype", HY_HF_HARMLESS, NULL},
    {"torchscript", HY_HF_HARMLESS, NULL},
    {"transformers_version", HY_HF_HARMLESS, NULL},
    {"typical_p", HY_HF_HARMLESS, NULL},
    {"use_bfloat16", HY_HF_HARMLESS, NULL},
    {"use_cache", HY_HF_HARMLESS, NULL},
    {NULL, HY_HF_HARMLESS, NULL},
};
