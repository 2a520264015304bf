/* ranks: 1 2 3 4 */
/* What a dry run says of a run is what the run does: of every recipe under configs/ in the reduced sizes of its own, the count and the
 * bytes of every exchange of a step and of a validation, the memory within 2%, and what is offloaded; with stages, micro-steps, groups;
 * documents are one per sequence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/dist/run_test.h"
#include "train/data/token_store.h"
#include "train/run/dry_run.h"
#include "train/run/eval_pass.h"
#include "train/run/train_step.h"

enum { LEN = 211, DOCUMENTS = 24, VOCAB = 16, SETS_MAX = 32, TEXT_MAX = 4096 };

static hy_status fill(void) {
    char path[128];
    int32_t tokens[LEN];
    uint8_t answers[LEN];
    hy_token_writer *writer = NULL;
    snprintf(path, sizeof path, "%s/s.h5", folder);
    HY_TRY(hy_token_writer_create(path, VOCAB, "test", &writer));
    hy_status status = HY_OK;
    for (int d = 0; d < DOCUMENTS && status == HY_OK; d++) {
        for (int i = 0; i < LEN; i++) {
            tokens[i] = (d + i * (1 + d % 5)) % VOCAB;
            answers[i] = 1;
        }
        status = hy_token_writer_append(writer, tokens, LEN);
        status = status == HY_OK ? hy_token_writer_append_answers(writer, answers, LEN) : status;
        status = status == HY_OK ? hy_token_writer_end_document(writer) : status;
    }
    status = status == HY_OK ? hy_token_writer_finish(writer) : status;
    hy_token_writer_destroy(writer);
    return status;
}

/* ---- what is compared ---- */

static const hy_exchange_record *find(const hy_exchange_record *records, int n, const hy_exchange_record *like) {
    for (int i = 0; i < n; i++) {
        if (records[i].kind == like->kind && strcmp(records[i].name, like->name) == 0) {
            return &records[i];
        }
    }
    return NULL;
}

/* What softmax layers send is planned for one document in every sequence: where documents end inside, it is less. */
static bool is_less(const hy_exchange_record *made, const hy_exchange_record *planned, int64_t len) {
    return len != LEN && strncmp(made->name, "attention", 9) == 0 && made->bytes < planned->bytes;
}

static void compare_exchanges(const char *what, const hy_exchange_log *planned, int64_t len) {
    const hy_exchange_record *made = NULL;
    const int n = hy_exchange_records(&made);
    CHECK(n == planned->n, "%s: %d kinds of exchanges planned, %d made", what, planned->n, n);
    for (int i = 0; i < n; i++) {
        const hy_exchange_record *p = find(planned->records, planned->n, &made[i]);
        CHECK(p != NULL && p->count == made[i].count && (p->bytes == made[i].bytes || is_less(&made[i], p, len)),
              "%s: %s %s: planned %lld of %lld bytes in all, made %lld of %lld", what,
              hy_exchange_kind_name(made[i].kind), made[i].name, p ? (long long)p->count : -1,
              p ? (long long)p->bytes : -1, (long long)made[i].count, (long long)made[i].bytes);
    }
}

/* `allocated`: by the trainer alone. */
static void compare_memory(const char *what, const hy_plan *plan, int64_t allocated) {
    int64_t planned = 0;
    for (int i = 0; i < plan->n; i++) {
        const hy_plan_entry *e = &plan->entries[i];
        const bool others = strcmp(e->lifetime, "start") == 0 || strcmp(e->lifetime, "operation") == 0 ||
                            strcmp(e->name, "configuration") == 0 || strcmp(e->name, HY_PLANNED_SPANS) == 0;
        planned += others ? 0 : e->bytes;
    }
    CHECK(llabs(planned - allocated) * 50 <= allocated, "%s: %lld bytes planned, %lld allocated", what,
          (long long)planned, (long long)allocated);
}

static hy_status validate(hy_trainer *trainer, const char *what, const hy_exchange_log *planned, int64_t len) {
    hy_eval_result result;
    hy_exchange_reset();
    for (int i = 0; i < trainer->stores.n_eval; i++) {
        HY_TRY(hy_eval_pass(trainer, i, &result));
    }
    if (trainer->stores.n_eval > 0) {
        compare_exchanges(what, planned, len);
    }
    return HY_OK;
}

static hy_status run_stages(hy_trainer *trainer, const char *what, const hy_dry_run *dry) {
    HY_TRY(hy_parameters_init(trainer->parameters, 1, trainer->grads));
    for (int i = 0; i < trainer->n_stages; i++) {
        hy_step_result result;
        hy_exchange_reset();
        HY_TRY(hy_train_step(trainer, trainer->stages[i].stage.first, i + 1, false, &result));
        CHECK(!result.skipped, "%s: the step was skipped", what);
        const int64_t len = trainer->stages[i].stage.sequence;
        compare_exchanges(what, &dry->stages[i].step, len);
        HY_TRY(validate(trainer, what, &dry->stages[i].validation, len));
    }
    return HY_OK;
}

/* What is offloaded in a micro-step fills the host's memory, but for what aligns it, and comes back. */
static void compare_offload(const char *what, const hy_trainer *trainer, const hy_dry_run *dry) {
    const bool offloads = trainer->config->train.offload == HY_OFFLOAD_HOST;
    CHECK((dry->activations.host > 0) == offloads && (trainer->memory[0].host != NULL) == offloads,
          "%s: %lld bytes are offloaded", what, (long long)dry->activations.host);
    for (int i = 0; i < dry->n_stages; i++) {
        const hy_pass *pass = &trainer->stages[i].train;
        const int64_t most = pass->split.calls * hy_runner_bytes(pass->runner).host, out = dry->stages[i].to_host;
        CHECK(out == dry->stages[i].from_host && out <= most && out * 10 >= most * 9,
              "%s: %lld bytes to the host, %lld back, of %lld", what, (long long)out,
              (long long)dry->stages[i].from_host, (long long)most);
    }
}

static hy_status run_config(const char *what, const hy_config *config, hy_comm *world) {
    hy_trainer *trainer = NULL;
    hy_dry_run *dry = NULL;
    HY_TRY(hy_comm_agree(world, hy_dry_run_create(config, hy_comm_size(world), hy_comm_rank(world), false, &dry)));
    const int64_t before = hy_alloc_bytes();
    hy_status status = hy_trainer_create(config, true, world, &trainer);
    if (status == HY_OK) {
        compare_memory(what, &dry->memory, hy_alloc_bytes() - before);
        compare_offload(what, trainer, dry);
        status = run_stages(trainer, what, dry);
    }
    hy_trainer_destroy(trainer);
    hy_dry_run_destroy(dry);
    return status;
}

/* ---- recipes ---- */

/* The words behind "# reduced: ", in quotes where they have blanks, cut out of `text`. */
static int overrides_of(char *text, const char **sets) {
    char *at = strstr(text, "# reduced: ");
    int n = 0;
    if (at == NULL) {
        return 0;
    }
    at += strlen("# reduced: ");
    at[strcspn(at, "\n")] = '\0';
    while (*(at += strspn(at, " ")) != '\0' && n < SETS_MAX / 2) {
        const bool quoted = *at == '\'';
        at += quoted;
        sets[n++] = at;
        at += strcspn(at, quoted ? "'" : " ");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    return n;
}

/* `more`: overrides of the case. */
static hy_status run_recipe(const char *path, const char *const *more, hy_comm *world) {
    char *text = NULL, own[8][160];
    size_t length = 0;
    const char *sets[SETS_MAX];
    hy_config *config = NULL;
    HY_TRY(hy_file_read(path, 1 << 20, HY_ERR_FAILED, &text, &length));
    int n = overrides_of(text, sets);
    const int words = n;
    snprintf(own[0], sizeof own[0], "data.store=%s/s.h5", folder);
    snprintf(own[1], sizeof own[1], "data.eval_store=%s/s.h5", folder);
    snprintf(own[2], sizeof own[2], "data.sequence=%d", LEN);
    snprintf(own[3], sizeof own[3], "data.batch=4");
    snprintf(own[4], sizeof own[4], "train.eval.sequences=5");
    snprintf(own[5], sizeof own[5], "train.accumulate=2");
    snprintf(own[6], sizeof own[6], "parallel.data=%d", hy_comm_size(world) == 4 ? 2 : 1);
    snprintf(own[7], sizeof own[7], "parallel.sequence=auto");
    for (int i = 0; i < 8; i++) {
        sets[n++] = own[i];
    }
    for (int i = 0; more[i] != NULL; i++) {
        sets[n++] = more[i];
    }
    hy_status status = HY_NEW("configuration", 1, &config);
    if (status == HY_OK && words > 0) {
        status = hy_config_load(path, sets, n, config);
        status = status == HY_OK ? run_config(path, config, world) : status;
    }
    hy_free(config);
    hy_free(text);
    return status;
}

static const char *const none[] = {NULL};
static const char *const stages[] = {
    "train.steps=3",
    "train.stages=[{steps: 1, sequence: 50, batch: 7, accumulate: 2}, {steps: 2, sequence: 211, batch: 3}]",
    "parallel.layout=contiguous",
    "parallel.state=ring",
    "parallel.attention=allgather",
    NULL};

static const char *const heads[] = {"train.steps=2", "parallel.state=heads", "parallel.attention=heads", NULL};

static const char *const offload[] = {"train.offload=host",
                                      "model.layers=6",
                                      "train.recompute=block",
                                      "train.steps=3",
                                      "train.stages=[{steps: 1, batch: 7, accumulate: 3}, {steps: 2}]",
                                      NULL};

static const char *const carry[] = {"train.carry_state=true", "model.mixers.attention.window=20",
                                    "parallel.layout=contiguous", NULL};

static hy_status run_folder(const char *name, hy_comm *world) {
    hy_file_list list;
    HY_TRY(hy_file_list_dir(name, HY_ERR_FAILED, &list));
    hy_status status = HY_OK;
    for (int64_t i = 0; i < list.count && status == HY_OK; i++) {
        char path[HY_PATH_MAX];
        const size_t n = strlen(list.names[i]);
        if (n > 5 && strcmp(list.names[i] + n - 5, ".yaml") == 0) {
            snprintf(path, sizeof path, "%s/%s", name, list.names[i]);
            status = run_recipe(path, strcmp(list.names[i], "stages.yaml") == 0 ? stages : none, world);
        }
    }
    hy_file_list_free(&list);
    return status;
}

static hy_status run(hy_comm *world) {
    HY_TRY(run_folder(HY_TEST_DATA "/../../configs", world));
    HY_TRY(run_folder(HY_TEST_DATA "/../../configs/hybrids", world));
    HY_TRY(run_folder(HY_TEST_DATA "/../../configs/study", world));
    HY_TRY(run_recipe(HY_TEST_DATA "/../../configs/hybrids/kimi-linear-like.yaml", stages, world));
    HY_TRY(run_recipe(HY_TEST_DATA "/../../configs/hybrids/kimi-linear-like.yaml", heads, world));
    HY_TRY(run_recipe(HY_TEST_DATA "/../../configs/quickstart.yaml", carry, world));
    const char *const uneven[] = {hy_comm_size(world) == 3 ? "parallel.weights=[5, 1, 2]" : "parallel.weights=[3, 1]",
                                  "train.steps=1", NULL};
    HY_TRY(run_recipe(HY_TEST_DATA "/../../configs/hybrids/kimi-linear-like.yaml", uneven, world));
    return run_recipe(HY_TEST_DATA "/../../configs/quickstart.yaml", offload, world);
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "dry_run", 28, fill, run);
}
