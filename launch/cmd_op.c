/* `hylas op NAME`: one core operation, forward and backward, on tensors from a file, sharded over the ranks. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/op/op.h"
#include "launch/options.h"

static const char *const dtype_names[] = {[HY_F32] = "f32", [HY_F64] = "f64", [HY_BF16] = "bf16", NULL};

/* *value: the index of `text` among the names. */
static hy_status choose_by_name(const hy_op_context *context, const char *option, const char *text,
                                const char *const *names, int *value) {
    char known[128];
    *value = hy_option_choice(text, names, known, sizeof known);
    return *value >= 0 ? HY_OK : hy_op_fail(context, HY_ERR_USAGE, "%s %s: not one of %s", option, text, known);
}

typedef struct op_row {
    const char *name;
    hy_status (*run)(hy_op_context *context, const char *in, const char *out);
} op_row;

static const op_row op_rows[] = {
    {"recurrence", hy_op_recurrence}, {"dplr", hy_op_dplr},           {"rwkv6", hy_op_rwkv6}, {"hgrn", hy_op_hgrn},
    {"log_linear", hy_op_log_linear}, {"attention", hy_op_attention}, {"conv", hy_op_conv},   {"model", hy_op_model}};
enum { OP_ROWS = sizeof op_rows / sizeof op_rows[0] };

static hy_status find_op(const hy_op_context *context, const char *name, const op_row **row) {
    const char *names[OP_ROWS];
    for (int i = 0; i < OP_ROWS; i++) {
        names[i] = op_rows[i].name;
        if (strcmp(name, names[i]) == 0) {
            *row = &op_rows[i];
            return HY_OK;
        }
    }
    return hy_op_fail(context, HY_ERR_USAGE, "op %s: no such operation; nearest: %s", name,
                      names[hy_text_nearest(name, names, OP_ROWS)]);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One output for one input; for several a folder of outputs, named as the inputs (op model: as the models). */
static hy_status run_files(hy_op_context *context, const op_row *row, const hy_option_list *in,
                           const hy_option_list *models, const char *out) {
    if (in->n == 1) {
        context->options.model = models->n == 1 ? models->items[0] : NULL;
        return row->run(context, in->items[0], out);
    }
    if (hy_comm_rank(context->world) == 0)
        (void)mkdir(out, 0777); /* if it fails, creating the first file says why */
    for (int i = 0; i < in->n; i++) {
        char path[HY_PATH_MAX];
        context->options.model = models->n == in->n ? models->items[i] : NULL;
        const char *name = base_name(context->options.model ? context->options.model : in->items[i]);
        if (snprintf(path, sizeof path, "%s/%s%s", out, name, context->options.model ? ".h5" : "") >= (int)sizeof path)
            return hy_op_fail(context, HY_ERR_USAGE, "--out %s: path too long", out);
        HY_TRY(row->run(context, in->items[i], path));
    }
    return HY_OK;
}

/* What an option's help says: its choices, of which the first is the default. */
typedef struct choices_help {
    char text[120];
} choices_help;

static choices_help choices_of(const char *what, const char *const *names) {
    choices_help help;
    snprintf(help.text, sizeof help.text, "%s%s (default)", what, names[0]);
    for (int i = 1; names[i]; i++) {
        size_t used = strlen(help.text);
        snprintf(help.text + used, sizeof help.text - used, "%s%s", names[i + 1] ? ", " : " or ", names[i]);
    }
    return help;
}

hy_status hy_cmd_op(int argc, char **argv, hy_comm *world) {
    hy_op_context context = {.world = world};
    hy_option_list in = {.n = 0}, models = {.n = 0};
    const char *out = NULL, *layout = hy_layout_names[0], *state = hy_state_exchange_names[0],
               *attention = hy_attention_method_names[0], *overlap = hy_overlap_names[0], *dtype = "f64",
               *transport_name = hy_transport_names[0];
    const char *table = "cpu_ref", *recompute = "none";
    const choices_help layouts = choices_of("", hy_layout_names),
                       states = choices_of("exchange of states: ", hy_state_exchange_names),
                       attentions = choices_of("exchange of keys and values: ", hy_attention_method_names),
                       overlaps = choices_of("", hy_overlap_names),
                       transports = choices_of("what moves exchanges: ", hy_transport_names);
    const hy_option options[] = {
        {"--in", HY_OPTION_LIST, &in, "FILE", "HDF5 file with the input tensors; may be given many times"},
        {"--out", HY_OPTION_TEXT, &out, "FILE", "HDF5 file to write; with several inputs a folder"},
        {"--model", HY_OPTION_LIST, &models, "DIR",
         "op model: folder with config.json and model.safetensors; one for each --in"},
        {"--layout", HY_OPTION_TEXT, &layout, "NAME", layouts.text},
        {"--state", HY_OPTION_TEXT, &state, "NAME", states.text},
        {"--attention", HY_OPTION_TEXT, &attention, "NAME", attentions.text},
        {"--overlap", HY_OPTION_TEXT, &overlap, "NAME", overlaps.text},
        {"--node", HY_OPTION_COUNT, &context.options.method.node, "N",
         "consecutive ranks that are near each other, for exchanges that treat them apart; all if not given"},
        {"--block", HY_OPTION_COUNT, &context.options.method.block, "BYTES",
         "of a state that travel at once, at least, where an exchange cuts it; 262144 if not given"},
        {"--transport", HY_OPTION_TEXT, &transport_name, "NAME", transports.text},
        {"--recompute", HY_OPTION_TEXT, &recompute, "NAME", "op model: none (default), light or block"},
        {"--dtype", HY_OPTION_TEXT, &dtype, "TYPE", "f64 (default), f32 or bf16"},
        {"--table", HY_OPTION_TEXT, &table, "NAME", "what runs it: cpu_ref (default), cpu or cpu_async"},
    };
    const hy_usage usage = {
        .line = "hylas op recurrence|dplr|rwkv6|hgrn|log_linear|attention|conv|model --in FILE --out FILE [options]",
        .about = "Runs one core operation forward and backward on tensors from a file, with the sequence sharded over "
                 "the ranks "
                 "of mpirun, and writes the gathered outputs and gradients.",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0]),
        .min_args = 1,
        .max_args = 1,
    };
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help)
        return HY_OK;
    int value, transport;
    const op_row *row = NULL;
    HY_TRY(find_op(&context, args.positional[0], &row));
    HY_TRY(choose_by_name(&context, "--layout", layout, hy_layout_names, &value));
    context.options.method.layout = (hy_layout_kind)value;
    HY_TRY(choose_by_name(&context, "--state", state, hy_state_exchange_names, &value));
    context.options.method.state = (hy_state_exchange)value;
    HY_TRY(choose_by_name(&context, "--attention", attention, hy_attention_method_names, &value));
    context.options.method.attention = (hy_attention_method)value;
    HY_TRY(choose_by_name(&context, "--overlap", overlap, hy_overlap_names, &value));
    context.options.method.overlap = (hy_overlap)value;
    HY_TRY(choose_by_name(&context, "--transport", transport_name, hy_transport_names, &transport));
    HY_TRY(choose_by_name(&context, "--recompute", recompute, hy_recompute_names, &value));
    context.options.recompute = (hy_recompute)value;
    HY_TRY(choose_by_name(&context, "--dtype", dtype, dtype_names, &value));
    context.options.dtype = (hy_dtype)value;
    if (in.n == 0 || !out)
        return hy_op_fail(&context, HY_ERR_USAGE, "op %s needs --in FILE and --out FILE", row->name);
    HY_TRY(hy_comm_agree(world, hy_device_create(table, context.options.dtype, &context.device)));
    hy_status status = hy_comm_bind(world, context.device, (hy_transport_id)transport, &context.data);
    if (status == HY_OK)
        status = run_files(&context, row, &in, &models, out);
    hy_comm_destroy(context.data);
    hy_device_destroy(context.device);
    return status;
}
