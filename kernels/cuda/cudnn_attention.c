/* A plan per shape, made at its first call. What fails, whatever it is, ends the asking and not the run: attention has kernels of its own. */
#include "kernels/cuda/cudnn_attention.h"

#ifdef HY_HAVE_CUDNN
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kernels/cuda/cudnn_graph.h"
#ifdef HY_HAVE_CUDA
#include "kernels/cuda/cuda_call.h"
#endif

enum { PLANS = 512, ENGINES = 8 };

struct hy_cudnn_plan {
    hy_cudnn_shape of;
    cudnnBackendDescriptor_t plan; /* NULL: there is none */
    bool used, trusted;
};

typedef struct one_side {
    bool opened, there;
    hy_cudnn_library lib;
    cudnnHandle_t handle;
    hy_cudnn_plan plans[PLANS]; /* in order of first calls */
} one_side;

static one_side sides[HY_CUDNN_SIDES];

/* NULL: none. */
static const char *library_name(hy_cudnn_side side) {
    const char *name = getenv("HYLAS_CUDNN");
    if (name == NULL || name[0] == '\0') {
        return side == HY_CUDNN_GPU ? "libcudnn.so.9" : NULL;
    }
    return strcmp(name, "off") == 0 ? NULL : name;
}

bool hy_cudnn_is_wanted(hy_cudnn_side side) {
    return library_name(side) != NULL;
}

int64_t hy_cudnn_known_from(hy_cudnn_side side) {
    const int64_t worth[] = {[HY_CUDNN_GPU] = 512 * 512, [HY_CUDNN_HOST] = 1};
    return hy_cudnn_is_wanted(side) ? worth[side] : 0;
}

void hy_cudnn_refuse(hy_cudnn_side side, const char *why) {
    if (sides[side].there) {
        hy_warn("cuDNN: %s: softmax attention goes on with kernels of its own", why);
    }
    sides[side].there = false;
}

static bool open_handle(one_side *s, hy_cudnn_side side, char *why, size_t size) {
    if (!hy_cudnn_said(&s->lib, s->lib.cudnnCreate(&s->handle), "cudnnCreate", why, size)) {
        return false;
    }
#ifdef HY_HAVE_CUDA
    if (side == HY_CUDNN_GPU) {
        return hy_cudnn_said(&s->lib, s->lib.cudnnSetStream(s->handle, hy_cuda_stream()), "its stream", why, size);
    }
#endif
    (void)side;
    return true;
}

static bool is_open(hy_cudnn_side side) {
    one_side *s = &sides[side];
    char why[320];
    const char *name = library_name(side);
    if (!s->opened && name != NULL) {
        s->there = true;
        if (!hy_cudnn_library_open(name, &s->lib, why, sizeof why) || !open_handle(s, side, why, sizeof why)) {
            hy_cudnn_refuse(side, why);
        } else {
            hy_info("softmax attention: cuDNN %zu where a pair is whole or causal, the own kernel elsewhere",
                    s->lib.cudnnGetVersion());
        }
    }
    s->opened = true;
    return s->there;
}

/* ---- plans ---- */

/* The first of the proposed engines that works in the memory it is lent. */
static cudnnBackendDescriptor_t first_plan(hy_cudnn_graph *g, cudnnBackendDescriptor_t graph,
                                           const hy_cudnn_target *target) {
    cudnnBackendDescriptor_t engines[ENGINES], plan = NULL;
    const int64_t n = hy_cudnn_graph_engines(g, graph, target, ENGINES, engines);
    for (int64_t i = 0; i < n && plan == NULL; i++) {
        int64_t bytes = 0;
        g->failed = false;
        plan = hy_cudnn_graph_plan(g, engines[i], target, &bytes);
        if (plan != NULL && bytes > HY_CUDNN_WORK) {
            snprintf(g->why, sizeof g->why, "a plan works in %lld bytes", (long long)bytes);
            plan = NULL;
        }
    }
    return plan;
}

static cudnnBackendDescriptor_t make_plan(one_side *s, const hy_cudnn_shape *shape) {
    hy_cudnn_graph g;
    const hy_cudnn_target target = {.handle = s->handle};
    const cudnnBackendDescriptor_t graph = hy_cudnn_graph_begin(&g, &s->lib, shape, &target);
    const cudnnBackendDescriptor_t plan = graph != NULL ? first_plan(&g, graph, &target) : NULL;
    if (plan == NULL) {
        hy_warn("cuDNN has no attention for %lld of %lld heads of %lld, %lld channels, %lld queries, %lld keys%s, "
                "which the own kernel computes: %s",
                (long long)shape->HKV, (long long)shape->H, (long long)shape->D, (long long)shape->DV,
                (long long)shape->nq, (long long)shape->nk, shape->causal ? ", causal" : "",
                g.why[0] != '\0' ? g.why : "no engine");
        hy_cudnn_graph_end(&g);
    }
    return plan;
}

hy_cudnn_plan *hy_cudnn_plan_of(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    one_side *s = &sides[side];
    if (!is_open(side)) {
        return NULL;
    }
    for (int i = 0; i < PLANS; i++) {
        hy_cudnn_plan *p = &s->plans[i];
        if (!p->used) {
            *p = (hy_cudnn_plan){.of = *shape, .plan = make_plan(s, shape), .used = true};
        }
        if (memcmp(&p->of, shape, sizeof *shape) == 0) {
            return p->plan != NULL ? p : NULL;
        }
    }
    return NULL; /* more shapes than are kept */
}

bool hy_cudnn_plan_is_trusted(const hy_cudnn_plan *plan) {
    return plan->trusted;
}

void hy_cudnn_plan_trust(hy_cudnn_plan *plan) {
    plan->trusted = true;
}

/* ---- running ---- */

bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays) {
    const hy_cudnn_library *lib = &sides[side].lib;
    const float hidden = -INFINITY;
    const int64_t uids[] = {HY_CUDNN_Q,     HY_CUDNN_K,     HY_CUDNN_V,     HY_CUDNN_O,
                            HY_CUDNN_STATS, HY_CUDNN_SCALE, HY_CUDNN_HIDDEN};
    const void *const at[] = {arrays->q, arrays->k, arrays->v, arrays->o, arrays->stats, &arrays->scale, &hidden};
    const int64_t n = plan->of.causal ? 7 : 6;
    char why[320] = "";
    cudnnBackendDescriptor_t pack = NULL;
    const bool done =
        hy_cudnn_said(lib, lib->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "a call",
                      why, sizeof why) &&
        hy_cudnn_said(
            lib, lib->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids),
            "a call", why, sizeof why) &&
        hy_cudnn_said(
            lib, lib->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, at),
            "a call", why, sizeof why) &&
        hy_cudnn_said(lib,
                      lib->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                                                    &arrays->work),
                      "a call", why, sizeof why) &&
        hy_cudnn_said(lib, lib->cudnnBackendFinalize(pack), "a call", why, sizeof why) &&
        hy_cudnn_said(lib, lib->cudnnBackendExecute(sides[side].handle, plan->plan, pack), "attention", why,
                      sizeof why);
    if (pack != NULL) {
        lib->cudnnBackendDestroyDescriptor(pack);
    }
    if (!done) {
        hy_cudnn_refuse(side, why);
    }
    return done;
}

void hy_cudnn_read(hy_cudnn_side side, void *host, const void *from, size_t bytes) {
#ifdef HY_HAVE_CUDA
    if (side == HY_CUDNN_GPU) {
        HY_CUDA(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, hy_cuda_stream()));
        HY_CUDA(cudaStreamSynchronize(hy_cuda_stream()));
        return;
    }
#endif
    (void)side;
    memcpy(host, from, bytes);
}

#else /* built without cuDNN's header */

bool hy_cudnn_is_wanted(hy_cudnn_side side) {
    (void)side;
    return false;
}

int64_t hy_cudnn_known_from(hy_cudnn_side side) {
    (void)side;
    return 0;
}

hy_cudnn_plan *hy_cudnn_plan_of(hy_cudnn_side side, const hy_cudnn_shape *shape) {
    (void)side;
    (void)shape;
    return NULL;
}

bool hy_cudnn_plan_is_trusted(const hy_cudnn_plan *plan) {
    (void)plan;
    return false;
}

void hy_cudnn_plan_trust(hy_cudnn_plan *plan) {
    (void)plan;
}

bool hy_cudnn_plan_run(hy_cudnn_side side, const hy_cudnn_plan *plan, const hy_cudnn_arrays *arrays) {
    (void)side;
    (void)plan;
    (void)arrays;
    return false;
}

void hy_cudnn_refuse(hy_cudnn_side side, const char *why) {
    (void)side;
    (void)why;
}

void hy_cudnn_read(hy_cudnn_side side, void *host, const void *from, size_t bytes) {
    (void)side;
    (void)host;
    (void)from;
    (void)bytes;
}
#endif
