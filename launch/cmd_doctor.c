/* `hylas doctor`: what this machine has and lacks for hylas, one line each: ok, "note" for what works but could be
 * better, LACKS for what is needed. Under mpirun it also compares the ranks with one another. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/gemm.h"
#include "kernels/gpus.h"
#include "launch/bench/machine_rates.h"
#include "launch/build_info.h"
#include "launch/commands.h"
#include "launch/machine_facts.h"
#include "launch/options.h"
#include "launch/rank_facts.h"
#include "launch/threads.h"

static const double GIB = 1024.0 * 1024.0 * 1024.0;

typedef struct findings {
    int notes, lacks;
    hy_json *json; /* NULL: lines of text */
} findings;

HY_PRINTF(4, 0)
static void tell_finding(findings *found, const char *state, const char *what, const char *format, va_list arguments) {
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    if (found->json == NULL) {
        printf("%-9s %-6s %s\n", what, state, text);
        return;
    }
    hy_json_open_object(found->json, NULL);
    hy_json_string(found->json, "name", what);
    hy_json_string(found->json, "state", strcmp(state, "LACKS") == 0 ? "lacks" : state);
    hy_json_string(found->json, "text", text);
    hy_json_close(found->json);
}

HY_PRINTF(3, 4) static void say(findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "ok", what, format, arguments);
    va_end(arguments);
}

HY_PRINTF(3, 4) static void say_note(findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "note", what, format, arguments);
    va_end(arguments);
    found->notes++;
}

HY_PRINTF(3, 4) static void say_lacks(findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "LACKS", what, format, arguments);
    va_end(arguments);
    found->lacks++;
}

static void report_processor(findings *found, const hy_profile *profile) {
    char name[256], features[256], blas[256];
    hy_machine_cpu_name(name, sizeof name);
    hy_cpu_features(features, sizeof features);
    hy_cpu_blas(blas, sizeof blas);
    say(found, "processor", "%s", name);
    say(found, "features", "%s", features[0] != '\0' ? features : "none that is known here");
    if (strcmp(profile->detail, "plain") == 0) {
        say_note(found, "table", "cpu (plain): the slow variant, without AVX2 or AVX-512 (or HYLAS_CPU asks for it)");
    } else {
        say(found, "table", "cpu (%s)", profile->detail);
    }
    const char *mend = hy_cpu_blas_mend(), *onednn = hy_onednn_version();
    if (mend != NULL && onednn[0] != '\0') {
        say(found, "blas", "%s: it does not know this processor; products are oneDNN's", blas);
    } else if (mend != NULL) {
        say_note(
            found, "blas",
            "%s: it does not know this processor, its products are slow; mend it with: export OPENBLAS_CORETYPE=%s",
            blas, mend);
    } else {
        say(found, "blas", "%s", blas);
    }
}

/* How train.precision: bf16 runs here. */
static hy_status report_bf16(findings *found) {
    hy_profile profile;
    char products[128];
    HY_TRY(hy_profile_of("cpu", HY_BF16, &profile));
    hy_cpu_bf16_products(profile.detail, products, sizeof products);
    say(found, "bf16", "cpu (%s), products by %s", profile.detail, products);
    return HY_OK;
}

static void report_gpus(findings *found) {
    char text[512];
    const int n = hy_gpu_count(text, sizeof text);
    if (n == 0) {
        say(found, "gpu", "none: %s", text);
    }
    for (int i = 0; i < n; i++) {
        hy_gpu_facts(i, text, sizeof text);
        say(found, "gpu", "%s", text);
    }
    const char *device = hy_auto_device(HY_BF16, text, sizeof text);
    say(found, "device", "run.device: auto is %s (%s)", device, text);
}

static void report_hdf5(findings *found, const hy_rank_facts *mine) {
    if (strstr(mine->hdf5, "compiled against") != NULL) {
        say_note(found, "hdf5", "%s: build hylas again", mine->hdf5);
    } else {
        say(found, "hdf5", "%s", mine->hdf5);
    }
}

static void report_mpi(findings *found, const hy_comm *world, const hy_rank_facts *mine) {
    char path[HY_PATH_MAX];
    const bool has_mpirun = hy_machine_find_program("mpirun", path, sizeof path);
    say(found, "mpi", "%s", mine->mpi);
    if (hy_comm_launched()) {
        say(found, "launch", "%d ranks, started by a launcher", hy_comm_size(world));
    } else if (has_mpirun) {
        say(found, "launch", "one process; %s starts several", path);
    } else {
        say_lacks(found, "launch", "no mpirun in PATH (Debian, Ubuntu: apt-get install openmpi-bin)");
    }
}

/* Threads of each host against the cores that its ranks may use; rank r is the first on its host. */
static void report_threads(findings *found, const hy_rank_facts *all, int size, int r) {
    const int threads = hy_rank_facts_threads(all, size, r), ranks = all[r].local_ranks, cores = all[r].cores;
    char warning[512];
    if (r == 0 && hy_thread_plan_warning(hy_threads_plan(), all[0].host, warning, sizeof warning)) {
        say_note(found, "threads", "%s", warning);
    } else if (threads > cores) {
        say_note(found, "threads", "%d (%d rank%s) on the %d core%s of %s: more than one per core is slow", threads,
                 ranks, ranks == 1 ? "" : "s", cores, cores == 1 ? "" : "s", all[r].host);
    } else {
        say(found, "threads", "%d (%d rank%s) on the %d core%s of %s", threads, ranks, ranks == 1 ? "" : "s", cores,
            cores == 1 ? "" : "s", all[r].host);
    }
}

/* Threads of each host; ranks that differ from rank 0. */
static void report_ranks(findings *found, const hy_rank_facts *all, int size) {
    int hosts = 0;
    for (int r = 0; r < size; r++) {
        if (hy_rank_facts_first(all, r) == r) {
            report_threads(found, all, size, r);
            hosts++;
        }
        if (strcmp(all[r].table, all[0].table) != 0 || strcmp(all[r].mpi, all[0].mpi) != 0 ||
            strcmp(all[r].hdf5, all[0].hdf5) != 0) {
            say_note(found, "ranks", "rank %d on %s differs from rank 0: table %s, %s, HDF5 %s", r, all[r].host,
                     all[r].table, all[r].mpi, all[r].hdf5);
        }
    }
    if (size > 1) {
        say(found, "hosts", "%d", hosts);
    }
}

static void report_memory(findings *found) {
    const hy_machine_memory memory = hy_machine_memory_read();
    const char *limit = memory.limited ? " (a limit of this container or control group)" : "";
    if (memory.total < 0 || memory.available < 0) {
        say_note(found, "memory", "not known");
    } else if ((double)memory.available < GIB) {
        say_note(found, "memory", "%s%s, only %s available", hy_text_bytes((double)memory.total).s, limit,
                 hy_text_bytes((double)memory.available).s);
    } else {
        say(found, "memory", "%s%s, %s available", hy_text_bytes((double)memory.total).s, limit,
            hy_text_bytes((double)memory.available).s);
    }
}

static void report_disk(findings *found) {
    int64_t bytes = 0;
    if (hy_file_free_space(".", HY_ERR_ENV, &bytes) != HY_OK) {
        say_note(found, "disk", "the free space of this folder cannot be read");
    } else if (access(".", W_OK) != 0) {
        say_note(found, "disk", "%s free, but this folder cannot be written: set run.dir",
                 hy_text_bytes((double)bytes).s);
    } else if ((double)bytes < GIB) {
        say_note(found, "disk", "only %s free in this folder", hy_text_bytes((double)bytes).s);
    } else {
        say(found, "disk", "%s free in this folder", hy_text_bytes((double)bytes).s);
    }
}

/* Open MPI's ranks on one host exchange through files here. */
static void report_shared_memory(findings *found) {
    const double least = 64.0 * 1024.0 * 1024.0;
    struct statvfs info;
    if (statvfs("/dev/shm", &info) != 0) {
        say_note(found, "/dev/shm", "not there: ranks on one host may exchange more slowly");
        return;
    }
    const double bytes = (double)info.f_bavail * (double)info.f_frsize;
    if (bytes < least) {
        say_note(found, "/dev/shm", "only %s free: many ranks may not start (containers: --shm-size=1g)",
                 hy_text_bytes(bytes).s);
    } else {
        say(found, "/dev/shm", "%s free", hy_text_bytes(bytes).s);
    }
}

static void report_limits(findings *found) {
    enum { FILES_LEAST = 256 };
    char text[256];
    hy_machine_limits(text, sizeof text);
    const int64_t files = hy_machine_open_files();
    if (files >= 0 && files < FILES_LEAST) {
        say_note(found, "limits", "%s: raise open files (ulimit -n 1024)", text);
    } else {
        say(found, "limits", "%s", text);
    }
}

typedef struct rates {
    double products, copying; /* per second: operations, bytes */
} rates;

/* All ranks at once. Collective. */
static hy_status measure_rates(hy_comm *world, findings *found, rates *of) {
    HY_TRY(hy_gemm_rate(world, HY_F32, &of->products));
    HY_TRY(hy_comm_agree(world, hy_copy_rate(&of->copying)));
    hy_req req = {0};
    hy_comm_all_reduce(world, "copy rate", &of->copying, 1, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    say(found, "products", "%.0f GFLOP/s, float32 matrices of %d, all threads of all ranks", 1e-9 * of->products,
        HY_GEMM_RATE_N);
    say(found, "copying", "%s read and written together", hy_text_byte_rate(of->copying).s);
    return HY_OK;
}

/* Text, or the array "checks" of the open object. Collective. */
static hy_status examine(hy_comm *world, const hy_profile *profile, const hy_rank_facts *all, findings *found,
                         rates *of) {
    report_processor(found, profile);
    HY_TRY(hy_comm_agree(world, report_bf16(found)));
    report_gpus(found);
    report_ranks(found, all, hy_comm_size(world));
    report_mpi(found, world, &all[0]);
    report_hdf5(found, &all[0]);
    report_memory(found);
    report_disk(found);
    report_shared_memory(found);
    report_limits(found);
    fflush(stdout);
    return measure_rates(world, found, of);
}

static hy_status examine_as_text(hy_comm *world, const hy_profile *profile, const hy_rank_facts *all, findings *found) {
    rates of = {0};
    HY_TRY(examine(world, profile, all, found, &of));
    printf("\n%s\n", found->lacks > 0   ? "Something needed lacks: see above."
                     : found->notes > 0 ? "Works; see the notes."
                                        : "Everything is fine.");
    return HY_OK;
}

static hy_status examine_as_json(hy_comm *world, const hy_profile *profile, const hy_rank_facts *all, findings *found) {
    hy_json json;
    rates of = {0};
    hy_json_begin(&json, stdout);
    hy_json_open_object(&json, NULL);
    hy_build_json(&json);
    hy_rank_facts_json(&json, all, hy_comm_size(world));
    hy_json_open_array(&json, "checks");
    found->json = &json;
    HY_TRY(examine(world, profile, all, found, &of));
    hy_json_close(&json);
    hy_json_double(&json, "product_flops_per_second", of.products);
    hy_json_double(&json, "copy_bytes_per_second", of.copying);
    hy_json_string(&json, "verdict", found->lacks > 0 ? "lacks" : found->notes > 0 ? "note" : "ok");
    hy_json_close(&json);
    return hy_json_end(&json, HY_ERR_FAILED);
}

static hy_status gather_and_examine(hy_comm *world, bool json, findings *found) {
    hy_profile profile;
    hy_rank_facts *all = NULL;
    HY_TRY(hy_comm_agree(world, hy_profile_of("cpu", HY_F32, &profile)));
    HY_TRY(hy_rank_facts_gather(world, profile.detail, &all));
    const hy_status status = (json ? examine_as_json : examine_as_text)(world, &profile, all, found);
    hy_free(all);
    return hy_comm_agree(world, status);
}

hy_status hy_cmd_doctor(int argc, char **argv, hy_comm *world) {
    bool json = false;
    const hy_option options[] = {
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {"[mpirun -np N] hylas doctor [options]",
                            "Says what this machine has and lacks: processor, libraries, launcher, memory, disk, "
                            "limits, and the speed of matrix\n"
                            "products and of memory. Exit code 3 if something that is needed lacks.",
                            options,
                            1,
                            0,
                            0};
    hy_args args;
    findings found = {0};
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
