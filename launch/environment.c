#include "launch/environment.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/device.h"
#include "launch/build_info.h"
#include "launch/machine_facts.h"
#include "launch/rank_facts.h"
#include "launch/same_program.h"

static void write_command(hy_json *json, int argc, char **argv) {
    char folder[PATH_MAX];
    hy_json_open_array(json, "command");
    hy_json_string(json, NULL, "hylas");
    for (int i = 0; i < argc; i++) {
        hy_json_string(json, NULL, argv[i]);
    }
    hy_json_close(json);
    hy_json_string(json, "directory", getcwd(folder, sizeof folder));
}

static hy_status write_start(hy_json *json, int argc, char **argv, const hy_config *config, const char *device,
                             const hy_rank_facts *all, int size) {
    char processor[256];
    hy_machine_cpu_name(processor, sizeof processor);
    hy_json_open_object(json, NULL);
    hy_json_string(json, "started", hy_utc_time().s);
    write_command(json, argc, argv);
    hy_build_json(json);
    hy_json_string(json, "processor", processor);
    hy_json_string(json, "device", device);
    hy_json_string(json, "precision", hy_precision_names[config->train.precision]);
    hy_json_string(json, "table", all[0].table);
    hy_json_int(json, "ranks", size);
    hy_rank_facts_json(json, all, size);
    hy_json_close(json);
    return hy_json_end(json, HY_ERR_MEMORY);
}

static hy_status describe_start(int argc, char **argv, const hy_config *config, const char *device,
                                const hy_rank_facts *all, int size, char **text) {
    char *written = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&written, &length);
    if (memory == NULL) {
        return hy_fail(HY_ERR_MEMORY, "no memory to describe this machine");
    }
    hy_json json;
    hy_json_begin(&json, memory);
    const hy_status status = write_start(&json, argc, argv, config, device, all, size);
    fclose(memory);
    if (status != HY_OK) {
        free(written);
        return status;
    }
    *text = written;
    return HY_OK;
}

hy_status hy_environment_describe(int argc, char **argv, const hy_config *config, hy_comm *world, char **text) {
    hy_rank_facts *all = NULL;
    hy_profile profile;
    *text = NULL;
    HY_TRY(hy_comm_agree(world, hy_profile_of(config->run.device, hy_config_precision(config), &profile)));
    HY_TRY(hy_same_device(world, &profile));
    HY_TRY(hy_rank_facts_gather(world, profile.detail, &all));
    const hy_status status = hy_comm_rank(world) == 0
                                 ? describe_start(argc, argv, config, profile.name, all, hy_comm_size(world), text)
                                 : HY_OK;
    hy_free(all);
    return hy_comm_agree(world, status);
}
