/* `hylas doctor`: what this machine has and lacks for hylas, one line each: ok, "note" for what works but could be
 * better, LACKS for what is needed. Under mpirun it also compares the ranks with one another. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/gemm.h"
#include "kernels/gpus.h"
#include "launch/bench/machine_rates.h"
#include "launch/build_info.h"
#include "launch/commands.h"
#include "launch/findings.h"
#include "launch/hosts.h"
#include "launch/machine_facts.h"
#include "launch/options.h"
#include "launch/rank_facts.h"

static const double GIB = 1024.0 * 1024.0 * 1024.0;

static void report_processor(hy_findings *found, const hy_profile *profile) {
    char name[256], features[256], blas[256];
    hy_machine_cpu_name(name, sizeof name);
    hy_cpu_features(features, sizeof features);
    hy_cpu_blas(blas, sizeof blas);
    hy_finding_ok(found, "processor", "%s", name);
    hy_finding_ok(found, "features", "%s", features[0] != '\0' ? features : "none that is known here");
    if (strcmp(profile->detail, "plain") == 0) {
        hy_finding_note(found, "table",
                        "cpu (plain): the slow variant, without AVX2 or AVX-512 (or HYLAS_CPU asks for it)");
    } else {
        hy_finding_ok(found, "table", "cpu (%s)", profile->detail);
    }
    const char *mend = hy_cpu_blas_mend(), *onednn = hy_onednn_version();
    if (mend != NULL && onednn[0] != '\0') {
        hy_finding_ok(found, "blas", "%s: it does not know this processor; products are oneDNN's", blas);
    } else if (mend != NULL) {
        hy_finding_note(
            found, "blas",
            "%s: it does not know this processor, its products are slow; mend it with: export OPENBLAS_CORETYPE=%s",
            blas, mend);
    } else {
        hy_finding_ok(found, "blas", "%s", blas);
    }
}

/* How train.precision: bf16 runs here. */
static hy_status report_bf16(hy_findings *found) {
    hy_profile profile;
    char products[128];
    HY_TRY(hy_profile_of("cpu", HY_BF16, &profile));
    hy_cpu_bf16_products(profile.detail, products, sizeof products);
    hy_finding_ok(found, "bf16", "cpu (%s), products by %s", profile.detail, products);
    return HY_OK;
}

static void report_gpus(hy_findings *found) {
    char text[512];
    const int n = hy_gpu_count(text, sizeof text);
    if (n == 0) {
        hy_finding_ok(found, "gpu", "none: %s", text);
    }
    for (int i = 0; i < n; i++) {
        hy_gpu_facts(i, text, sizeof text);
        hy_finding_ok(found, "gpu", "%s", text);
    }
    const char *device = hy_auto_device(HY_BF16, text, sizeof text);
    hy_finding_ok(found, "device", "run.device: auto is %s (%s)", device, text);
}

static void report_hdf5(hy_findings *found, const hy_rank_facts *mine) {
    if (strstr(mine->hdf5, "compiled against") != NULL) {
        hy_finding_note(found, "hdf5", "%s: build hylas again", mine->hdf5);
    } else {
        hy_finding_ok(found, "hdf5", "%s", mine->hdf5);
    }
}

static void report_mpi(hy_findings *found, const hy_comm *world, const hy_rank_facts *mine) {
    char path[HY_PATH_MAX];
    const bool has_mpirun = hy_machine_find_program("mpirun", path, sizeof path);
    hy_finding_ok(found, "mpi", "%s", mine->mpi);
    if (hy_comm_launched()) {
        hy_finding_ok(found, "launch", "%d ranks, started by a launcher", hy_comm_size(world));
    } else if (has_mpirun) {
        hy_finding_ok(found, "launch", "one process; %s starts several", path);
    } else {
        hy_finding_lacks(found, "launch", "no mpirun in PATH (Debian, Ubuntu: apt-get install openmpi-bin)");
    }
}

/* MPI, which is the control plane too, has a line of its own. */
static void report_transports(hy_findings *found) {
    char text[256];
    for (int id = HY_TRANSPORT_MPI + 1; hy_transport_names[id] != NULL; id++) {
        const bool there = hy_transport_about((hy_transport_id)id, text, sizeof text);
        hy_finding_ok(found, hy_transport_names[id], "%s%s", there ? "" : "cannot be had: ", text);
    }
}

static void report_memory(hy_findings *found) {
    const hy_machine_memory memory = hy_machine_memory_read();
    const char *limit = memory.limited ? " (a limit of this container or control group)" : "";
    if (memory.total < 0 || memory.available < 0) {
        hy_finding_note(found, "memory", "not known");
    } else if ((double)memory.available < GIB) {
        hy_finding_note(found, "memory", "%s%s, only %s available", hy_text_bytes((double)memory.total).s, limit,
                        hy_text_bytes((double)memory.available).s);
    } else {
        hy_finding_ok(found, "memory", "%s%s, %s available", hy_text_bytes((double)memory.total).s, limit,
                      hy_text_bytes((double)memory.available).s);
    }
}

static void report_disk(hy_findings *found) {
    int64_t bytes = 0;
    if (hy_file_free_space(".", HY_ERR_ENV, &bytes) != HY_OK) {
        hy_finding_note(found, "disk", "the free space of this folder cannot be read");
    } else if (access(".", W_OK) != 0) {
        hy_finding_note(found, "disk", "%s free, but this folder cannot be written: set run.dir",
                        hy_text_bytes((double)bytes).s);
    } else if ((double)bytes < GIB) {
        hy_finding_note(found, "disk", "only %s free in this folder", hy_text_bytes((double)bytes).s);
    } else {
        hy_finding_ok(found, "disk", "%s free in this folder", hy_text_bytes((double)bytes).s);
    }
}

static void report_limits(hy_findings *found) {
    enum { FILES_LEAST = 256 };
    char text[256];
    hy_machine_limits(text, sizeof text);
    const int64_t files = hy_machine_open_files();
    if (files >= 0 && files < FILES_LEAST) {
        hy_finding_note(found, "limits", "%s: raise open files (ulimit -n 1024)", text);
    } else {
        hy_finding_ok(found, "limits", "%s", text);
    }
}

typedef struct rates {
    double products, copying; /* per second: operations, bytes */
} rates;

/* All ranks at once. Collective. */
static hy_status measure_rates(hy_comm *world, hy_findings *found, rates *of) {
    HY_TRY(hy_gemm_rate(world, "cpu", HY_F32, &of->products));
    HY_TRY(hy_comm_agree(world, hy_copy_rate(&of->copying)));
    hy_req req = {0};
    hy_comm_all_reduce(world, "copy rate", &of->copying, 1, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    hy_finding_ok(found, "products", "%.0f GFLOP/s, float32 matrices of %d, all threads of all ranks",
                  1e-9 * of->products, HY_GEMM_RATE_N);
    hy_finding_ok(found, "copying", "%s read and written together", hy_text_byte_rate(of->copying).s);
    return HY_OK;
}

/* Text, or the array "checks" of the open object. Collective. */
static hy_status examine(hy_comm *world, const hy_profile *profile, const hy_hosts *hosts, hy_findings *found,
                         rates *of) {
    report_processor(found, profile);
    HY_TRY(hy_comm_agree(world, report_bf16(found)));
    report_gpus(found);
    hy_hosts_check(hosts, found);
    report_mpi(found, world, &hosts->all[0]);
    report_hdf5(found, &hosts->all[0]);
    report_transports(found);
    report_memory(found);
    report_disk(found);
    report_limits(found);
    fflush(stdout);
    return measure_rates(world, found, of);
}

static hy_status examine_as_text(hy_comm *world, const hy_profile *profile, const hy_hosts *hosts, hy_findings *found) {
    rates of = {0};
    HY_TRY(examine(world, profile, hosts, found, &of));
    HY_TRY(hy_comm_agree(world, hy_hosts_print(hosts)));
    printf("\n%s\n", found->lacks > 0   ? "Something needed lacks: see above."
                     : found->notes > 0 ? "Works; see the notes."
                                        : "Everything is fine.");
    return HY_OK;
}

static hy_status examine_as_json(hy_comm *world, const hy_profile *profile, const hy_hosts *hosts, hy_findings *found) {
    hy_json json;
    rates of = {0};
    hy_json_begin(&json, stdout);
    hy_json_open_object(&json, NULL);
    hy_build_json(&json);
    hy_rank_facts_json(&json, hosts->all, hosts->size);
    hy_hosts_clocks_json(&json, hosts);
    hy_json_open_array(&json, "checks");
    found->json = &json;
    HY_TRY(examine(world, profile, hosts, found, &of));
    hy_json_close(&json);
    hy_json_double(&json, "product_flops_per_second", of.products);
    hy_json_double(&json, "copy_bytes_per_second", of.copying);
    hy_json_string(&json, "verdict", found->lacks > 0 ? "lacks" : found->notes > 0 ? "note" : "ok");
    hy_json_close(&json);
    return hy_json_end(&json, HY_ERR_FAILED);
}

static hy_status gather_and_examine(hy_comm *world, bool json, hy_findings *found) {
    hy_profile profile;
    hy_hosts hosts = {0};
    HY_TRY(hy_comm_agree(world, hy_profile_of("cpu", HY_F32, &profile)));
    hy_status status = hy_hosts_gather(world, profile.detail, &hosts);
    if (status == HY_OK) {
        status = hy_comm_agree(world, (json ? examine_as_json : examine_as_text)(world, &profile, &hosts, found));
    }
    hy_hosts_fini(&hosts);
    return status;
}

hy_status hy_cmd_doctor(int argc, char **argv, hy_comm *world) {
    bool json = false;
    const hy_option options[] = {
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas doctor [options]",
        "Says what this machine has and lacks: processor, libraries, launcher, memory, disk, "
        "limits, and the speed of matrix\n"
        "products and of memory. On several ranks also a table of hosts: cores, bindings, GPUs, limits, "
        "clocks, and what would\n"
        "go wrong. Exit code 3 if something that is needed lacks.",
        options,
        1,
        0,
        0};
    hy_args args;
    hy_findings found = {0};
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(gather_and_examine(world, json, &found));
    if (found.lacks == 0) {
        return HY_OK;
    }
    return hy_comm_rank(world) > 0 ? HY_ERR_PEER : hy_fail(HY_ERR_ENV, "%d things that are needed lack", found.lacks);
}
