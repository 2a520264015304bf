#include "launch/config_option.h"

#include "base/memory.h"
#include "launch/report_once.h"

typedef struct load_job {
    const char *path;
    const hy_option_list *sets;
    hy_config *config;
} load_job;

static hy_status load(void *context) {
    const load_job *job = context;
    return hy_config_load(job->path, job->sets->items, job->sets->n, job->config);
}

hy_status hy_config_load_on_all(hy_comm *world, const char *path, const hy_option_list *sets, hy_config **config) {
    load_job job = {path, sets, NULL};
    HY_TRY(hy_comm_agree(world, HY_NEW("config", 1, &job.config)));
    const hy_status status = hy_report_once(world, load, &job);
    if (status != HY_OK) {
        hy_free(job.config);
        return status;
    }
    *config = job.config;
    return HY_OK;
}
