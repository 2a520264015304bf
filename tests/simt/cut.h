/* Kernels without one of their barriers, waits or fences, for tests that such a kernel is caught. A site is a call in the sources as a kernel
 * reaches it: the same line in two kernels is two. Nothing is looked at until sites are collected. */
#ifndef HY_TESTS_SIMT_CUT_H
#define HY_TESTS_SIMT_CUT_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HY_SIMT_SITES_MAX = 256 };

typedef struct hy_simt_site {
    const char *kernel, *what, *file; /* what: barrier, warp_barrier, copy_wait, copy_commit */
    int line;
} hy_simt_site;

/* From now on, in this process; again: begins anew. */
void hy_simt_collect_sites(void);
/* Those that were met. */
int hy_simt_sites(const hy_simt_site **sites);
/* Calls of one of them do nothing, for every lane; -1: of none. */
void hy_simt_cut(int site);

/* Asked at every call. */
bool hy_simt_is_cut(const char *what, const char *file, int line);

#ifdef __cplusplus
}
#endif

#endif
