#include "train/checkpoint/manifest_data.h"

#include <stdio.h>

void hy_manifest_data_write(hy_json *j, const hy_data_state *data) {
    hy_json_open_object(j, "data");
    hy_json_int(j, "sequences", data->sequences);
    hy_json_int(j, "tokens", data->tokens);
    hy_json_open_array(j, "stores");
    for (int64_t i = 0; i < data->n_stores; i++) {
        const hy_store_record *store = &data->stores[i];
        const hy_store_position *p = &store->position;
        hy_json_open_object(j, NULL);
        hy_json_string(j, "name", store->name);
        hy_json_int(j, "tokens", store->tokens);
        hy_json_int(j, "read", p->read);
        hy_json_int(j, "epoch", p->epoch);
        hy_json_open_array(j, "spans"); /* two numbers each: block, taken */
        for (int64_t s = 0; s < p->n_spans; s++) {
            hy_json_int(j, NULL, p->spans[s].block);
            hy_json_int(j, NULL, p->spans[s].taken);
        }
        hy_json_close(j);
        hy_json_int(j, "lane", p->lane);
        hy_json_open_array(j, "lanes"); /* two numbers each: block, offset */
        for (int64_t l = 0; l < p->n_lanes; l++) {
            hy_json_int(j, NULL, p->lanes[l].block);
            hy_json_int(j, NULL, p->lanes[l].offset);
        }
        hy_json_close(j);
        hy_json_close(j);
    }
    hy_json_close(j);
    hy_json_close(j);
}

/* A whole number from 0 that can be counted on from; −1 for anything else. */
static int64_t number(const json_t *value) {
    const int64_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    return n >= 0 && n <= INT64_MAX / 2 ? n : -1;
}

/* How many pairs `list` has; −1 if they are more than `most` or none that can be. */
static int64_t pairs(const json_t *list, int64_t most) {
    const int64_t n = (int64_t)json_array_size(list);
    return json_is_array(list) && n % 2 == 0 && n / 2 <= most ? n / 2 : -1;
}

static const char *read_store(const json_t *item, hy_store_record *store) {
    hy_store_position *p = &store->position;
    const json_t *spans = json_object_get(item, "spans"), *lanes = json_object_get(item, "lanes");
    const char *name = json_string_value(json_object_get(item, "name"));
    if (name == NULL || snprintf(store->name, sizeof store->name, "%s", name) >= (int)sizeof store->name) {
        return "data.stores.name";
    }
    store->tokens = number(json_object_get(item, "tokens"));
    *p = (hy_store_position){.read = number(json_object_get(item, "read")),
                             .epoch = number(json_object_get(item, "epoch")),
                             .n_spans = pairs(spans, HY_ORDER_SPANS),
                             .n_lanes = pairs(lanes, HY_ORDER_LANES),
                             .lane = number(json_object_get(item, "lane"))};
    for (int64_t s = 0; s < p->n_spans; s++) {
        p->spans[s].block = number(json_array_get(spans, (size_t)(2 * s)));
        p->spans[s].taken = number(json_array_get(spans, (size_t)(2 * s + 1)));
    }
    for (int64_t l = 0; l < p->n_lanes; l++) {
        p->lanes[l].block = number(json_array_get(lanes, (size_t)(2 * l)));
        p->lanes[l].offset = number(json_array_get(lanes, (size_t)(2 * l + 1)));
    }
    return store->tokens >= 1 && hy_store_position_fits(p, store->tokens) ? NULL : "data.stores";
}

const char *hy_manifest_data_read(const json_t *object, hy_data_state *data) {
    const json_t *list = json_object_get(object, "stores");
    *data = (hy_data_state){.sequences = number(json_object_get(object, "sequences")),
                            .tokens = number(json_object_get(object, "tokens"))};
    if (data->sequences < 0 || data->tokens < 0) {
        return "data";
    }
    if (!json_is_array(list) || json_array_size(list) > HY_RECORDS_MAX) {
        return "data.stores";
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *wrong = read_store(json_array_get(list, i), &data->stores[data->n_stores++]);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}
