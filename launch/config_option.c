#include "launch/config_option.h"

#include "base/memory.h"
#include "launch/report_once.h"

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

hy_status hy_config_load_on_all_with_origins(hy_comm *world, const char *path, const hy_option_list *sets,
                                             hy_config **config, hy_schema_origins **origins) {
    load_job job = {path, sets, NULL, NULL};
    HY_TRY(hy_comm_agree(world, HY_NEW("config", 1, &job.config)));
    const hy_status status = hy_report_once(world, load_on_one_rank, &job);
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
