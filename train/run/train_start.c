#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/gpus.h"
#include "train/run/config_change.h"
#include "train/run/data_resume.h"
#include "train/run/host_nodes.h"
#include "train/run/metrics_read.h"
#include "train/run/peak_file.h"
#include "train/run/run_env.h"
#include "train/run/train_loop_internal.h"

static void take_attachments(hy_loop *l, hy_checkpoint *checkpoint) {
    l->n_attachments = checkpoint->manifest.n_attachments;
    memcpy(l->attachments, checkpoint->manifest.attachments, sizeof l->attachments);
    checkpoint->manifest.n_attachments = 0;
}

/* What sequences carry; if not all of it is there (a checkpoint made at a signal, one of other batches), documents begin anew. */
static hy_status resume_carried(const hy_loop *l, const hy_checkpoint *checkpoint) {
    const hy_carried_values carried = hy_trainer_carried(l->trainer);
    bool found = false;
    if (!l->config->train.carry_state) {
        return HY_OK;
    }
    HY_TRY(hy_comm_agree(l->world, hy_carried_read(checkpoint->path, &checkpoint->manifest, &carried, &found)));
    int64_t lost = !found;
    hy_req req = {0};
    hy_comm_all_reduce(l->world, "carried states lost", &lost, 1, HY_TYPE_I64, HY_SUM, &req);
    hy_comm_wait(&req);
    if (lost > 0) {
        hy_trainer_forget(l->trainer);
    }
    if (lost > 0 && l->first_rank) {
        hy_info("%s: has not all that sequences carry; documents that went on begin anew", checkpoint->path);
    }
    return HY_OK;
}

/* Parameters and optimizer state from `checkpoint`. Collective. */
static hy_status resume(hy_loop *l, hy_checkpoint *checkpoint) {
    void *m = NULL, *v = NULL;
    hy_adamw_sharded_state(l->trainer->optimizer, &m, &v);
    if (!checkpoint->manifest.optimizer) {
        m = v = NULL;
    }
    HY_TRY(hy_one_tokenizer_add(&l->trainer->tokenizer, l->world, checkpoint->manifest.tokenizer, checkpoint->path));
    HY_TRY(hy_parameters_read(l->trainer->parameters, checkpoint, l->world, m, v));
    HY_TRY(hy_comm_agree(l->world, hy_data_resume(&checkpoint->manifest, l->trainer)));
    HY_TRY(resume_carried(l, checkpoint));
    take_attachments(l, checkpoint);
    l->first_step = l->saved_step = l->progress.step;
    if (l->first_rank) {
        hy_info("resuming after step %lld from %s, written by %lld ranks", (long long)l->progress.step,
                checkpoint->path, (long long)checkpoint->manifest.world);
    }
    return HY_OK;
}

/* New parameters: random, or those of the checkpoint train.init. Collective. */
static hy_status initialise(hy_loop *l) {
    hy_trainer *t = l->trainer;
    hy_checkpoint checkpoint;
    if (l->config->train.init[0] == '\0') {
        return hy_comm_agree(l->world, hy_parameters_init(t->parameters, (uint64_t)l->config->train.seed, t->grads));
    }
    HY_TRY(hy_checkpoint_open(l->config->train.init, l->world, NULL, &checkpoint));
    hy_status status = hy_one_tokenizer_add(&t->tokenizer, l->world, checkpoint.manifest.tokenizer, checkpoint.path);
    if (status == HY_OK) {
        status = hy_parameters_read(t->parameters, &checkpoint, l->world, NULL, NULL);
    }
    if (status == HY_OK && l->first_rank) {
        hy_info("starting from the parameters of %s", checkpoint.path);
    }
    take_attachments(l, &checkpoint);
    hy_checkpoint_close(&checkpoint);
    return status;
}

static bool device_is_auto(const hy_loop *l) {
    return strcmp(l->config->run.device, "auto") == 0;
}

static void say_auto_device(const hy_loop *l) {
    char why[512];
    const char *device = hy_auto_device(hy_config_precision(l->config), why, sizeof why);
    hy_info("run.device: auto is %s (%s)", device, why);
}

/* parallel.node: auto is what hosts say. The configuration that is recorded keeps its word. Collective. */
static hy_status find_nodes(hy_loop *l, const hy_mesh *mesh) {
    int64_t node = l->config->parallel.method.node;
    if (node > 0) {
        return HY_OK;
    }
    HY_TRY(hy_host_nodes_find(mesh, &node));
    HY_TRY(hy_comm_agree(l->world, HY_NEW("configuration", 1, &l->placed)));
    memcpy(l->placed, l->config, sizeof *l->placed);
    l->placed->parallel.method.node = node;
    l->config = l->placed;
    return HY_OK;
}

/* Mistakes that need no folder to be seen leave none behind. Collective. */
static hy_status check_mesh_and_device(hy_loop *l) {
    const hy_config *config = l->config;
    hy_mesh mesh;
    hy_profile profile;
    HY_TRY(hy_mesh_create(l->world, (int)config->parallel.data,
                          hy_trainer_sequence_size(config, hy_comm_size(l->world)), &mesh));
    const hy_status status = find_nodes(l, &mesh);
    hy_mesh_destroy(&mesh);
    HY_TRY(status);
    return hy_comm_agree(
        l->world, l->first_rank ? hy_profile_of(config->run.device, hy_config_precision(config), &profile) : HY_OK);
}

/* The parts of a start that only rank 0 has a hand in. Collective. */
static hy_status begin_folder(hy_loop *l) {
    hy_status status = hy_run_folder_init(l->config->run.dir, &l->folder);
    if (status == HY_OK && l->first_rank) {
        status = hy_run_folder_begin(l->config->run.dir, &l->folder);
    }
    return hy_comm_agree(l->world, status);
}

/* That the run is the one whose checkpoint was found; only then the folder says that it is. Collective. */
static hy_status confirm(hy_loop *l, const hy_checkpoint *checkpoint) {
    hy_status status = HY_OK;
    if (l->first_rank) {
        status = hy_store_identities(l->config, &l->stores);
    }
    if (l->first_rank && status == HY_OK && checkpoint != NULL) {
        status = hy_config_change_check(checkpoint->path, &checkpoint->manifest, l->config_text, l->stores,
                                        l->options->allowed);
    }
    if (l->first_rank && status == HY_OK) {
        status = hy_run_folder_write_config(l->config->run.dir, l->config_text, l->config_length);
    }
    HY_TRY(hy_comm_agree(l->world, status));
    return l->first_rank ? HY_OK : hy_log_set_file(l->folder.log);
}

static hy_status begin_environment(hy_loop *l) {
    if (!l->first_rank || l->options->environment == NULL) {
        return HY_OK;
    }
    HY_TRY(hy_run_env_begin(l->folder.env, l->options->environment));
    l->env_begun = true;
    return HY_OK;
}

static hy_status begin_reports(hy_loop *l) {
    hy_status status = begin_environment(l);
    (void)hy_trainer_enter(l->trainer, l->progress.step + 1);
    if (status == HY_OK && l->first_rank) {
        status = hy_metrics_open(l->folder.metrics, l->progress.step, &l->metrics);
    }
    if (status == HY_OK && l->first_rank && l->config->train.tensorboard) {
        status = hy_metrics_add_tensorboard(l->metrics, l->config->run.dir, l->progress.step);
    }
    if (status == HY_OK && l->first_rank) {
        status = hy_console_layers(l->trainer, l->planned, l->peak);
    }
    hy_console_begin(&l->console, l->config->train.steps);
    if (l->first_rank) {
        hy_console_stage(&l->console, l->trainer, l->progress.step + 1);
    }
    return hy_comm_agree(l->world, status);
}

static hy_status measure_peak(hy_loop *l) {
    hy_host_peak *hosts = NULL;
    int n_hosts = 0;
    HY_TRY(hy_gemm_peak_measure(l->world, l->config->run.device, hy_config_precision(l->config), &hosts, &n_hosts));
    if (l->first_rank) {
        l->peak = hy_peak_file_merge(l->folder.peak, hosts, n_hosts);
    }
    hy_free(hosts);
    return HY_OK;
}

/* While nothing is reserved yet: what a dry run takes for itself then adds to no peak. Collective. */
static hy_status plan(hy_loop *l) {
    hy_status status = HY_OK;
    if (l->first_rank) {
        status = hy_dry_run_create(l->config, hy_comm_size(l->world), 0, false, &l->planned);
    }
    return hy_comm_agree(l->world, status);
}

/* Lines of validations after `step`. */
static int64_t validations(const char *metrics, int64_t step) {
    hy_metrics_history history;
    int64_t n = 0;
    if (!hy_file_exists(metrics) || hy_metrics_read(metrics, &history) != HY_OK) {
        return 0;
    }
    for (int64_t i = 0; i < history.n_evals; i++) {
        n += history.evals[i].step == step;
    }
    hy_metrics_history_free(&history);
    return n;
}

/* Whether the validation after the checkpoint's last step is missing: the run was killed in between. Collective. */
static void find_owed_validation(hy_loop *l, const hy_checkpoint *checkpoint) {
    const int64_t step = checkpoint->manifest.progress.step;
    const bool due = step >= l->config->train.steps || hy_is_due(l->config->train.eval.every, step);
    int64_t owed = l->first_rank && step > 0 && due && l->config->data.eval_store.n > 0 &&
                   validations(l->folder.metrics, step) < l->config->data.eval_store.n;
    hy_req req = {0};
    hy_comm_broadcast(l->world, "validation owed", &owed, sizeof owed, 0, &req);
    hy_comm_wait(&req);
    l->owes_validation = owed != 0;
}

hy_status hy_loop_begin(hy_loop *l) {
    HY_TRY(hy_comm_agree(l->world, hy_config_write(l->config, &l->config_text, &l->config_length)));
    HY_TRY(check_mesh_and_device(l));
    HY_TRY(begin_folder(l));
    if (l->first_rank && device_is_auto(l)) {
        say_auto_device(l);
    }
    return HY_OK;
}

hy_status hy_loop_prepare(hy_loop *l, hy_checkpoint *checkpoint) {
    HY_TRY(confirm(l, checkpoint));
    if (checkpoint != NULL) {
        l->progress = checkpoint->manifest.progress;
        find_owed_validation(l, checkpoint);
    }
    if (checkpoint != NULL && l->progress.step >= l->config->train.steps && !l->owes_validation) {
        if (l->first_rank) {
            hy_print("nothing to do: %s has done %lld steps, train.steps is %lld\n", checkpoint->path,
                     (long long)l->progress.step, (long long)l->config->train.steps);
        }
        return HY_OK;
    }
    HY_TRY(measure_peak(l));
    HY_TRY(plan(l));
    HY_TRY(hy_trainer_create(l->config, true, l->world, &l->trainer));
    HY_TRY(checkpoint != NULL ? resume(l, checkpoint) : initialise(l));
    l->progress.data = l->trainer->data;
    HY_TRY(hy_recorder_create(l->config, &l->trainer->mesh, l->trainer->device, &l->recorder));
    return begin_reports(l);
}
