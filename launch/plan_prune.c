#include "launch/plan_prune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "train/run/prune_words.h"

hy_status hy_plan_unpruned(const hy_config *config, int ranks, int rank, hy_dry_run **out) {
    hy_config *all = NULL;
    HY_TRY(HY_NEW("configuration", 1, &all));
    memcpy(all, config, sizeof *all);
    all->parallel.method.prune = 0;
    const hy_status status = hy_dry_run_create(all, ranks, rank, false, out);
    hy_free(all);
    return status;
}

static void add_pruned(hy_text_table *table, int64_t number, const hy_layer_info *info, const hy_reach_facts *facts,
                       const hy_dry_layer *pruned, const hy_dry_layer *all) {
    const int64_t sent = pruned->fwd.sent + pruned->bwd.sent, sent_all = all->fwd.sent + all->bwd.sent;
    hy_text_table_cell(table, "%lld", (long long)number);
    hy_text_table_cell(table, "%s", info->mixer);
    hy_text_table_cell(table, "%.9g", exp(info->log_decay_max));
    hy_text_table_cell(table, "%lld tokens", (long long)facts->reach);
    hy_text_table_cell(table, "%lld of %lld", (long long)facts->closed, (long long)facts->fragments);
    hy_text_table_cell(table, "%.2g", facts->bound);
    hy_text_table_cell(table, "%s of %s", hy_text_bytes((double)(sent_all - sent)).s,
                       hy_text_bytes((double)sent_all).s);
    hy_text_table_cell(table, "%lld of %lld",
                       (long long)(all->fwd.messages + all->bwd.messages - pruned->fwd.messages - pruned->bwd.messages),
                       (long long)(all->fwd.messages + all->bwd.messages));
}

hy_status hy_plan_prune_print(const hy_model *model, const hy_run_shape *shape, const hy_dry_stage *pruned,
                              const hy_dry_stage *all) {
    char words[256];
    hy_text_table *table = NULL;
    int64_t rows = 0;
    HY_TRY(hy_text_table_create(8,
                                (const char *const[]){"pruned layer", "mixer", "slowest head keeps", "nothing passes",
                                                      "fragments", "bound", "bytes saved", "messages saved"},
                                &table));
    for (int64_t l = 0; l < hy_model_config_of(model)->layers; l++) {
        hy_layer_info info;
        hy_model_layer_info(model, shape, l, &info);
        const hy_reach_facts facts = hy_prune_facts(shape, &info);
        if (facts.reach > 0) {
            add_pruned(table, l, &info, &facts, &pruned->layers[l], &all->layers[l]);
            rows++;
        }
    }
    const hy_status status = rows > 0 ? hy_text_table_print(table, stdout) : HY_OK;
    hy_text_table_destroy(table);
    hy_prune_words(model, shape, words, sizeof words);
    printf("prune       %s\n", words);
    return status;
}
