#include "launch/config_option.h"

#include "base/memory.h"
#include "launch/report_once.h"
#include "train/run/config_diff.h"

typedef struct load_job {
    const char *path;
    const hy_option_list *sets;
    hy_config *config;
    hy_schema_origins *origins;
} load_job;

/* May run twice. */
static hy_status load_on_one_rank(void *context) {
    load_job *job = context;
    hy_schema_origins_destroy(job->origins);
    job->origins = NULL;
    return hy_config_load_with_origins(job->path, job->sets->items, job->sets->n, job->config, &job->origins);
}

/* Collective. */
static hy_status agree_on_config(hy_comm *world, const hy_config *config) {
    char *text = NULL;
    size_t length = 0;
    hy_status status = hy_comm_agree(world, hy_config_write(config, &text, &length));
    if (status == HY_OK) {
        status = hy_config_agree(world, text, length);
    }
    hy_free(text);
    return status;
}

hy_status hy_config_load_on_all_with_origins(hy_comm *world, const char *path, const hy_option_list *sets,
                                             hy_config **config, hy_schema_origins **origins) {
    load_job job = {path, sets, NULL, NULL};
    HY_TRY(hy_comm_agree(world, HY_NEW("config", 1, &job.config)));
    hy_status status = hy_report_once(world, load_on_one_rank, &job);
    if (status == HY_OK) {
        status = agree_on_config(world, job.config);
    }
    if (status != HY_OK) {
        hy_schema_origins_destroy(job.origins);
        hy_free(job.config);
        return status;
    }
    *config = job.config;
    *origins = job.origins;
    return HY_OK;
}

hy_status hy_config_load_on_all(hy_comm *world, const char *path, const hy_option_list *sets, hy_config **config) {
    hy_schema_origins *origins = NULL;
    HY_TRY(hy_config_load_on_all_with_origins(world, path, sets, config, &origins));
    hy_schema_origins_destroy(origins);
    return HY_OK;
}
