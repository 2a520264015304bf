#include "launch/same_program.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/number_list.h"
#include "launch/build_info.h"
#include "launch/machine_facts.h"

/* What is compared, first difference first; its size is the same in every build. */
enum { TRAITS = 3, TRAIT_SIZE = 112, HOST_SIZE = 48 };
typedef struct identity {
    char traits[TRAITS][TRAIT_SIZE]; /* "" = without */
    char host[HOST_SIZE];
} identity;

/* ---- the build ----
 * The linker's build id is a hash of the program; the commit alone would not tell two builds of changed files apart. */

static int find_build_id(struct dl_phdr_info *info, size_t size, void *context) {
    char *text = context;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        const char *at = (const char *)(info->dlpi_addr + header->p_vaddr), *end = at + header->p_memsz;
        while (header->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) < end) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const char *name = at + sizeof note, *value = name + ((note.n_namesz + 3) & ~3u);
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                for (unsigned k = 0; k < note.n_descsz && k < 20; k++) {
                    snprintf(text + 2 * k, 3, "%02x", (unsigned char)value[k]);
                }
                return 1;
            }
            at = value + ((note.n_descsz + 3) & ~3u);
        }
    }
    return 1; /* the program is the first; libraries are not looked at */
}

/* ---- comparing ---- */

typedef struct comparison {
    const identity *all;
    int trait;
} comparison;

static bool differs(const void *context, int rank) {
    const comparison *c = context;
    return strcmp(c->all[rank].traits[c->trait], c->all[0].traits[c->trait]) != 0;
}

/* The first trait in which a rank differs from rank 0; `ranks`: which do. −1: none. */
static int first_difference(const identity *all, int size, char *ranks, size_t room) {
    for (int trait = 0; trait < TRAITS; trait++) {
        const comparison c = {all, trait};
        if (hy_number_list(size, differs, &c, ranks, room) > 0) {
            return trait;
        }
    }
    return -1;
}

static int first_that_differs(const identity *all, int trait) {
    const comparison c = {all, trait};
    int rank = 0;
    while (!differs(&c, rank)) {
        rank++;
    }
    return rank;
}

static hy_status gather_identities(hy_comm *world, identity *mine, identity **all) {
    HY_TRY(hy_comm_agree(world, HY_NEW("programs of ranks", hy_comm_size(world), all)));
    hy_req req = {0};
    hy_machine_host(mine->host, sizeof mine->host);
    hy_comm_all_gather(world, "program", mine, *all, sizeof *mine, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

static const char *word_or_none(const char *text) {
    return text[0] != '\0' ? text : "(none)";
}

static hy_status report_programs(const identity *all, int size) {
    char ranks[128];
    const int trait = first_difference(all, size, ranks, sizeof ranks);
    if (trait < 0) {
        return HY_OK;
    }
    const identity *other = &all[first_that_differs(all, trait)];
    if (trait == TRAITS - 1) {
        return hy_fail(
            HY_ERR_USAGE,
            "rank %s was started for another command than rank 0: %s on %s, %s on %s; start all ranks with the same",
            ranks, word_or_none(other->traits[trait]), other->host, word_or_none(all[0].traits[trait]), all[0].host);
    }
    return hy_fail(HY_ERR_ENV,
                   "rank %s runs another program than rank 0: %s build %.16s on %s, %s build %.16s on %s; put the same "
                   "one on all hosts",
                   ranks, other->traits[0], word_or_none(other->traits[1]), other->host, all[0].traits[0],
                   word_or_none(all[0].traits[1]), all[0].host);
}

hy_status hy_same_program(hy_comm *world, const char *command) {
    identity mine, *all = NULL;
    if (hy_comm_size(world) == 1) {
        return HY_OK;
    }
    memset(&mine, 0, sizeof mine);
    snprintf(mine.traits[0], TRAIT_SIZE, "%s", hy_build_version());
    (void)dl_iterate_phdr(find_build_id, mine.traits[1]);
    snprintf(mine.traits[2], TRAIT_SIZE, "%s", command != NULL ? command : "");
    HY_TRY(gather_identities(world, &mine, &all));
    const hy_status status = hy_comm_rank(world) == 0 ? report_programs(all, hy_comm_size(world)) : HY_OK;
    hy_free(all);
    return hy_comm_agree(world, status);
}

static hy_status report_devices(const identity *all, int size) {
    char ranks[128];
    const int trait = first_difference(all, size, ranks, sizeof ranks);
    if (trait < 0) {
        return HY_OK;
    }
    const identity *other = &all[first_that_differs(all, trait)];
    if (trait == 0) {
        return hy_fail(HY_ERR_ENV, "rank %s computes on another kind of device than rank 0: %s on %s, %s on %s", ranks,
                       other->traits[0], other->host, all[0].traits[0], all[0].host);
    }
    hy_warn("rank %s computes with %s (%s) on %s, rank 0 with %s (%s) on %s: all go at the pace of the slowest, and "
            "another number of ranks "
            "rounds differently",
            ranks, other->traits[0], other->traits[1], other->host, all[0].traits[0], all[0].traits[1], all[0].host);
    return HY_OK;
}

hy_status hy_same_device(hy_comm *world, const hy_profile *profile) {
    identity mine, *all = NULL;
    memset(&mine, 0, sizeof mine);
    snprintf(mine.traits[0], TRAIT_SIZE, "%s", profile->name);
    snprintf(mine.traits[1], TRAIT_SIZE, "%s", profile->detail);
    HY_TRY(gather_identities(world, &mine, &all));
    const hy_status status = hy_comm_rank(world) == 0 ? report_devices(all, hy_comm_size(world)) : HY_OK;
    hy_free(all);
    return hy_comm_agree(world, status);
}
