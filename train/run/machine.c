#include "train/run/machine.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Vendors' peaks, of which the share that well-made programs sustain is assumed: products 65%, attention 50%, recurrences 30% of the
 * tensor cores' dense bf16; 85% of the memory. Links: a GPU's NVLinks each way, its adapter. None of this was measured with hylas. */
static const hy_machine presets[] = {
    {.name = "flat",
     .network = {.latency = {5e-6, 5e-6}, .bandwidth = {50e9, 50e9}},
     .products = 640e12,
     .attention = 495e12,
     .recurrences = 297e12,
     .memory = 2.85e12,
     .launch = 3e-6,
     .eager = 8192},
    {.name = "dgx-a100",
     .network = {.node = 8, .latency = {4e-6, 8e-6}, .bandwidth = {300e9, 25e9}},
     .products = 203e12,
     .attention = 156e12,
     .recurrences = 94e12,
     .memory = 1.73e12,
     .launch = 3e-6,
     .eager = 8192},
    {.name = "dgx-h100",
     .network = {.node = 8, .latency = {4e-6, 8e-6}, .bandwidth = {450e9, 50e9}},
     .products = 643e12,
     .attention = 495e12,
     .recurrences = 297e12,
     .memory = 2.85e12,
     .launch = 3e-6,
     .eager = 8192},
    {.name = "dgx-h200",
     .network = {.node = 8, .latency = {4e-6, 8e-6}, .bandwidth = {450e9, 50e9}},
     .products = 643e12,
     .attention = 495e12,
     .recurrences = 297e12,
     .memory = 4.08e12,
     .launch = 3e-6,
     .eager = 8192},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

/* Whole numbers. */
typedef struct machine_count {
    const char *name, *help;
    size_t offset; /* of an int */
    int most;
} machine_count;

static const machine_count counts[] = {
    {"node", "ranks of one", offsetof(hy_machine, network.node), 1000000},
    {"leaf", "nodes under one switch; 0: all", offsetof(hy_machine, network.leaf), 1000000},
    {"rails", "1: a switch for each rank of a node instead of one for all", offsetof(hy_machine, network.rails), 1},
};
enum { COUNTS = sizeof counts / sizeof counts[0] };

typedef struct machine_key {
    const char *name, *help;
    size_t offset; /* of a double */
} machine_key;

#define SMALL_CALLS(name, kind, unit)                                                                                  \
    {name "_small", unit "/s of small calls; 0: as of large ones", offsetof(hy_machine, small[kind].rate)},            \
        {name "_little", unit " of a call that has that rate", offsetof(hy_machine, small[kind].little)}, {            \
        name "_much", unit " from which a call has the other", offsetof(hy_machine, small[kind].much)                  \
    }

static const machine_key keys[] = {
    {"near", "bytes/s of a rank's port inside a node, each way", offsetof(hy_machine, network.bandwidth[HY_NEAR])},
    {"near_latency", "seconds", offsetof(hy_machine, network.latency[HY_NEAR])},
    {"far", "bytes/s of a rank's port between nodes, each way", offsetof(hy_machine, network.bandwidth[HY_FAR])},
    {"far_latency", "seconds", offsetof(hy_machine, network.latency[HY_FAR])},
    {"uplink", "bytes/s of a node, each way; 0: as much as its ranks' ports", offsetof(hy_machine, network.uplink)},
    {"trunk", "bytes/s of a switch to the others, each way; 0: as much as its ports",
     offsetof(hy_machine, network.trunk)},
    {"trunk_latency", "seconds more between switches", offsetof(hy_machine, network.trunk_latency)},
    {"products", "FLOP/s of matrix products", offsetof(hy_machine, products)},
    {"attention", "FLOP/s of softmax attention", offsetof(hy_machine, attention)},
    {"recurrences", "FLOP/s of linear recurrences", offsetof(hy_machine, recurrences)},
    {"memory", "bytes/s of a device's memory", offsetof(hy_machine, memory)},
    SMALL_CALLS("products", HY_RATE_PRODUCTS, "FLOP"),
    SMALL_CALLS("attention", HY_RATE_ATTENTION, "FLOP"),
    SMALL_CALLS("recurrences", HY_RATE_RECURRENCES, "FLOP"),
    SMALL_CALLS("memory", HY_RATE_MEMORY, "bytes"),
    {"launch", "seconds of an operation beside its work", offsetof(hy_machine, launch)},
    {"post", "seconds of the processor to post a message", offsetof(hy_machine, post)},
    {"eager", "bytes up to which a message leaves before its receiver wants it", offsetof(hy_machine, eager)},
    {"calls_progress", "1: exchanges go on between operations only", offsetof(hy_machine, calls_progress)},
};
#undef SMALL_CALLS
enum { KEYS = sizeof keys / sizeof keys[0] };

void hy_machine_help(char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "a preset (");
    for (int i = 0; i < PRESETS && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", presets[i].name);
    }
    used += used < size ? (size_t)snprintf(text + used, size - used, "), KEY=VALUE,... or both; keys: ") : 0;
    for (int i = 0; i < COUNTS && used < size; i++) {
        used +=
            (size_t)snprintf(text + used, size - used, "%s%s (%s)", i > 0 ? ", " : "", counts[i].name, counts[i].help);
    }
    for (int i = 0; i < KEYS && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, ", %s (%s)", keys[i].name, keys[i].help);
    }
}

static hy_status machine_unknown(const char *word) {
    char known[HY_MACHINE_HELP];
    hy_machine_help(known, sizeof known);
    return hy_fail(HY_ERR_USAGE, "machine '%s': not %s", word, known);
}

static bool find_preset(const char *word, hy_machine *out) {
    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, word) == 0) {
            *out = presets[i];
            return true;
        }
    }
    return false;
}

static hy_status set_key(const char *word, hy_machine *out) {
    const char *equals = strchr(word, '=');
    char *end = NULL;
    const double value = equals != NULL ? strtod(equals + 1, &end) : 0.0;
    if (equals == NULL || end == equals + 1 || *end != '\0' || !(value >= 0.0 && value < 1e300)) {
        return machine_unknown(word);
    }
    const size_t length = (size_t)(equals - word);
    for (int i = 0; i < COUNTS; i++) {
        if (strlen(counts[i].name) == length && strncmp(counts[i].name, word, length) == 0 && value <= counts[i].most &&
            value == floor(value)) {
            *(int *)((char *)out + counts[i].offset) = (int)value;
            return HY_OK;
        }
    }
    for (int i = 0; i < KEYS; i++) {
        if (strlen(keys[i].name) == length && strncmp(keys[i].name, word, length) == 0) {
            *(double *)((char *)out + keys[i].offset) = value;
            return HY_OK;
        }
    }
    return machine_unknown(word);
}

hy_status hy_machine_parse(const char *words, hy_machine *out) {
    char copy[sizeof out->name];
    char *rest = NULL;
    *out = presets[0];
    if (strlen(words) >= sizeof copy) {
        return hy_fail(HY_ERR_USAGE, "machine '%.40s...': more than %zu characters", words, sizeof copy - 1);
    }
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, ",", &rest), *first = word; word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (word != first || !find_preset(word, out)) {
            HY_TRY(set_key(word, out));
        }
    }
    (void)snprintf(out->name, sizeof out->name, "%s", words);
    for (int i = 0; i < KEYS; i++) { /* what is divided by */
        const double value = *(const double *)((const char *)out + keys[i].offset);
        const bool divides =
            keys[i].offset == offsetof(hy_machine, network.bandwidth[HY_NEAR]) ||
            keys[i].offset == offsetof(hy_machine, network.bandwidth[HY_FAR]) ||
            (keys[i].offset >= offsetof(hy_machine, products) && keys[i].offset <= offsetof(hy_machine, memory));
        if (divides && value <= 0.0) {
            return hy_fail(HY_ERR_USAGE, "machine '%s': %s must be above 0", words, keys[i].name);
        }
    }
    const hy_network_shape *net = &out->network;
    const bool switches = net->leaf > 0 || net->rails;
    if ((switches && net->node == 0) || ((net->trunk > 0 || net->trunk_latency > 0) && !switches)) {
        return hy_fail(HY_ERR_USAGE, "machine '%s': trunk and trunk_latency want leaf or rails, and these want node",
                       words);
    }
    for (int r = 0; r < HY_RATES; r++) {
        const hy_small_calls *small = &out->small[r];
        if (small->rate > 0.0 && !(small->little > 0.0 && small->little < small->much)) {
            return hy_fail(HY_ERR_USAGE, "machine '%s': a rate of small calls wants 0 < little < much beside it",
                           words);
        }
    }
    return HY_OK;
}

hy_rate hy_machine_rate(hy_op_id op) {
    switch (op) {
    case HY_OP_attn_fwd:
    case HY_OP_attn_bwd:
        return HY_RATE_ATTENTION;
    case HY_OP_recur_map:
    case HY_OP_recur_fwd:
    case HY_OP_recur_inject:
    case HY_OP_recur_map_bwd:
    case HY_OP_recur_bwd:
    case HY_OP_level_fwd:
    case HY_OP_level_map_bwd:
    case HY_OP_level_bwd:
    case HY_OP_map_apply:
    case HY_OP_map_fold:
    case HY_OP_map_join:
    case HY_OP_map_compose:
        return HY_RATE_RECURRENCES;
    case HY_OP_gemm:
        return HY_RATE_PRODUCTS;
    default:
        return HY_RATE_MEMORY;
    }
}

static double rate_of(const hy_machine *machine, hy_rate rate) {
    const double rates[HY_RATES] = {machine->products, machine->attention, machine->recurrences, machine->memory};
    return rates[rate];
}

double hy_machine_work_seconds(const hy_machine *machine, hy_rate rate, double work) {
    const hy_small_calls *small = &machine->small[rate];
    const double large = rate_of(machine, rate);
    if (small->rate == 0.0 || work <= 0.0 || work >= small->much) {
        return work / large;
    }
    const double edge = 1.0 / sqrt(small->much);
    const double share = (1.0 / sqrt(work) - edge) / (1.0 / sqrt(small->little) - edge); /* 1: as at `little` */
    if (small->rate <= large) {
        const double least = large * sqrt(small->little / small->much); /* with less, seconds would fall again */
        return work * (1.0 / large + share * (1.0 / (small->rate > least ? small->rate : least) - 1.0 / large));
    }
    return work / (large + (share < 1.0 ? share : 1.0) * (small->rate - large));
}

double hy_machine_seconds(const hy_machine *machine, hy_op_id op, double flops, double bytes) {
    const hy_rate rate = hy_machine_rate(op);
    const double moving = hy_machine_work_seconds(machine, HY_RATE_MEMORY, bytes);
    const double arithmetic = hy_machine_work_seconds(machine, rate == HY_RATE_MEMORY ? HY_RATE_PRODUCTS : rate, flops);
    return machine->launch + (arithmetic > moving ? arithmetic : moving);
}
