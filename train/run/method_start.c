#include "train/run/method_start.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "train/run/calibrate.h"
#include "train/run/host_nodes.h"
#include "train/run/method_choice.h"
#include "train/run/trainer.h"

enum { KEPT_MAX = HY_MACHINE_NAME + 256 };

/* What a measurement is of. */
static void describe(const hy_config *config, int ranks, char *text, size_t size) {
    (void)snprintf(text, size, "%d %s %s %lld", ranks, config->run.device, hy_precision_names[config->train.precision],
                   (long long)config->parallel.method.node);
}

/* "RANKS DEVICE PRECISION NODE WORDS" of an earlier start of the same. Rank 0. */
static bool read_kept(const hy_config *config, const char *path, int ranks, hy_machine *machine) {
    char *text = NULL, same[128];
    size_t length = 0;
    if (!hy_file_exists(path) || hy_file_read(path, KEPT_MAX, HY_ERR_DATA, &text, &length) != HY_OK) {
        return false;
    }
    describe(config, ranks, same, sizeof same);
    text[strcspn(text, "\n")] = '\0';
    const size_t n = strlen(same);
    const bool read = strncmp(text, same, n) == 0 && text[n] == ' ' && hy_machine_parse(text + n + 1, machine) == HY_OK;
    hy_free(text);
    return read;
}

static void keep(const hy_config *config, const char *path, int ranks, const hy_machine *machine) {
    char text[KEPT_MAX], same[128];
    describe(config, ranks, same, sizeof same);
    (void)snprintf(text, sizeof text, "%s %s\n", same, machine->name);
    if (hy_file_make_dirs(config->run.dir, HY_ERR_DATA) != HY_OK ||
        hy_file_write_atomic(path, text, strlen(text), HY_ERR_DATA) != HY_OK) {
        hy_warn("what was measured of the machine is not kept");
    }
}

static hy_status find_machine(const hy_config *config, hy_comm *world, hy_machine *machine) {
    char path[HY_PATH_MAX];
    const int ranks = hy_comm_size(world), rank = hy_comm_rank(world);
    hy_req req = {0};
    int64_t known = 0;
    if (strcmp(config->parallel.machine, "measured") != 0) {
        return hy_machine_parse(config->parallel.machine, machine);
    }
    (void)snprintf(path, sizeof path, "%s/machine.txt", config->run.dir);
    if (rank == 0) {
        known = read_kept(config, path, ranks, machine);
    }
    hy_comm_broadcast(world, "machine", &known, sizeof known, 0, &req);
    hy_comm_wait(&req);
    if (known) {
        hy_comm_broadcast(world, "machine", machine, sizeof *machine, 0, &req);
        hy_comm_wait(&req);
        return HY_OK;
    }
    const int sharing = hy_trainer_sequence_size(config, ranks);
    HY_TRY(hy_machine_measure(config, world, hy_sp_node_ranks(&config->parallel.method, sharing), machine));
    if (rank == 0) {
        keep(config, path, ranks, machine);
    }
    return HY_OK;
}

static void say_choice(const hy_method_choice *choice, const hy_sp_method *method, const hy_machine *machine) {
    hy_info("auto: layout %s, states %s, attention %s: of %d simulated, the fastest %s a micro-step on %s",
            hy_layout_names[method->layout], hy_state_exchange_names[method->state],
            hy_attention_method_names[method->attention], choice->n,
            hy_text_duration(choice->tried[choice->best].seconds).s, machine->name);
}

/* Ranks of a node, of those that share a sequence: as configured, or those of a host. Collective. */
static hy_status find_node(const hy_config *config, hy_comm *world, int64_t *node) {
    const int sharing = hy_trainer_sequence_size(config, hy_comm_size(world));
    hy_mesh mesh;
    *node = config->parallel.method.node;
    if (*node > 0) {
        return HY_OK;
    }
    HY_TRY(hy_mesh_create(world, (int)config->parallel.data, sharing, &mesh));
    const hy_status status = hy_host_nodes_find(&mesh, node);
    hy_mesh_destroy(&mesh);
    return status;
}

static hy_status settle(hy_config *config, hy_comm *world) {
    hy_sp_method *method = &config->parallel.method;
    hy_machine machine;
    hy_method_choice *choice = NULL;
    HY_TRY(find_machine(config, world, &machine));
    HY_TRY(hy_method_choose(config, 0, hy_comm_size(world), false, &machine, world, method, &choice));
    if (hy_comm_rank(world) == 0) {
        say_choice(choice, method, &machine);
    }
    hy_free(choice);
    return HY_OK;
}

hy_status hy_method_start(hy_config *config, hy_comm *world) {
    hy_sp_method *method = &config->parallel.method;
    const int64_t configured = method->node;
    if (!hy_method_is_open(method)) {
        return HY_OK;
    }
    if (hy_trainer_sequence_size(config, hy_comm_size(world)) == 1) {
        *method = hy_method_first(method);
        return HY_OK;
    }
    HY_TRY(find_node(config, world, &method->node));
    const hy_status status = settle(config, world);
    method->node = configured; /* the configuration says what was asked for */
    return status;
}
