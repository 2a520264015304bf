#include "launch/plan_methods.h"

#include <stdio.h>

#include "base/table.h"
#include "base/text.h"

static void add_tried(hy_text_table *table, const hy_method_choice *choice, const hy_config *config,
                      const hy_tried_method *t, int mixer, bool best) {
    const hy_tried_layer *layer = &t->layers[mixer];
    const hy_tried_method *chosen = &choice->tried[choice->best];
    hy_text_table_cell(table, "%s%s", best ? "* " : "  ", config->model.mixers[choice->mixers[mixer]].name);
    hy_text_table_cell(table, "%lld", (long long)choice->counts[mixer]);
    hy_text_table_cell(table, "%s", hy_layout_names[t->method.layout]);
    hy_text_table_cell(table, "%s", hy_state_exchange_names[t->method.state]);
    hy_text_table_cell(table, "%s", hy_attention_method_names[t->method.attention]);
    hy_text_table_cell(table, "%s", hy_text_duration(layer->seconds).s);
    hy_text_table_cell(table, "%s", hy_text_duration(layer->exposed).s);
    hy_text_table_cell(table, "%s", hy_text_bytes(layer->sent).s);
    hy_text_table_cell(table, "%.0f", layer->messages);
    hy_text_table_cell(table, "%s", hy_text_bytes((double)t->activations).s);
    hy_text_table_cell(table, "%s", hy_text_duration(t->seconds).s);
    hy_text_table_cell(table, "%.2f", t->seconds / chosen->seconds);
}

static void print_method(const char *title, const hy_sp_method *m) {
    printf("%sparallel.layout=%s parallel.state=%s parallel.attention=%s\n", title, hy_layout_names[m->layout],
           hy_state_exchange_names[m->state], hy_attention_method_names[m->attention]);
}

hy_status hy_plan_methods_print(const hy_method_choice *choice, const hy_config *config, int ranks,
                                const char *machine) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(12,
                                (const char *const[]){"  mixer", "layers", "layout", "states", "attention", "a layer",
                                                      "exposed", "sent", "messages", "activations", "micro-step",
                                                      "of the best"},
                                &table));
    for (int i = 0; i < choice->n_mixers; i++) {
        for (int t = 0; t < choice->n; t++) {
            add_tried(table, choice, config, &choice->tried[t], i, t == choice->best);
        }
    }
    printf("methods     simulated on %s, of %d ranks; a rank's mean. *: the fastest\n", machine, ranks);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    print_method("fastest     ", &choice->tried[choice->best].method);
    print_method("auto takes  ", &choice->tried[choice->taken].method);
    printf("            which sends least of those within %.0f%% of the fastest\n\n", 100 * (HY_METHODS_ALIKE - 1));
    return status;
}
