/* Plans by shape, made before steps. What fails, whatever it is, ends the asking and not the run: attention has kernels of its own. */
#include "kernels/cuda/cudnn_attention.h"

#ifdef HY_HAVE_CUDNN
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "kernels/cuda/cudnn_graph.h"
#ifdef HY_HAVE_CUDA
#include "kernels/cuda/cuda_call.h"
#endif

enum { ENGINES = 8 };

typedef enum standing { NONE, ON_TRIAL, ACCEPTED, REFUSED } standing;

struct hy_cudnn_plan {
    hy_cudnn_shape of;
    cudnnBackendDescriptor_t plan, engine; /* the engine's configuration stays as long as the plan made of it */
    standing is;
    hy_cudnn_plan *next;
};

/* there: as it was found, for good, as sizes of scratch depend on it; given_up: not to be asked again. */
typedef struct one_side {
    bool opened, there, given_up;
    hy_cudnn_library lib;
    cudnnHandle_t handle; /* NULL: not yet */
    hy_cudnn_plan *plans;
} one_side;

static one_side sides[HY_CUDNN_SIDES];
static int64_t runs;

/* NULL: none. */
static const char *library_name(hy_cudnn_side side) {
    const char *name = getenv("HYLAS_CUDNN");
    if (name == NULL || name[0] == '\0' || strcmp(name, "off") == 0) {
        return NULL;
    }
    if (strcmp(name, "on") == 0) {
        return side == HY_CUDNN_GPU ? "libcudnn.so.9" : NULL;
    }
    return name;
}

static void give_up(one_side *s, const char *why) {
    hy_warn("cuDNN: %s: softmax attention goes on with kernels of its own", why);
    s->given_up = true;
}

static bool is_open(hy_cudnn_side side) {
    one_side *s = &sides[side];
    char why[320];
    const char *name = library_name(side);
    if (!s->opened && name != NULL) {
        s->there = hy_cudnn_library_open(name, &s->lib, why, sizeof why);
        if (s->there) {
            hy_info(
                "softmax attention: cuDNN %zu where whole fragments meet and it has a plan, the own kernel elsewhere",
                s->lib.cudnnGetVersion());
        } else {
            give_up(s, why);
        }
    }
    s->opened = true;
    return s->there;
}

int64_t hy_cudnn_known_from(hy_cudnn_side side) {
    const int64_t worth[] = {[HY_CUDNN_GPU] = 512 * 512, [HY_CUDNN_HOST] = 1};
    return is_open(side) ? worth[side] : 0;
}

/* Of the GPU at hand: a process has one. */
static bool has_handle(one_side *s) {
    char why[320];
    if (s->handle == NULL && !hy_cudnn_said(&s->lib, s->lib.cudnnCreate(&s->handle), "cudnnCreate", why, sizeof why)) {
        give_up(s, why);
        s->handle = NULL;
    }
    return s->handle != NULL;
}

/* ---- plans ---- */

/* p's plan: of the first of the proposed engines that works in the memory it is lent. */
static void first_plan(hy_cudnn_graph *g, cudnnBackendDescriptor_t graph, const hy_cudnn_target *target,
                       hy_cudnn_plan *p) {
    cudnnBackendDescriptor_t engines[ENGINES];
    const int64_t n = hy_cudnn_graph_engines(g, graph, target, ENGINES, engines);
    for (int64_t i = 0; i < n && p->plan == NULL; i++) {
        int64_t bytes = 0;
        g->failed = false;
        p->plan = hy_cudnn_graph_plan(g, engines[i], target, &bytes);
        p->engine = engines[i];
        if (p->plan != NULL && bytes > HY_CUDNN_WORK) {
            snprintf(g->why, sizeof g->why, "a plan works in %lld bytes", (long long)bytes);
            p->plan = NULL;
        }
    }
}

static void make_plan(one_side *s, hy_cudnn_plan *p) {
    hy_cudnn_graph g;
    const hy_cudnn_target target = {.handle = s->handle};
    const cudnnBackendDescriptor_t graph = hy_cudnn_graph_begin(&g, &s->lib, &p->of, &target);
    if (graph != NULL) {
        first_plan(&g, graph, &target, p);
    }
    if (p->plan != NULL) {
        p->is = ON_TRIAL;
        hy_cudnn_graph_keep(&g, p->plan);
        hy_cudnn_graph_keep(&g, p->engine);
    } else {
        const hy_cudnn_shape *of = &p->of;
        hy_warn("cuDNN has no attention for %lld of %lld heads of %lld, %lld channels, %lld queries, %lld keys%s, "
                "which the own kernel computes: %s",
                (long long)of->HKV, (long long)of->H, (long long)of->D, (long long)of->DV, (long long)of->nq,
                (long long)of->nk, of->causal ? ", causal" : "", g.why[0] != '\0' ? g.why : "no engine");
    }
    hy_cudnn_graph_end(&g);
}

static hy_cudnn_plan *plan_of(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    hy_cudnn_plan *p = sides[side].plans;
    while (p != NULL && memcmp(&p->of, shape, sizeof *shape) != 0) {
        p = p->next;
    }
    return p;
}

static bool add_plan(one_side *s, const hy_cudnn_shape *shape) {
    hy_cudnn_plan *p = NULL;
    if (HY_NEW("a plan of cuDNN's", 1, &p) != HY_OK) {
        give_up(s, "no memory for a plan");
        return false;
    }
    *p = (hy_cudnn_plan){.of = *shape, .next = s->plans};
    s->plans = p;
    make_plan(s, p);
    return p->is == ON_TRIAL;
}

bool hy_cudnn_plan_make(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    one_side *s = &sides[side];
    if (!is_open(side) || s->given_up || !has_handle(s)) {
        return false;
    }
    return plan_of(side, shape) == NULL ? add_plan(s, shape) : hy_cudnn_plan_find(side, shape) != NULL;
}

void hy_cudnn_plan_judge(hy_cudnn_side side, const hy_cudnn_shape *shape, bool accepted) {
    hy_cudnn_plan *p = plan_of(side, shape);
    if (p != NULL && p->is == ON_TRIAL) {
        p->is = accepted ? ACCEPTED : REFUSED;
    }
}

bool hy_cudnn_plan_is_accepted(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    const hy_cudnn_plan *p = hy_cudnn_plan_find(side, shape);
    return p != NULL && p->is == ACCEPTED;
}

hy_cudnn_plan *hy_cudnn_plan_find(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    hy_cudnn_plan *p = sides[side].there && !sides[side].given_up ? plan_of(side, shape) : NULL;
    return p != NULL && (p->is == ON_TRIAL || p->is == ACCEPTED) ? p : NULL;
}

/* ---- running ---- */

/* As attributes of a call. */
static bool set_call(const hy_cudnn_library *lib, cudnnBackendDescriptor_t pack, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t n, const void *values, char *why, size_t size) {
    return hy_cudnn_said(lib, lib->cudnnBackendSetAttribute(pack, name, type, n, values), "a call", why, size);
}

static bool describe_call(const hy_cudnn_library *lib, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays,
                          cudnnBackendDescriptor_t pack, char *why, size_t size) {
    static const float hidden = -INFINITY; /* read when the call is made */
    const int64_t uids[] = {HY_CUDNN_Q,     HY_CUDNN_K,     HY_CUDNN_V,     HY_CUDNN_O,
                            HY_CUDNN_STATS, HY_CUDNN_SCALE, HY_CUDNN_HIDDEN};
    const void *const at[] = {arrays->q, arrays->k, arrays->v, arrays->o, arrays->stats, &arrays->scale, &hidden};
    const int64_t n = plan->of.causal ? 7 : 6;
    return set_call(lib, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids, why, size) &&
           set_call(lib, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, at, why, size) &&
           set_call(lib, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &arrays->work, why, size) &&
           hy_cudnn_said(lib, lib->cudnnBackendFinalize(pack), "a call", why, size);
}

/* Devices come and go in a process, and their streams with them: it is told at each call. */
static cudnnStatus_t set_stream(hy_cudnn_side side) {
    cudaStream_t stream = NULL;
#ifdef HY_HAVE_CUDA
    stream = side == HY_CUDNN_GPU ? hy_cuda_stream() : NULL;
#endif
    return sides[side].lib.cudnnSetStream(sides[side].handle, stream);
}

bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays) {
    const one_side *s = &sides[side];
    const hy_cudnn_library *lib = &s->lib;
    char why[320] = "";
    cudnnBackendDescriptor_t pack = NULL;
    const bool done =
        hy_cudnn_said(lib, lib->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "a call",
                      why, sizeof why) &&
        describe_call(lib, plan, arrays, pack, why, sizeof why) &&
        hy_cudnn_said(lib, set_stream(side), "its stream", why, sizeof why) &&
        hy_cudnn_said(lib, lib->cudnnBackendExecute(s->handle, plan->plan, pack), "attention", why, sizeof why);
    if (pack != NULL) {
        lib->cudnnBackendDestroyDescriptor(pack);
    }
    if (!done) {
        give_up(&sides[side], why);
    }
    runs += done && plan->is == ACCEPTED;
    return done;
}

int64_t hy_cudnn_runs(void) {
    return runs;
}

#else /* built without cuDNN's header */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int64_t hy_cudnn_known_from(hy_cudnn_side side) {
    static bool said;
    const char *name = getenv("HYLAS_CUDNN");
    if (side == HY_CUDNN_GPU && !said && name != NULL && name[0] != '\0' && strcmp(name, "off") != 0) {
        hy_warn("HYLAS_CUDNN: this program was built without cuDNN's header: softmax attention has kernels of its own");
        said = true;
    }
    return 0;
}

bool hy_cudnn_plan_make(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    (void)side;
    (void)shape;
    return false;
}

void hy_cudnn_plan_judge(hy_cudnn_side side, const hy_cudnn_shape *shape, bool accepted) {
    (void)side;
    (void)shape;
    (void)accepted;
}

bool hy_cudnn_plan_is_accepted(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    (void)side;
    (void)shape;
    return false;
}

hy_cudnn_plan *hy_cudnn_plan_find(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    (void)side;
    (void)shape;
    return NULL;
}

bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays) {
    (void)side;
    (void)plan;
    (void)arrays;
    return false;
}

int64_t hy_cudnn_runs(void) {
    return 0;
}
#endif
