/* Inputs of `hylas op` of any content (a recipe, h5_recipe.h): refused, or run. The first byte chooses the operation. */
#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "h5_recipe.h"
#include "launch/op/op.h"

/* A dataset: its name and, a letter each, its dimensions; '?' after the name: only some files have it. */
typedef struct form {
    hy_status (*run)(hy_op_context *context, const char *in, const char *out);
    const char *const *datasets; /* "name dims", NULL at the end */
} form;

static const char *const recurrence[] = {"q BTHK",    "k BTHK",   "v BTGV",    "do BTGV",       "g? BTG",
                                         "beta? BTG", "h0? NGKV", "dht? NGKV", "cu_seqlens? M", NULL};
static const char *const log_linear[] = {"q BTHK",    "k BTHK", "v BTGV",    "do BTGV",       "g? BTG",
                                         "beta? BTG", "l BTGL", "dht? NGKV", "cu_seqlens? M", NULL};
static const char *const dplr[] = {"q BTHK", "k BTHK",   "v BTHV",    "do BTHV",       "g BTHK", "a BTHK",
                                   "b BTHK", "h0? NHKV", "dht? NHKV", "cu_seqlens? M", NULL};
static const char *const rwkv6[] = {"r BTHK", "k BTHK",   "v BTHV",    "do BTHV",       "w BTHK",
                                    "u HK",   "h0? NHKV", "dht? NHKV", "cu_seqlens? M", NULL};
static const char *const hgrn[] = {"x BTG", "g BTG", "do BTG", "h0? NG", "dht? NG", "cu_seqlens? M", NULL};
static const char *const attention[] = {"q BTGK", "k BTHK", "v BTHV", "do BTGV", "sinks? GL", "cu_seqlens? M", NULL};
static const char *const conv[] = {"x BTG", "w GL", "bias? G", "do BTG", "h0? NWG", "dht? NWG", "cu_seqlens? M", NULL};

static const form forms[] = {{hy_op_recurrence, recurrence},
                             {hy_op_log_linear, log_linear},
                             {hy_op_dplr, dplr},
                             {hy_op_rwkv6, rwkv6},
                             {hy_op_hgrn, hgrn},
                             {hy_op_attention, attention},
                             {hy_op_conv, conv}};

static void write_input(const form *f, recipe *r) {
    int64_t size[128] = {0}, documents[4] = {0};
    const int packed = (int)recipe_choose(r, 2);
    size['B'] = packed ? 1 : 1 + recipe_choose(r, 2), size['T'] = recipe_choose(r, 10),
    size['H'] = 1 + recipe_choose(r, 2);
    size['K'] = 1 + recipe_choose(r, 4), size['V'] = 1 + recipe_choose(r, 4), size['L'] = 5;
    size['G'] = size['H'] * (1 + recipe_choose(r, 2)), size['W'] = size['L'] - 1;
    size['N'] = packed ? 3 : size['B'], size['M'] = 4;
    documents[1] = size['T'] / 3, documents[2] = size['T'] / 2, documents[3] = size['T'];
    for (const char *const *d = f->datasets; *d; d++) {
        char name[32];
        int64_t dims[8];
        int rank = 0;
        const size_t length = strcspn(*d, "? ");
        snprintf(name, sizeof name, "%.*s", (int)length, *d);
        for (const char *letter = strrchr(*d, ' ') + 1; *letter; letter++) {
            dims[rank++] = size[(int)*letter];
        }
        const int whole = strcmp(name, "cu_seqlens") == 0;
        if ((*d)[length] != '?' || (whole ? packed : recipe_choose(r, 2))) {
            recipe_dataset(r, name, whole ? H5T_STD_I64LE : H5T_IEEE_F64LE, rank, dims, whole ? documents : NULL);
        }
    }
    recipe_text(r, "rule", recipe_choose(r, 2) ? "delta" : "additive");
    recipe_number(r, "scale", 0.5);
    recipe_number(r, "window", (double)recipe_choose(r, 5));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static hy_op_context context = {.options = {.dtype = HY_F64}};
    char in[PATH_MAX], out[PATH_MAX];
    if (!context.world) {
        snprintf(in, sizeof in, "%s", fuzz_folder());
        FUZZ_NEED(hy_comm_self_create(&context.world) == HY_OK);
        FUZZ_NEED(hy_device_create("cpu_ref", HY_F64, &context.device) == HY_OK);
        FUZZ_NEED(hy_comm_bind(context.world, context.device, HY_TRANSPORT_AUTO, &context.data) == HY_OK);
    }
    recipe r;
    recipe_open(&r, "in.h5", data, size);
    const form *f = &forms[recipe_choose(&r, (int64_t)(sizeof forms / sizeof forms[0]))];
    write_input(f, &r);
    recipe_close(&r);
    snprintf(in, sizeof in, "%s/in.h5", fuzz_folder());
    snprintf(out, sizeof out, "%s/out.h5", fuzz_folder());
    const int64_t bytes = hy_alloc_bytes();
    FUZZ_REFUSED(f->run(&context, in, out), HY_ERR_DATA);
    FUZZ_NEED(hy_alloc_bytes() == bytes);
    return 0;
}
