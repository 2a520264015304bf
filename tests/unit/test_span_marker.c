/* base/span_marker.h: who is told of spans hears them as they lie in each other, and nothing while none are recorded; with the toolkit's header the same
 * through NVTX, where this test is the profiler that NVTX looks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/span.h"
#include "base/span_marker.h"

static char heard[256];

static void hear(const char *sign, const char *name) {
    const size_t used = strlen(heard);
    (void)snprintf(heard + used, sizeof heard - used, "%s%s ", sign, name);
}

static void hear_begin(const char *name) {
    hear("(", name);
}

static void hear_end(void) {
    hear(")", "");
}

static void hear_post(const char *name) {
    hear("!", name);
}

/* An operation that posts an exchange and waits for it, twice; the ring holds three spans of the six. */
static void make_spans(bool recorded) {
    static hy_span ring[3];
    hy_spans_record(recorded ? ring : NULL, 3);
    for (int i = 0; i < 2; i++) {
        const int64_t work = hy_span_begin(HY_SPAN_WORK, "product");
        (void)hy_span_add(HY_SPAN_EXCHANGE, "state", 1.0, 0.0);
        hy_span_end(hy_span_begin(HY_SPAN_WAIT, "state"));
        (void)hy_span_add(HY_SPAN_MOVE, "moving", 1.0, 2.0);
        hy_span_end(work);
    }
    hy_spans_record(NULL, 0);
}

static const char expected[] = "(product !state (state ) ) (product !state (state ) ) ";

static void what_is_recorded_is_told(void **unused) {
    (void)unused;
    static const hy_span_marker marker = {hear_begin, hear_end, hear_post};
    hy_spans_set_marker(&marker);
    heard[0] = '\0';
    make_spans(false);
    assert_string_equal(heard, "");
    make_spans(true);
    assert_string_equal(heard, expected);
    hy_spans_set_marker(NULL);
    make_spans(true);
    assert_string_equal(heard, expected);
}

#ifdef HY_HAVE_NVTX

#include <nvtx3/nvToolsExt.h>

#include "kernels/cuda/nvtx.h"

static int NVTX_API profile_push(const char *name) {
    hear("(", name);
    return 0;
}

static int NVTX_API profile_pop(void) {
    hear(")", "");
    return 0;
}

static void NVTX_API profile_mark(const char *name) {
    hear("!", name);
}

/* What a profiler's library does when NVTX finds it. */
static int NVTX_API take_over(NvtxGetExportTableFunc_t tables) {
    const NvtxExportTableCallbacks *callbacks = tables(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table = NULL;
    unsigned int n = 0;
    if (callbacks == NULL || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &n) == 0) {
        return 0;
    }
    *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)profile_push;
    *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)profile_pop;
    *table[NVTX_CBID_CORE_MarkA] = (NvtxFunctionPointer)profile_mark;
    return 1;
}

extern NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr;
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = take_over;

static void a_profiler_sees_them(void **unused) {
    (void)unused;
    hy_spans_set_marker(hy_nvtx_marker());
    heard[0] = '\0';
    make_spans(true);
    hy_spans_set_marker(NULL);
    assert_string_equal(heard, expected);
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_recorded_is_told),
#ifdef HY_HAVE_NVTX
        cmocka_unit_test(a_profiler_sees_them),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
